"""A bad network in a process: an HTTP proxy that loses, cuts, delays and forges what passes through it."""

import asyncio
import random
import socket
import struct
import threading
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress

# Who asks says so in this header, so that the faults each one meets do not hang on who comes first.
CALLER = "X-Caller"
# A caller who meets more faults than this in a row is out for longer than the 30 seconds for which the server
# tells a lost answer again: no client can do anything about that.
RUN = 3
FAULTS = ("refused", "dropped", "delayed", "reset", "cut", "502", "502 late")
PAGE = b"<html><h1>502 Bad Gateway</h1></html>"
BAD_GATEWAY = b"HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n%s" % (len(PAGE), PAGE)


class FaultyProxy:
    """Listens on `url` and passes to a port of this machine all but `share` of the requests; counts in `met`.

    `delay_seconds` is how long a request hangs that is dropped or delayed.
    """

    def __init__(self, upstream_port: int, share: float, delay_seconds: float, seed: int = 8628) -> None:
        self.upstream_port = upstream_port
        self.share = share
        self.delay_seconds = delay_seconds
        self.seed = seed
        self.met: Counter[str] = Counter()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._asked: Counter[str] = Counter()
        self._in_a_row: Counter[str] = Counter()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),), daemon=True)
        self._ended = asyncio.Event()

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join(10)
        self._loop.close()

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._accept, sock=self._listener)
        await self._ended.wait()
        server.close()
        handlers = asyncio.all_tasks() - {asyncio.current_task()}
        for one in handlers:
            one.cancel()
        await asyncio.gather(*handlers, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            headers = dict(line.lower().split(": ", 1) for line in head.decode().split("\r\n")[1:] if line)
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            await self._answer(head, body, self._fault(head, headers.get(CALLER.lower(), "")), writer)
        writer.close()

    async def _answer(self, head: bytes, body: bytes, fault: str, writer: asyncio.StreamWriter) -> None:
        self.met[fault] += 1
        if fault == "refused":
            return _reset(writer)
        if fault == "dropped":
            await asyncio.sleep(self.delay_seconds)
            return _reset(writer)
        if fault == "502":
            return writer.write(BAD_GATEWAY)
        # From here on, the server has done what it was asked for.
        answer = await self._ask(head, body)
        if fault == "reset":
            return _reset(writer)
        if fault == "502 late":
            return writer.write(BAD_GATEWAY)
        if fault == "delayed":
            await asyncio.sleep(self.delay_seconds)
        writer.write(answer[: len(answer) // 2] if fault == "cut" else answer)
        return await writer.drain()

    async def _ask(self, head: bytes, body: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.upstream_port)
        # Not every client says that it keeps a connection.
        lines = [line for line in head.split(b"\r\n") if line and not line.lower().startswith(b"connection:")]
        writer.write(b"\r\n".join([*lines, b"Connection: close", b"", body]))
        answer = await reader.read(-1)
        writer.close()
        return answer

    def _fault(self, _head: bytes, caller: str) -> str:
        self._asked[caller] += 1
        chance = random.Random(f"{self.seed} {caller} {self._asked[caller]}")
        if self._in_a_row[caller] >= RUN or chance.random() >= self.share:
            self._in_a_row[caller] = 0
            return "none"
        self._in_a_row[caller] += 1
        return chance.choice(FAULTS)


class BlippingProxy(FaultyProxy):
    """Passes everything, but the first requests that begin with `which` meet `faults`, one each."""

    def __init__(self, upstream_port: int, which: str, faults: Iterable[str]) -> None:
        super().__init__(upstream_port, share=0, delay_seconds=0)
        self._which = which.encode()
        self.left = list(faults)

    def _fault(self, head: bytes, _caller: str) -> str:
        return self.left.pop(0) if self.left and head.startswith(self._which) else "none"


def _reset(writer: asyncio.StreamWriter) -> None:
    """RST in place of FIN."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.close()
