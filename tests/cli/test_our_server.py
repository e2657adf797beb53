"""The library against our own server, over a socket, with both drivers."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from oauthdevice.client import (
    AccessDenied,
    AsyncDeviceLogin,
    CodeExpired,
    DeviceLogin,
    InvalidClient,
    InvalidGrant,
    InvalidScope,
    InvalidToken,
    Pending,
    RateLimited,
)

from ..conftest import WorldMaker
from ..factories import API, World
from .event_loops import EventLoop

INI = """
[client:cli]
name = CLI
scopes = full apps:run
refresh = on
access_token_lifetime_seconds = 3600
[client:careful]
name = Careful
scopes = full
pkce = required
[client:old]
name = Old
scopes = full
pkce = off
[client:difyctl]
name = difyctl
scopes = full
"""


class Sync:
    """The blocking driver."""

    def __init__(self, world: World, client_id: str = "cli", **options: Any) -> None:
        self.login = DeviceLogin(world.settings.public_url, client_id, sleep=world.clock.pass_seconds, **options)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return getattr(self.login, name)


class Async:
    """The asynchronous one; all of its life is in one loop."""

    def __init__(self, world: World, client_id: str = "cli", **options: Any) -> None:
        async def sleep(seconds: float) -> None:
            world.clock.pass_seconds(seconds)

        self.loop = EventLoop()
        self.login = AsyncDeviceLogin(world.settings.public_url, client_id, sleep=sleep, **options)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self.login, name)
        return lambda *arguments, **options: self.loop.run(method(*arguments, **options))

    def close(self) -> None:
        self.loop.run(self.login.close())
        self.loop.close()


Connect = Callable[..., Any]


@pytest.fixture
def world(make_live: WorldMaker, tmp_path: Path) -> World:
    (tmp_path / "clients.ini").write_text(INI)
    return make_live(ini_file=str(tmp_path / "clients.ini"))


@pytest.fixture(params=[Sync, Async])
def connect(world: World, request: pytest.FixtureRequest) -> Any:
    made: list[Any] = []

    def maker(*arguments: Any, **options: Any) -> Any:
        made.append(request.param(world, *arguments, **options))
        return made[-1]

    yield maker
    for one in made:
        one.close()


class TestOurServer:
    def test_signs_in(self, world: World, connect: Connect) -> None:
        login, person = connect(), world.person()
        told: list[Pending] = []

        def on_pending(pending: Pending) -> None:
            told.append(pending)
            if len(told) == 2:
                person.allow(started.user_code)

        started = login.start(scope="apps:run", device_label="build server")
        assert (started.expires_in, started.interval) == (900, 5)
        tokens = login.wait(started, on_pending)
        assert len(told) == 2
        assert [one.trouble for one in told] == [None, None]
        assert tokens.scope == "apps:run"
        assert tokens.answer["account"]["email"] == person.account.email
        assert not tokens.expires_within(3500)
        answer = login.call("GET", f"{world.settings.public_url}{API}/account", tokens.access_token)
        assert answer["account"]["id"] == person.account.id

    @pytest.mark.parametrize("client_id", ["careful", "old"])
    def test_proves_that_it_asked_for_the_code(self, world: World, connect: Connect, client_id: str) -> None:
        """With PKCE, as the metadata tells that the server knows it; a client that may not use it is none the wiser."""
        login = connect(client_id)
        started = login.start()
        assert started.code_verifier not in (None, repr(started))
        world.person().allow(started.user_code)
        thief = world.device(client_id)
        thief.answer = {"device_code": started.device_code}
        if client_id == "careful":
            assert thief.poll().json["error"] == "invalid_grant"
        assert login.wait(started).access_token.startswith("dfoa_")

    def test_is_told_the_number_that_the_page_asks_for(self, make_live: WorldMaker) -> None:
        """A client of `other_network = confirm`; the person is somewhere else, and types what the tool shows."""
        world = make_live(other_network="confirm")
        login, person, told = Sync(world, "difyctl"), world.person(address="198.51.100.9"), list[str | None]()

        def on_pending(pending: Pending) -> None:
            told.append(pending.confirmation_number)
            form = person.open(started.user_code).forms["decision"]
            form["confirmation_number"] = told[-1]
            form.submit("decision", value="approve", status=303)

        started = login.start()
        assert login.wait(started, on_pending).access_token.startswith("dfoa_")
        assert len(told) == 1
        login.close()

    def test_learns_that_the_person_said_no(self, world: World, connect: Connect) -> None:
        login = connect()
        started = login.start()
        world.person().deny(started.user_code)
        with pytest.raises(AccessDenied):
            login.wait(started)

    def test_learns_that_it_is_too_late(self, world: World, connect: Connect) -> None:
        login = connect()
        started = login.start()
        world.clock.pass_seconds(900)
        with pytest.raises(CodeExpired):
            login.wait(started)

    def test_never_hears_slow_down(self, world: World, connect: Connect) -> None:
        login = connect()
        intervals: list[float] = []

        def on_pending(pending: Pending) -> None:
            intervals.append(pending.interval)
            if len(intervals) == 20:
                world.person().allow(started.user_code)

        started = login.start()
        login.wait(started, on_pending)
        assert intervals == [5] * 20

    def test_keeps_the_longer_interval_once_it_was_told(self, world: World, connect: Connect) -> None:
        """The server's slow_down and pending answers carry the interval that is in force."""
        login = connect()
        intervals: list[float] = []

        def on_pending(pending: Pending) -> None:
            intervals.append(pending.interval)
            if len(intervals) == 1:
                # Somebody else polls with this code, at once: a copy of the program, say.
                hasty.answer = {"device_code": started.device_code}
                hasty.poll(code_verifier=started.code_verifier or "")
            if len(intervals) == 5:
                world.person().allow(started.user_code)

        hasty = world.device("cli")
        started = login.start()
        login.wait(started, on_pending)
        assert intervals[0] == 5
        assert set(intervals[1:]) == {10}

    def test_refreshes_and_revokes(self, world: World, connect: Connect) -> None:
        login = connect()
        started = login.start()
        world.person().allow(started.user_code)
        tokens = login.wait(started)
        refreshed = login.refresh(tokens)
        assert refreshed.refresh_token not in (None, tokens.refresh_token)
        # A lost answer can be asked for again.
        assert login.refresh(tokens).refresh_token == refreshed.refresh_token
        login.revoke(refreshed)
        with pytest.raises(InvalidToken):
            login.call("GET", f"{world.settings.public_url}{API}/account", refreshed.access_token)
        with pytest.raises(InvalidGrant):
            login.refresh(refreshed)

    def test_loses_the_answer_and_gets_it_again(self, world: World, connect: Connect) -> None:
        login = connect()
        started = login.start()
        world.person().allow(started.user_code)
        assert login.wait(started).access_token == login.wait(started).access_token

    def test_learns_that_its_code_is_spent(self, world: World, connect: Connect) -> None:
        login = connect()
        started = login.start()
        world.person().allow(started.user_code)
        login.wait(started)
        world.clock.pass_seconds(60)
        with pytest.raises(InvalidGrant):
            login.wait(started)

    def test_learns_what_it_asked_wrong(self, connect: Connect) -> None:
        with pytest.raises(InvalidClient):
            connect("nobody").start()
        with pytest.raises(InvalidScope):
            connect().start(scope="no:such:scope")

    def test_learns_of_a_limit(self, connect: Connect) -> None:
        login = connect()
        for _ in range(60):
            login.start()
        with pytest.raises(RateLimited) as raised:
            login.start()
        assert 60 < (raised.value.retry_after_seconds or 0) <= 3600
