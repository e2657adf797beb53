"""The devices of a soak, the people who approve them and those who attack, as one coroutine each."""

import asyncio
import heapq
import itertools
import json
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from oauthdevice.domain import codes
from oauthdevice.domain.token_endpoint import DEVICE_GRANT

from .contenders import FORM, Place
from .ours import API

INTERVAL_SECONDS = 5
# A client that is exactly on time may come a moment early by the clock of the server; see docs/your-cli.md.
MARGIN_SECONDS = 0.1
CONNECTIONS, ATTACKERS = 64, 32
CODE, TOKEN, LOOKUP = f"{API}/oauth/device/code", f"{API}/oauth/device/token", f"{API}/oauth/device/lookup"
CODE_BODY = urlencode({"client_id": "bench", "scope": "apps:run"})


@dataclass(slots=True)
class Seen:
    """What happened in a window or in a phase."""

    polls: list[float] = field(default_factory=list)
    codes: list[float] = field(default_factory=list)
    tokens: int = 0
    attempts: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)

    def add(self, other: "Seen") -> None:
        self.polls += other.polls
        self.codes += other.codes
        self.tokens += other.tokens
        self.attempts += other.attempts
        self.errors += other.errors


@dataclass(order=True, slots=True)
class Device:
    """A device that waits for its token. Ordered by when its next poll is due."""

    due: float
    number: int
    device_code: str = field(compare=False)
    user_code: str = field(compare=False)
    address: str = field(compare=False)


class Connection:
    """One connection, kept alive. The address that it speaks for is told as a proxy would."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def post(self, path: str, body: str, address: str) -> tuple[int, dict[str, Any]]:
        """The status and the members of the answer. Raises OSError, asyncio.IncompleteReadError."""
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        try:
            writer.write(
                f"POST {path} HTTP/1.1\r\nHost: login.example.com\r\nContent-Type: {FORM['Content-Type']}\r\n"
                f"X-Forwarded-For: {address}\r\nX-Forwarded-Proto: https\r\nContent-Length: {len(body)}\r\n\r\n"
                f"{body}".encode()
            )
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
            return int(head[9:12]), json.loads(await reader.readexactly(length))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


class Crowd:
    """All devices, and what has been seen of them."""

    def __init__(self, place: Place, count: int, approved_per_second: float, approve: Callable[[str], None]) -> None:
        self.place = place
        self.count = count
        self.approved_per_second = approved_per_second
        self.seen = Seen()
        self._approve = approve
        self._waiting: list[Device] = []
        self._asked: set[int] = set()
        self._numbers = itertools.count()
        self._addresses = itertools.count(10 << 24)

    def address(self) -> str:
        """One that nobody had before."""
        number = next(self._addresses)
        return ".".join(str(number >> shift & 255) for shift in (24, 16, 8, 0))

    async def begin(self) -> None:
        """Start every device; their polls are spread evenly over an interval."""
        at = time.monotonic() + INTERVAL_SECONDS

        async def some(own: Sequence[int]) -> None:
            connection = Connection(self.place.port)
            for number in own:
                await self._start(connection, at + number * INTERVAL_SECONDS / self.count)
            connection.close()

        await asyncio.gather(*(some(range(lane, self.count, CONNECTIONS)) for lane in range(CONNECTIONS)))

    async def _start(self, connection: Connection, due: float) -> None:
        address, began = self.address(), time.monotonic()
        status, told = await connection.post(CODE, CODE_BODY, address)
        self.seen.codes.append((time.monotonic() - began) * 1000)
        if status != 200:
            self.seen.errors[f"code {status} {told.get('error')}"] += 1
            return
        device = Device(due, next(self._numbers), told["device_code"], told["user_code"], address)
        heapq.heappush(self._waiting, device)

    async def poll_all(self) -> None:
        """Polls whoever is due, until it is cancelled."""
        await asyncio.gather(*(self._lane() for _ in range(CONNECTIONS)))

    async def _lane(self) -> None:
        connection = Connection(self.place.port)
        while True:
            if not self._waiting:
                await asyncio.sleep(MARGIN_SECONDS)
                continue
            device = heapq.heappop(self._waiting)
            await asyncio.sleep(max(0, device.due - time.monotonic()))
            try:
                await self._poll(connection, device)
            except (OSError, asyncio.IncompleteReadError) as error:
                self.seen.errors[type(error).__name__] += 1
                heapq.heappush(self._waiting, device)

    async def _poll(self, connection: Connection, device: Device) -> None:
        body = urlencode({"grant_type": DEVICE_GRANT, "device_code": device.device_code, "client_id": "bench"})
        status, told = await connection.post(TOKEN, body, device.address)
        answered = time.monotonic()
        self.seen.polls.append((answered - device.due) * 1000)
        if status == 200:
            self.seen.tokens += 1
            self._asked.discard(device.number)
            await self._start(connection, answered + INTERVAL_SECONDS)
            return
        if told["error"] != "authorization_pending":
            self.seen.errors[f"poll {status} {told['error']}"] += 1
        device.due = max(device.due + INTERVAL_SECONDS, answered + INTERVAL_SECONDS - MARGIN_SECONDS) + MARGIN_SECONDS
        heapq.heappush(self._waiting, device)

    async def approve_some(self) -> None:
        """People approve so many a second, until it is cancelled."""
        while True:
            await asyncio.sleep(1 / self.approved_per_second)
            for _ in range(10):
                device = random.choice(self._waiting)
                if device.number not in self._asked:
                    self._asked.add(device.number)
                    self._approve(device.user_code)
                    break

    async def storm(self, per_second: float) -> None:
        """New codes, an address for each sixty, until it is cancelled."""

        async def one() -> None:
            connection = Connection(self.place.port)
            while True:
                address = self.address()
                for _ in range(60):
                    await asyncio.sleep(ATTACKERS / per_second)
                    status, _ = await connection.post(CODE, CODE_BODY, address)
                    self.seen.attempts[f"code {status}"] += 1

        await asyncio.gather(*(one() for _ in range(ATTACKERS)))

    async def guess(self, per_second: float) -> None:
        """Guesses of user_codes and device_codes, until it is cancelled; each guesser stays at its address."""

        async def one(path: str, body: Callable[[], str]) -> None:
            connection, address = Connection(self.place.port), self.address()
            while True:
                await asyncio.sleep(ATTACKERS / per_second)
                status, told = await connection.post(path, body(), address)
                self.seen.attempts[f"{path.rpartition('/')[2]} {status}"] += 1
                if status == 200 and told.get("valid") is not False:
                    self.seen.errors["a guess that was right"] += 1

        await asyncio.gather(
            *(one(LOOKUP, _user_code) for _ in range(ATTACKERS // 2)),
            *(one(TOKEN, _device_code) for _ in range(ATTACKERS // 2)),
        )


def _user_code() -> str:
    return urlencode({"user_code": codes.new_user_code()})


def _device_code() -> str:
    """Of the right form, checksum included: any other costs the server nothing."""
    device_code = codes.new_device_code(f"{random.randrange(256):02x}")
    return urlencode({"grant_type": DEVICE_GRANT, "client_id": "bench", "device_code": device_code})
