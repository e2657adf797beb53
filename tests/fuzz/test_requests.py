"""Requests of which one part is anything: the answer is one that the server means, and never a fault of ours."""

import base64
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from hypothesis import strategies as st
from webob import Request, Response

from oauthdevice.domain.token_endpoint import DEVICE_GRANT
from oauthdevice.proxies import make_filter

from ..factories import API, APPROVE, CODE, DENY, LOOKUP, TOKEN, World
from .inputs import fuzzed

FORM, JSON = "application/x-www-form-urlencoded", "application/json"
PROGRAMS = (CODE, TOKEN, LOOKUP, APPROVE, DENY, f"{API}/oauth/introspect", f"{API}/oauth/revoke")
PAGES = ("/device", "/login", "/logout", "/device/consent", "/device/report", "/devices")
NAMES = st.sampled_from(
    ["grant_type", "client_id", "client_secret", "device_code", "user_code", "scope", "device_label", "token",
     "refresh_token", "email", "password", "decision", "csrf_token", "token_id", "again", "page", ""]
) | st.text(max_size=5)  # fmt: skip
# What gets past the first checks.
KNOWN = st.sampled_from(["difyctl", "api", DEVICE_GRANT, "refresh_token", "BCDF-GHJK", "full", "approve", "0" * 43])
TEXTS = KNOWN | st.text(max_size=30)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=8,
)
FORMS = (
    st.lists(st.tuples(NAMES, TEXTS), max_size=6).map(lambda pairs: urlencode(pairs, errors="replace").encode())
    | st.binary(max_size=80)
    | st.text("abc=&%+;zé\x00", max_size=40).map(str.encode)
)
BODIES = (
    st.dictionaries(NAMES, VALUES, max_size=5).map(lambda members: json.dumps(members).encode())
    | VALUES.map(lambda value: json.dumps(value).encode())
    | st.binary(max_size=60)
    | st.text('{}[]":,\\u0dntrue1e-', max_size=40).map(str.encode)
    | st.integers(1, 12000).map(lambda depth: b"[" * depth)
)
# What a WSGI server lets through of a header: no control characters but the tab, and bytes as they came.
HEADERS = st.text(st.characters(max_codepoint=255, exclude_categories=["Cc"]), max_size=60)


def send(app: Any, path: str, body: bytes | None = None, media_type: str = FORM, **environ: str) -> Response:
    """GET, or POST with a body: no fault of ours, and readable. `environ` is as a WSGI server writes it."""
    request = Request.blank(path, {"REMOTE_ADDR": "192.0.2.7", **environ})
    if body is not None:
        request.environ["CONTENT_TYPE"] = media_type
        request.method, request.body = "POST", body
    answer = request.get_response(app)
    assert answer.status_int < 500, answer.text
    if answer.status_int >= 400 and answer.content_type == JSON:
        assert {"error", "error_description"} <= answer.json.keys()
    return answer


class TestBodies:
    @fuzzed(150, st.sampled_from(PROGRAMS), FORMS)
    def test_forms_of_programs(self, fuzzed_world: World, path: str, body: bytes) -> None:
        send(fuzzed_world.app, path, body)

    @fuzzed(60, st.sampled_from(PAGES), FORMS)
    def test_forms_of_people(self, fuzzed_world: World, path: str, body: bytes) -> None:
        send(fuzzed_world.app, path, body)

    @fuzzed(150, st.sampled_from(PROGRAMS), BODIES)
    def test_json(self, fuzzed_world: World, path: str, body: bytes) -> None:
        send(fuzzed_world.app, path, body, JSON)

    @fuzzed(60, st.sampled_from((*PROGRAMS, *PAGES)), HEADERS | st.sampled_from([FORM, JSON]).map("{};".format), FORMS)
    def test_media_types(self, fuzzed_world: World, path: str, media_type: str, body: bytes) -> None:
        send(fuzzed_world.app, path, body, media_type)

    @fuzzed(60, st.sampled_from((LOOKUP, *PAGES, f"{API}/oauth/device/sso-complete")), FORMS)
    def test_query_strings(self, fuzzed_world: World, path: str, query: bytes) -> None:
        send(fuzzed_world.app, path, QUERY_STRING=query.decode("latin-1"))


def cookies(world: World) -> list[tuple[str, str]]:
    """Those of somebody who is signed in and has entered a code."""
    person = world.person("cookies@example.com")
    person.open(world.device().ask().user_code)
    return [(one.name, one.value or "") for one in person.browser.cookiejar]


