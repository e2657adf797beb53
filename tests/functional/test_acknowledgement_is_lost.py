"""Something is done, and the answer that says so is lost: between us and Redis, us and PostgreSQL, a client and us.

Each story is told once for every message that its request sends to the store, whatever these are: of each in turn
the answer is lost. So a message that is new is covered by itself.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from webtest import TestResponse

from ..conftest import WorldMaker
from ..cutting_proxy import CuttingProxy, proxied
from ..factories import API, APPROVE, CODE, DENY, TOKEN, Device, World
from ..servers import PostgreSQLServer, RedisServer

REVOKE = f"{API}/oauth/revoke"
INI = "[client:difyctl]\nname = difyctl\nscopes = full\nrefresh = on\n"
MESSAGES_MAX = 60
LEASE_SECONDS = 11
UNLIMITED = {f"limit.{name}": "off" for name in ("code", "decide", "guesses", "bearer", "lookup")}


@pytest.fixture
def to_redis(redis_server: RedisServer) -> Iterator[CuttingProxy]:
    with proxied(redis_server.socket) as proxy:
        yield proxy


@pytest.fixture
def to_postgresql(postgresql_server: PostgreSQLServer) -> Iterator[CuttingProxy]:
    with proxied(postgresql_server.socket) as proxy:
        yield proxy


@pytest.fixture(params=["Redis", "Redis, then away", "PostgreSQL", "PostgreSQL, then away"])
def lossy(
    request: pytest.FixtureRequest,
    make: WorldMaker,
    tmp_path: Path,
    redis_url: str,
    postgresql_url: str,
    to_redis: CuttingProxy,
    to_postgresql: CuttingProxy,
) -> "Lossy":
    """A server whose ways to its stores can break; one does."""
    (tmp_path / "clients.ini").write_text(INI, "utf-8")
    name = postgresql_url.partition("@/")[2].partition("?")[0]
    world = make(
        redis_url=f"redis://127.0.0.1:{to_redis.port}",
        database_url=f"postgresql+psycopg://postgres@127.0.0.1:{to_postgresql.port}/{name}",
        ini_file=str(tmp_path / "clients.ini"),
        **UNLIMITED,
    )
    where, _, then_away = request.param.partition(", ")
    return Lossy(world, to_redis if where == "Redis" else to_postgresql, bool(then_away), request.param == "Redis")


class Lossy:
    """A server, and the way to one of its stores. `asks_again`: it does so itself, and the caller notices nothing."""

    def __init__(self, world: World, way: CuttingProxy, then_away: bool, asks_again: bool) -> None:
        self.world = world
        self.asks_again = asks_again
        self._way = way
        self._then_away = then_away

    def each(self) -> Iterator[Callable[[Callable[[], TestResponse]], TestResponse]]:
        """For each message in turn, what makes a request while the answer to that message is lost."""
        for number in range(1, MESSAGES_MAX):
            has_lost = False

            def losing(request: Callable[[], TestResponse], number: int = number) -> TestResponse:
                nonlocal has_lost
                self._way.lose_answer(number, then_away=self._then_away)
                answer = request()
                has_lost = self._way.has_lost()
                return answer

            yield losing
            if not has_lost:
                return
        raise AssertionError("a request that sends no last message")

    def approved(self, **parameters: str) -> Device:
        device = self.world.device().ask(**parameters)
        self.world.services.approvals.approve(
            device.user_code, self.world.person("ada@example.com").account, "192.0.2.7"
        )
        return device

    def refresh(self, device: Device, refresh_token: str) -> TestResponse:
        form = {"grant_type": "refresh_token", "client_id": "difyctl", "refresh_token": refresh_token}
        return device.http.post(TOKEN, form, status="*")

    def revoke(self, device: Device, token: str) -> TestResponse:
        return device.http.post(REVOKE, {"client_id": "difyctl", "token": token}, status="*")

    def events(self, token_id: str | None = None) -> Counter[str]:
        """What the audit tells, once all of it has come to the table."""
        rows = self.world.services.ledger.newest(10_000)
        return Counter(row.event for row in rows if token_id is None or row.token_id == token_id)

    def live(self) -> int:
        return len(self.world.services.registry.live())


def test_code(lossy: Lossy) -> None:
    """The client gets its codes, or 503 and then others; those that it never heard of are pending for nobody."""
    for losing in lossy.each():
        device = lossy.world.device()
        answer = losing(partial(device.http.post, CODE, {"client_id": "difyctl"}, status="*"))
        assert answer.status_int in ((200,) if lossy.asks_again else (200, 503)), answer.text
        if answer.status_int == 503:
            assert answer.headers["Retry-After"] == "5"
            answer = device.ask()
        else:
            device.answer = answer.json
        assert device.poll().json["error"] == "authorization_pending"


def test_pending_poll(lossy: Lossy) -> None:
    """A poll that was asked of Redis twice may count as one that came too early."""
    for losing in lossy.each():
        device = lossy.world.device().ask()
        answer = losing(device.poll)
        assert answer.json["error"] in ("authorization_pending", "slow_down", "temporarily_unavailable"), answer.text
        lossy.world.clock.pass_seconds(10)
        assert device.poll().json["error"] == "authorization_pending"


def test_poll_that_redeems(lossy: Lossy) -> None:
    """One session, one token that works, one row that says so."""
    for number, losing in enumerate(lossy.each(), start=1):
        device = lossy.approved()
        answer = losing(device.poll)
        if answer.status_int != 200:
            assert answer.json["error"] in ("temporarily_unavailable", "authorization_pending"), answer.text
            answer = device.poll()
        if answer.status_int != 200:
            # Whoever held the lease is told by nobody that it is to give it back.
            assert answer.json["error"] == "authorization_pending"
            lossy.world.clock.pass_seconds(LEASE_SECONDS)
            answer = device.poll()
        assert answer.status_int == 200, answer.text
        assert device.account(answer.json["access_token"]).status_int == 200
        assert device.poll().json == answer.json
        assert lossy.live() == number
        assert lossy.events(answer.json["token_id"])["redeemed"] == 1, number


@pytest.mark.parametrize(("path", "event"), [(APPROVE, "approved"), (DENY, "denied")])
def test_decision(lossy: Lossy, path: str, event: str) -> None:
    person = lossy.world.person("ada@example.com").sign_in()
    for number, losing in enumerate(lossy.each(), start=1):
        device = lossy.world.device().ask()
        headers = {"X-CSRF-Token": person.csrf_token()}
        body = {"user_code": device.user_code}
        answer = losing(partial(person.browser.post_json, path, body, headers=headers, status="*"))
        assert answer.status_int in ((200,) if lossy.asks_again else (200, 503)), answer.text
        if answer.status_int == 503:
            again = person.post(path, device.user_code)
            # It was made the first time: the device knows already.
            assert again.status_int == 200 or again.json["error"] == "already_resolved"
        polled = device.poll()
        assert polled.status_int == 200 if path == APPROVE else polled.json["error"] == "access_denied"
        assert lossy.events()[event] == number


def test_refresh(lossy: Lossy) -> None:
    device = lossy.approved()
    tokens = device.poll().json
    for number, losing in enumerate(lossy.each(), start=1):
        answer = losing(partial(lossy.refresh, device, tokens["refresh_token"]))
        assert answer.status_int in ((200,) if lossy.asks_again else (200, 503)), answer.text
        if answer.status_int == 503:
            answer = lossy.refresh(device, tokens["refresh_token"])
        assert answer.status_int == 200, answer.text
        assert lossy.refresh(device, tokens["refresh_token"]).json == answer.json
        tokens = answer.json
        assert device.account(tokens["access_token"]).status_int == 200
        assert lossy.events(tokens["token_id"])["refreshed"] == number


def test_revocation(lossy: Lossy) -> None:
    for losing in lossy.each():
        device = lossy.approved()
        tokens = device.poll().json
        assert device.account(tokens["access_token"]).status_int == 200
        answer = losing(partial(lossy.revoke, device, tokens["access_token"]))
        assert answer.status_int in ((200,) if lossy.asks_again else (200, 503)), answer.text
        if answer.status_int == 503:
            assert lossy.revoke(device, tokens["access_token"]).status_int == 200
        assert device.account(tokens["access_token"]).status_int == 401
        assert lossy.live() == 0
        assert lossy.events(tokens["token_id"])["revoked"] == 1
