"""What the original system promises of single sign-on and of its pages; docs/parity.md has the whole list."""

import json
from concurrent.futures import ThreadPoolExecutor
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from webtest import TestResponse

from oauthdevice.domain.rate_limits import DEFAULT_LIMITS, Limit
from oauthdevice.settings import SettingsError

from ..conftest import WorldMaker
from ..factories import (
    API,
    APPROVAL_CONTEXT,
    APPROVE_EXTERNAL,
    CODE,
    DENY_EXTERNAL,
    LOOKUP,
    SSO_COMPLETE,
    SSO_INITIATE,
    Stranger,
    World,
)
from ..scripted_providers import ADA, CLIENT_ID, ScriptedBroker, ScriptedProvider
from ..servers import RedisServer

HTTPS = "https://login.example.com"
COOKIE = "oauthdevice_approval"
FAILED = "http://localhost/device?sso_error=sso_failed"


@pytest.fixture
def brokered(make: WorldMaker, tmp_path: Path, broker: ScriptedBroker) -> World:
    """A server whose people sign in through a broker."""
    for name, key in (("state", broker.state_key), ("assertion", broker.assertion_key)):
        (tmp_path / f"{name}.json").write_text(json.dumps({"keys": [key.as_dict(private=True)]}))
    ini = tmp_path / "broker.ini"
    ini.write_text(
        f"[sso:broker]\nmode = broker\nissuer = {broker.issuer}\nsubject_issuers = https://idp.example.com\n"
        f"initiate_url = {broker.url}/start\nstate_keys_file = {tmp_path}/state.json\n"
        f"assertion_keys = {tmp_path}/assertion.json\n"
    )
    return make(edition="enterprise", ini_file=str(ini))


def cookies_of(answer: TestResponse) -> list[Any]:
    """The approval cookies that an answer sets, one for each path."""
    found = [SimpleCookie(header) for header in answer.headers.getall("Set-Cookie")]
    return [one for cookie in found for name, one in cookie.items() if name.endswith(COOKIE)]


def csrf_token_of(world: World, stranger: Stranger) -> str:
    """As the context tells it, which would claim the code."""
    approval = world.services.approval_seal.unseal(stranger.browser.cookies[COOKIE])
    assert approval is not None
    return approval.csrf_token


class TestRoutes:
    def test_sso_has_its_four_routes_and_one_to_deny(self, corp: World) -> None:
        told = {}
        for path in (SSO_INITIATE, SSO_COMPLETE, APPROVAL_CONTEXT, APPROVE_EXTERNAL, DENY_EXTERNAL):
            allowed = corp.browser().request(path, method="DELETE", status=405).headers["Allow"]
            told[path.rpartition("/")[2]] = {*allowed.split(", ")} & {"GET", "POST"}
        assert told == {
            "sso-initiate": {"GET", "POST"},
            "sso-complete": {"GET"},
            "approval-context": {"GET"},
            "approve-external": {"POST"},
            "deny-external": {"POST"},
        }

    def test_the_provider_comes_back_to_the_path_of_the_original(self, corp: World, provider: ScriptedProvider) -> None:
        device, ada = corp.device().ask(), Stranger(corp)
        assert provider.sign_in(ada.leave(device.user_code)).startswith("/openapi/v1/oauth/device/sso-complete?")
        assert provider.asked["redirect_uri"] == "http://localhost/openapi/v1/oauth/device/sso-complete"


