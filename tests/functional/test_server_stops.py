"""SIGTERM under load: whoever was let in gets a whole answer, the others are refused, the process ends with 0."""

import http.client
import json
import os
import signal
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import psycopg
import pytest

from ..deploy.production import ProductionServer
from ..factories import CODE, PASSWORD, TOKEN
from ..installations import Visitor, ask
from ..servers import wait_until

CLIENTS = 16
EMAIL = "ada@example.com"
# Two seconds are gunicorn's for connections that are kept open; the rest is for a busy machine.
BOUND_SECONDS = 30
NO_LIMITS = "oauthdevice.limit.code = off\noauthdevice.limit.token_unknown = off"

Maker = Callable[..., ProductionServer]


@pytest.fixture
def start(tmp_path: Path, postgresql_url: str, redis_url: str) -> Iterator[Maker]:
    """Starts the server of production.ini over a real PostgreSQL and Redis."""
    started: list[ProductionServer] = []

    def starter(held: socket.socket | None = None, **server: str) -> ProductionServer:
        one = ProductionServer(tmp_path, postgresql_url, redis_url, options=NO_LIMITS, held=held, **server)
        started.append(one)
        one.start()
        return one

    yield starter
    for one in started:
        one.stop()


class Crowd:
    """Clients that ask for codes and poll without a pause, until they are refused."""

    def __init__(self, server: ProductionServer, keeps_connections: bool) -> None:
        self._server = server
        self._keeps = keeps_connections
        self._lock = threading.Lock()
        self.enough = threading.Event()
        self.seen: Counter[str] = Counter()

    def run(self) -> None:
        """What one client does, until it is refused, cut off or told that it is enough."""
        connection: http.client.HTTPConnection | None = None
        device_code = ""
        while not self.enough.is_set():
            try:
                if connection is None:
                    connection = http.client.HTTPConnection("127.0.0.1", self._server.port, timeout=BOUND_SECONDS)
                    connection.connect()
            except ConnectionRefusedError:
                self._count("refused")
                return
            try:
                kind, answer, ends = self._exchange(connection, device_code)
            except (OSError, http.client.HTTPException, ValueError) as error:
                self._count(f"cut off: {error!r}")
                return
            self._count(kind)
            device_code = "" if device_code else answer.get("device_code", "")
            if ends or not self._keeps:
                connection.close()
                connection = None

    def _exchange(self, connection: http.client.HTTPConnection, device_code: str) -> tuple[str, dict[str, str], bool]:
        form = "client_id=difyctl"
        if device_code:
            form += f"&grant_type=urn:ietf:params:oauth:grant-type:device_code&device_code={device_code}"
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        connection.request("POST", TOKEN if device_code else CODE, form, headers)
        response = connection.getresponse()
        answer = json.loads(response.read())
        kind = f"{'token' if device_code else 'code'} {response.status}"
        return kind, answer, response.will_close

    def _count(self, what: str) -> None:
        with self._lock:
            self.seen[what] += 1


@pytest.mark.parametrize("keeps_connections", [False, True], ids=["a connection each", "connections kept"])
def test_nobody_who_was_let_in_is_cut_off(start: Maker, keeps_connections: bool) -> None:
    server = start()
    crowd = Crowd(server, keeps_connections)
    with ThreadPoolExecutor(CLIENTS) as clients:
        running = [clients.submit(crowd.run) for _ in range(CLIENTS)]
        wait_until(lambda: crowd.seen["code 200"] > 10 * CLIENTS, "load")
        server.ask_to_stop()
        for one in running:
            one.result(2 * BOUND_SECONDS)
    assert server.exit_status(BOUND_SECONDS) == 0
    assert set(crowd.seen) == {"code 200", "token 400", "refused"}
    assert crowd.seen["refused"] == CLIENTS
    # And nothing was done for which nobody got the answer.
    events = [json.loads(line) for line in server.admin("audit", "export").stdout.splitlines()]
    assert sum(event["event"] == "started" for event in events) == crowd.seen["code 200"]


def test_a_restart_loses_nobody_where_somebody_else_holds_the_socket(start: Maker) -> None:
    """As systemd does with deploy/systemd/oauthdevice.socket: who comes in between waits."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as held:
        server = start(held)
        crowd = Crowd(server, keeps_connections=False)
        with ThreadPoolExecutor(CLIENTS) as clients:
            running = [clients.submit(crowd.run) for _ in range(CLIENTS)]
            wait_until(lambda: crowd.seen["code 200"] > CLIENTS, "load")
            assert server.stop() == 0
            before = crowd.seen["code 200"]
            server.start()
            wait_until(lambda: crowd.seen["code 200"] > before + 2 * CLIENTS, "load again")
            crowd.enough.set()
            for one in running:
                one.result(2 * BOUND_SECONDS)
        assert set(crowd.seen) == {"code 200", "token 400"}
        server.stop()


def test_a_request_that_waits_for_the_database_is_answered(start: Maker, postgresql_url: str) -> None:
    server = start()
    assert server.admin("account", "add", EMAIL, "--name", "Ada", "--password-stdin", typed=PASSWORD).returncode == 0
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
        server.ask_to_stop()
        server.wait_for_refusal()
        assert not waiting.done()
        holder.rollback()
        answer = waiting.result(BOUND_SECONDS)
    assert (answer.status_code, answer.headers["Location"]) == (303, f"{server.url}/device")
    assert server.exit_status(BOUND_SECONDS) == 0


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"POST /openapi/v1/oauth/device/code HTTP/1.1\r\nHost: x",
        b"POST /openapi/v1/oauth/device/code HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nclient_id=",
    ],
    ids=["nothing", "half a header", "half a body"],
)
def test_somebody_who_never_finishes_does_not_hold_it_up(start: Maker, sent: bytes) -> None:
    server = start(graceful_timeout="3")
    with socket.create_connection(("127.0.0.1", server.port)) as idler:
        idler.sendall(sent)
        # Connections are taken in the order in which they came.
        ask(server.url)
        server.ask_to_stop()
        assert server.exit_status(BOUND_SECONDS) == 0


def test_a_process_that_dies_is_replaced_while_the_other_serves(start: Maker) -> None:
    server = start()
    wait_until(lambda: len(server.workers) == 2, "both processes")
    before = server.workers
    os.kill(before[0], signal.SIGKILL)
    wait_until(lambda: len(set(server.workers) - set(before)) == 1, "another process")
    assert before[1] in server.workers
    for _ in range(10):
        ask(server.url)
