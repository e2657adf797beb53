"""Every answer carries the headers of DESIGN.md §6, cookies keep their promises, a fault of ours tells nothing."""

import logging
import re
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urlsplit

import pytest
from webtest import TestApp, TestResponse

from ..conftest import WorldMaker
from ..factories import API, APPROVE, CODE, DENY, LOOKUP, TOKEN, World

ACCOUNT, METADATA = f"{API}/account", "/.well-known/oauth-authorization-server"
HSTS = "Strict-Transport-Security"
HTTPS = "https://login.example.com"


def page_of(status: int, method: str, path: str, **options: Any) -> Callable[[World], TestResponse]:
    return lambda world: _send(world, status, method, path, **options)


def _send(world: World, status: int, method: str, path: str, body: bytes = b"", kind: str = "") -> TestResponse:
    headers = {"Content-Type": kind} if kind else {}
    answer = world.browser().request(path, method=method, body=body, headers=headers, expect_errors=True)
    assert answer.status_int == status
    return answer


def limited(world: World) -> TestResponse:
    world.device().ask()
    return world.browser().post(CODE, {"client_id": "difyctl"}, status=429)


def limited_page(world: World) -> TestResponse:
    browser = world.browser()
    form = browser.get("/device").form
    form["user_code"] = "BCDF-GHJK"
    form.submit(status=404)
    return form.submit(status=429)


def redirect(world: World) -> TestResponse:
    return world.browser().get("/", status=303)


def redirect_after_a_form(world: World) -> TestResponse:
    form = world.browser().get("/device").form
    form["user_code"] = world.device().ask().user_code
    return form.submit(status=303)


def token_answer(world: World) -> TestResponse:
    device = world.device().ask()
    world.person().allow(device.user_code)
    answer = device.poll()
    assert answer.status_int == 200
    return answer


def account_answer(world: World) -> TestResponse:
    return world.device().account(token_answer(world).json["access_token"])


def consent_page(world: World) -> TestResponse:
    page = world.person().sign_in().open(world.device().ask().user_code)
    assert page.request.path == "/device/consent"
    return page


def approved_page(world: World) -> TestResponse:
    return world.person().allow(world.device().ask().user_code)


def denied_page(world: World) -> TestResponse:
    return world.person().deny(world.device().ask().user_code)


def used_code_page(world: World) -> TestResponse:
    code = world.device().ask().user_code
    world.person().allow(code)
    answer = world.person().sign_in().open(code)
    assert answer.status_int == 409
    return answer


def wrong_code_page(world: World) -> TestResponse:
    answer = world.person().open("<b>wrong</b>")
    assert answer.status_int == 404
    return answer


def wrong_password_page(world: World) -> TestResponse:
    form = world.browser().get("/login").form
    form["email"], form["password"] = '"><script>alert(1)</script>', "wrong"
    return form.submit(status=401)


def signed_in_page(world: World) -> TestResponse:
    return world.person().sign_in().browser.get("/logout", status=200)


def linked_page(world: World) -> TestResponse:
    return world.browser().get("/device?user_code=%22%3E%3Cscript%3Ealert(1)%3C/script%3E", status=200)


def fault(world: World) -> TestResponse:
    """A 500 for a program: the service beneath the metadata is broken."""
    break_services(world)
    return world.browser().post(CODE, {"client_id": "difyctl"}, status=500)


def fault_page(world: World) -> TestResponse:
    break_services(world)
    form = world.browser().get("/device").form
    form["user_code"] = "BCDF-GHJK"
    return form.submit(status=500)


def break_services(world: World) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("secret detail")

    # For good: this world is the test's own.
    world.services.device_flow.start = broken  # type: ignore[method-assign]  # the fault under test
    world.services.approvals.enter = broken  # type: ignore[method-assign]  # the fault under test


