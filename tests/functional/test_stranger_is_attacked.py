"""A stranger's sign-in under attack: callbacks replayed, planted and forged, headers that lie, open redirects."""

import re
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from webtest import TestResponse

from ..factories import APPROVAL_CONTEXT, APPROVE_EXTERNAL, SSO_COMPLETE, SSO_INITIATE, Stranger, World
from ..scripted_providers import CLIENT_ID, CLIENT_SECRET, ScriptedProvider

VERIFIED = "http://localhost/device?sso_verified=1"
REFUSALS = {
    f"http://localhost/device?sso_error={code}"
    for code in ("sso_failed", "sso_cancelled", "email_belongs_to_account", "user_code_not_pending")
}
EVIL = "https://evil.example"
LYING = {
    "Host": "evil.example",
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Proto": "ftp",
    "X-Forwarded-Prefix": "/evil.example",
    "X-Original-URL": "//evil.example/",
    "Forwarded": "host=evil.example;proto=ftp",
    "Referer": f"{EVIL}/",
}


def assert_tells_nothing(answer: TestResponse, *secrets: str) -> None:
    """No cookie, and nothing of what came in or of whom it is about."""
    assert "Set-Cookie" not in answer.headers
    told = f"{answer.headers!r} {answer.text}"
    for secret in ("ada-1", "ada@corp.example", *secrets):
        assert secret not in told


def assert_refused(answer: TestResponse, code: str = "sso_failed") -> None:
    """Back to the page with a code and with nothing of what was brought."""
    assert answer.status_int == 302
    assert answer.headers["Location"] == f"http://localhost/device?sso_error={code}"
    brought = [value for _, value in parse_qsl(urlsplit(answer.request.url).query, encoding="latin-1")]
    assert_tells_nothing(answer, *[value for value in brought if len(value) > 5 and value != code])


def changed(callback: str, **parameters: str | None) -> str:
    """A callback with other parameters; None takes one away."""
    path, _, query = callback.partition("?")
    told = {**dict(parse_qsl(query)), **parameters}
    return f"{path}?{urlencode({name: value for name, value in told.items() if value is not None})}"


def waits(world: World, user_code: str) -> bool:
    return bool(world.services.approvals.lookup(user_code, "203.0.113.9").valid)


@pytest.fixture
def user_code(corp: World) -> str:
    return corp.device().ask().user_code


@pytest.fixture
def ada(corp: World) -> Stranger:
    return Stranger(corp)