class TestTheWayOut:
    def test_a_code_with_spaces_leads_to_the_provider_and_clears_the_cookie(
        self, corp: World, provider: ScriptedProvider
    ) -> None:
        device = corp.device().ask()
        ada = Stranger(corp).sign_in(provider, device.user_code)
        typed = f"  {device.user_code.lower().replace('-', ' ')} "
        answer = ada.browser.get(SSO_INITIATE, {"user_code": typed}, status=302)
        assert answer.headers["Location"].startswith(f"{provider.url}/authorize?")
        assert [(one["path"], one["max-age"], one.value) for one in cookies_of(answer)] == [
            (f"{API}/oauth/device", "0", ""),
            ("/device", "0", ""),
            ("/logout", "0", ""),
        ]
        ada.browser.get(APPROVAL_CONTEXT, status=401)

    @pytest.mark.parametrize("user_code", [None, "", "  ", "BCDF-GHJK"])
    def test_a_code_that_is_none_reaches_nothing(
        self, corp: World, provider: ScriptedProvider, user_code: str | None
    ) -> None:
        query = {} if user_code is None else {"user_code": user_code}
        answer = corp.browser().get(SSO_INITIATE, query, status=400)
        assert answer.json["error"] == "invalid_user_code"
        assert provider.paths == []
        assert "Set-Cookie" not in answer.headers

    def test_a_provider_that_is_away_is_502(self, corp: World, provider: ScriptedProvider) -> None:
        device, provider.down = corp.device().ask(), True
        answer = corp.browser().get(SSO_INITIATE, {"user_code": device.user_code}, status=502)
        assert answer.json["error"] == "sso_initiate_failed"
        assert "Set-Cookie" not in answer.headers

    @pytest.mark.parametrize("reply", [{}, {"url": ""}, {"url": 5}, {"url": None}, {"url": "javascript:alert()"}])
    def test_a_broker_that_tells_no_address_is_502(
        self, brokered: World, broker: ScriptedBroker, reply: dict[str, Any]
    ) -> None:
        device, broker.reply = brokered.device().ask(), reply
        answer = brokered.browser().get(SSO_INITIATE, {"user_code": device.user_code}, status=502)
        assert answer.json["error"] == "sso_initiate_failed"

    def test_a_server_without_an_address_does_not_start(self, make: WorldMaker) -> None:
        with pytest.raises(SettingsError, match=r"oauthdevice\.public_url: must be set"):
            make(edition="enterprise", public_url="")

    def test_the_host_header_has_no_say(self, corp: World, brokered: World, broker: ScriptedBroker) -> None:
        for world in (corp, brokered):
            headers = {"Host": "evil.example", "X-Forwarded-Host": "evil.example"}
            query = {"user_code": world.device().ask().user_code}
            location = world.browser().get(SSO_INITIATE, query, headers=headers, status=302).headers["Location"]
            assert "evil" not in location
        assert broker.states[-1]["idp_callback_url"] == f"http://localhost{SSO_COMPLETE}"
        assert broker.states[-1]["intent"] == "device_flow"