FORM = "application/x-www-form-urlencoded"
JSON_ANSWERS = {
    "code": lambda world: world.browser().post(CODE, {"client_id": "difyctl"}, status=200),
    "pending": lambda world: world.device().ask().poll(),
    "token": token_answer,
    "lookup": lambda world: world.browser().get(LOOKUP, {"user_code": "BCDFGHJK"}, status=200),
    "account": account_answer,
    "metadata": page_of(200, "GET", METADATA),
    "openid metadata": page_of(200, "GET", "/.well-known/openid-configuration"),
    "HEAD": page_of(200, "HEAD", METADATA),
    "400": page_of(400, "POST", CODE, kind=FORM),
    "401 of a client": page_of(401, "POST", CODE, body=b"client_id=nobody", kind=FORM),
    "401 of a token": page_of(401, "GET", ACCOUNT),
    "401 of a person": page_of(401, "POST", APPROVE, body=b"{}", kind="application/json"),
    "404": page_of(404, "GET", f"{API}/nothing"),
    "405": page_of(405, "GET", CODE),
    "405 of HEAD": page_of(405, "HEAD", TOKEN),
    "405 of OPTIONS": page_of(405, "OPTIONS", TOKEN),
    "413": page_of(413, "POST", TOKEN, body=b"x" * 17 * 1024, kind=FORM),
    "415": page_of(415, "POST", TOKEN, body=b"<x/>", kind="application/xml"),
    "429": limited,
    "500": fault,
}
PAGES = {
    "enter the code": page_of(200, "GET", "/device"),
    "a link": linked_page,
    "a wrong code": wrong_code_page,
    "a used code": used_code_page,
    "sign in": page_of(200, "GET", "/login"),
    "a wrong password": wrong_password_page,
    "consent": consent_page,
    "approved": approved_page,
    "denied": denied_page,
    "signed in": signed_in_page,
    "sign out": page_of(200, "GET", "/logout"),
    "400 page": lambda world: world.browser().get("/device").form.submit(status=400),
    "403 page": page_of(403, "POST", "/device", kind=FORM),
    "404 page": page_of(404, "GET", "/nothing"),
    "413 page": page_of(413, "POST", "/device", body=b"x" * 17 * 1024, kind=FORM),
    "429 page": limited_page,
    "500 page": fault_page,
}
REDIRECTS = {
    "a redirect": redirect,
    "a redirect to the start": page_of(303, "GET", "/device/consent"),
    "a redirect after a form": redirect_after_a_form,
}
FILES = {
    "the stylesheet": page_of(200, "GET", "/static/device.css"),
    "the script": page_of(200, "GET", "/static/device.js"),
    "HEAD of a file": page_of(200, "HEAD", "/static/device.css"),
    "no file": page_of(404, "GET", "/static/nothing.css"),
}
ANSWERS = JSON_ANSWERS | PAGES | REDIRECTS | FILES
ONE_ONLY = {"429": {"limit.code": "1/hour"}, "429 page": {"limit.lookup": "1/hour"}}


def ask_for(make: WorldMaker, kind: str, **options: str) -> TestResponse:
    answer: TestResponse = ANSWERS[kind](make(**ONE_ONLY.get(kind, {}), **options))
    return answer


def directives(answer: TestResponse) -> dict[str, list[str]]:
    policies = answer.headers.getall("Content-Security-Policy")
    assert len(policies) == 1
    return {words[0]: words[1:] for words in (part.split() for part in policies[0].split(";"))}


