"""The server as docs/operating.md starts it for held polls: one process of greenlets, hundreds of clients that wait."""

import json
import re
import shlex
import socket
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import psycopg
import pytest

from ..deploy.production import ProductionServer
from ..factories import APPROVE, PASSWORD, TOKEN
from ..installations import BIN, Visitor, ask, poll
from ..servers import CHECKOUT, wait_until

CLIENTS, SAMPLE = 200, 20
EMAIL = "ada@example.com"
BOUND_SECONDS = 30
OPTIONS = "\n".join(
    ["oauthdevice.held_poll_seconds = 60", *(f"oauthdevice.limit.{name} = off" for name in ("code", "decide"))]
)


def documented() -> list[str]:
    """The command of docs/operating.md."""
    text = (CHECKOUT / "docs" / "operating.md").read_text("utf-8")
    (command,) = re.findall(r"```console\n(/opt/oauthdevice/bin/gunicorn .*?)```", text, re.DOTALL)
    return shlex.split(command.replace("\\\n", ""))


class HoldingServer(ProductionServer):
    """`production.ini` under gunicorn itself, by the documented command with another address and one process."""

    def start(self) -> None:
        command = documented()
        changes = {
            "/opt/oauthdevice/bin/gunicorn": str(BIN / "gunicorn"),
            "/etc/oauthdevice/production.ini": str(self.ini),
            "127.0.0.1:6543": f"127.0.0.1:{self.port}",
        }
        assert changes.keys() <= set(command)
        command = [changes.get(word, word) for word in command]
        command[command.index("--workers") + 1] = "1"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command, cwd=self.ini.parent, stdout=log, stderr=subprocess.STDOUT, env=self.environ
            )
        self._wait_for_start()


class Waiting:
    """A client with a poll that nobody has answered yet."""

    def __init__(self, server: ProductionServer, prefer: str = "wait=60") -> None:
        self.asked = ask(server.url)
        self._socket = socket.create_connection(("127.0.0.1", server.port), BOUND_SECONDS)
        body = (
            "grant_type=urn:ietf:params:oauth:grant-type:device_code&client_id=difyctl"
            f"&device_code={self.asked['device_code']}"
        )
        fields = f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\nPrefer: {prefer}"
        self._rest = body.encode()
        self._socket.sendall(f"POST {TOKEN} HTTP/1.1\r\nHost: x\r\n{fields}\r\n\r\n".encode())

    def send(self) -> "Waiting":
        """The rest of its request."""
        self._socket.sendall(self._rest)
        return self

    def is_answered(self) -> bool:
        self._socket.setblocking(False)
        try:
            self._socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        finally:
            self._socket.settimeout(BOUND_SECONDS)
        return True

    def answer(self) -> tuple[int, dict[str, str]]:
        """Its status and body, once they are there. Raises ConnectionError where it is cut off."""
        with self._socket, self._socket.makefile("rb") as answer:
            status = answer.readline().split()
            if not status:
                raise ConnectionError("cut off")
            length = 0
            while (line := answer.readline().strip()) != b"":
                name, _, value = line.partition(b":")
                length = int(value) if name.lower() == b"content-length" else length
            return int(status[1]), json.loads(answer.read(length))


@pytest.fixture
def server(tmp_path: Path, postgresql_url: str, redis_url: str) -> Iterator[HoldingServer]:
    one = HoldingServer(tmp_path, postgresql_url, redis_url, options=OPTIONS)
    try:
        one.start()
        added = one.admin("account", "add", EMAIL, "--name", "Ada", "--password-stdin", typed=PASSWORD)
        assert added.returncode == 0
        yield one
    finally:
        one.stop()


@pytest.fixture
def click(server: HoldingServer) -> Callable[[Waiting], None]:
    """Allows, as a person who is signed in and has the page before them."""
    visitor = Visitor(server.url)
    visitor.sign_in(EMAIL, PASSWORD)
    headers = {"X-CSRF-Token": visitor.csrf_token()}

    def allow(one: Waiting) -> None:
        told = visitor.http.post(
            f"{server.url}{APPROVE}", json={"user_code": one.asked["user_code"]}, headers=headers, timeout=10
        )
        assert told.status_code == 200, told.text

    return allow


def test_each_of_hundreds_is_answered_at_once(server: HoldingServer, click: Callable[[Waiting], None]) -> None:
    clients = [Waiting(server).send() for _ in range(CLIENTS)]
    # Who comes at last was let in at last.
    ask(server.url)
    assert not any(client.is_answered() for client in clients)
    milliseconds = []
    for client in clients[:SAMPLE]:
        started = time.perf_counter()
        click(client)
        status, answer = client.answer()
        milliseconds.append((time.perf_counter() - started) * 1000)
        assert (status, answer["token_type"]) == (200, "Bearer")
    assert statistics.median(milliseconds) < 300
    assert not any(client.is_answered() for client in clients[SAMPLE:])
    for client in clients[SAMPLE:]:
        click(client)
    assert {client.answer()[0] for client in clients[SAMPLE:]} == {200}
    assert "Warning" not in server.printed


def test_a_stop_answers_everybody_who_is_held(server: HoldingServer) -> None:
    clients = [Waiting(server).send() for _ in range(CLIENTS)]
    ask(server.url)
    assert not any(client.is_answered() for client in clients)
    started = time.monotonic()
    server.ask_to_stop()
    answers = [client.answer() for client in clients]
    assert {(status, answer["error"]) for status, answer in answers} == {(400, "authorization_pending")}
    assert server.exit_status(BOUND_SECONDS) == 0
    # Nobody waited for the minute that he asked for, and the stop did not wait for its bound.
    assert time.monotonic() - started < BOUND_SECONDS


def test_hundreds_in_one_moment_are_all_answered(server: HoldingServer) -> None:
    """Each would have a connection to Redis of its own, of which there are a hundred."""
    clients = [Waiting(server, prefer="wait=0") for _ in range(CLIENTS)]
    for client in clients:
        client.send()
    assert {client.answer()[0] for client in clients} == {400}
    assert "temporarily_unavailable" not in server.printed


def test_who_waits_for_postgresql_stops_nobody_else(server: HoldingServer, postgresql_url: str) -> None:
    """Were its driver not one of greenlets, the whole process would wait with him."""
    visitor = Visitor(server.url)
    form = {"csrf_token": visitor.csrf_token(), "email": EMAIL, "password": PASSWORD}
    sign_in = partial(visitor.http.post, f"{server.url}/login", form, allow_redirects=False, timeout=BOUND_SECONDS)
    plain_url = postgresql_url.replace("+psycopg", "")
    with ThreadPoolExecutor(1) as threads, psycopg.connect(plain_url) as holder, psycopg.connect(plain_url) as watcher:
        watcher.autocommit = True
        holder.execute("LOCK TABLE accounts IN ACCESS EXCLUSIVE MODE")
        waiting = threads.submit(sign_in)
        question = "SELECT count(*) FROM pg_locks WHERE NOT granted"
        wait_until(lambda: watcher.execute(question).fetchone() == (1,), "the request to wait")
        assert poll(server.url, ask(server.url)).json()["error"] == "authorization_pending"
        assert not waiting.done()
        holder.rollback()
        assert waiting.result(BOUND_SECONDS).status_code == 303
