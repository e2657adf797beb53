"""Two processes over one Redis whose clocks are five minutes apart, as when the clock of a host is set in between.

A code lives by the clock of Redis, whoever asks. What is signed, sealed or stored with a time has that of the process
that made it, and is read by that of the process that looks: docs/faults.md says which.
"""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ..conftest import close
from ..factories import APPROVE, TOKEN, Clock, Device, Person, Stranger, World, make_world
from ..scripted_providers import CLIENT_ID, CLIENT_SECRET, ScriptedProvider
from .test_provider_lies import comes_back
from .test_stranger_is_attacked import VERIFIED, assert_refused

STEP = 300
DAYS_14 = 14 * 86400
INI = f"""
[client:difyctl]
name = difyctl
scopes = full
refresh = on
[sso:corp]
issuer = {{issuer}}
client_id = {CLIENT_ID}
client_secret = {CLIENT_SECRET}
"""


class Skewed(Clock):
    """That of a process, so many seconds off; Redis keeps the right time."""

    def __init__(self, right: Clock, seconds: float) -> None:
        super().__init__()
        self.right = right
        self.seconds = seconds
        self.stores = right.stores

    def __call__(self) -> datetime:
        return self.right() + timedelta(seconds=self.seconds)

    def store_offset(self) -> timedelta:
        return self.right.offset


Maker = Callable[[float], World]


@pytest.fixture
def off_by(
    tmp_path: Path, redis_url: str, sqlite_url: str, clock: Clock, provider: ScriptedProvider
) -> Iterator[Maker]:
    """Makes processes over the same stores whose clocks are so many seconds off."""
    made: list[World] = []
    ini = tmp_path / "clients.ini"
    ini.write_text(INI.format(issuer=provider.url), "utf-8")

    def maker(seconds: float) -> World:
        options = {"edition": "enterprise", "ini_file": str(ini)}
        made.append(make_world(sqlite_url, redis_url, Skewed(clock, seconds), **options))
        # One Redis, in which time passes once.
        del clock.stores[1:]
        return made[-1]

    yield maker
    for world in made:
        close(world)


@pytest.fixture(params=[-STEP, STEP], ids=["five minutes behind", "five minutes ahead"])
def worlds(request: pytest.FixtureRequest, off_by: Maker) -> tuple[World, World]:
    """The one with the right time, and the one without."""
    return off_by(0), off_by(request.param)


def at(device: Device, world: World) -> Device:
    """The same program, which meets another process."""
    moved = Device(world, device.client_id, "192.0.2.7")
    moved.answer = device.answer
    return moved


def at_browser(person: Person, world: World) -> Person:
    """The same browser, which meets another process."""
    moved = Person(world, person.account, "192.0.2.7")
    moved.browser.cookiejar = person.browser.cookiejar
    return moved


def signed_in(world: World) -> tuple[Device, dict[str, Any]]:
    """A program that has its tokens."""
    device = world.device().ask()
    world.person("ada@example.com").allow(device.user_code)
    return device, device.poll().json


def refresh(device: Device, token: str) -> Any:
    form = {"grant_type": "refresh_token", "client_id": "difyctl", "refresh_token": token}
    return device.http.post(TOKEN, form, status="*")


def test_a_code_expires_neither_early_nor_late(worlds: tuple[World, World], clock: Clock) -> None:
    devices = [world.device().ask() for world in worlds]
    clock.pass_seconds(885)
    for world in worlds:
        clock.pass_seconds(5)
        for device in devices:
            assert at(device, world).poll().json["error"] == "authorization_pending"
            told = world.services.approvals.lookup(device.user_code, "192.0.2.7")
            assert told.valid
            assert 0 < told.expires_in_remaining <= 10
    clock.pass_seconds(6)
    for world in worlds:
        for device in devices:
            assert at(device, world).poll().json["error"] == "expired_token"
            assert not world.services.approvals.lookup(device.user_code, "192.0.2.7").valid


@pytest.mark.parametrize("first", [0, 1])
def test_one_asks_and_another_approves_and_another_delivers(worlds: tuple[World, World], first: int) -> None:
    one, other = worlds[first], worlds[1 - first]
    device = one.device().ask()
    other.person("ada@example.com").allow(device.user_code)
    answer = device.poll().json
    assert answer["expires_in"] == DAYS_14
    assert at(device, other).poll().json == answer
    for world in worlds:
        assert at(device, world).account(answer["access_token"]).status_int == 200