class TestEveryAnswer:
    @pytest.mark.parametrize("kind", ANSWERS)
    def test_says_how_it_may_be_used(self, make: WorldMaker, kind: str) -> None:
        answer = ask_for(make, kind)
        for name, value in {
            "X-Content-Type-Options": "nosniff",
            "X-Frame-Options": "DENY",
            "Referrer-Policy": "same-origin",
        }.items():
            assert answer.headers.getall(name) == [value]
        policy = directives(answer)
        assert policy["default-src"] == ["'none'"]
        assert policy["frame-ancestors"] == ["'none'"]
        assert HSTS not in answer.headers

    @pytest.mark.parametrize("kind", ANSWERS)
    def test_opens_nothing_to_other_origins(self, make: WorldMaker, kind: str) -> None:
        answer = ask_for(make, kind)
        assert [name for name in answer.headers if name.lower().startswith("access-control-")] == []

    @pytest.mark.parametrize("kind", ANSWERS)
    def test_names_no_software(self, make: WorldMaker, kind: str) -> None:
        answer = ask_for(make, kind)
        for name in ("Server", "X-Powered-By"):
            assert name not in answer.headers

    @pytest.mark.parametrize("kind", ANSWERS)
    def test_over_https_binds_the_browser_to_https(self, make: WorldMaker, kind: str) -> None:
        answer = ask_for(make, kind, public_url=HTTPS)
        (value,) = answer.headers.getall(HSTS)
        found = re.search(r"max-age=(\d+)", value)
        assert found is not None
        assert int(found[1]) >= 180 * 86400
        for cookie in answer.headers.getall("Set-Cookie"):
            assert "secure" in attributes(cookie)

    @pytest.mark.parametrize("kind", [kind for kind in ANSWERS if kind not in FILES or kind == "no file"])
    def test_is_stored_nowhere(self, make: WorldMaker, kind: str) -> None:
        answer = ask_for(make, kind)
        if answer.status_int == 200 and kind in ("metadata", "openid metadata", "HEAD"):
            assert "Set-Cookie" not in answer.headers
            return
        assert answer.headers.getall("Cache-Control") == ["no-store"]

    @pytest.mark.parametrize("kind", ["code", "token", "pending", "400", "401 of a client"])
    def test_of_code_and_token_is_stored_by_no_old_cache_either(self, make: WorldMaker, kind: str) -> None:
        """RFC 6749 §5.1."""
        assert ask_for(make, kind).headers.getall("Pragma") == ["no-cache"]

    @pytest.mark.parametrize("kind", JSON_ANSWERS)
    def test_for_a_program_is_json_and_sets_no_cookie(self, make: WorldMaker, kind: str) -> None:
        answer = ask_for(make, kind)
        assert answer.content_type == "application/json"
        assert answer.headers.getall("Set-Cookie") == []

    @pytest.mark.parametrize("kind", PAGES)
    def test_for_a_person_is_a_page(self, make: WorldMaker, kind: str) -> None:
        answer = ask_for(make, kind)
        assert answer.content_type == "text/html"
        assert answer.charset.lower() == "utf-8"

    def test_from_the_files_may_be_kept(self, make: WorldMaker) -> None:
        world = make()
        for path, media_type in (("/static/device.css", "text/css"), ("/static/device.js", "javascript")):
            answer = world.browser().get(path, status=200)
            assert media_type in answer.content_type
            assert "max-age=" in answer.headers["Cache-Control"]
            assert answer.headers.getall("Set-Cookie") == []


class _Markup(HTMLParser):
    """What of a page a strict policy would not run, and what it loads from where."""

    def __init__(self) -> None:
        super().__init__()
        self.problems: list[str] = []
        self.loaded: list[str] = []
        self._inside = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self._inside = tag if tag in ("script", "style") else ""
        self.problems += [f"<{tag} {name}>" for name in given if name == "style" or name.startswith("on")]
        if tag in ("style", "iframe", "object", "embed", "base", "frame"):
            self.problems.append(f"<{tag}>")
        if tag == "meta" and "http-equiv" in given:
            self.problems.append("<meta http-equiv>")
        for name in ("src", "href", "action", "formaction", "srcset", "data", "poster"):
            value = given.get(name)
            if value is None:
                continue
            if value.lower().startswith(("javascript:", "data:")):
                self.problems.append(f"<{tag} {name}={value}>")
            self.loaded.append(value)

    def handle_data(self, data: str) -> None:
        if self._inside and data.strip():
            self.problems.append(f"inline <{self._inside}>")

    def handle_endtag(self, tag: str) -> None:
        self._inside = "" if tag == self._inside else self._inside


@pytest.mark.parametrize("kind", PAGES)
class TestEveryPage:
    def test_has_a_policy_without_holes(self, make: WorldMaker, kind: str) -> None:
        policy = directives(ask_for(make, kind))
        assert policy["form-action"] == ["'self'"]
        assert policy["base-uri"] == ["'none'"]
        for name, sources in policy.items():
            assert set(sources) <= {"'self'", "'none'"}, name

    def test_needs_no_more_than_its_policy(self, make: WorldMaker, kind: str) -> None:
        markup = _Markup()
        markup.feed(ask_for(make, kind).text)
        assert markup.problems == []
        assert markup.loaded
        for address in markup.loaded:
            parts = urlsplit(address)
            assert (parts.scheme, parts.netloc) == ("", ""), address
            # `?…` is this page in another language.
            assert address.startswith(("/", "#", "?ui_locales=")), address

    def test_carries_no_code_in_an_address(self, make: WorldMaker, kind: str) -> None:
        answer = ask_for(make, kind)
        assert "user_code=" not in "".join(re.findall(r'(?:href|action|src)="([^"]*)"', answer.text))
        if kind != "a link":
            assert "user_code=" not in answer.request.url


