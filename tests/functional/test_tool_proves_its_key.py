"""A tool binds what it gets to a key of its own, and proves it at each request (RFC 9449)."""

import hashlib
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from oauthdevice.domain.dpop import ALGORITHMS, NONCE_SECONDS, SKEW_SECONDS

from ..conftest import WorldMaker
from ..factories import API, CODE, TOKEN, World
from ..key_holders import KeyHolder, ath
from .test_pending_poll_is_cheap import commands_of

SECRET = "a secret for the API alone"
INI = """
[client:difyctl]
name = difyctl
scopes = full apps:run
refresh = on
[client:strict]
name = Strict
scopes = full
refresh = on
dpop = required
[client:plain]
name = Plain
scopes = full
dpop = off
[client:api]
name = API
scopes = full
secret_sha256 = DIGEST
device_flow = off
"""


@pytest.fixture
def make_one(make: WorldMaker, tmp_path: Path) -> WorldMaker:
    ini = tmp_path / "clients.ini"
    ini.write_text(INI.replace("DIGEST", hashlib.sha256(SECRET.encode()).hexdigest()))
    return lambda **options: make(ini_file=str(ini), **{"limit.bearer": "off", **options})


@pytest.fixture
def world(make_one: WorldMaker) -> World:
    return make_one()


def introspected(world: World, token: str) -> Any:
    form = {"client_id": "api", "client_secret": SECRET, "token": token}
    return world.browser().post(f"{API}/oauth/introspect", form, status=200).json


class TestATool:
    @pytest.mark.parametrize("alg", ALGORITHMS)
    def test_signs_in_with_a_key_of_each_kind(self, world: World, alg: str) -> None:
        tool, person = KeyHolder(world, alg=alg).ask(), world.person()
        assert tool.poll().json["error"] == "authorization_pending"
        person.allow(tool.device.user_code)
        answer = tool.poll()
        assert (answer.status_int, answer.json["token_type"]) == (200, "DPoP")
        assert tool.account(answer.json["access_token"]).json["account"]["id"] == person.account.id

    def test_uses_its_token_for_all_that_a_token_opens(self, world: World) -> None:
        """Twice, as the second time comes from the cache; in the end it signs out."""
        tool = KeyHolder(world)
        token = tool.signed_in()["access_token"]
        for _ in range(2):
            assert tool.account(token).status_int == 200
        sessions, own = f"{API}/account/sessions", f"{API}/account/sessions/self"
        headers = {"Authorization": f"dpop {token}", "DPoP": tool.proof("GET", sessions, ath=ath(token))}
        assert tool.device.http.get(f"{sessions}?limit=1", headers=headers).json["total"] == 1
        headers["DPoP"] = tool.proof("DELETE", own, ath=ath(token))
        assert tool.device.http.delete(own, headers=headers).json == {"status": "revoked"}
        answer = tool.account(token)
        assert (answer.status_int, answer.json["error"]) == (401, "invalid_token")

    def test_refreshes(self, world: World) -> None:
        tool = KeyHolder(world)
        first = tool.signed_in()
        second = tool.refresh(first["refresh_token"]).json
        assert (second["token_type"], second["token_id"]) == ("DPoP", first["token_id"])
        assert tool.account(second["access_token"]).status_int == 200
        # What was lost on its way is told again.
        assert tool.refresh(first["refresh_token"]).json == second

    def test_loses_its_answer_and_asks_again(self, world: World) -> None:
        tool = KeyHolder(world).ask()
        world.person().allow(tool.device.user_code)
        assert tool.poll().json == tool.poll().json

    def test_announces_its_key_and_proves_it_later(self, world: World) -> None:
        """RFC 9449 §10: dpop_jkt, for a library that sends no proof with its first request."""
        tool = KeyHolder(world)
        tool.ask_unbound(dpop_jkt=tool.jkt)
        assert tool.poll().json["error"] == "authorization_pending"
        thief = KeyHolder(world)
        thief.device.answer = tool.device.answer
        assert thief.poll().json["error"] == "invalid_grant"
        world.person().allow(tool.device.user_code)
        assert tool.poll().json["token_type"] == "DPoP"

    def test_may_say_both_if_they_agree(self, world: World) -> None:
        tool = KeyHolder(world)
        assert tool.ask(dpop_jkt=tool.jkt).poll().json["error"] == "authorization_pending"
        answer = tool.post(CODE, {"dpop_jkt": KeyHolder(world).jkt}, tool.proof("POST", CODE))
        assert (answer.status_int, answer.json["error"]) == (400, "invalid_dpop_proof")

    def test_may_bind_its_tokens_only_when_it_fetches_them(self, world: World) -> None:
        """As RFC 9449 §5 has it for any grant."""
        tool = KeyHolder(world).ask_unbound()
        assert tool.poll().json["error"] == "authorization_pending"
        world.person().allow(tool.device.user_code)
        token = tool.poll().json
        assert token["token_type"] == "DPoP"
        assert tool.account(token["access_token"]).status_int == 200
        assert tool.account(token["access_token"], proof="", scheme="Bearer").status_int == 401

    def test_may_do_without(self, world: World) -> None:
        tool = KeyHolder(world).ask_unbound()
        world.person().allow(tool.device.user_code)
        token = tool.poll(proof="").json
        assert token["token_type"] == "Bearer"
        assert tool.account(token["access_token"], proof="", scheme="Bearer").status_int == 200
        # Nor is a proof looked at that nobody needs.
        assert tool.account(token["access_token"], proof="nonsense", scheme="Bearer").status_int == 200

    def test_that_sends_its_other_tokens_as_dpop_is_told_how(self, world: World) -> None:
        tool = KeyHolder(world).ask_unbound()
        world.person().allow(tool.device.user_code)
        answer = tool.account(tool.poll(proof="").json["access_token"])
        assert (answer.status_int, answer.json["error"]) == (401, "invalid_token")
        assert "Bearer" in answer.json["error_description"]


