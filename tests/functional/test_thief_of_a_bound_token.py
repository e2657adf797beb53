"""Somebody has stolen what a tool holds, but for its key (RFC 9449 §2, §11)."""

import hashlib
from pathlib import Path

import pytest
from webtest import TestResponse

from oauthdevice.domain.dpop import REMEMBERED_SECONDS

from ..conftest import WorldMaker
from ..factories import API, TOKEN, World
from ..key_holders import KeyHolder, ath

INI = "[client:difyctl]\nname = difyctl\nscopes = full\nrefresh = on\n"
ACCOUNT = f"{API}/account"


@pytest.fixture
def world(make: WorldMaker, tmp_path: Path) -> World:
    (tmp_path / "clients.ini").write_text(INI)
    return make(ini_file=str(tmp_path / "clients.ini"))


@pytest.fixture
def tool(world: World) -> KeyHolder:
    return KeyHolder(world)


def thief_of(tool: KeyHolder) -> KeyHolder:
    """Who knows the codes, and has another key, in another network."""
    thief = KeyHolder(tool.world, tool.device.client_id, address="203.0.113.9")
    thief.device.answer = tool.device.answer
    return thief


def refused(answer: TestResponse, error: str = "invalid_grant") -> bool:
    return (answer.status_int, answer.json["error"]) == (400, error) and "interval" not in answer.json


def unauthorized(answer: TestResponse, error: str = "invalid_token") -> bool:
    challenge = answer.headers["WWW-Authenticate"]
    told = challenge.startswith('DPoP realm="oauthdevice", algs="ES256 ES384 ') and f'error="{error}"' in challenge
    return told and (answer.status_int, answer.json["error"]) == (401, error)


class TestWithADeviceCode:
    @pytest.mark.parametrize("proof", ["", None])
    def test_learns_nothing_of_any_state(self, world: World, proof: str | None) -> None:
        waiting, allowed, denied, redeemed = (KeyHolder(world).ask() for _ in range(4))
        person = world.person()
        person.allow(allowed.device.user_code)
        person.deny(denied.device.user_code)
        person.allow(redeemed.device.user_code)
        token = redeemed.poll().json["access_token"]
        told = [thief_of(one).poll(proof) for one in (waiting, allowed, denied, redeemed)]
        world.clock.pass_seconds(900)
        told.append(thief_of(waiting).poll(proof))
        assert all(map(refused, told))
        assert len({one.body for one in told}) == 1
        assert redeemed.account(token).status_int == 200

    @pytest.mark.parametrize("proof", ["", None])
    def test_uses_nothing_up(self, world: World, tool: KeyHolder, proof: str | None) -> None:
        tool.ask()
        world.person().allow(tool.device.user_code)
        for _ in range(5):
            assert refused(thief_of(tool).poll(proof))
        assert tool.poll().json["token_type"] == "DPoP"

    @pytest.mark.parametrize("proof", ["", None])
    def test_slows_nobody_down(self, world: World, tool: KeyHolder, proof: str | None) -> None:
        """Its polls count as none: those of the tool are on time."""
        tool.ask()
        for _ in range(3):
            assert refused(thief_of(tool).poll(proof))
            assert tool.poll().json["error"] == "authorization_pending"
            world.clock.pass_seconds(5)

    @pytest.mark.parametrize("proof", ["", None])
    def test_is_held_no_poll(self, make: WorldMaker, proof: str | None) -> None:
        """One that would rather wait for the decision is refused at once (RFC 7240)."""
        thief = thief_of(KeyHolder(make(held_poll_seconds="30")).ask())
        thief.device.http.extra_environ["HTTP_PREFER"] = "wait=30"
        assert refused(thief.poll(proof))

    def test_speaks_the_original_dialect_in_vain(self, tool: KeyHolder) -> None:
        tool.ask()
        assert tool.device.poll_original().json["error"] == "expired_token"

    def test_cannot_use_a_proof_that_it_has_seen(self, world: World, tool: KeyHolder) -> None:
        proof = tool.ask().proof("POST", TOKEN)
        world.person().allow(tool.device.user_code)
        assert tool.poll(proof).status_int == 200
        # It would be told the token again, in these thirty seconds.
        assert refused(thief_of(tool).poll(proof), "invalid_dpop_proof")

    def test_cannot_take_the_key_away_from_the_start(self, world: World, tool: KeyHolder) -> None:
        """Without proof and dpop_jkt, but then the tool is told a Bearer token, which it can refuse (§5)."""
        tool.ask_unbound()
        world.person().allow(tool.device.user_code)
        assert thief_of(tool).poll(proof="").json["token_type"] == "Bearer"
        # As without a key; what the start bound, it would have kept from them.
        assert tool.poll().json["token_type"] == "Bearer"