def test_a_token_ends_at_most_the_difference_early_or_late(worlds: tuple[World, World], clock: Clock) -> None:
    device, tokens = signed_in(worlds[0])
    token = tokens["access_token"]
    clock.pass_seconds(DAYS_14 - STEP - 5)
    for world in worlds:
        assert at(device, world).account(token).status_int == 200
    clock.pass_seconds(2 * STEP + 10)
    for world in worlds:
        assert at(device, world).account(token).status_int == 401


def test_who_is_signed_in_stays_so_and_may_decide(worlds: tuple[World, World]) -> None:
    right, wrong = worlds
    person = right.person("ada@example.com").sign_in()
    moved = at_browser(person, wrong)
    assert "ada@example.com" in moved.browser.get("/device").text
    # The form of one, with its CSRF token, sent to the other.
    assert moved.post(APPROVE, wrong.device().ask().user_code).status_int == 200
    assert person.post(APPROVE, right.device().ask().user_code).status_int == 200


def test_limits_are_counted_together(worlds: tuple[World, World]) -> None:
    for number in range(60):
        worlds[number % 2].device().ask()
    for world in worlds:
        refused = world.browser().post("/openapi/v1/oauth/device/code", {"client_id": "difyctl"}, status=429)
        assert 1 <= int(refused.headers["Retry-After"]) <= 3600


class TestSealedThings:
    def test_a_lost_refresh_is_told_again_by_who_is_behind(self, off_by: Maker) -> None:
        right, behind = off_by(0), off_by(-STEP)
        device, tokens = signed_in(right)
        renewed = refresh(device, tokens["refresh_token"]).json
        assert refresh(at(device, behind), tokens["refresh_token"]).json == renewed
        assert device.account(renewed["access_token"]).status_int == 200

    def test_a_lost_refresh_ends_the_session_at_who_is_ahead(self, off_by: Maker) -> None:
        """The one thing that is lost: thirty seconds are what tells a lost answer from a stolen token."""
        right, behind = off_by(0), off_by(-STEP)
        device, tokens = signed_in(right)
        renewed = refresh(at(device, behind), tokens["refresh_token"]).json
        assert refresh(device, tokens["refresh_token"]).json["error"] == "invalid_grant"
        assert device.account(renewed["access_token"]).status_int == 401
        device, tokens = signed_in(right)
        assert device.account(tokens["access_token"]).status_int == 200

    def test_an_approval_of_a_provider_may_be_over_too_early_and_then_decides_nothing(
        self, off_by: Maker, provider: ScriptedProvider
    ) -> None:
        right, ahead = off_by(0), off_by(STEP)
        device = right.device().ask()
        ada = Stranger(right).sign_in(provider, device.user_code)
        moved = Stranger(ahead)
        moved.browser.cookiejar = ada.browser.cookiejar
        assert moved.browser.get("/openapi/v1/oauth/device/approval-context", status=401).json["error"] == "no_session"
        assert ada.context()["subject_email"] == "ada@corp.example"
        assert device.poll().json["error"] == "authorization_pending"


class TestTheClockOfTheProvider:
    """An ID token is taken with a minute of leeway, either way."""

    @pytest.mark.parametrize("seconds", [-50, 50])
    def test_may_be_less_than_a_minute_off(self, off_by: Maker, provider: ScriptedProvider, seconds: int) -> None:
        world = off_by(seconds)
        assert comes_back(world, provider, world.device().ask().user_code).headers["Location"] == VERIFIED

    @pytest.mark.parametrize("seconds", [-STEP, 2 * STEP])
    def test_further_off_nobody_signs_in_there_but_with_an_account(
        self, off_by: Maker, provider: ScriptedProvider, seconds: int
    ) -> None:
        world = off_by(seconds)
        device = world.device().ask()
        assert_refused(comes_back(world, provider, device.user_code))
        (event,) = [one for one in world.services.ledger.newest(100) if one.event == "login_failed"]
        assert event.reason.startswith("corp: ")
        world.person().allow(device.user_code)
        assert device.poll().status_int == 200