class TestAClientThatMust:
    def test_gets_no_code_without_a_key(self, world: World) -> None:
        answer = KeyHolder(world, "strict").post(CODE, {}, None)
        assert (answer.status_int, answer.json["error"]) == (400, "invalid_dpop_proof")

    def test_signs_in_with_one(self, world: World) -> None:
        tool = KeyHolder(world, "strict")
        assert tool.refresh(tool.signed_in()["refresh_token"]).json["token_type"] == "DPoP"

    def test_goes_on_with_nothing_that_was_begun_without(self, make_one: WorldMaker) -> None:
        """It was allowed to do without, and now is not."""
        before = make_one(dpop="allowed")
        waiting, tool = KeyHolder(before).ask_unbound(), KeyHolder(before).ask_unbound()
        before.person().allow(tool.device.user_code)
        token = tool.poll(proof="").json["refresh_token"]
        after = make_one(dpop="required")
        for one in (waiting, tool):
            one.device.http.app = after.app
        if after.settings.has_embedded_redis:
            # The other server has another Redis, but the same database.
            assert tool.refresh(token).json["error"] == "invalid_grant"
            return
        for proof in ("", None):
            assert waiting.poll(proof).json["error"] == "invalid_grant"
            assert tool.refresh(token, proof).json["error"] == "invalid_grant"


def test_where_it_is_off_proofs_are_ignored(world: World) -> None:
    """The client is told a token_type, and has to look at it (RFC 9449 §5)."""
    tool = KeyHolder(world, "plain").ask()
    world.person().allow(tool.device.user_code)
    assert tool.poll(proof="nonsense").json["token_type"] == "Bearer"


class TestWhatOthersLearn:
    def test_introspection_tells_the_key(self, world: World) -> None:
        """RFC 9449 §6.2."""
        tool = KeyHolder(world)
        answer = tool.signed_in()
        told = introspected(world, answer["access_token"])
        assert (told["token_type"], told["cnf"]) == ("DPoP", {"jkt": tool.jkt})
        assert introspected(world, answer["refresh_token"])["cnf"] == {"jkt": tool.jkt}

    def test_introspection_tells_of_no_key_where_there_is_none(self, world: World) -> None:
        tool = KeyHolder(world).ask_unbound()
        world.person().allow(tool.device.user_code)
        told = introspected(world, tool.poll(proof="").json["access_token"])
        assert told["token_type"] == "Bearer"
        assert "cnf" not in told

    def test_the_metadata_tells_of_it_unless_every_client_is_without(self, make: WorldMaker) -> None:
        def told(world: World) -> Any:
            return world.browser().get("/.well-known/oauth-authorization-server").json

        assert told(make())["dpop_signing_alg_values_supported"] == list(ALGORITHMS)
        assert "dpop_signing_alg_values_supported" not in told(make(dpop="off"))