class TestHeaders:
    @fuzzed(100, st.sampled_from((*PAGES, APPROVE)), st.integers(0, 400), st.integers(0, 4), HEADERS)
    def test_cookies(self, fuzzed_world: World, path: str, start: int, length: int, put: str) -> None:
        """One of ours with a part that is another, and beside it one that is all another's."""
        (name, value), *_ = kept(fuzzed_world, cookies)
        start %= len(value) + 1
        changed = value[:start] + put + value[start + length :]
        for cookie in (f"{name}={changed}", f"{put}={value}", put):
            send(fuzzed_world.app, path, HTTP_COOKIE=cookie)

    @fuzzed(
        100,
        st.sampled_from([TOKEN, f"{API}/oauth/introspect", f"{API}/account", f"{API}/account/sessions", "/device"]),
        HEADERS
        | st.binary(max_size=40).map(lambda raw: f"Basic {base64.b64encode(raw).decode()}")
        | st.tuples(TEXTS, TEXTS).map(lambda pair: "Basic " + base64.b64encode(":".join(pair).encode()).decode())
        | HEADERS.map("Bearer {}".format)
        | HEADERS.map("Basic {}".format),
    )
    def test_authorization(self, fuzzed_world: World, path: str, header: str) -> None:
        body = None if "account" in path else b"token=x&grant_type=refresh_token"
        send(fuzzed_world.app, path, body, HTTP_AUTHORIZATION=header)

    @fuzzed(60, HEADERS | st.sampled_from(["wait=", "wait=1", ' , WAIT = "0"', "respond-async, wait=99999999999"]))
    def test_prefer(self, fuzzed_world: World, header: str) -> None:
        body = urlencode({"grant_type": DEVICE_GRANT, "client_id": "difyctl", "device_code": "x" * 45}).encode()
        assert send(fuzzed_world.app, TOKEN, body, HTTP_PREFER=header).status_int == 400

    @fuzzed(60, HEADERS | st.text("dezhenptBR-;q=0.19, *", max_size=40), HEADERS | st.text("deu-_%", max_size=6))
    def test_languages(self, fuzzed_world: World, accepted: str, chosen: str) -> None:
        query = urlencode({"ui_locales": chosen})
        answer = send(fuzzed_world.app, "/device", HTTP_ACCEPT_LANGUAGE=accepted, QUERY_STRING=query)
        assert answer.status_int == 200

    @fuzzed(
        100,
        HEADERS
        | st.lists(st.sampled_from(["203.0.113.9", "::1", "[::1]:1", ",", '"', "for=", " ", ":", "é"])).map("".join),
        HEADERS | st.sampled_from(["https", "HTTP", "ftp", "https,http"]),
    )
    def test_what_proxies_say(self, fuzzed_world: World, forwarded_for: str, proto: str) -> None:
        app = make_filter({}, "192.0.2.7")(fuzzed_world.app)
        told = {"HTTP_X_FORWARDED_FOR": forwarded_for, "HTTP_X_FORWARDED_PROTO": proto, "SERVER_PORT": "80"}
        answer = send(app, CODE, b"client_id=difyctl", **told)
        assert answer.status_int in (200, 400)

    @fuzzed(60, st.sampled_from(["HTTP_HOST", "HTTP_ORIGIN", "HTTP_REFERER", "HTTP_ACCEPT"]), HEADERS)
    def test_others(self, fuzzed_world: World, name: str, header: str) -> None:
        for path, body in (("/device", None), (f"{API}/no/such", None), (CODE, b"client_id=difyctl")):
            send(fuzzed_world.app, path, body, **{name: header})

    @fuzzed(60, st.text(st.characters(max_codepoint=255), max_size=30))
    def test_paths(self, fuzzed_world: World, path: str) -> None:
        for root in (
            "/",
            f"{API}/",
            f"{API}/account/sessions/",
            "/static/",
            "/devices/",
            f"{API}/oauth/device/sso-complete/",
        ):
            send(fuzzed_world.app, "/", PATH_INFO=root + path)


_KEPT: dict[int, Any] = {}


def kept(world: World, make: Callable[[World], Any]) -> Any:
    """What `make` makes of a world, once."""
    if id(world) not in _KEPT:
        _KEPT[id(world)] = make(world)
    return _KEPT[id(world)]
