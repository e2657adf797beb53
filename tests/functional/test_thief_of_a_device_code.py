"""Somebody has read a device_code that was asked for with PKCE (RFC 7636), and polls with it."""

import secrets
from pathlib import Path
from typing import Any

import pytest

from oauthdevice.domain.pkce import challenge_of

from ..conftest import WorldMaker
from ..factories import CODE, World
from .test_pending_poll_is_cheap import commands_of

INI = """
[client:difyctl]
name = difyctl
scopes = full
[client:strict]
name = Strict
scopes = full
pkce = required
[client:plain]
name = Plain
scopes = full
pkce = off
"""


@pytest.fixture
def world(make: WorldMaker, tmp_path: Path) -> World:
    (tmp_path / "clients.ini").write_text(INI)
    return make(ini_file=str(tmp_path / "clients.ini"))


class Careful:
    """A device that keeps a code_verifier to itself, and a thief of its device_code in another network."""

    def __init__(self, world: World, client_id: str = "difyctl", **parameters: str) -> None:
        self.verifier = secrets.token_urlsafe(32)
        challenge = {"code_challenge": challenge_of(self.verifier), "code_challenge_method": "S256"}
        self.device = world.device(client_id).ask(**challenge, **parameters)
        self.thief = world.device(client_id, "203.0.113.9")
        self.thief.answer = self.device.answer

    def poll(self, **parameters: str) -> Any:
        return self.device.poll(code_verifier=self.verifier, **parameters)


def refused(answer: Any) -> bool:
    return (answer.status_int, answer.json["error"]) == (400, "invalid_grant") and "interval" not in answer.json


WRONG = ({}, {"code_verifier": secrets.token_urlsafe(32)})


@pytest.mark.parametrize("client_id", ["difyctl", "strict"])
def test_the_device_signs_in(world: World, client_id: str) -> None:
    careful = Careful(world, client_id)
    assert careful.poll().json["error"] == "authorization_pending"
    world.person().allow(careful.device.user_code)
    answer = careful.poll()
    assert careful.device.account(answer.json["access_token"]).status_int == 200
    # What was lost on its way is told again, to the device alone.
    assert careful.poll().json == answer.json


class TestAThief:
    @pytest.mark.parametrize("shown", WRONG)
    def test_learns_nothing_of_any_state(self, world: World, shown: dict[str, str]) -> None:
        waiting, allowed, denied, redeemed, expired = (Careful(world) for _ in range(5))
        person = world.person()
        person.allow(allowed.device.user_code)
        person.deny(denied.device.user_code)
        person.allow(redeemed.device.user_code)
        token = redeemed.poll().json["access_token"]
        told = [one.thief.poll(**shown) for one in (waiting, allowed, denied, redeemed)]
        world.clock.pass_seconds(900)
        told.append(expired.thief.poll(**shown))
        assert all(map(refused, told))
        assert len({one.body for one in told}) == 1
        # Nor has it ended what the device got.
        assert redeemed.device.account(token).status_int == 200

    @pytest.mark.parametrize("shown", WRONG)
    def test_disturbs_nobody(self, world: World, shown: dict[str, str]) -> None:
        """Its polls count as none, so the device is not told to slow down, and the code goes on."""
        careful = Careful(world)
        for _ in range(5):
            assert refused(careful.thief.poll(**shown))
            assert careful.poll().json["error"] == "authorization_pending"
            world.clock.pass_seconds(5)
        world.person().allow(careful.device.user_code)
        assert refused(careful.thief.poll(**shown))
        assert "access_token" in careful.poll().json

    def test_is_slowed_down_like_one_who_guesses_codes(self, world: World) -> None:
        careful = Careful(world)
        told = [careful.thief.poll().status_int for _ in range(61)]
        assert told == [400] * 60 + [429]
        assert careful.poll().json["error"] == "authorization_pending"

    def test_is_held_no_poll(self, make: WorldMaker) -> None:
        """A poll that would rather wait is refused at once."""
        world = make(held_poll_seconds="30")
        thief = Careful(world).thief
        thief.http.extra_environ["HTTP_PREFER"] = "wait=30"
        assert refused(thief.poll())

    def test_hears_of_the_original_dialect_that_the_code_has_expired(self, world: World) -> None:
        """Its clients know no invalid_grant."""
        careful = Careful(world)
        assert careful.thief.poll_original().json["error"] == "expired_token"
        assert careful.device.poll_original(code_verifier=careful.verifier).json["error"] == "authorization_pending"

    def test_of_another_client_hears_what_everybody_hears(self, world: World) -> None:
        careful = Careful(world)
        assert refused(careful.poll(client_id="strict"))

    def test_finds_the_challenge_in_redis_and_no_verifier(self, world: World) -> None:
        careful = Careful(world)
        careful.poll()
        held = [world.redis.hgetall(key) for key in world.redis.scan_iter("*authorization*")]
        assert careful.verifier not in str(held)


