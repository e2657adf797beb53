"""What the original system promises and no other story of ours tells; docs/parity.md has the whole list."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from oauthdevice.domain.bearers import Bearer
from oauthdevice.domain.credentials import credential_digest, new_credential
from oauthdevice.domain.scopes import EXTERNAL_ONLY
from oauthdevice.settings import SettingsError

from ..conftest import WorldMaker, close
from ..factories import (
    API,
    APPROVE,
    APPROVE_EXTERNAL,
    CODE,
    DENY,
    LOOKUP,
    TOKEN,
    Clock,
    Device,
    Stranger,
    World,
    make_world,
)
from ..scripted_providers import CLIENT_ID, ScriptedProvider, running
from .test_owner_ends_sessions import SESSIONS, call, signed_in

DAY = 86_400
SSO = (
    "sso-initiate",
    "sso-complete",
    "sso-complete/corp",
    "approval-context",
    "approve-external",
    "deny-external",
)
BRUNO = {"sub": "bruno-1", "email": "bruno@example.com", "email_verified": True}


@pytest.fixture
def elsewhere() -> Iterator[ScriptedProvider]:
    """A second identity provider."""
    with running(ScriptedProvider()) as one:
        yield one


@pytest.fixture
def corp(
    sqlite_url: str,
    any_redis_url: str,
    clock: Clock,
    tmp_path: Path,
    provider: ScriptedProvider,
    elsewhere: ScriptedProvider,
) -> Iterator[World]:
    """The enterprise edition over each kind of Redis, with both providers."""
    ini = tmp_path / "corp.ini"
    sections = {"corp": provider, "elsewhere": elsewhere}
    ini.write_text(
        "".join(f"[sso:{name}]\nissuer = {one.url}\nclient_id = {CLIENT_ID}\n" for name, one in sections.items())
    )
    one = make_world(sqlite_url, any_redis_url, clock, edition="enterprise", ini_file=str(ini))
    yield one
    close(one)


def approved_for(
    world: World, provider: ScriptedProvider, person: dict[str, Any] | None = None, **parameters: str
) -> Device:
    """A device that a person of `provider` has approved, in a browser of their own."""
    device, browser = world.device().ask(**parameters), Stranger(world)
    name = next(one.name for one in world.settings.identity_providers.values() if one.issuer == provider.url)
    provider.person = person or BRUNO
    browser.come_back(provider.sign_in(browser.leave(device.user_code, provider=name)))
    assert browser.decide(APPROVE_EXTERNAL, device.user_code).json == {"status": "approved"}
    return device


def held_by(world: World, token: str) -> Bearer | None:
    return world.services.bearers.inspect(token)


def listed(device: Device, token: str) -> list[str | None]:
    return [one["device_label"] for one in call(device, "GET", SESSIONS, token)["data"]]


class TestRoutes:
    @pytest.mark.parametrize("name", SSO)
    @pytest.mark.parametrize("method", ["GET", "POST"])
    def test_without_sso_its_routes_are_not_there(self, world: World, name: str, method: str) -> None:
        answer = world.browser().request(f"{API}/oauth/device/{name}", method=method, status=404)
        assert answer.json["error"] == "not_found"

    def test_a_client_is_there_without_any_being_declared(self, world: World) -> None:
        assert list(world.settings.clients) == ["difyctl"]
        assert world.browser().post_json(CODE, {"client_id": "difyctl", "device_label": "laptop"}, status=200)


class TestTheOriginalDialect:
    """JSON without grant_type, as the original's client speaks it."""

    def test_the_first_answer_has_the_members_of_the_original_and_one_more(self, world: World) -> None:
        told = world.browser().post_json(CODE, {"client_id": "difyctl", "device_label": "laptop"}).json
        assert told.pop("verification_uri_complete").startswith(told["verification_uri"])
        assert told.keys() == {"device_code", "user_code", "verification_uri", "expires_in", "interval"}
        assert (told["expires_in"], told["interval"]) == (900, 5)

    def test_the_device_its_label_and_its_address_are_told_to_the_person(self, world: World) -> None:
        device = world.device(address="198.51.100.9")
        headers = {"Host": "evil.example"}
        body = {"client_id": "difyctl", "device_label": "Ada's laptop"}
        device.answer = device.http.post_json(CODE, body, headers=headers).json
        assert device.answer["verification_uri"] == "http://localhost/device"
        page = world.person().open(device.user_code).html.get_text()
        for word in ("difyctl", "Ada's laptop", "198.51.100.9"):
            assert word in page

    @pytest.mark.parametrize("body", [b"{}", b"[]", b"{"])
    @pytest.mark.parametrize("path", [CODE, TOKEN, APPROVE, DENY])
    def test_a_bad_body_is_400_and_moves_nothing(self, world: World, path: str, body: bytes) -> None:
        device, person = world.device().ask(), world.person().sign_in()
        headers = {"Content-Type": "application/json", "X-CSRF-Token": person.csrf_token()}
        before = world.services.ledger.newest(10)
        answer = person.browser.post(path, body, headers=headers, status=400)
        assert answer.json["error"] == "invalid_request"
        assert world.services.ledger.newest(10) == before
        assert device.poll_original().json["error"] == "authorization_pending"

    @pytest.mark.parametrize("path", [LOOKUP, f"{LOOKUP}?user_code=", f"{LOOKUP}?code=BCDFGHJK"])
    def test_a_lookup_without_a_code_is_400(self, world: World, path: str) -> None:
        assert world.browser().get(path, status=400).json["error"] == "invalid_request"

    def test_a_client_that_nobody_knows_is_told_so(self, world: World) -> None:
        answer = world.browser().post_json(CODE, {"client_id": "nobody", "device_label": "laptop"}, status=401)
        assert answer.json["error"] == "invalid_client"

    def test_each_of_its_four_errors_is_told_in_one_shape(self, world: World) -> None:
        person = world.person()
        pending, denied, expired = (world.device().ask() for _ in range(3))
        person.deny(denied.user_code)
        answers = [pending.poll_original(), pending.poll_original(), denied.poll_original()]
        world.clock.pass_seconds(900)
        answers.append(expired.poll_original())
        assert {answer.status_int for answer in answers} == {400}
        assert [(answer.json["error"], answer.json.get("interval")) for answer in answers] == [
            ("authorization_pending", 5),
            ("slow_down", 10),
            ("access_denied", None),
            ("expired_token", None),
        ]
        assert all(answer.json.keys() - {"interval"} == {"error", "error_description"} for answer in answers)

    def test_a_code_that_is_gone_at_the_decision_is_404(self, world: World) -> None:
        person = world.person().sign_in()
        for path in (APPROVE, DENY):
            device = world.device().ask()
            world.clock.pass_seconds(3 * 3600)
            answer = person.post(path, device.user_code)
            assert (answer.status_int, answer.json["error"]) == (404, "expired_or_unknown")

    def test_what_is_told_with_the_token_to_an_external_subject(self, corp: World, provider: ScriptedProvider) -> None:
        device = approved_for(corp, provider)
        told = device.poll_original().json
        assert {name: value for name, value in told.items() if name not in ("access_token", "token", "token_id")} == {
            "token_type": "Bearer",
            "expires_in": 14 * DAY,
            "expires_at": told["expires_at"],
            "scope": f"{EXTERNAL_ONLY} apps:run",
            "subject_type": "external_sso",
            "subject_email": "bruno@example.com",
            "subject_issuer": provider.url,
            "account": None,
            "workspaces": [],
            "default_workspace_id": None,
        }
        assert told["token"] == told["access_token"]
        assert told["token"].startswith("dfoe_")

    @pytest.mark.parametrize("name", ["enable_oauth_bearer", "openapi_enabled"])
    def test_tokens_cannot_be_switched_off(self, make: WorldMaker, name: str) -> None:
        with pytest.raises(SettingsError, match="there is no such setting"):
            make(**{name: "off"})