class TestANonce:
    def test_heals_a_wrong_clock(self, world: World) -> None:
        """RFC 9449 §8: a device that does not know the time is told a nonce, and that then says how old a proof is."""
        tool = KeyHolder(world)
        lost = {"iat": 86_400}
        answer = tool.post(CODE, {}, tool.proof("POST", CODE, **lost))
        assert (answer.status_int, answer.json["error"]) == (400, "use_dpop_nonce")
        lost["nonce"] = answer.headers["DPoP-Nonce"]
        started = tool.post(CODE, {}, tool.proof("POST", CODE, **lost))
        assert started.status_int == 200
        tool.device.answer = started.json
        world.person().allow(tool.device.user_code)
        token = tool.poll(tool.proof("POST", TOKEN, **lost)).json["access_token"]
        assert tool.account(token, tool.proof("GET", f"{API}/account", ath=ath(token), **lost)).status_int == 200

    @pytest.mark.parametrize("seconds", [-SKEW_SECONDS - 5, SKEW_SECONDS + 5])
    def test_is_asked_for_where_the_clocks_are_too_far_apart(self, world: World, seconds: int) -> None:
        tool = KeyHolder(world)
        now = int(world.clock().timestamp())
        answer = tool.post(CODE, {}, tool.proof("POST", CODE, iat=now + seconds))
        assert answer.json["error"] == "use_dpop_nonce"
        near = now + seconds + (10 if seconds < 0 else -10)
        assert tool.post(CODE, {}, tool.proof("POST", CODE, iat=near)).status_int == 200

    def test_is_needed_each_time_where_it_is_required(self, make_one: WorldMaker) -> None:
        world = make_one(dpop_nonce_required="on")
        tool = KeyHolder(world)
        refused = tool.post(CODE, {}, tool.proof("POST", CODE))
        assert refused.json["error"] == "use_dpop_nonce"
        nonce = refused.headers["DPoP-Nonce"]
        started = tool.post(CODE, {}, tool.proof("POST", CODE, nonce=nonce))
        assert started.status_int == 200
        tool.device.answer = started.json
        assert tool.poll().json["error"] == "use_dpop_nonce"
        # The poll before counts as none.
        assert tool.poll(tool.proof("POST", TOKEN, nonce=nonce)).json["error"] == "authorization_pending"
        world.person().allow(tool.device.user_code)
        token = tool.poll(tool.proof("POST", TOKEN, nonce=nonce)).json["access_token"]
        answer = tool.account(token)
        assert (answer.status_int, answer.json["error"]) == (401, "use_dpop_nonce")
        assert 'DPoP realm="oauthdevice", algs="ES256 ' in answer.headers["WWW-Authenticate"]
        assert 'error="use_dpop_nonce"' in answer.headers["WWW-Authenticate"]
        nonce = answer.headers["DPoP-Nonce"]
        assert tool.account(token, tool.proof("GET", f"{API}/account", ath=ath(token), nonce=nonce)).status_int == 200

    def test_grows_old(self, make_one: WorldMaker) -> None:
        world = make_one(dpop_nonce_required="on")
        tool = KeyHolder(world)
        nonce = tool.post(CODE, {}, tool.proof("POST", CODE)).headers["DPoP-Nonce"]
        world.clock.pass_seconds(NONCE_SECONDS)
        assert tool.post(CODE, {}, tool.proof("POST", CODE, nonce=nonce)).status_int == 200
        world.clock.pass_seconds(NONCE_SECONDS)
        refused = tool.post(CODE, {}, tool.proof("POST", CODE, nonce=nonce))
        assert refused.json["error"] == "use_dpop_nonce"
        assert refused.headers["DPoP-Nonce"] != nonce

    def test_that_nobody_handed_out_is_refused(self, world: World) -> None:
        tool = KeyHolder(world)
        for nonce in ("", "x", "A" * 22, "\u00e9" * 22, 7, ["x"]):
            answer = tool.post(CODE, {}, tool.proof("POST", CODE, nonce=nonce))
            assert (answer.status_int, answer.json["error"]) == (400, "use_dpop_nonce")

    def test_of_another_process_and_of_an_earlier_secret_is_taken(self, make_one: WorldMaker) -> None:
        before = make_one()
        tool = KeyHolder(before)
        nonce = tool.post(CODE, {}, tool.proof("POST", CODE, iat=0)).headers["DPoP-Nonce"]
        after = make_one(secret="another secret, which is long enough", previous_secrets=before.settings.secret)
        tool.device.http.app = after.app
        assert tool.post(CODE, {}, tool.proof("POST", CODE, iat=0, nonce=nonce)).status_int == 200


def test_a_pending_poll_costs_one_command_more(make: WorldMaker, redis_url: str) -> None:
    """That the proof was used; and still no SQL. Without a proof it costs what it did."""
    world: World = make()
    tool = KeyHolder(world).ask()
    tool.poll()
    statements: list[str] = []
    event.listen(world.services.database.engine, "before_cursor_execute", lambda *args: statements.append(args[2]))
    world.clock.pass_seconds(5)
    with commands_of(redis_url) as commands:
        assert tool.poll().json["error"] == "authorization_pending"
    assert [command.split()[0] for command in commands] == ["EVALSHA", "SET"]
    assert statements == []