class TestWithARefreshToken:
    def test_cannot_use_it_without_the_key(self, tool: KeyHolder) -> None:
        first = tool.signed_in()
        for proof in ("", None):
            assert refused(thief_of(tool).refresh(first["refresh_token"], proof))
        # And has ended nothing.
        assert tool.refresh(first["refresh_token"]).json["token_type"] == "DPoP"

    def test_cannot_end_the_session_with_a_spent_one(self, world: World, tool: KeyHolder) -> None:
        first = tool.signed_in()
        second = tool.refresh(first["refresh_token"]).json
        world.clock.pass_seconds(60)
        assert refused(thief_of(tool).refresh(first["refresh_token"]))
        assert tool.account(second["access_token"]).status_int == 200
        # The tool itself still can: somebody has a copy of all that it has.
        assert refused(tool.refresh(first["refresh_token"]))
        assert tool.account(second["access_token"]).status_int == 401

    def test_cannot_use_a_proof_that_it_has_seen(self, tool: KeyHolder) -> None:
        first = tool.signed_in()
        proof = tool.proof("POST", TOKEN)
        assert tool.refresh(first["refresh_token"], proof).status_int == 200
        assert refused(thief_of(tool).refresh(first["refresh_token"], proof), "invalid_dpop_proof")


class TestWithAnAccessToken:
    def test_cannot_use_it_without_the_key(self, tool: KeyHolder) -> None:
        token = tool.signed_in()["access_token"]
        # Twice: the second time the token comes from the cache.
        for _ in range(2):
            assert unauthorized(thief_of(tool).account(token, proof=""), "invalid_dpop_proof")
            assert unauthorized(thief_of(tool).account(token))
            # §7.1: nor as a Bearer token, with or without a proof.
            assert unauthorized(thief_of(tool).account(token, proof="", scheme="Bearer"))
            assert unauthorized(tool.account(token, scheme="Bearer"))
        assert tool.account(token).status_int == 200

    def test_cannot_use_a_proof_that_it_has_seen(self, world: World, tool: KeyHolder) -> None:
        token = tool.signed_in()["access_token"]
        proof = tool.proof("GET", ACCOUNT, ath=ath(token))
        assert tool.account(token, proof).status_int == 200
        assert unauthorized(thief_of(tool).account(token, proof), "invalid_dpop_proof")
        world.clock.pass_seconds(REMEMBERED_SECONDS - 10)
        assert unauthorized(thief_of(tool).account(token, proof), "use_dpop_nonce")
        world.clock.pass_seconds(20)
        assert unauthorized(thief_of(tool).account(token, proof), "use_dpop_nonce")

    def test_cannot_use_a_proof_for_something_else(self, tool: KeyHolder) -> None:
        """Of another method, another address, another token, or of a request that had none."""
        token = tool.signed_in()["access_token"]
        other = KeyHolder(tool.world).signed_in()["access_token"]
        for proof in (
            tool.proof("DELETE", ACCOUNT, ath=ath(token)),
            tool.proof("GET", f"{ACCOUNT}/sessions", ath=ath(token)),
            tool.proof("GET", ACCOUNT, ath=ath(token), htu=f"https://elsewhere.example{ACCOUNT}"),
            tool.proof("GET", ACCOUNT, ath=ath(other)),
            tool.proof("GET", ACCOUNT),
            tool.proof("GET", ACCOUNT, ath=hashlib.sha256(token.encode()).hexdigest()),
            tool.proof("POST", TOKEN),
        ):
            assert unauthorized(tool.account(token, proof), "invalid_dpop_proof")

    def test_cannot_stop_its_owner(self, make: WorldMaker) -> None:
        """Every try counts for the thief's network, and none for the token."""
        tool = KeyHolder(make(**{"limit.bearer": "3/minute"}))
        token = tool.signed_in()["access_token"]
        told = [thief_of(tool).account(token, scheme=scheme).status_int for scheme in ("DPoP", "Bearer") * 3]
        assert told == [401] * 3 + [429] * 3
        assert [tool.account(token).status_int for _ in range(4)] == [200] * 3 + [429]

    def test_learns_no_more_of_a_made_up_token(self, tool: KeyHolder) -> None:
        tool.signed_in()
        for token in ("nonsense", "dfoa_" + "A" * 49):
            assert unauthorized(thief_of(tool).account(token))


class TestABadProof:
    def test_leaves_nothing_in_redis(self, world: World, tool: KeyHolder) -> None:
        tool.ask()
        before = len(list(world.redis.scan_iter("*:proof:*")))
        assert refused(thief_of(tool).poll())
        assert refused(tool.poll(tool.proof("POST", TOKEN, htm="GET")), "invalid_dpop_proof")
        assert refused(tool.poll(device_code="x"))
        assert len(list(world.redis.scan_iter("*:proof:*"))) == before == 1
        assert tool.poll().json["error"] == "authorization_pending"
        assert len(list(world.redis.scan_iter("*:proof:*"))) == 2