def attributes(cookie: str) -> dict[str, str]:
    """Of a Set-Cookie header; its first member is under "" as `name=value`."""
    first, *others = (part.strip() for part in cookie.split(";"))
    return {"": first, **{name.lower(): value for name, _, value in (other.partition("=") for other in others)}}


def session_cookie(world: World) -> dict[str, str]:
    (cookie,) = world.browser().get("/login", status=200).headers.getall("Set-Cookie")
    return attributes(cookie)


class TestTheSessionCookie:
    def test_on_http(self, make: WorldMaker) -> None:
        cookie = session_cookie(make())
        assert cookie.pop("").startswith("oauthdevice_session=")
        assert cookie == {"path": "/", "httponly": "", "samesite": "Lax"}

    def test_on_https_is_bound_to_the_host(self, make: WorldMaker) -> None:
        """A __Host- cookie is Secure, has Path=/ and no Domain, or browsers drop it."""
        cookie = session_cookie(make(public_url=HTTPS))
        assert cookie.pop("").startswith("__Host-oauthdevice_session=")
        assert cookie == {"path": "/", "httponly": "", "samesite": "Lax", "secure": ""}

    @pytest.mark.parametrize("domain", ["example.com", "login.example.com"])
    def test_is_shared_where_the_operator_says_so(self, make: WorldMaker, domain: str) -> None:
        cookie = session_cookie(make(public_url=HTTPS, cookie_domain=domain))
        assert cookie.pop("").startswith("oauthdevice_session=")
        assert cookie == {"domain": domain, "path": "/", "httponly": "", "samesite": "Lax", "secure": ""}

    def test_is_shared_on_http_too(self, make: WorldMaker) -> None:
        cookie = session_cookie(make(public_url="http://login.example.com", cookie_domain="example.com"))
        assert cookie.pop("").startswith("oauthdevice_session=")
        assert cookie == {"domain": "example.com", "path": "/", "httponly": "", "samesite": "Lax"}

    @pytest.mark.parametrize("domain", ["example.org", "ample.com", "www.login.example.com"])
    def test_is_not_given_to_others(self, make: WorldMaker, domain: str) -> None:
        with pytest.raises(SystemExit, match="cookie_domain"):
            make(public_url=HTTPS, cookie_domain=domain)

    def test_changes_at_sign_in_and_at_sign_out(self, make: WorldMaker) -> None:
        """Whoever planted the first one has nothing of the second."""
        person = make().person()
        person.browser.get("/login")
        seen = [person.browser.cookies["oauthdevice_session"]]
        tokens = [person.csrf_token()]
        person.sign_in()
        seen.append(person.browser.cookies["oauthdevice_session"])
        tokens.append(person.csrf_token())
        person.browser.get("/logout").form.submit(status=303)
        person.browser.get("/login")
        tokens.append(person.csrf_token())
        assert len(set(seen)) == 2
        assert len(set(tokens)) == 3

    def test_is_worth_nothing_after_sign_out(self, make: WorldMaker) -> None:
        world = make()
        person = world.person().sign_in()
        kept = person.browser.cookies["oauthdevice_session"]
        person.browser.get("/logout").form.submit(status=303)
        thief = world.browser()
        answer = thief.get("/device", headers={"Cookie": f"oauthdevice_session={kept}"})
        assert person.account.email not in answer.text

    def test_holds_no_secret_of_the_person(self, make: WorldMaker) -> None:
        world = make()
        person = world.person().sign_in()
        cookie = str(person.browser.cookies["oauthdevice_session"])
        for word in (person.account.email, person.account.id, "password"):
            assert word not in cookie

    def test_opens_the_decisions_on_https_too(self, make: WorldMaker) -> None:
        world = make(public_url=HTTPS)
        device = world.device().ask()
        assert device.answer["verification_uri"] == f"{HTTPS}/device"
        page = world.person().allow(device.user_code)
        assert page.request.path == "/device/approved"
        assert device.poll().status_int == 200

    @pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://login.example.com"])
    @pytest.mark.parametrize("path", [APPROVE, DENY, "/device/consent", "/logout"])
    def test_is_not_enough_from_another_origin(self, make: WorldMaker, origin: str, path: str) -> None:
        world = make(public_url=HTTPS)
        device, person = world.device().ask(), world.person().sign_in()
        headers = {"X-CSRF-Token": person.csrf_token(), "Origin": origin}
        body = {"user_code": device.user_code, "decision": "approve"}
        assert person.browser.post(path, body, headers=headers, status="*").status_int == 403
        assert device.poll().json["error"] == "authorization_pending"
        assert person.account.email in person.browser.get("/device").text


