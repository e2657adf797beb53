"""`python -m bench.held`: so many clients held at once by one process, its memory, and the time from click to token.

One gunicorn worker of greenlets, a Redis and a PostgreSQL of its own, and the clients in this process, all on the
cores that there are. Prints JSON. A click is the call that approves, in this process: what a browser adds to it is
not measured.
"""

import argparse
import asyncio
import json
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from urllib.parse import urlencode

from oauthdevice.domain.clients import ClientCredentials
from oauthdevice.domain.device_flow import Started, StartRequest
from oauthdevice.domain.subjects import Account
from oauthdevice.domain.token_endpoint import DEVICE_GRANT
from oauthdevice.wiring import Services
from tests.ports import free_port
from tests.servers import running_postgresql

from .contenders import FORM, Command, Place
from .ours import ADDRESS, API, EMAIL, Ours, ini, services_at
from .servers import cpu_seconds, memory_mib, processes_of, running, running_redis

HELD_SECONDS = 60
# Between two clicks: so far apart that none waits for the token of another.
PAUSE_SECONDS = 0.05


def started_codes(services: Services, count: int) -> Sequence[Started]:
    """So many codes that nobody has decided."""
    asked = StartRequest(credentials=ClientCredentials("bench"), scope="", device_label=None, address=ADDRESS)
    with ThreadPoolExecutor(4) as threads:
        return list(threads.map(lambda _: services.device_flow.start(asked), range(count)))


class Holding(Ours):
    """Our server as docs/operating.md starts it for held polls."""

    def __init__(self, clients: int) -> None:
        self._clients = clients

    def prepare(self, place: Place) -> None:
        super().prepare(place)
        options = f"oauthdevice.held_poll_seconds = {HELD_SECONDS}\noauthdevice.held_polls = {self._clients}\n"
        text = ini(place).replace("use = egg:oauthdevice\n", f"use = egg:oauthdevice\n{options}")
        (place.folder / "bench.ini").write_text(text, "utf-8")

    def command(self, place: Place) -> Command:
        granian = super().command(place)
        arguments = [
            *(str(Path(sys.executable).parent / "gunicorn"), "--paste", str(place.folder / "bench.ini")),
            *("--worker-class", "oauthdevice.gevent_worker.HoldingWorker", "--workers", str(place.processes)),
            *("--worker-connections", str(self._clients + 1000), "--bind", f"127.0.0.1:{place.port}"),
            *("--worker-tmp-dir", "/dev/shm", "--no-control-socket"),
        ]
        return Command(arguments, granian.environment, granian.folder)


@dataclass
class HeldClient:
    """One connection with a poll on it that nobody has answered yet."""

    started: Started
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @classmethod
    async def begin(cls, place: Place, started: Started) -> "HeldClient":
        reader, writer = await asyncio.open_connection("127.0.0.1", place.port)
        body = urlencode({"grant_type": DEVICE_GRANT, "device_code": started.device_code, "client_id": "bench"})
        fields = {**FORM, "Host": "login.example.com", "Content-Length": str(len(body)), "Prefer": "wait=60"}
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        writer.write(f"POST {API}/oauth/device/token HTTP/1.1\r\n{head}\r\n{body}".encode())
        await writer.drain()
        return cls(started, reader, writer)

    async def answer(self) -> tuple[int, float]:
        """Its status, and when it was there."""
        head = await self.reader.readuntil(b"\r\n")
        return int(head.split()[1]), time.perf_counter()


async def clicked(services: Services, account: Account, client: HeldClient) -> float:
    """The milliseconds from the click to the first line of the token answer."""
    waiting = asyncio.create_task(client.answer())
    clicked_at = time.perf_counter()
    await asyncio.to_thread(services.approvals.approve, client.started.user_code, account, ADDRESS)
    status, at = await asyncio.wait_for(waiting, HELD_SECONDS)
    if status != 200:
        raise RuntimeError(f"answered with {status}")
    return (at - clicked_at) * 1000


async def held(
    place: Place, services: Services, pid: int, codes: Sequence[Started], sample: int, rate: int
) -> Mapping[str, object]:
    """What is measured, with a client for each code, of whom so many come each second."""
    account = next(one for one in services.accounts.all() if one.email == EMAIL)
    before, began = memory_mib(pid), time.perf_counter()
    clients: list[HeldClient] = []
    for number, code in enumerate(codes):
        await asyncio.sleep(max(0, began + number / rate - time.perf_counter()))
        clients.append(await HeldClient.begin(place, code))
    came_seconds = time.perf_counter() - began
    await settled(pid)
    answered_early = sum(bool(client.reader._buffer) for client in clients)  # type: ignore[attr-defined]  # no public look
    with_all = memory_mib(pid)
    milliseconds = []
    for client in clients[-sample:]:
        milliseconds.append(await clicked(services, account, client))
        await asyncio.sleep(PAUSE_SECONDS)
    first_held_seconds = time.perf_counter() - began
    for client in clients:
        client.writer.close()
    return {
        "clients": len(clients),
        "came_seconds": round(came_seconds, 1),
        "answered_before_all_were_held": answered_early,
        "first_was_held_seconds": round(first_held_seconds, 1),
        "memory_mib": {
            "none": round(before, 1),
            "all_held": round(with_all, 1),
            "afterwards": round(memory_mib(pid), 1),
        },
        "redis_connections": services.redis.info("clients")["connected_clients"],
        "click_to_token_ms": {
            "of": len(milliseconds),
            "median": round(statistics.median(milliseconds), 1),
            "p99": round(statistics.quantiles(milliseconds, n=100)[98], 1),
            "max": round(max(milliseconds), 1),
        },
    }


async def settled(pid: int) -> None:
    """Until the process has nothing to do, for ten seconds at most."""
    for _ in range(20):
        used = cpu_seconds(pid)
        await asyncio.sleep(0.5)
        if cpu_seconds(pid) - used < 0.05:
            return


@contextmanager
def place_of_its_own() -> Iterator[Place]:
    with tempfile.TemporaryDirectory(prefix="held-") as temporary, running_postgresql() as postgresql:
        folder = Path(temporary)
        with running_redis(folder, free_port()) as redis_url:
            yield Place(free_port(), 1, redis_url, postgresql.create_database("held"), folder)


def measure(clients: int, sample: int, rate: int) -> Mapping[str, object]:
    """Starts everything, and ends it."""
    ours = Holding(clients)
    with place_of_its_own() as place:
        ours.prepare(place)
        with services_at(place) as services, running(ours, place) as server:
            (pid,) = processes_of(server)
            codes = started_codes(services, clients)
            try:
                measured = asyncio.run(held(place, services, pid, codes, sample, rate))
            finally:
                log = (place.folder / "log").read_text("utf-8").splitlines()
                print(*log[-20:], sep="\n", file=sys.stderr)
    names = ("oauthdevice", "gunicorn", "gevent", "redis", "psycopg")
    return {**measured, "log_lines": len(log), "versions": {name: version(name) for name in names}}


def main() -> None:
    """See `--help`."""
    parser = argparse.ArgumentParser(prog="python -m bench.held", description=__doc__)
    parser.add_argument("--clients", type=int, default=5000)
    parser.add_argument("--sample", type=int, default=100, help="of the clients: so many are approved, one by one")
    parser.add_argument("--rate", type=int, default=500, help="how many clients come each second")
    given = parser.parse_args()
    # One file for each client here, and as many at the server, which takes the bound over.
    needed, (soft, hard) = given.clients + 1000, resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, max(needed, hard)))
    print(json.dumps(measure(given.clients, given.sample, given.rate), indent=2))


if __name__ == "__main__":
    main()
