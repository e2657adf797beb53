"""What contenders run on and as: a Redis and a PostgreSQL of their own, and their processes."""

import http.client
import os
import random
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import redis

from .contenders import Contender, Place

START_SECONDS = 60
# Where nobody listens yet, a connection may even meet itself: its own request is then the answer.
NOT_THERE = (OSError, http.client.HTTPException)


def listening_port() -> int:
    """A free port of loopback, below those that Linux gives to connections: a bench opens thousands of these."""
    for _ in range(100):
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise TimeoutError("no port is free")


@contextmanager
def running_redis(folder: Path, port: int) -> Iterator[str]:
    """A redis-server on a port of loopback, as in production without its disk: what is measured is not that."""
    arguments = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder), "--databases", "32"]
    # As docs/operating.md has it: what waits for a decision then takes a third less memory.
    arguments += ["--hash-max-listpack-value", "1024"]
    process = subprocess.Popen(["redis-server", *arguments], stdout=subprocess.DEVNULL)
    url = f"redis://127.0.0.1:{port}"
    try:
        with redis.Redis.from_url(url) as client:
            _wait(client.ping, (redis.RedisError,))
        yield url
    finally:
        process.terminate()
        process.wait()


@contextmanager
def running(contender: Contender, place: Place, ready_path: str = "") -> Iterator[subprocess.Popen[bytes]]:
    """The server from its first answer at `ready_path`, by default the contender's own, to its end.

    Raises TimeoutError where it does not answer.
    """
    command = contender.command(place)
    with (place.folder / "log").open("ab") as log:
        process = subprocess.Popen(
            command.arguments,
            cwd=command.folder,
            env={**os.environ, **command.environment},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        _wait(lambda: answers(place, ready_path or contender.ready_path), NOT_THERE)
        yield process
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def answers(place: Place, path: str) -> bool:
    """Whether the server is up: all but 503 says so: a floor fails at a GET. Raises OSError where nobody listens."""
    try:
        with urllib.request.urlopen(place.url + path, timeout=5) as answer:
            return bool(answer.status == 200)
    except urllib.error.HTTPError as error:
        return error.code != 503


def processes_of(process: subprocess.Popen[bytes]) -> list[int]:
    """The pids of those that answer: the children where there are any, and theirs, else the process itself."""
    children = _children(process.pid)
    below = [grandchild for child in children for grandchild in _children(child)]
    return below or children or [process.pid]


def memory_mib(pid: int) -> float:
    """What a process has in memory that it shares with nobody, and its part of what it shares (PSS), in MiB."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    raise ProcessLookupError(pid)


def cpu_seconds(pid: int) -> float:
    """The processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _children(pid: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _wait(happens: Callable[[], object], refused: tuple[type[Exception], ...]) -> None:
    give_up = time.monotonic() + START_SECONDS
    while time.monotonic() < give_up:
        try:
            if happens():
                return
        except refused:
            pass
        time.sleep(0.02)
    raise TimeoutError("it does not come up")
