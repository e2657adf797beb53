"""Shows that the peers do the work that is measured: `.venv/bin/python -m bench.peers.check`.

Installs them, starts each on servers of its own, and asks once for each work. Needs node, npm, redis-server and
PostgreSQL, and the test extra of ours. Prints a line for each answer; raises AssertionError at the first that is wrong.
"""

import contextlib
import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import redis

from tests.ports import free_port
from tests.servers import running_postgresql, wait_until

from ..contenders import Contender, Place, Request, Work
from .django_oauth_toolkit import DjangoOAuthToolkit
from .node import OIDCProvider
from .oauth_requests import poll

PEERS: tuple[OIDCProvider | DjangoOAuthToolkit, ...] = (
    OIDCProvider(),
    DjangoOAuthToolkit(),
    DjangoOAuthToolkit(bearer=True),
)
# What every right answer to a work has in it.
TELLS: dict[Work, dict[str, Any]] = {
    Work.CODE: {},
    Work.POLL: {"error": "authorization_pending"},
    Work.INTROSPECTION: {"active": True, "client_id": "bench"},
    Work.ACCOUNT: {"email": "ada@corp.example", "name": "Ada Lovelace"},
}


@contextlib.contextmanager
def running_redis(folder: Path) -> Iterator[str]:
    """The address of one that forgets everything."""
    port = free_port()
    options = ["--bind", "127.0.0.1", "--port", str(port), "--save", "", "--dir", str(folder)]
    with subprocess.Popen(["redis-server", *options], stdout=subprocess.DEVNULL) as process:
        address = f"redis://127.0.0.1:{port}/0"
        try:
            wait_until(lambda: _is_up(address), "redis-server to answer", lambda: process.poll() is not None)
            yield address
        finally:
            process.terminate()


def _is_up(address: str) -> bool:
    try:
        return bool(redis.Redis.from_url(address).ping())
    except redis.RedisError:
        return False


@contextlib.contextmanager
def running(contender: Contender, place: Place) -> Iterator[httpx.Client]:
    """Who asks it, once it is ready."""
    command = contender.command(place)
    environment = {**os.environ, **command.environment}
    with (
        subprocess.Popen(command.arguments, cwd=command.folder, env=environment, start_new_session=True) as process,
        httpx.Client(base_url=place.url, timeout=30) as client,
    ):
        try:
            wait_until(
                lambda: _is_ready(client, contender.ready_path),
                f"{contender.name} to answer",
                lambda: process.poll() is not None,
            )
            yield client
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)


def _is_ready(client: httpx.Client, path: str) -> bool:
    try:
        return client.get(path).is_success
    except httpx.TransportError:
        return False


def ask(client: httpx.Client, request: Request) -> dict[str, Any]:
    """The body of the answer that `request` calls right. Raises AssertionError."""
    answer = client.request(request.method, request.path, content=request.body, headers=dict(request.headers))
    assert answer.status_code == request.status, f"{request}: {answer.status_code} {answer.text}"
    body: dict[str, Any] = answer.json()
    return body


def check(contender: Contender, place: Place) -> None:
    """Prepare, start and ask it, with the last answer of each work on a line. Raises AssertionError."""
    contender.prepare(place)
    print(contender.name, dict(contender.versions()))
    with running(contender, place) as client:
        for work in (one for one in Work if one in contender.work):
            requests = contender.requests(work, place, 3)
            assert len(set(map(repr, requests))) == len(requests), requests
            bodies = [ask(client, request) for request in requests]
            for body in bodies:
                assert TELLS[work].items() <= body.items(), body
            if work is Work.POLL:
                # The codes were made behind the back of the server: one that it gave out is answered alike.
                [start] = contender.requests(Work.CODE, place, 1)
                given = poll(requests[0].path, ask(client, start)["device_code"])
                assert [ask(client, given)] * 3 == bodies, bodies
            print(f"  {work.value}: {requests[-1].status} {bodies[-1]}")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, running_postgresql() as postgresql:
        for number, contender in enumerate(PEERS):
            contender.install()
            own = Path(folder, str(number))
            own.mkdir()
            with running_redis(own) as redis_url:
                check(contender, Place(free_port(), 1, redis_url, postgresql.create_database(f"peer{number}"), own))


if __name__ == "__main__":
    main()