@pytest.mark.parametrize("path", [CODE, TOKEN, LOOKUP, ACCOUNT, METADATA])
def test_the_routes_for_devices_know_no_cookie(make: WorldMaker, path: str) -> None:
    """Neither set nor read: not even of somebody signed in."""
    browser = make().person().sign_in().browser
    answers = [browser.get(path, status="*"), browser.post(path, {"client_id": "difyctl"}, status="*")]
    answers.append(browser.post_json(path, {"client_id": "difyctl"}, status="*"))
    for answer in answers:
        assert answer.headers.getall("Set-Cookie") == []


@pytest.mark.parametrize("path", [CODE, TOKEN, LOOKUP, ACCOUNT, METADATA, "/device"])
def test_a_preflight_is_refused(make: WorldMaker, path: str) -> None:
    headers = {"Origin": "https://app.example", "Access-Control-Request-Method": "POST"}
    answer = make().browser().request(path, method="OPTIONS", headers=headers, expect_errors=True)
    assert 400 <= answer.status_int < 500
    assert [name for name in answer.headers if name.lower().startswith("access-control-")] == []


@pytest.mark.parametrize("path", [METADATA, LOOKUP + "?user_code=BCDFGHJK", "/device", "/static/device.css"])
def test_another_origin_may_ask_and_learns_nothing_by_script(make: WorldMaker, path: str) -> None:
    answer = make().browser().get(path, headers={"Origin": "https://app.example"}, status=200)
    assert [name for name in answer.headers if name.lower().startswith("access-control-")] == []


class TestAFaultOfOurs:
    """500: a reference for whoever runs the server, and no word of what went wrong."""

    def reference(self, caplog: pytest.LogCaptureFixture) -> str:
        (record,) = [one for one in caplog.records if one.levelno >= logging.ERROR]
        assert record.exc_info is not None
        assert isinstance(record.exc_info[1], RuntimeError)
        found = re.fullmatch(r"unexpected error ([0-9a-f]{32})", record.getMessage())
        assert found is not None
        return found[1]

    def test_is_told_to_a_program(self, make: WorldMaker, caplog: pytest.LogCaptureFixture) -> None:
        answer = fault(make())
        assert answer.json == {
            "error": "server_error",
            "error_description": f"The server met an unexpected condition. Reference: {self.reference(caplog)}.",
        }
        assert answer.headers["Cache-Control"] == "no-store"
        self.assert_no_detail(answer)

    def test_is_told_to_a_person(self, make: WorldMaker, caplog: pytest.LogCaptureFixture) -> None:
        answer = fault_page(make())
        assert answer.content_type == "text/html"
        assert "<h1>Something went wrong here</h1>" in answer.text
        assert self.reference(caplog) in answer.text
        self.assert_no_detail(answer)

    def assert_no_detail(self, answer: TestResponse) -> None:
        told = str(answer.headers) + answer.text
        for word in ("secret detail", "RuntimeError", "Traceback", "broken", ".py"):
            assert word not in told

    def test_has_another_reference_each_time(self, make: WorldMaker) -> None:
        world = make()
        told = {fault(world).json["error_description"] for _ in range(3)}
        assert len(told) == 3

    def test_leaves_the_rest_at_work(self, make: WorldMaker) -> None:
        world = make()
        person = world.person().sign_in()
        fault(world)
        fault_page(world)
        assert world.browser().get(METADATA).status_int == 200
        assert person.account.email in person.browser.get("/device").text


def test_the_application_under_another_path_keeps_its_addresses(make: WorldMaker) -> None:
    """A proxy may hand us a part of its tree: what pages load and send lies below it."""
    world = make(public_url="http://localhost/tenant")
    browser = TestApp(world.app, extra_environ={"SCRIPT_NAME": "/tenant", "REMOTE_ADDR": "192.0.2.7"})
    answer = browser.get("/device", status=200)
    markup = _Markup()
    markup.feed(answer.text)
    assert [address for address in markup.loaded if not address.startswith(("/tenant/", "#", "?"))] == []