class TestWhoseASessionIs:
    def test_an_account_sees_the_sessions_of_its_id_alone(self, corp: World, provider: ScriptedProvider) -> None:
        # Once there is an account with this e-mail, no provider could vouch for it.
        approved_for(corp, provider, device_label="of the same e-mail").poll()
        device, token = signed_in(corp, corp.person("bruno@example.com"), "of the account")
        signed_in(corp, corp.person(), "of another account")
        assert listed(device, token) == ["of the account"]

    @pytest.mark.parametrize("other", ["another issuer", "another person there"])
    def test_an_external_subject_is_one_of_its_issuer(
        self, corp: World, provider: ScriptedProvider, elsewhere: ScriptedProvider, other: str
    ) -> None:
        """The e-mail is the same, and is no proof."""
        if other == "another issuer":
            stranger = approved_for(corp, elsewhere, device_label="of somebody else")
        else:
            stranger = approved_for(corp, provider, {**BRUNO, "sub": "bruno-2"}, device_label="of somebody else")
        foreign = stranger.poll().json
        device = approved_for(corp, provider, device_label="one")
        token = device.poll().json["token"]
        approved_for(corp, provider, device_label="two").poll()
        signed_in(corp, corp.person("bruno@example.com"), "of an account")
        assert sorted(str(one) for one in listed(device, token)) == ["one", "two"]
        assert call(device, "DELETE", f"{SESSIONS}/{foreign['token_id']}", token, 404)["error"] == "not_found"
        assert device.account(foreign["token"]).status_int == 200

    def test_an_external_subject_sees_and_ends_its_own(self, corp: World, provider: ScriptedProvider) -> None:
        device = approved_for(corp, provider)
        told = device.poll().json
        assert device.account(told["token"]).json == {
            "subject_type": "external_sso",
            "subject_email": "bruno@example.com",
            "subject_issuer": provider.url,
            "account": None,
            "workspaces": [],
            "default_workspace_id": None,
        }
        assert call(device, "GET", SESSIONS, told["token"])["data"][0]["prefix"] == "dfoe_"
        other = approved_for(corp, provider).poll().json
        for path in (other["token_id"], "self"):
            assert call(device, "DELETE", f"{SESSIONS}/{path}", told["token"]) == {"status": "revoked"}
        for token in (told["token"], other["token"]):
            assert device.account(token).status_int == 401

    def test_expired_sessions_are_not_listed(self, world: World) -> None:
        person = world.person()
        signed_in(world, person, "old")
        world.clock.pass_seconds(7 * DAY)
        device, token = signed_in(world, person, "new")
        assert listed(device, token) == ["new", "old"]
        world.clock.pass_seconds(7 * DAY)
        told = call(device, "GET", SESSIONS, token)
        assert [one["device_label"] for one in told["data"]] == ["new"]
        assert told["total"] == 1

    def test_any_scope_lists_and_ends_sessions(self, world: World) -> None:
        person, device = world.person(), world.device().ask(scope="apps:run")
        person.allow(device.user_code)
        token = device.poll().json["token"]
        other = world.device().ask()
        person.allow(other.user_code)
        other_id = other.poll().json["token_id"]
        assert len(call(device, "GET", SESSIONS, token)["data"]) == 2
        assert call(device, "DELETE", f"{SESSIONS}/{other_id}", token) == {"status": "revoked"}
        assert call(device, "DELETE", f"{SESSIONS}/self", token) == {"status": "revoked"}

    def test_an_unknown_parameter_of_the_list_is_ignored(self, world: World) -> None:
        device, token = signed_in(world, world.person())
        assert call(device, "GET", f"{SESSIONS}?cursor=x&limit=200", token)["limit"] == 200