class TestTheWayBack:
    def test_of_success(self, make: WorldMaker, tmp_path: Path, provider: ScriptedProvider) -> None:
        ini = tmp_path / "corp.ini"
        ini.write_text(f"[sso:corp]\nissuer = {provider.url}\nclient_id = {CLIENT_ID}\n")
        world = make(edition="enterprise", ini_file=str(ini), public_url=HTTPS)
        ada = Stranger(world)
        answer = ada.come_back(provider.sign_in(ada.leave(world.device().ask().user_code)))
        assert answer.headers["Location"] == f"{HTTPS}/device?sso_verified=1"
        assert len(cookies_of(answer)) == 3
        for one, path in zip(cookies_of(answer), (f"{API}/oauth/device", "/device", "/logout"), strict=True):
            told = {name: one[name] for name in ("path", "max-age", "httponly", "secure", "samesite")}
            assert told == {"path": path, "max-age": "300", "httponly": True, "secure": True, "samesite": "Lax"}
            assert one.key == "__Secure-oauthdevice_approval"
            assert "ada" not in one.value

    @pytest.mark.parametrize(
        "changed",
        [
            {"state": "unknown"},
            {"state": None},
            {"code": None},
            {"code": "unknown"},
            {"code": None, "error": "dify_secret_detail"},
            {"iss": "https://evil.example"},
            {"iss": None},
        ],
        ids=str,
    )
    def test_of_failure(self, corp: World, provider: ScriptedProvider, changed: dict[str, str | None]) -> None:
        ada = Stranger(corp)
        answer = ada.come_back(provider.sign_in(ada.leave(corp.device().ask().user_code), **changed))
        assert answer.headers["Location"] == FAILED
        assert cookies_of(answer) == []
        assert not any(word in answer.text for word in ("detail", "evil", "unknown"))

    def test_of_a_person_who_went_back(self, corp: World, provider: ScriptedProvider) -> None:
        ada = Stranger(corp)
        callback = provider.sign_in(ada.leave(corp.device().ask().user_code), code=None, error="access_denied")
        assert ada.come_back(callback).headers["Location"] == "http://localhost/device?sso_error=sso_cancelled"

    @pytest.mark.parametrize("changed", [{}, {"email": None}, {"email": ""}, {"issuer": ""}, {"issuer": None}], ids=str)
    def test_of_an_assertion(self, brokered: World, broker: ScriptedBroker, changed: dict[str, Any]) -> None:
        ada = Stranger(brokered)
        assert ada.leave(brokered.device().ask().user_code) == f"{broker.url}/login"
        answer = ada.come_back(f"{SSO_COMPLETE}?sso_assertion={broker.assertion(broker.claims(**changed))}")
        assert answer.headers["Location"] == (FAILED if changed else "http://localhost/device?sso_verified=1")
        assert bool(cookies_of(answer)) is not bool(changed)

    def test_of_an_assertion_for_another_sign_in(self, brokered: World, broker: ScriptedBroker) -> None:
        ada, device = Stranger(brokered), brokered.device().ask()
        ada.leave(device.user_code)
        for nonce in ("x", None):
            assertion = broker.assertion(broker.claims(nonce=nonce))
            assert ada.come_back(f"{SSO_COMPLETE}?sso_assertion={assertion}").headers["Location"] == FAILED
        # Neither was an answer to our state, which is still good, once.
        callback = f"{SSO_COMPLETE}?sso_assertion={broker.assertion()}"
        assert ada.come_back(callback).headers["Location"].endswith("?sso_verified=1")
        assert ada.come_back(callback).headers["Location"] == FAILED