class TestACallback:
    def test_serves_once(self, provider: ScriptedProvider, ada: Stranger, user_code: str) -> None:
        provider.codes_last = True
        callback = provider.sign_in(ada.leave(user_code))
        assert ada.come_back(callback).headers["Location"] == VERIFIED
        approval = ada.approval
        assert_refused(ada.come_back(callback))
        assert provider.paths.count("/token") == 1
        # The approval that it gave is not touched.
        assert ada.approval == approval
        assert ada.decide(APPROVE_EXTERNAL, user_code).json == {"status": "approved"}
        assert_refused(ada.come_back(callback))

    def test_without_our_cookie_completes_nothing(
        self, corp: World, provider: ScriptedProvider, ada: Stranger, user_code: str
    ) -> None:
        """The attacker's own sign-in, planted in the browser of a victim (RFC 9700 §4.7)."""
        callback, victim = provider.sign_in(ada.leave(user_code)), Stranger(corp)
        assert_refused(victim.come_back(callback))
        assert victim.approval == ""
        assert "/token" not in provider.paths
        # And whoever plants it does not spend it.
        assert ada.come_back(callback).headers["Location"] == VERIFIED

    def test_with_the_cookie_of_another_sign_in_completes_nothing(
        self, corp: World, provider: ScriptedProvider, ada: Stranger, user_code: str
    ) -> None:
        callback, victim = provider.sign_in(ada.leave(user_code)), Stranger(corp)
        own = provider.sign_in(victim.leave(corp.device().ask().user_code))
        assert_refused(victim.come_back(callback))
        assert victim.approval == ""
        assert victim.come_back(own).headers["Location"] == VERIFIED
        assert ada.come_back(callback).headers["Location"] == VERIFIED

    @pytest.mark.parametrize("cookie", ["", "x", "\xc3\xa9", "\xff\xfe", "a" * 5000, '"', "=;", "\u00e9" * 43])
    def test_with_a_malformed_cookie_completes_nothing(
        self, corp: World, provider: ScriptedProvider, ada: Stranger, user_code: str, cookie: str
    ) -> None:
        callback = provider.sign_in(ada.leave(user_code))
        environ = {"HTTP_COOKIE": f"oauthdevice_sso={cookie}"}
        assert_refused(corp.browser().get(callback, extra_environ=environ, status=302))

    def test_with_the_code_of_another_handshake_of_the_same_browser_completes_nothing(
        self, corp: World, provider: ScriptedProvider, ada: Stranger, user_code: str
    ) -> None:
        other = corp.device().ask().user_code
        first, second = provider.sign_in(ada.leave(user_code)), provider.sign_in(ada.leave(other))
        code = dict(parse_qsl(urlsplit(second).query))["code"]
        assert_refused(ada.come_back(changed(first, code=code)))
        assert ada.approval == ""

    def test_is_for_the_code_that_its_state_was_made_for(
        self, corp: World, provider: ScriptedProvider, ada: Stranger, user_code: str
    ) -> None:
        other = corp.device().ask().user_code
        first = provider.sign_in(ada.leave(user_code))
        provider.sign_in(ada.leave(other))
        ada.come_back(changed(first, user_code=other))
        assert ada.context()["user_code"] == user_code
        answer = ada.decide(APPROVE_EXTERNAL, other)
        assert (answer.status_int, answer.json["error"]) == (400, "user_code_mismatch")
        assert waits(corp, other)

    @pytest.mark.parametrize(
        "state", [None, "", "unknown", "a" * 43, "a" * 256, "a" * 257, "a" * 5000, "\u00e9" * 43, "\x00", " ", "*"]
    )
    def test_without_its_state_completes_nothing(
        self, provider: ScriptedProvider, ada: Stranger, user_code: str, state: str | None
    ) -> None:
        callback = provider.sign_in(ada.leave(user_code))
        assert_refused(ada.come_back(changed(callback, state=state)))
        assert "/token" not in provider.paths
        assert ada.come_back(callback).headers["Location"] == VERIFIED

    def test_with_its_state_twice_or_in_another_case_completes_nothing(
        self, provider: ScriptedProvider, ada: Stranger, user_code: str
    ) -> None:
        callback = provider.sign_in(ada.leave(user_code))
        state = provider.asked["state"]
        assert_refused(ada.come_back(f"{callback}&state={state}"))
        assert_refused(ada.come_back(changed(callback, state=state.swapcase())))
        assert_refused(ada.come_back(changed(callback, state=state + " ")))
        assert ada.come_back(callback).headers["Location"] == VERIFIED

    def test_serves_for_fifteen_minutes(self, corp: World, provider: ScriptedProvider, ada: Stranger) -> None:
        device = corp.device().ask()
        late, timely = provider.sign_in(ada.leave(device.user_code)), corp.device()
        corp.clock.pass_seconds(10)
        timely.ask()
        callback = provider.sign_in(ada.leave(timely.user_code))
        now = int(time.time())
        provider.claims = {"iat": now, "exp": now + 3600}
        corp.clock.pass_seconds(889)
        assert ada.come_back(callback).headers["Location"] == VERIFIED
        corp.clock.pass_seconds(1)
        assert_refused(ada.come_back(late))

    def test_of_a_code_that_was_decided_meanwhile_completes_nothing(
        self, corp: World, provider: ScriptedProvider, ada: Stranger
    ) -> None:
        device = corp.device().ask()
        callback = provider.sign_in(ada.leave(device.user_code))
        corp.person().deny(device.user_code)
        assert_refused(ada.come_back(callback), "user_code_not_pending")
        assert ada.approval == ""

    @pytest.mark.parametrize("name", ["corp", "other", "..", "corp%00", "%C3%A9"])
    def test_at_the_callback_of_another_provider_completes_nothing(
        self, provider: ScriptedProvider, ada: Stranger, user_code: str, name: str
    ) -> None:
        callback = provider.sign_in(ada.leave(user_code))
        answer = ada.browser.get(callback.replace("sso-complete", f"sso-complete/{name}"), status="*")
        assert_refused(answer)
        assert ada.approval == ""
        assert "/token" not in provider.paths


