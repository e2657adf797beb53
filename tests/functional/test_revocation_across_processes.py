"""A token ended in one process of the operating system is refused by the other at the very next request."""

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
import requests

from oauthdevice.domain.credentials import credential_digest, new_credential
from oauthdevice.domain.sessions import NewSession
from oauthdevice.domain.subjects import AccountSubject
from oauthdevice.stores.sessions import SQLSessionStore
from oauthdevice.stores.token_cache import RedisTokenCache

from ..conftest import WorldMaker
from ..factories import API, SECRET, World, audit_rows
from ..ports import free_port
from ..servers import CHECKOUT, ServerProcess

TRIES = 1000
RACES = 150
SECONDS = 10
INI = """
[app:main]
use = egg:oauthdevice
oauthdevice.public_url = {url}
oauthdevice.database_url = {database_url}
oauthdevice.redis_url = {redis_url}
oauthdevice.secret = {secret}
oauthdevice.limit.bearer = off

[server:main]
use = egg:waitress#main
listen = 127.0.0.1:{port}
"""


@dataclass
class Process:
    """One process of ours, and a connection to it that is kept open."""

    url: str
    http: requests.Session

    def account(self, token: str) -> int:
        """The status of GET /account."""
        return self.http.get(f"{self.url}{API}/account", headers=bearer(token), timeout=SECONDS).status_code

    def end_own_session(self, token: str) -> int:
        return self.http.delete(
            f"{self.url}{API}/account/sessions/self", headers=bearer(token), timeout=SECONDS
        ).status_code

    def revoke(self, token: str) -> int:
        """RFC 7009 §2.1."""
        form = {"client_id": "difyctl", "token": token}
        return self.http.post(f"{self.url}{API}/oauth/revoke", form, timeout=SECONDS).status_code


WAYS: tuple[Callable[[Process, str], int], ...] = (Process.end_own_session, Process.revoke)


@pytest.fixture
def world(make: WorldMaker, postgresql_url: str) -> World:
    """Shares its stores with the processes: sessions come from here, faster than through the pages."""
    return make(database_url=postgresql_url)


@pytest.fixture
def processes(world: World, tmp_path: Path) -> Iterator[tuple[Process, Process]]:
    with ExitStack() as stack:
        started = []
        for name in ("one", "other"):
            port = free_port()
            ini = tmp_path / f"{name}.ini"
            server = ServerProcess(ini, port, {"PYTHONPATH": str(CHECKOUT)})
            addresses = {"database_url": world.settings.database_url, "redis_url": world.settings.redis_url}
            ini.write_text(INI.format(url=server.url, port=port, secret=SECRET, **addresses))
            stack.callback(server.kill)
            server.start()
            started.append(Process(server.url, stack.enter_context(requests.Session())))
        yield started[0], started[1]


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def sessions(world: World, count: int) -> list[str]:
    """Access tokens of one person, each of a session of its own."""
    store = SQLSessionStore(
        world.services.database,
        RedisTokenCache(world.redis, world.settings.redis_prefix),
        audit_rows(world.services.database),
    )
    subject, now = AccountSubject(world.person().account.id), world.clock()
    tokens = [new_credential("dfoa_") for _ in range(count)]
    for token in tokens:
        store.mint(
            NewSession(
                id=str(uuid.uuid4()),
                attempt=1,
                subject=subject,
                client_id="difyctl",
                label=None,
                scopes=frozenset({"full"}),
                prefix="dfoa_",
                token_digest=credential_digest(token),
                refresh_digest=None,
                issued_at=now,
                expires_at=now + timedelta(days=14),
                token_expires_at=now + timedelta(days=14),
            )
        )
    return tokens


def is_cached(world: World, token: str) -> bool:
    held = world.redis.get(f"{world.settings.redis_prefix}:token:{credential_digest(token)}")
    return held is not None and held.startswith("{")


def test_of_a_thousand_tokens_none_is_accepted_after_its_revocation(
    world: World, processes: tuple[Process, Process]
) -> None:
    one, other = processes
    accepted = []
    for number, token in enumerate(sessions(world, TRIES)):
        assert other.account(token) == 200
        assert is_cached(world, token)
        assert WAYS[number % len(WAYS)](one, token) == 200
        if other.account(token) != 401:
            accepted.append(number)
    assert accepted == []


def test_none_is_accepted_while_the_other_process_fills_its_cache(
    world: World, processes: tuple[Process, Process]
) -> None:
    """The other process is asked without a pause, from an empty cache on: a refill meets the revocation."""
    one, other = processes
    for number, token in enumerate(sessions(world, RACES)):
        asked: list[tuple[float, int]] = []
        begun = threading.Event()
        asking = threading.Thread(target=ask_until_refused, args=(other, token, asked, begun))
        asking.start()
        assert begun.wait(SECONDS)
        assert WAYS[number % len(WAYS)](one, token) == 200
        ended = time.monotonic()
        asking.join()
        assert asked[-1][1] == 401
        assert [status for started, status in asked if started >= ended] in ([401], [])
        assert other.account(token) == 401


def ask_until_refused(process: Process, token: str, asked: list[tuple[float, int]], begun: threading.Event) -> None:
    """When each request began, and its status."""
    while not asked or (asked[-1][1] == 200 and len(asked) < TRIES):
        started = time.monotonic()
        begun.set()
        asked.append((started, process.account(token)))