class TestTokens:
    @pytest.mark.parametrize("prefix", ["dfp_", "app-", ""])
    def test_another_prefix_opens_nothing(self, world: World, prefix: str) -> None:
        answer = world.device().account(new_credential(prefix))
        assert (answer.status_int, answer.json["error"]) == (401, "invalid_token")

    def test_a_prefix_is_that_of_the_subject_type(self, corp: World, provider: ScriptedProvider) -> None:
        _, token = signed_in(corp, corp.person())
        assert token.startswith("dfoa_")
        assert approved_for(corp, provider).poll().json["token"].startswith("dfoe_")

    def test_a_session_that_ended_keeps_no_digest_and_no_cache_entry(self, world: World) -> None:
        device, token = signed_in(world, world.person())
        assert held_by(world, token) is not None
        call(device, "DELETE", f"{SESSIONS}/self", token)
        digest = credential_digest(token)
        with world.services.database.engine.connect() as sql:
            kept = sql.exec_driver_sql("SELECT count(*) FROM access_tokens").scalar_one()
            ended = sql.exec_driver_sql("SELECT count(*) FROM sessions WHERE revoked_at IS NOT NULL").scalar_one()
        assert (kept, ended) == (0, 1)
        assert world.redis.get(f"oauthdevice:token:{digest}") in ("distrusted", None)

    def test_what_ended_long_ago_is_purged_and_nothing_else(self, world: World) -> None:
        person = world.person()
        device, token = signed_in(world, person, "revoked long ago")
        call(device, "DELETE", f"{SESSIONS}/self", token)
        signed_in(world, person, "expired long ago")
        world.clock.pass_seconds(40 * DAY)
        signed_in(world, person, "expired lately")
        world.clock.pass_seconds(20 * DAY)
        device, token = signed_in(world, person, "revoked lately")
        call(device, "DELETE", f"{SESSIONS}/self", token)
        device, token = signed_in(world, person, "live")
        assert list(world.services.registry.purge(30))[-1:] == [2]
        assert list(world.services.registry.purge(30)) == []
        with world.services.database.engine.connect() as sql:
            left = sql.exec_driver_sql("SELECT device_label FROM sessions ORDER BY device_label").scalars().all()
        assert left == ["expired lately", "live", "revoked lately"]
        assert device.account(token).status_int == 200


class TestLimits:
    def test_a_refused_request_is_not_counted(self, make: WorldMaker) -> None:
        world = make(**{"limit.bearer": "2/minute"})
        device, token = signed_in(world, world.person())
        assert [device.account(token).status_int for _ in range(2)] == [200, 200]
        wait = int(device.account(token).headers["Retry-After"])
        for _ in range(10):
            world.clock.pass_seconds((wait - 2) / 10)
            assert device.account(token).status_int == 429
        world.clock.pass_seconds(2)
        assert device.account(token).status_int == 200

    @pytest.mark.shared_redis
    def test_two_processes_count_together(self, make: WorldMaker) -> None:
        one, other = (make(**{"limit.code": "3/hour"}) for _ in range(2))
        answers = [
            world.browser().post(CODE, {"client_id": "difyctl"}, status="*") for world in (one, other, one, other)
        ]
        assert [answer.status_int for answer in answers] == [200, 200, 200, 429]

    def test_nothing_at_all_is_no_limit(self, make: WorldMaker) -> None:
        with pytest.raises(SettingsError, match=r"oauthdevice\.limit\.bearer"):
            make(**{"limit.bearer": "0/minute"})
        world = make(**{"limit.bearer": "off"})
        device, token = signed_in(world, world.person())
        assert [device.account(token).status_int for _ in range(70)] == [200] * 70