class TestAnErrorOfTheProvider:
    def test_that_the_person_went_back_is_told_so(
        self, provider: ScriptedProvider, ada: Stranger, user_code: str
    ) -> None:
        location = ada.leave(user_code)
        callback = provider.sign_in(location, code=None, error="access_denied", error_description="zqjxk")
        assert_refused(ada.come_back(callback), "sso_cancelled")
        # That was the end of this handshake.
        assert_refused(ada.come_back(provider.sign_in(location)))

    @pytest.mark.parametrize(
        "error",
        [
            "server_error",
            "login_required",
            "ACCESS_DENIED",
            "access_denied ",
            "email_belongs_to_account",
            "user_code_not_pending",
            "<script>alert(1)</script>",
            f"x&sso_verified=1#{EVIL}",
            "\r\nLocation: https://evil.example",
            "x" * 129,
        ],
    )
    def test_that_is_another_is_never_echoed(
        self, provider: ScriptedProvider, ada: Stranger, user_code: str, error: str
    ) -> None:
        callback = provider.sign_in(
            ada.leave(user_code), code=None, error=error, error_description="zqjxk-text", error_uri=f"{EVIL}/why"
        )
        assert_refused(ada.come_back(callback))
        assert ada.approval == ""

    def test_beside_a_code_is_an_error(self, provider: ScriptedProvider, ada: Stranger, user_code: str) -> None:
        assert_refused(ada.come_back(provider.sign_in(ada.leave(user_code), error="server_error")))
        assert "/token" not in provider.paths

    @pytest.mark.parametrize("state", [None, "a" * 43])
    def test_without_a_handshake_says_nothing(self, ada: Stranger, state: str | None) -> None:
        """A link anywhere must not tell people that they cancelled something."""
        assert_refused(ada.come_back(changed(SSO_COMPLETE, error="access_denied", state=state)))


class TestAddresses:
    """Built from `public_url`; no header and no parameter has a say (PARITY.md §9, 42)."""

    def test_no_header_moves_them(self, corp: World, provider: ScriptedProvider, user_code: str) -> None:
        browser = corp.browser()
        answer = browser.get(SSO_INITIATE, {"user_code": user_code}, headers=LYING, status=302)
        there = urlsplit(answer.headers["Location"])
        assert f"{there.scheme}://{there.netloc}{there.path}" == f"{provider.url}/authorize"
        assert dict(parse_qsl(there.query))["redirect_uri"] == f"http://localhost{SSO_COMPLETE}"
        assert "evil.example" not in f"{answer.headers!r}{answer.text}"
        callback = provider.sign_in(answer.headers["Location"])
        lied = browser.get(SSO_COMPLETE, headers=LYING, status=302)
        assert lied.headers["Location"] == "http://localhost/device?sso_error=sso_failed"
        answer = browser.get(callback, headers=LYING, status=302)
        assert answer.headers["Location"] == VERIFIED
        assert "evil.example" not in f"{answer.headers!r}{answer.text}{lied.headers!r}{lied.text}"
        assert not [one for one in answer.headers.getall("Set-Cookie") if "domain" in one.lower()]

    def test_no_parameter_moves_them(self, provider: ScriptedProvider, ada: Stranger, user_code: str) -> None:
        names = ("next", "return_to", "redirect_uri", "redirect_url", "url", "idp_callback_url", "came_from", "issuer")
        evil = {**dict.fromkeys(names, EVIL), "login_hint": "evil.example", "prompt": "evil.example"}
        location = ada.leave(user_code, **evil)
        assert "evil.example" not in location
        assert dict(parse_qsl(urlsplit(location).query))["redirect_uri"] == f"http://localhost{SSO_COMPLETE}"
        answer = ada.come_back(changed(provider.sign_in(location), **evil))
        assert answer.headers["Location"] == VERIFIED
        assert "evil.example" not in f"{answer.headers!r}{answer.text}"
        assert_refused(ada.come_back(changed(SSO_COMPLETE, **evil, sso_verified="1", sso_error="evil.example")))

    @pytest.mark.parametrize("name", ["unknown", "corp\n", "CORP", EVIL, "\u00e9", "x" * 33])
    def test_only_a_declared_provider_is_gone_to(self, ada: Stranger, user_code: str, name: str) -> None:
        answer = ada.browser.get(SSO_INITIATE, {"user_code": user_code, "provider": name}, status=400)
        assert answer.json["error"] == "invalid_request"
        assert_tells_nothing(answer, user_code)
        assert "evil.example" not in answer.text