class TestADowngrade:
    def test_of_the_request_is_noticed_by_the_device(self, world: World) -> None:
        """RFC 9700 §2.1.1: a verifier without a challenge."""
        device = world.device().ask()
        assert refused(device.poll(code_verifier=secrets.token_urlsafe(32)))

    @pytest.mark.parametrize("method", ["plain", "S512", None])
    def test_to_another_method_is_refused(self, world: World, method: str | None) -> None:
        form = {"client_id": "difyctl", "code_challenge": "a" * 43}
        answer = world.device().http.post(
            CODE, form | ({"code_challenge_method": method} if method else {}), status=400
        )
        assert answer.json["error"] == "invalid_request"
        assert "S256" in answer.json["error_description"]

    def test_to_none_is_refused_where_it_is_required(self, world: World) -> None:
        answer = world.device().http.post(CODE, {"client_id": "strict"}, status=400)
        assert answer.json["error"] == "invalid_request"

    @pytest.mark.parametrize("verifier", ["a" * 42, "a" * 129, "a" * 42 + "+", "a" * 42 + "é"])
    def test_to_something_weaker_is_refused(self, world: World, verifier: str) -> None:
        """RFC 7636 §4.1: 43 to 128 unreserved characters."""
        answer = Careful(world).device.poll(code_verifier=verifier)
        assert (answer.status_int, answer.json["error"]) == (400, "invalid_request")

    @pytest.mark.parametrize("challenge", ["a" * 42, "a" * 44, "a" * 42 + "="])
    def test_no_challenge_is_half_taken(self, world: World, challenge: str) -> None:
        form = {"client_id": "difyctl", "code_challenge": challenge, "code_challenge_method": "S256"}
        answer = world.device().http.post(CODE, form, status=400)
        assert answer.json["error_description"] == "Malformed parameter: code_challenge."


def test_where_it_is_off_what_is_sent_of_it_is_ignored(world: World) -> None:
    careful = Careful(world, "plain")
    assert careful.thief.poll().json["error"] == "authorization_pending"
    assert careful.poll().json["error"] == "slow_down"


def test_the_metadata_tells_of_it_unless_every_client_is_without(make: WorldMaker) -> None:
    def told(world: World) -> Any:
        return world.browser().get("/.well-known/oauth-authorization-server").json

    assert told(make())["code_challenge_methods_supported"] == ["S256"]
    assert "code_challenge_methods_supported" not in told(make(pkce="off"))


def test_a_pending_poll_is_still_one_command(make: WorldMaker, redis_url: str) -> None:
    world: World = make()
    careful = Careful(world)
    careful.poll()
    world.clock.pass_seconds(5)
    with commands_of(redis_url) as commands:
        assert careful.poll().json["error"] == "authorization_pending"
    assert [command.split()[0] for command in commands] == ["EVALSHA"]


def test_the_device_that_polls_too_fast_is_told_so(world: World) -> None:
    careful = Careful(world)
    assert [careful.poll().json["error"] for _ in range(2)] == ["authorization_pending", "slow_down"]
