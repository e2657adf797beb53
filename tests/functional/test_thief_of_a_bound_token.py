"""Somebody has stolen what a tool holds, but for its key (RFC 9449 §2, §11)."""

import hashlib
import json
import secrets
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import OctKey
from webtest import TestResponse

from oauthdevice.domain.dpop import REMEMBERED_SECONDS

from ..conftest import WorldMaker
from ..factories import API, CODE, TOKEN, World
from ..key_holders import KEYS, KeyHolder, ath, base64url, signed

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


class TestAForgedProof:
    """Sent where there is no key to compare with yet: what is refused here is refused for what it is."""

    def start(self, tool: KeyHolder, proof: str) -> TestResponse:
        return tool.post(CODE, {}, proof)

    def test_signed_by_nobody(self, tool: KeyHolder) -> None:
        good = tool.proof("POST", CODE)
        _, payload, signature = good.split(".")
        header = {"typ": "dpop+jwt", "alg": "none", "jwk": tool.key.as_dict(private=False)}
        top = base64url(json.dumps(header).encode())
        for forged in (f"{top}.{payload}.", f"{top}.{payload}.{signature}", f"{good[:-8]}AAAAAAAA"):
            assert refused(self.start(tool, forged), "invalid_dpop_proof")

    def test_signed_with_a_shared_secret(self, tool: KeyHolder) -> None:
        """HS256, with a secret in the header, and with the public key as the secret (RFC 8725 §3.1)."""
        claims = {
            "jti": "x" * 22,
            "htm": "POST",
            "htu": f"http://localhost{CODE}",
            "iat": int(tool.world.clock().timestamp()),
        }
        secret = OctKey.generate_key(256)
        public = OctKey.import_key(json.dumps(tool.key.as_dict(private=False)))
        for key, shown in ((secret, secret.as_dict(private=True)), (public, tool.key.as_dict(private=False))):
            header = {"typ": "dpop+jwt", "alg": "HS256", "jwk": shown}
            assert refused(self.start(tool, signed(key, header, claims)), "invalid_dpop_proof")

    def test_with_a_private_key_in_it(self, tool: KeyHolder) -> None:
        for alg in ("ES256", "RS256", "Ed25519"):
            other = KeyHolder(tool.world, alg=alg)
            proof = other.proof("POST", CODE, header={"jwk": other.key.as_dict(private=True)})
            assert refused(self.start(tool, proof), "invalid_dpop_proof")

    def test_with_the_key_of_somebody_else(self, tool: KeyHolder) -> None:
        proof = tool.proof("POST", CODE, header={"jwk": KEYS["RS256"].as_dict(private=False)})
        assert refused(self.start(tool, proof), "invalid_dpop_proof")
        proof = tool.proof("POST", CODE, header={"jwk": KeyHolder(tool.world).key.as_dict(private=False)})
        assert refused(self.start(tool, proof), "invalid_dpop_proof")

    @pytest.mark.parametrize(
        "header", [{"typ": "JWT"}, {"typ": None}, {"jwk": None}, {"jwk": "x"}, {"typ": 7}, {"crit": ["x"], "x": 1}]
    )
    def test_with_another_header(self, tool: KeyHolder, header: dict[str, Any]) -> None:
        assert refused(self.start(tool, tool.proof("POST", CODE, header=header)), "invalid_dpop_proof")

    @pytest.mark.parametrize(
        "claims",
        [
            {"htm": "GET"}, {"htm": "post"}, {"htm": None},
            {"htu": None}, {"htu": f"http://localhost{TOKEN}"}, {"htu": f"https://localhost{CODE}"},
            {"htu": f"http://elsewhere.example{CODE}"}, {"htu": 7}, {"htu": f"http://localhost:x{CODE}"},
            {"jti": None}, {"jti": ""}, {"jti": "x" * 257}, {"jti": 7}, {"jti": "\u00e9"},
            {"iat": None}, {"iat": "now"}, {"iat": True}, {"iat": 10**400}, {"iat": float("nan")},
        ],
    )  # fmt: skip
    def test_with_other_claims(self, tool: KeyHolder, claims: dict[str, Any]) -> None:
        assert refused(self.start(tool, tool.proof("POST", CODE, **claims)), "invalid_dpop_proof")

    @pytest.mark.parametrize("host", ["elsewhere.example", "localhost:8080"])
    def test_that_names_the_host_of_the_request(self, tool: KeyHolder, host: str) -> None:
        """It is compared with `public_url`, whatever the Host header says."""
        headers = {"DPoP": tool.proof("POST", CODE, htu=f"http://{host}{CODE}"), "Host": host}
        answer = tool.device.http.post(CODE, {"client_id": "difyctl"}, headers=headers, status="*")
        assert refused(answer, "invalid_dpop_proof")
        headers["DPoP"] = tool.proof("POST", CODE)
        assert tool.device.http.post(CODE, {"client_id": "difyctl"}, headers=headers).status_int == 200

    def test_beside_a_good_one(self, tool: KeyHolder) -> None:
        """§4.3, 1: a server joins headers of one name with a comma."""
        two = f"{tool.proof('POST', CODE)}, {tool.proof('POST', CODE)}"
        assert refused(self.start(tool, two), "invalid_dpop_proof")

    @pytest.mark.parametrize("proof", ["nonsense", "a.b.c", "..", "a" * 5000, "e30.e30.e30", "WyJ4Il0.e30.AA"])
    def test_that_is_none(self, tool: KeyHolder, proof: str) -> None:
        assert refused(self.start(tool, proof), "invalid_dpop_proof")

    def test_that_is_empty(self, tool: KeyHolder) -> None:
        answer = tool.device.http.post(CODE, {"client_id": "difyctl"}, headers={"DPoP": ""}, status="*")
        assert refused(answer, "invalid_dpop_proof")

    def test_that_is_too_long(self, tool: KeyHolder) -> None:
        proof = tool.proof("POST", CODE, more=secrets.token_urlsafe(4000))
        assert "too long" in self.start(tool, proof).json["error_description"]

    def test_leaves_nothing_in_redis(self, world: World, tool: KeyHolder) -> None:
        tool.ask()
        before = len(list(world.redis.scan_iter("*:proof:*")))
        assert refused(thief_of(tool).poll())
        assert refused(tool.poll(tool.proof("POST", TOKEN, htm="GET")), "invalid_dpop_proof")
        assert refused(tool.poll(device_code="x"))
        assert len(list(world.redis.scan_iter("*:proof:*"))) == before == 1
        assert tool.poll().json["error"] == "authorization_pending"
        assert len(list(world.redis.scan_iter("*:proof:*"))) == 2