class TestSSOInitiate:
    @pytest.mark.parametrize("user_code", ["", "BCDF-GHJK", "nonsense", "\u00e9", "\x00", "B" * 64])
    def test_of_a_code_that_does_not_wait_goes_nowhere(
        self, corp: World, provider: ScriptedProvider, ada: Stranger, user_code: str
    ) -> None:
        for answer in (
            ada.browser.get(SSO_INITIATE, {"user_code": user_code}, status=400),
            ada.browser.post(SSO_INITIATE, {"user_code": user_code}, status=400),
        ):
            assert answer.json == {
                "error": "invalid_user_code",
                "error_description": "The user_code is unknown, has expired or was already decided.",
            }
            assert "Set-Cookie" not in answer.headers
        assert provider.paths == []
        assert not list(corp.redis.scan_iter("*handshake*"))

    @pytest.mark.parametrize("cookie", ["\xc3\xa9" * 21, "\xff", "x", "a" * 5000, ""])
    def test_takes_any_cookie_for_what_it_is(self, corp: World, user_code: str, cookie: str) -> None:
        environ = {"HTTP_COOKIE": f"oauthdevice_sso={cookie}; oauthdevice_approval={cookie}"}
        answer = corp.browser().get(SSO_INITIATE, {"user_code": user_code}, extra_environ=environ, status="*")
        assert answer.status_int == 302

    def test_takes_a_stale_approval_away(self, corp: World, provider: ScriptedProvider, ada: Stranger) -> None:
        ada.sign_in(provider, corp.device().ask().user_code)
        assert ada.approval
        ada.leave(corp.device().ask().user_code)
        assert ada.approval == ""
        assert ada.browser.get(APPROVAL_CONTEXT, status=401).json["error"] == "no_session"

    def test_sets_cookies_that_only_this_server_reads(
        self, make: Any, provider: ScriptedProvider, tmp_path: Any
    ) -> None:
        ini = tmp_path / "https.ini"
        ini.write_text(
            f"[sso:corp]\nissuer = {provider.url}\nclient_id = {CLIENT_ID}\nclient_secret = {CLIENT_SECRET}\n"
        )
        world = make(edition="enterprise", ini_file=str(ini), public_url="https://login.example.com")
        user_code, browser = world.device().ask().user_code, world.browser()
        answer = browser.get(SSO_INITIATE, {"user_code": user_code}, status=302)
        (marked,) = [one for one in answer.headers.getall("Set-Cookie") if "oauthdevice_sso" in one]
        assert re.fullmatch(
            r"__Host-oauthdevice_sso=[\w-]{43}; Max-Age=900; Path=/; expires=[^;]+; secure; HttpOnly; SameSite=Lax",
            marked,
        )
        answer = browser.get(provider.sign_in(answer.headers["Location"]), status=302)
        given_for = set()
        for one in answer.headers.getall("Set-Cookie"):
            found = re.fullmatch(
                r"__Secure-oauthdevice_approval=[^;]+; Max-Age=300; Path=([^;]+); expires=[^;]+; "
                r"secure; HttpOnly; SameSite=Lax",
                one,
            )
            assert found is not None
            given_for.add(found[1])
        assert given_for == {"/openapi/v1/oauth/device", "/device", "/logout"}


def queries() -> Iterator[Any]:
    """Parameters that a callback may have, and what nobody would send."""
    names = st.sampled_from(["state", "code", "error", "iss", "sso_assertion", "user_code", "provider", "x"])
    values = st.one_of(st.text(max_size=40), st.binary(max_size=40), st.sampled_from(["access_denied", "a.b.c", ".."]))
    return st.lists(st.tuples(names, values), max_size=6)


def test_whatever_comes_in_the_browser_is_sent_to_the_page(corp: World, ada: Stranger, user_code: str) -> None:
    ada.leave(user_code)

    @settings(max_examples=300, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
    @given(query=st.one_of(queries().map(urlencode), st.text(st.characters(codec="latin-1", min_codepoint=33))))
    def every(query: str) -> None:
        answer = ada.browser.get(SSO_COMPLETE, extra_environ={"QUERY_STRING": query}, status="*")
        assert (answer.status_int, answer.headers.get("Location") in REFUSALS) == (302, True)
        assert "Set-Cookie" not in answer.headers

    every()