class TestTheApproval:
    def test_its_context_has_the_members_of_the_original_and_those_of_the_page(
        self, corp: World, provider: ScriptedProvider
    ) -> None:
        device = corp.device().ask(device_label="laptop")
        ada = Stranger(corp).sign_in(provider, device.user_code)
        told = ada.context()
        assert ada.context()["csrf_token"] == told["csrf_token"]
        assert told["expires_at"].endswith("Z")
        assert {name: told[name] for name in ("subject_email", "subject_issuer", "user_code")} == {
            "subject_email": ADA["email"],
            "subject_issuer": provider.url,
            "user_code": device.user_code,
        }
        assert told.keys() > {"csrf_token", "client_name", "device_label", "scopes", "address", "issued_at"}

    @pytest.mark.parametrize("cookie", [None, "", "nonsense", "{}", "forged", "cut"])
    def test_one_that_is_not_ours_is_none(self, corp: World, provider: ScriptedProvider, cookie: str | None) -> None:
        device = corp.device().ask()
        held = Stranger(corp).sign_in(provider, device.user_code).browser.cookies[COOKIE]
        forged = Fernet(Fernet.generate_key()).encrypt(b'{"csrf_token": "x"}').decode()
        value = {"forged": forged, "cut": held[:-2]}.get(str(cookie), cookie)
        headers = {"X-CSRF-Token": "x", **({} if value is None else {"Cookie": f"{COOKIE}={value}"})}
        told = corp.browser().get(APPROVAL_CONTEXT, headers=headers, status=401)
        assert told.json["error"] == "no_session"
        for path in (APPROVE_EXTERNAL, DENY_EXTERNAL):
            answer = corp.browser().post_json(path, {"user_code": device.user_code}, headers=headers, status=401)
            assert answer.json["error"] == "invalid_session"
            assert "Set-Cookie" not in answer.headers

    def test_it_is_over_after_five_minutes(self, corp: World, provider: ScriptedProvider) -> None:
        device = corp.device().ask()
        ada = Stranger(corp).sign_in(provider, device.user_code)
        token, held = csrf_token_of(corp, ada), ada.browser.cookies[COOKIE]
        corp.clock.pass_seconds(301)
        headers = {"X-CSRF-Token": token, "Cookie": f"{COOKIE}={held}"}
        answer = corp.browser().post(APPROVE_EXTERNAL, {"user_code": device.user_code}, headers=headers, status=401)
        assert answer.json["error"] == "invalid_session"

    def test_the_decision_takes_cookie_and_header_alone(self, corp: World, provider: ScriptedProvider) -> None:
        device = corp.device().ask()
        ada = Stranger(corp).sign_in(provider, device.user_code)
        fakes = {"subject_email": "eve@corp.example", "subject_issuer": "https://evil.example", "csrf_token": "x"}
        body = {"user_code": device.user_code, **fakes}
        assert ada.browser.post_json(APPROVE_EXTERNAL, body, status=403).json["error"] == "csrf_mismatch"
        headers = {"X-CSRF-Token": ada.context()["csrf_token"]}
        answer = ada.browser.post_json(APPROVE_EXTERNAL, body, headers=headers, status=200)
        assert answer.json == {"status": "approved"}
        assert {one["max-age"] for one in cookies_of(answer)} == {"0"}
        told = device.poll().json
        assert (told["subject_email"], told["subject_issuer"]) == (ADA["email"], provider.url)

    def test_the_csrf_token_is_compared_in_constant_time(
        self, corp: World, provider: ScriptedProvider, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        device = corp.device().ask()
        ada = Stranger(corp).sign_in(provider, device.user_code)
        token = csrf_token_of(corp, ada)
        asked = []
        monkeypatch.setattr("oauthdevice.sso_cookies.hmac.compare_digest", lambda *texts: bool(asked.append(texts)))
        assert ada.decide(APPROVE_EXTERNAL, device.user_code, token).status_int == 403
        assert asked == [(token.encode(), token.encode())]


class TestErrorsOfTheDecision:
    """Each in JSON, and none takes the approval away."""

    @pytest.mark.parametrize("path", [APPROVE_EXTERNAL, DENY_EXTERNAL])
    def test_each_keeps_the_cookie_and_tells_nothing_of_it(
        self, corp: World, provider: ScriptedProvider, path: str
    ) -> None:
        device, other = corp.device().ask(), corp.device().ask()
        ada = Stranger(corp).sign_in(provider, device.user_code)
        token, held = csrf_token_of(corp, ada), ada.browser.cookies[COOKIE]
        answers = [
            ada.decide(path, device.user_code, "wrong"),
            ada.decide(path, other.user_code, token),
            ada.decide(path, "", token),
        ]
        assert [(one.status_int, one.json["error"]) for one in answers] == [
            (403, "csrf_mismatch"),
            (400, "user_code_mismatch"),
            (400, "invalid_request"),
        ]
        for answer in answers:
            assert "Set-Cookie" not in answer.headers
            assert held not in answer.text
            assert answer.json.keys() == {"error", "error_description"}
        assert ada.decide(path, device.user_code, token).status_int == 200

    @pytest.mark.parametrize("body", [b"{}", b"[]", b"{"])
    def test_a_bad_body_is_400_and_moves_nothing(self, corp: World, provider: ScriptedProvider, body: bytes) -> None:
        device = corp.device().ask()
        ada = Stranger(corp).sign_in(provider, device.user_code)
        token = csrf_token_of(corp, ada)
        headers = {"Content-Type": "application/json", "X-CSRF-Token": token}
        assert ada.browser.post(APPROVE_EXTERNAL, body, headers=headers, status=400).json["error"] == "invalid_request"
        assert ada.decide(APPROVE_EXTERNAL, device.user_code, token).status_int == 200

    def test_a_code_that_is_decided_or_gone(self, corp: World, provider: ScriptedProvider) -> None:
        device = corp.device().ask()
        ada, again, late = (Stranger(corp).sign_in(provider, device.user_code) for _ in range(3))
        tokens = {one: csrf_token_of(corp, one) for one in (ada, again, late)}
        held = ada.browser.cookies[COOKIE]
        assert ada.decide(APPROVE_EXTERNAL, device.user_code, tokens[ada]).status_int == 200
        headers = {"X-CSRF-Token": tokens[ada], "Cookie": f"{COOKIE}={held}"}
        body = {"user_code": device.user_code}
        spent = corp.browser().post_json(APPROVE_EXTERNAL, body, headers=headers, status=401)
        assert spent.json["error"] == "session_already_consumed"
        answer = again.decide(APPROVE_EXTERNAL, device.user_code, tokens[again])
        assert (answer.status_int, answer.json["error"]) == (409, "user_code_not_pending")
        corp.redis.flushall()
        answer = late.decide(APPROVE_EXTERNAL, device.user_code, tokens[late])
        assert (answer.status_int, answer.json["error"]) == (404, "user_code_not_pending")

    def test_an_email_that_belongs_to_an_account(self, corp: World, provider: ScriptedProvider) -> None:
        device = corp.device().ask()
        ada = Stranger(corp).sign_in(provider, device.user_code)
        token = csrf_token_of(corp, ada)
        corp.person(str(ADA["email"]).upper())
        answer = ada.decide(APPROVE_EXTERNAL, device.user_code, token)
        assert (answer.status_int, answer.json["error"]) == (403, "email_belongs_to_account")
        callback = provider.sign_in(ada.leave(device.user_code))
        assert ada.come_back(callback).headers["Location"].endswith("/device?sso_error=email_belongs_to_account")

    def test_an_outage_is_503_and_the_same_request_may_be_sent_again(
        self, make: WorldMaker, tmp_path: Path, provider: ScriptedProvider, own_redis_server: RedisServer
    ) -> None:
        ini = tmp_path / "corp.ini"
        ini.write_text(f"[sso:corp]\nissuer = {provider.url}\nclient_id = {CLIENT_ID}\n")
        world = make(edition="enterprise", ini_file=str(ini), redis_url=own_redis_server.url)
        device = world.device().ask()
        ada = Stranger(world).sign_in(provider, device.user_code)
        token = csrf_token_of(world, ada)
        own_redis_server.stop()
        answer = ada.decide(APPROVE_EXTERNAL, device.user_code, token)
        assert (answer.status_int, answer.json["error"]) == (503, "temporarily_unavailable")
        assert "Set-Cookie" not in answer.headers

    def test_ten_decisions_an_hour_for_each_email(self, corp: World, provider: ScriptedProvider) -> None:
        assert DEFAULT_LIMITS["approve_external"] == Limit("approve_external", 10, 3600)
        answers = []
        for number in range(11):
            device = corp.device().ask()
            provider.person = {**ADA, "email": ADA["email"].upper() if number % 2 else ADA["email"]}
            ada = Stranger(corp).sign_in(provider, device.user_code)
            answers.append(ada.decide(APPROVE_EXTERNAL, device.user_code))
        assert [one.status_int for one in answers] == [200] * 10 + [429]
        assert answers[-1].json["error"] == "rate_limited"
        assert "Set-Cookie" not in answers[-1].headers

    def test_a_decision_spends_its_own_approval_and_no_other(self, corp: World, provider: ScriptedProvider) -> None:
        one, other = corp.device().ask(), corp.device().ask()
        ada, bob = Stranger(corp).sign_in(provider, one.user_code), Stranger(corp).sign_in(provider, other.user_code)
        # A decision that does not count spends nothing.
        assert ada.decide(APPROVE_EXTERNAL, other.user_code).json["error"] == "user_code_mismatch"
        assert ada.decide(APPROVE_EXTERNAL, one.user_code).json == {"status": "approved"}
        assert bob.decide(DENY_EXTERNAL, other.user_code).json == {"status": "denied"}


class TestApprovalsAtOnce:
    def test_exactly_one_counts(self, corp: World, provider: ScriptedProvider) -> None:
        device = corp.device().ask()
        same = Stranger(corp).sign_in(provider, device.user_code)
        others = [Stranger(corp).sign_in(provider, device.user_code) for _ in range(3)]
        held = {one: (one.browser.cookies[COOKIE], csrf_token_of(corp, one)) for one in (same, *others)}

        def decide(held: tuple[str, str]) -> TestResponse:
            headers = {"Cookie": f"{COOKIE}={held[0]}", "X-CSRF-Token": held[1]}
            body = {"user_code": device.user_code}
            return corp.browser().post_json(APPROVE_EXTERNAL, body, headers=headers, status="*")

        with ThreadPoolExecutor(8) as threads:
            answers = list(threads.map(decide, [held[one] for one in (same, same, *others, *others)]))
        assert sorted({one.status_int for one in answers}) == [200, 401, 409]
        assert [one.status_int for one in answers].count(200) == 1
        told = {one.json.get("error", "") for one in answers}
        assert told == {"", "session_already_consumed", "user_code_not_pending"}


class TestThePages:
    def test_a_code_that_nobody_knows_is_told_where_another_can_be_typed(self, corp: World) -> None:
        form = corp.browser().get("/device").form
        form["user_code"] = "BCDF-GHJK"
        page = form.submit(status=404)
        assert page.html.find(role="alert") is not None
        assert page.form["user_code"].value == "BCDF-GHJK"

    def test_too_many_tries_are_told_with_a_way_on(self, make: WorldMaker) -> None:
        world = make(**{"limit.lookup": "1/hour"})
        browser = world.browser()
        browser.get(LOOKUP, {"user_code": "BCDF-GHJK"})
        form = browser.get("/device").form
        form["user_code"] = "BCDF-GHJK"
        page = form.submit(status=429)
        assert page.html.h1.text == "Too many tries"
        assert "Retry-After" in page.headers
        assert page.html.find("a", class_="button").text == "Try again"

    def test_trouble_of_the_server_is_told_with_a_way_on(self, make: WorldMaker, own_redis_server: RedisServer) -> None:
        world = make(redis_url=own_redis_server.url)
        browser = world.browser()
        user_code = browser.post(CODE, {"client_id": "difyctl"}).json["user_code"]
        form = browser.get("/device").form
        form["user_code"] = user_code
        own_redis_server.stop()
        page = form.submit(status=503)
        assert page.html.h1.text == "The server has trouble"
        assert page.html.find("a", class_="button").text == "Try again"

    @pytest.mark.parametrize(
        ("code", "heading"),
        [
            ("sso_failed", "The sign-in did not work"),
            ("sso_cancelled", "You cancelled the sign-in"),
            ("email_belongs_to_account", "Sign in with your account here"),
            ("user_code_not_pending", "This code is no longer waiting"),
            ("<script>", "The sign-in did not work"),
        ],
    )
    def test_a_sign_in_that_failed_is_told_in_words(self, corp: World, code: str, heading: str) -> None:
        page = corp.browser().get("/device", {"sso_error": code}, status="4*")
        assert page.html.h1.text == heading
        assert page.html.find("a", class_="button") is not None
        assert "<script>" not in page.text
