"""Whatever comes in, the answer is a 4xx in the promised shape, says nothing back and writes nothing."""

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from shutil import copy
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from webob import Request
from webtest import TestResponse

from oauthdevice.domain.codes import new_device_code
from oauthdevice.domain.token_endpoint import DEVICE_GRANT

from ..conftest import WorldMaker, close
from ..factories import API, APPROVE, CODE, DENY, LOOKUP, TOKEN, Clock, Device, Person, World, make_world
from ..servers import RedisServer

ACCOUNT = f"{API}/account"
METADATA = "/.well-known/oauth-authorization-server"
FORM, JSON = "application/x-www-form-urlencoded", "application/json"
POSTED = (CODE, TOKEN, LOOKUP, APPROVE, DENY)
DECISIONS = (APPROVE, DENY)
# Stands in every hostile text below, and must stand in no answer to a program.
MARK = "zqjxk"
SECRET_OF_BACKEND = "a secret that only the back end has"
INI = f"""
[client:difyctl]
name = difyctl
scopes = full apps:run apps:read:permitted-external
[client:backend]
name = Back end
scopes = full
secret_sha256 = {hashlib.sha256(SECRET_OF_BACKEND.encode()).hexdigest()}
"""
LIMITS = ("code", "token_unknown", "lookup", "guesses", "decide", "login_account", "login_address", "bearer")
# The errors that say how to authenticate (RFC 9110 §15.5.2).
CHALLENGED = ("invalid_client", "invalid_token", "login_required")


@dataclass
class Stage:
    """One server, on it a pending authorization, somebody signed in and a token."""

    world: World
    device: Device
    person: Person
    csrf_token: str
    token: str
    # What a well-formed request to each route carries.
    good: dict[str, dict[str, Any]] = field(default_factory=dict)

    def send(
        self, method: str, path: str, body: bytes = b"", signed_in: bool | None = None, **headers: str
    ) -> TestResponse:
        """Any request; `Content_Type=…` and the like are headers. Decisions are sent by the person."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if signed_in is None:
            signed_in = path in DECISIONS
        if signed_in:
            named.setdefault("X-CSRF-Token", self.csrf_token)
        browser = self.person.browser if signed_in else self.world.browser()
        return browser.request(path, method=method, body=body, headers=named, expect_errors=True)

    def content(self) -> dict[str, bytes | None]:
        """All of Redis but the counters, which the contract lets count wrong codes, and cached tokens."""
        store = self.world.redis
        return {key: store.dump(key) for key in store.keys("*") if ":limit" not in key and ":token:" not in key}

    def counters(self) -> list[str]:
        return [key for key in self.world.redis.keys("*") if ":limit" in key]


@pytest.fixture(scope="module")
def stage(
    redis_server: RedisServer, migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("bad_input")
    (folder / "clients.ini").write_text(INI)
    world = make_world(
        f"sqlite:///{copy(migrated_sqlite, folder / 'oauthdevice.sqlite')}",
        redis_server.url,
        Clock(),
        ini_file=str(folder / "clients.ini"),
        **{f"limit.{name}": "off" for name in LIMITS},
    )
    world.redis.flushall()
    person = world.person().sign_in()
    spent = world.device().ask()
    person.allow(spent.user_code)
    token = spent.poll().json["access_token"]
    device = world.device().ask(device_label="laptop")
    world.services.ledger.settle()
    good = {
        CODE: {"client_id": "difyctl"},
        TOKEN: {"grant_type": DEVICE_GRANT, "client_id": "difyctl", "device_code": device.device_code},
        LOOKUP: {"user_code": device.user_code},
        APPROVE: {"user_code": device.user_code},
        DENY: {"user_code": device.user_code},
    }
    yield Stage(world, device, person, person.csrf_token(), token, good)
    close(world)


@pytest.fixture(autouse=True)
def _nothing_is_written(stage: Stage, request: pytest.FixtureRequest) -> Iterator[None]:
    """Of every test here: Redis holds what it held. A counter may be new only where codes are typed."""
    for key in stage.counters():
        stage.world.redis.delete(key)
    before = stage.content()
    yield
    assert stage.content() == before
    if "counts_wrong_codes" not in request.fixturenames:
        assert stage.counters() == []


@pytest.fixture
def counts_wrong_codes() -> None:
    """This test types codes, which are counted."""


def quoted(**parameters: str) -> bytes:
    """A form, percent-encoded."""
    return urlencode(parameters, quote_via=quote).encode()


def assert_refused(answer: TestResponse, *statuses: int, error: str | None = None) -> None:
    """A 4xx as RFC 6749 §5.2 wants it, of one of `statuses`, which gives nothing of the request back."""
    assert 400 <= answer.status_int < 500, answer
    assert answer.status_int in (statuses or (400,)), answer
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.content_type == JSON
    assert set(answer.json) == {"error", "error_description"}
    assert re.fullmatch(r"[a-z_]+", answer.json["error"])
    assert re.fullmatch(r"[\x20\x21\x23-\x5B\x5D-\x7E]+", answer.json["error_description"])
    assert MARK not in str(answer).lower()
    if error is not None:
        assert answer.json["error"] == error
    assert ("WWW-Authenticate" in answer.headers) == (answer.json["error"] in CHALLENGED)


def assert_page_refused(answer: TestResponse, *statuses: int) -> None:
    """A 4xx that a person can read, with nothing raw of the request in it."""
    assert answer.status_int in (statuses or (400,)), answer
    assert answer.content_type == "text/html"
    assert answer.headers["Cache-Control"] == "no-store"
    assert "<h1>" in answer.text
    assert f"<{MARK}" not in answer.text
    assert "Traceback" not in answer.text


HOSTILE_TEXTS = {
    "huge": MARK * 2000,
    "with NUL": f"{MARK}\x00",
    "with a line break": f"{MARK}\r\nSet-Cookie: {MARK}=1",
    "with escape": f"\x1b[31m{MARK}",
    "with delete": f"{MARK}\x7f",
    "with a right-to-left override": f"{MARK}\u202e",
    "with a C1 control": f"{MARK}\x85",
}
NOT_ASCII = {"accented": f"é{MARK}", "Chinese": f"{MARK}中文", "emoji": f"{MARK}\U0001f600"}
QUOTES = {"with a quote": f'{MARK}"', "with a backslash": f"{MARK}\\"}
# Names that a page would show as nothing.
UNSEEN = {
    "of a space": " ",
    "of spaces": "\u3000 \u3000",
    "of zero width": "\u200b",
    "of a joiner": "\u200d",
    "of a byte order mark": "\ufeff",
    "of a Hangul filler": "\u3164",
    "of a half-width filler": "\uffa0",
    "of an initial filler": "\u115f",
    "of empty Braille": "\u2800",
    "of a grapheme joiner": "\u034f",
    "of a variation selector": "\ufe0f",
    "of accents alone": "\u0301" * 9,
}
# route, field, text, statuses
BAD_TEXTS = [
    pytest.param(path, name, text, id=f"{path.rpartition('/')[2]} {name} {kind}")
    for path, name, texts in (
        (CODE, "client_id", HOSTILE_TEXTS | NOT_ASCII),
        (CODE, "client_secret", HOSTILE_TEXTS | NOT_ASCII),
        (CODE, "scope", HOSTILE_TEXTS | NOT_ASCII | QUOTES),
        (CODE, "device_label", HOSTILE_TEXTS | UNSEEN),
        (TOKEN, "client_id", HOSTILE_TEXTS | NOT_ASCII),
        (TOKEN, "client_secret", HOSTILE_TEXTS | NOT_ASCII),
        (TOKEN, "grant_type", HOSTILE_TEXTS | NOT_ASCII | {"with a space": f"{MARK} {MARK}"}),
        (TOKEN, "device_code", HOSTILE_TEXTS | NOT_ASCII),
        (LOOKUP, "user_code", {"huge": MARK * 2000, "65 characters": MARK * 13}),
        (APPROVE, "user_code", {"huge": MARK * 2000, "65 characters": MARK * 13}),
        (DENY, "user_code", {"huge": MARK * 2000, "65 characters": MARK * 13}),
    )
    for kind, text in texts.items()
]


@pytest.mark.parametrize(("path", "name", "text"), BAD_TEXTS)
class TestAHostileTextIsMalformed:
    def test_in_a_form(self, stage: Stage, path: str, name: str, text: str) -> None:
        answer = stage.send("POST", path, quoted(**{**stage.good[path], name: text}), Content_Type=FORM)
        assert_refused(answer, error="invalid_request")
        assert answer.json["error_description"] == f"Malformed parameter: {name}."

    def test_in_json(self, stage: Stage, path: str, name: str, text: str) -> None:
        body = json.dumps({**stage.good[path], name: text}).encode()
        answer = stage.send("POST", path, body, Content_Type=JSON)
        assert_refused(answer, error="invalid_request")
        assert answer.json["error_description"] == f"Malformed parameter: {name}."


# Of the right form and yet of nobody: route, parameters that replace the good ones, error, status.
NOBODY = [
    (CODE, {"client_id": MARK}, 401, "invalid_client"),
    (CODE, {"client_id": "DIFYCTL"}, 401, "invalid_client"),
    (CODE, {"client_id": " difyctl"}, 401, "invalid_client"),
    (CODE, {"client_id": "difyctl "}, 401, "invalid_client"),
    (CODE, {"client_secret": MARK}, 401, "invalid_client"),
    (CODE, {"client_id": "backend"}, 401, "invalid_client"),
    (CODE, {"client_id": "backend", "client_secret": MARK}, 401, "invalid_client"),
    (CODE, {"client_id": "backend", "client_secret": SECRET_OF_BACKEND + MARK}, 401, "invalid_client"),
    (CODE, {"scope": MARK}, 400, "invalid_scope"),
    (CODE, {"scope": f"full {MARK}"}, 400, "invalid_scope"),
    (CODE, {"scope": "FULL"}, 400, "invalid_scope"),
    (CODE, {"scope": "full\tapps:run"}, 400, "invalid_request"),
    (TOKEN, {"client_id": MARK}, 401, "invalid_client"),
    (TOKEN, {"client_id": "backend"}, 401, "invalid_client"),
    (TOKEN, {"client_id": "backend", "client_secret": MARK}, 401, "invalid_client"),
    (TOKEN, {"client_secret": MARK}, 401, "invalid_client"),
    (TOKEN, {"grant_type": MARK}, 400, "unsupported_grant_type"),
    (TOKEN, {"grant_type": "device_code"}, 400, "unsupported_grant_type"),
    (TOKEN, {"grant_type": "authorization_code"}, 400, "unsupported_grant_type"),
    (TOKEN, {"grant_type": "refresh_token"}, 400, "unauthorized_client"),
    (TOKEN, {"grant_type": "client_credentials"}, 400, "unsupported_grant_type"),
    (TOKEN, {"grant_type": "password"}, 400, "unsupported_grant_type"),
    (TOKEN, {"grant_type": DEVICE_GRANT.upper()}, 400, "unsupported_grant_type"),
    (TOKEN, {"device_code": MARK}, 400, "invalid_grant"),
    (TOKEN, {"device_code": "dc_"}, 400, "invalid_grant"),
    (TOKEN, {"device_code": "dc_" + "A" * 51}, 400, "invalid_grant"),
    (TOKEN, {"device_code": "*"}, 400, "invalid_grant"),
    (TOKEN, {"device_code": new_device_code("00")}, 400, "invalid_grant"),
    (TOKEN, {"device_code": new_device_code("ff")}, 400, "invalid_grant"),
    (TOKEN, {"device_code": new_device_code("ff").swapcase()}, 400, "invalid_grant"),
    (TOKEN, {"device_code": new_device_code("00") + " "}, 400, "invalid_grant"),
]


@pytest.mark.parametrize(
    ("path", "change", "status", "error"),
    NOBODY,
    ids=[f"{path.rpartition('/')[2]} {' '.join(change)} {i}" for i, (path, change, *_) in enumerate(NOBODY)],
)
class TestWhatIsOfNobody:
    def test_in_a_form(self, stage: Stage, path: str, change: dict[str, str], status: int, error: str) -> None:
        answer = stage.send("POST", path, quoted(**stage.good[path] | change), Content_Type=FORM)
        assert_refused(answer, status, error=error)

    def test_in_json(self, stage: Stage, path: str, change: dict[str, str], status: int, error: str) -> None:
        body = json.dumps(stage.good[path] | change).encode()
        assert_refused(stage.send("POST", path, body, Content_Type=JSON), status, error=error)


REQUIRED = [
    (CODE, "client_id"),
    (TOKEN, "grant_type"),
    (TOKEN, "client_id"),
    (TOKEN, "device_code"),
    (LOOKUP, "user_code"),
    (APPROVE, "user_code"),
    (DENY, "user_code"),
]


@pytest.mark.parametrize(("path", "name"), REQUIRED)
class TestAMissingParameterIsNamed:
    def assert_missing(self, answer: TestResponse, name: str) -> None:
        assert_refused(answer, error="invalid_request")
        assert answer.json["error_description"] == f"Missing parameter: {name}."

    def test_absent_from_a_form(self, stage: Stage, path: str, name: str) -> None:
        form = {key: value for key, value in stage.good[path].items() if key != name}
        self.assert_missing(stage.send("POST", path, quoted(**form), Content_Type=FORM), name)

    def test_empty_in_a_form(self, stage: Stage, path: str, name: str) -> None:
        form = quoted(**stage.good[path] | {name: ""})
        self.assert_missing(stage.send("POST", path, form, Content_Type=FORM), name)

    def test_in_the_query_string_it_does_not_count(self, stage: Stage, path: str, name: str) -> None:
        form = {key: value for key, value in stage.good[path].items() if key != name}
        query = quoted(**{name: stage.good[path][name]}).decode()
        self.assert_missing(stage.send("POST", f"{path}?{query}", quoted(**form), True, Content_Type=FORM), name)


@pytest.mark.parametrize("absent", ["", None])
@pytest.mark.parametrize(("path", "name"), [one for one in REQUIRED if "grant_type" not in one])
def test_a_parameter_missing_from_json_is_named(stage: Stage, path: str, name: str, absent: str | None) -> None:
    """But grant_type, whose absence means the device grant."""
    answer = stage.send("POST", path, json.dumps(stage.good[path] | {name: absent}).encode(), Content_Type=JSON)
    assert_refused(answer, error="invalid_request")
    assert answer.json["error_description"] == f"Missing parameter: {name}."


@pytest.mark.parametrize("path", POSTED)
class TestTheQueryStringOfAPostIsNotRead:
    def test_without_a_body(self, stage: Stage, path: str) -> None:
        query = quoted(**stage.good[path]).decode()
        answer = stage.send("POST", f"{path}?{query}", b"", True, Content_Type=FORM)
        assert_refused(answer, error="invalid_request")

    def test_without_a_body_or_its_type(self, stage: Stage, path: str) -> None:
        query = quoted(**stage.good[path]).decode()
        assert_refused(stage.send("POST", f"{path}?{query}", b"", True), 400, 415, error="invalid_request")


REPEATED = [
    *((CODE, name) for name in ("client_id", "client_secret", "scope", "device_label")),
    *((TOKEN, name) for name in ("grant_type", "client_id", "client_secret", "device_code")),
    *((path, "user_code") for path in (LOOKUP, APPROVE, DENY)),
]


@pytest.mark.parametrize("second", ["same", MARK])
@pytest.mark.parametrize(("path", "name"), REPEATED)
class TestARepeatedParameterIsRefused:
    """RFC 6749 §3.1, §3.2."""

    def twice(self, stage: Stage, path: str, name: str, second: str) -> tuple[dict[str, str], str]:
        good = {name: "full", **stage.good[path]}
        return good, good[name] if second == "same" else second

    def test_in_a_form(self, stage: Stage, path: str, name: str, second: str) -> None:
        good, again = self.twice(stage, path, name, second)
        body = quoted(**good) + b"&" + quoted(**{name: again})
        answer = stage.send("POST", path, body, Content_Type=FORM)
        assert_refused(answer, error="invalid_request")
        assert answer.json["error_description"] == f"Repeated parameter: {name}."

    def test_in_json(self, stage: Stage, path: str, name: str, second: str) -> None:
        good, again = self.twice(stage, path, name, second)
        body = json.dumps(good)[:-1] + f", {json.dumps(name)}: {json.dumps(again)}}}"
        answer = stage.send("POST", path, body.encode(), Content_Type=JSON)
        assert_refused(answer, error="invalid_request")
        assert answer.json["error_description"] == f"Repeated parameter: {name}."


WRONG_TYPES = {
    "zero": "0",
    "a number": "12345678",
    "a fraction": "1.5",
    "infinitely much": "1e400",
    "false": "false",
    "true": "true",
    "an empty list": "[]",
    "a list": f'["{MARK}"]',
    "an empty object": "{}",
    "an object": f'{{"{MARK}": "{MARK}"}}',
    "a list of lists": "[[[[]]]]",
}


@pytest.mark.parametrize("value", WRONG_TYPES.values(), ids=WRONG_TYPES)
@pytest.mark.parametrize(("path", "name"), REPEATED)
def test_a_json_value_of_another_type_is_not_made_a_text(stage: Stage, path: str, name: str, value: str) -> None:
    good = {key: text for key, text in stage.good[path].items() if key != name}
    body = f'{{"{name}": {value}' + "".join(f", {json.dumps(k)}: {json.dumps(v)}" for k, v in good.items()) + "}"
    answer = stage.send("POST", path, body.encode(), Content_Type=JSON)
    assert_refused(answer, error="invalid_request")
    assert answer.json["error_description"] == f"Malformed parameter: {name}."


NOT_JSON = {
    "nothing": b"",
    "a space": b" ",
    "an open brace": b"{",
    "half an object": b'{"client_id":',
    "single quotes": b"{'client_id': 'zqjxk'}",
    "something behind it": b'{"client_id": "difyctl"} zqjxk',
    "two objects": b'{"client_id": "difyctl"}{"client_id": "difyctl"}',
    "a trailing comma": b'{"client_id": "difyctl",}',
    "a comment": b'{"client_id": "difyctl" /* zqjxk */}',
    "NaN": b'{"client_id": NaN, "user_code": NaN}',
    "Infinity": b'{"client_id": Infinity}',
    "minus Infinity": b'{"client_id": -Infinity}',
    "a number of 10,000 digits": b'{"client_id": ' + b"9" * 10_000 + b"}",
    "a raw NUL": b'{"client_id": "\x00"}',
    "NUL alone": b"\x00",
    "a raw line break in a text": b'{"client_id": "a\nb"}',
    "bytes that are no UTF-8": b'{"client_id": "\xff\xfe"}',
    "an encoded surrogate": b'{"client_id": "\xed\xa0\x80"}',
    "an overlong encoding": b'{"client_id": "\xc0\x80"}',
    "UTF-16": '{"client_id": "difyctl"}'.encode("utf-16"),
    "UTF-8 with a mark": b"\xef\xbb\xbf{}",
    "a form": b"client_id=difyctl&user_code=zqjxk",
    "null": b"null",
    "a boolean": b"true",
    "a number": b"1",
    "a text": b'"zqjxk"',
    "an empty list": b"[]",
    "a list of an object": b'[{"client_id": "difyctl"}]',
    "a list of pairs": b'[["client_id", "difyctl"], ["user_code", "zqjxk"]]',
    "5,000 lists": b"[" * 5000 + b"]" * 5000,
    "10,000 open lists": b"[" * 10_000,
    "lists as deep as may be": b'{"client_id": ' + b"[" * 8000 + b"]" * 8000 + b"}",
    "objects as deep as may be": b'{"a":' * 3000 + b"1" + b"}" * 1000,
}


@pytest.mark.parametrize("body", NOT_JSON.values(), ids=NOT_JSON)
@pytest.mark.parametrize("path", POSTED)
def test_what_is_no_json_object_is_refused(stage: Stage, path: str, body: bytes) -> None:
    assert_refused(stage.send("POST", path, body, Content_Type=JSON), error="invalid_request")


@pytest.mark.parametrize("path", POSTED)
def test_unknown_members_however_deep_do_no_harm(stage: Stage, path: str) -> None:
    body = b'{"zqjxk": ' + b"[" * 200 + b"]" * 200 + b', "client_id": 1, "user_code": 1}'
    assert_refused(stage.send("POST", path, body, Content_Type=JSON), error="invalid_request")


@pytest.mark.parametrize("name", ["client_id", "client_secret", "scope", "device_label"])
@pytest.mark.parametrize("text", [r"\ud800", r"zqjxk\udfff", r"\udc00\ud800"])
def test_a_lone_surrogate_at_code(stage: Stage, name: str, text: str) -> None:
    body = f'{{"client_id": "difyctl", "{name}": "{text}"}}'
    if name == "client_id":
        body = f'{{"client_id": "{text}"}}'
    assert_refused(stage.send("POST", CODE, body.encode(), Content_Type=JSON), error="invalid_request")


@pytest.mark.parametrize("name", ["grant_type", "client_id", "client_secret", "device_code"])
@pytest.mark.parametrize("text", [r"\ud800", r"zqjxk\udfff"])
def test_a_lone_surrogate_at_token(stage: Stage, name: str, text: str) -> None:
    good = {key: value for key, value in stage.good[TOKEN].items() if key != name}
    body = json.dumps(good)[:-1] + f', "{name}": "{text}"}}'
    assert_refused(stage.send("POST", TOKEN, body.encode(), Content_Type=JSON), error="invalid_request")


@pytest.mark.usefixtures("counts_wrong_codes")
@pytest.mark.parametrize("path", [LOOKUP, APPROVE, DENY])
@pytest.mark.parametrize("text", [r"\ud800", r"BCDF\udfffGHJK"])
def test_a_lone_surrogate_as_user_code(stage: Stage, path: str, text: str) -> None:
    answer = stage.send("POST", path, f'{{"user_code": "{text}"}}'.encode(), Content_Type=JSON)
    assert_refused(answer, error="invalid_request")


UNKNOWN_USER_CODES = {
    "of nobody": "BCDF-GHJK",
    "of nobody, long": "BCDF-GHJK-LMNP",
    "one letter": "B",
    "vowels": "AEIO-UAEI",
    "a star": "*",
    "64 stars": "*" * 64,
    "dashes": "--------",
    "spaces": "        ",
    "NUL": "\x00",
    "controls": "\x01\x02\x7f\x85",
    "line breaks": "\r\nSet-Cookie: a=b",
    "a right-to-left override": "\u202eBCDFGHJK",
    "emoji": "\U0001f600" * 8,
    "letters that grow when they are made capitals": "ﬃ" * 8,
    "a ligature of many letters": "\ufdfa" * 64,
    "digits of another script": "٣٤٧٩٣٤٧٩",
    "markup": "<zqjxk>",
}


@pytest.mark.usefixtures("counts_wrong_codes")
@pytest.mark.parametrize("user_code", UNKNOWN_USER_CODES.values(), ids=UNKNOWN_USER_CODES)
class TestAnUnknownUserCode:
    def test_is_not_valid_to_anyone(self, stage: Stage, user_code: str) -> None:
        body = json.dumps({"user_code": user_code}).encode()
        answer = stage.send("POST", LOOKUP, body, Content_Type=JSON)
        assert answer.status_int == 200
        assert answer.json == {"valid": False, "expires_in_remaining": 0, "client_id": None}
        assert answer.headers["Cache-Control"] == "no-store"

    def test_is_not_valid_in_an_address(self, stage: Stage, user_code: str) -> None:
        answer = stage.send("GET", f"{LOOKUP}?{quoted(user_code=user_code).decode()}")
        assert answer.status_int == 200
        assert answer.json == {"valid": False, "expires_in_remaining": 0, "client_id": None}

    @pytest.mark.parametrize("path", DECISIONS)
    def test_cannot_be_decided(self, stage: Stage, path: str, user_code: str) -> None:
        body = json.dumps({"user_code": user_code}).encode()
        answer = stage.send("POST", path, body, Content_Type=JSON)
        assert_refused(answer, 404, error="expired_or_unknown")

    def test_cannot_be_entered(self, stage: Stage, user_code: str) -> None:
        body = quoted(user_code=user_code)
        answer = stage.send("POST", "/device", body, True, Content_Type=FORM)
        assert_page_refused(answer, 400 if not user_code.strip() else 404)

    def test_can_stand_in_a_link(self, stage: Stage, user_code: str) -> None:
        answer = stage.send("GET", f"/device?{quoted(user_code=user_code).decode()}")
        assert answer.status_int == 200
        assert f"<{MARK}" not in answer.text
        assert "Set-Cookie: a=b" not in str(answer.headers)


BAD_FORMS = {
    "half a percent sequence of UTF-8": b"client_id=%ff&user_code=%ff",
    "an encoded surrogate": b"client_id=%ed%a0%80&user_code=%ed%a0%80",
    "an overlong NUL": b"client_id=%c0%80&user_code=%c0%80",
    "raw bytes": b"client_id=\xff\xfe&user_code=\xff",
    "raw bytes in a name": b"\xff\xfe=zqjxk&client_id=difyctl&user_code=BCDFGHJK",
    "a bad unknown parameter": b"client_id=difyctl&user_code=BCDFGHJK&zqjxk=%ff",
    "a thousand parameters": b"client_id=difyctl&user_code=BCDFGHJK&" + b"zqjxk=1&" * 1000,
    "ampersands alone": b"&" * 10_000,
    "percent signs alone": b"%" * 1000,
    "equals signs alone": b"=" * 1000,
    "no equals sign": b"client_id",
    "a NUL in the name": b"client_id%00=difyctl&user_code%00=BCDFGHJK",
    "brackets": b"client_id[]=difyctl&user_code[]=BCDFGHJK",
    "semicolons between": b"x=1;client_id=difyctl;user_code=BCDFGHJK",
    "JSON": b'{"client_id": "difyctl", "user_code": "BCDFGHJK"}',
    "nothing": b"",
}


@pytest.mark.parametrize("body", BAD_FORMS.values(), ids=BAD_FORMS)
@pytest.mark.parametrize("path", POSTED)
def test_a_broken_form_is_refused(stage: Stage, path: str, body: bytes) -> None:
    assert_refused(stage.send("POST", path, body, Content_Type=FORM), error="invalid_request")


MEDIA_TYPES = [
    "application/xml",
    "text/xml",
    "text/plain",
    "text/html",
    "text/json",
    "application/octet-stream",
    "application/jsonx",
    "application/vnd.api+json",
    "multipart/form-data",
    "multipart/form-data; boundary=zqjxk",
    "multipart/form-data; boundary=" + "z" * 500,
    "zqjxk",
    "/",
    ";",
    ", application/json",
    "x" * 10_000,
]


@pytest.mark.parametrize("media_type", MEDIA_TYPES, ids=lambda text: text[:40])
@pytest.mark.parametrize("path", POSTED)
def test_a_body_of_another_kind_is_refused(stage: Stage, path: str, media_type: str) -> None:
    answer = stage.send("POST", path, b"<client_id>zqjxk</client_id>", Content_Type=media_type)
    assert_refused(answer, 415, error="invalid_request")


@pytest.mark.parametrize("path", POSTED)
class TestABodyWithoutAKnownKind:
    def test_without_a_kind(self, stage: Stage, path: str) -> None:
        assert_refused(stage.send("POST", path, b"client_id=difyctl"), 415, error="invalid_request")

    def test_real_multipart(self, stage: Stage, path: str) -> None:
        part = b'--b\r\nContent-Disposition: form-data; name="client_id"\r\n\r\nzqjxk\r\n--b--\r\n'
        answer = stage.send("POST", path, part, Content_Type="multipart/form-data; boundary=b")
        assert_refused(answer, 415, error="invalid_request")

    @pytest.mark.parametrize("charset", ["utf-16", "utf-7", "zqjxk", "base64", "\x22", "idna", "unicode_escape"])
    def test_a_charset_changes_nothing(self, stage: Stage, path: str, charset: str) -> None:
        """The standard knows UTF-8 alone (RFC 6749, appendix B; RFC 8259 §8.1)."""
        for kind, body in ((FORM, b"client_id=%ff&user_code=%ff"), (JSON, b'{"client_id": 1, "user_code": 1}')):
            answer = stage.send("POST", path, body, Content_Type=f"{kind}; charset={charset}")
            assert_refused(answer, 400, error="invalid_request")


PAGES_POSTED = ("/device", "/login", "/device/consent", "/logout")


@pytest.mark.parametrize("media_type", [FORM, JSON, "text/plain", "multipart/form-data; boundary=b"])
@pytest.mark.parametrize("path", [*POSTED, ACCOUNT, METADATA, f"{API}/nothing"])
def test_a_body_of_17_kib_is_too_large(stage: Stage, path: str, media_type: str) -> None:
    body = b"client_id=" + b"zqjxk" * (17 * 1024 // 5 + 1)
    assert_refused(stage.send("POST", path, body, Content_Type=media_type), 413, error="invalid_request")


@pytest.mark.parametrize("signed_in", [False, True])
@pytest.mark.parametrize("path", [*PAGES_POSTED, "/nothing"])
def test_a_form_of_17_kib_is_too_large(stage: Stage, path: str, signed_in: bool) -> None:
    body = b"user_code=" + b"zqjxk" * (17 * 1024 // 5 + 1)
    assert_page_refused(stage.send("POST", path, body, signed_in, Content_Type=FORM), 413)


@pytest.mark.parametrize("size", [16 * 1024 + 1, 17 * 1024, 1024 * 1024])
@pytest.mark.parametrize("path", [CODE, TOKEN, LOOKUP])
def test_a_body_that_hides_its_length_is_too_large_all_the_same(stage: Stage, path: str, size: int) -> None:
    request = Request.blank(path, method="POST", content_type=FORM)
    request.environ["wsgi.input"] = BytesIO(b"client_id=" + b"z" * size)
    request.environ["HTTP_TRANSFER_ENCODING"] = "chunked"
    request.environ.pop("CONTENT_LENGTH", None)
    answer = request.get_response(stage.world.app)
    assert answer.status_int == 413
    assert answer.json == {"error": "invalid_request", "error_description": "The request body is too large."}


def test_a_body_of_16_kib_is_not_too_large(stage: Stage) -> None:
    body = b"client_id=zqjxk&x=" + b"y" * (16 * 1024 - 18)
    assert len(body) == 16 * 1024
    assert_refused(stage.send("POST", CODE, body, Content_Type=FORM), 401, error="invalid_client")


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
@pytest.mark.parametrize("path", [CODE, TOKEN, APPROVE, DENY])
def test_only_post_is_taken(stage: Stage, path: str, method: str) -> None:
    answer = stage.send(method, path)
    assert answer.headers["Allow"] == "POST"
    if method == "HEAD":
        assert answer.status_int == 405
        return
    assert_refused(answer, 405, error="invalid_request")


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
@pytest.mark.parametrize("path", [ACCOUNT, METADATA, "/.well-known/openid-configuration"])
def test_only_get_is_taken(stage: Stage, path: str, method: str) -> None:
    answer = stage.send(method, path)
    assert_refused(answer, 405, error="invalid_request")
    assert {one.strip() for one in answer.headers["Allow"].split(",")} == {"GET", "HEAD"}


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
def test_lookup_takes_get_and_post(stage: Stage, method: str) -> None:
    answer = stage.send(method, LOOKUP)
    assert_refused(answer, 405, error="invalid_request")
    assert {one.strip() for one in answer.headers["Allow"].split(",")} == {"GET", "HEAD", "POST"}


@pytest.mark.filterwarnings("ignore:Unknown REQUEST_METHOD")
@pytest.mark.parametrize("method", ["PROPFIND", "ZQJXK", "get", "Z" * 40])
@pytest.mark.parametrize("path", [*POSTED, ACCOUNT, METADATA])
def test_a_method_that_nobody_knows_is_refused(stage: Stage, path: str, method: str) -> None:
    assert_refused(stage.send(method, path), 404, 405)


def basic(text: str | bytes) -> str:
    return "Basic " + base64.b64encode(text.encode() if isinstance(text, str) else text).decode()


BAD_BASIC = {
    "nothing": ("Basic ", "invalid_client"),
    "no base64": (f"Basic {MARK}!", "invalid_client"),
    "base64 cut short": ("Basic ZGlmeWN0bDo=="[:-3], "invalid_client"),
    "base64 with a space in it": ("Basic ZGlm eWN0bDo=", "invalid_client"),
    "the URL alphabet": ("Basic -_-_", "invalid_client"),
    "latin letters outside of ASCII": ("Basic \xe9\xe9\xe9\xe9", "invalid_client"),
    "no colon": (basic("difyctl"), "invalid_client"),
    "nobody": (basic(f"{MARK}:"), "invalid_client"),
    "nobody with a secret": (basic(f"{MARK}:{MARK}"), "invalid_client"),
    "no client_id": (basic(":"), "invalid_client"),
    "no client_id, but a secret": (basic(f":{SECRET_OF_BACKEND}"), "invalid_client"),
    "a secret of a public client": (basic(f"difyctl:{MARK}"), "invalid_client"),
    "a wrong secret": (basic(f"backend:{MARK}"), "invalid_client"),
    "no secret": (basic("backend:"), "invalid_client"),
    "a wrong case": (basic(f"backend:{SECRET_OF_BACKEND.upper()}"), "invalid_client"),
    "bytes that are no UTF-8": (basic(b"\xff\xfe:\xff"), "invalid_client"),
    "percent sequences that are no UTF-8": (basic("%ff%fe:%ff"), "invalid_client"),
    "NUL": (basic("difyctl\x00:"), "invalid_client"),
    "encoded NUL": (basic("difyctl%00:"), "invalid_client"),
    "huge": (basic(MARK * 2000 + ":" + MARK * 2000), "invalid_client"),
    "another case of the scheme": (f"bAsIc {MARK}", "invalid_client"),
    "two colons": (basic("difyctl::"), "invalid_client"),
}


@pytest.mark.parametrize(("header", "error"), BAD_BASIC.values(), ids=BAD_BASIC)
@pytest.mark.parametrize("path", [CODE, TOKEN])
def test_a_bad_basic_header(stage: Stage, path: str, header: str, error: str) -> None:
    """RFC 6749 §5.2: 401 and the scheme that was tried."""
    form = {key: value for key, value in stage.good[path].items() if key != "client_id"}
    answer = stage.send("POST", path, quoted(**form), Content_Type=FORM, Authorization=header)
    assert_refused(answer, 401, error=error)
    assert answer.headers["WWW-Authenticate"].startswith("Basic ")


@pytest.mark.parametrize("path", [CODE, TOKEN])
@pytest.mark.parametrize("secret", [SECRET_OF_BACKEND, "", MARK])
def test_basic_and_client_secret_at_once(stage: Stage, path: str, secret: str) -> None:
    """RFC 6749 §2.3: one way to authenticate in each request."""
    form = quoted(**stage.good[path] | {"client_id": "backend", "client_secret": SECRET_OF_BACKEND})
    answer = stage.send("POST", path, form, Content_Type=FORM, Authorization=basic(f"backend:{secret}"))
    assert_refused(answer, error="invalid_request")


@pytest.mark.parametrize("path", [CODE, TOKEN])
def test_basic_of_one_client_and_client_id_of_another(stage: Stage, path: str) -> None:
    answer = stage.send(
        "POST",
        path,
        quoted(**stage.good[path]),
        Content_Type=FORM,
        Authorization=basic(f"backend:{SECRET_OF_BACKEND}"),
    )
    assert_refused(answer, error="invalid_request")


@pytest.mark.parametrize("header", ["Bearer zqjxk", "Digest username=zqjxk", "Negotiate zqjxk", "zqjxk", "Basic"])
def test_another_scheme_authenticates_no_client(stage: Stage, header: str) -> None:
    answer = stage.send("POST", CODE, quoted(client_id="backend"), Content_Type=FORM, Authorization=header)
    assert_refused(answer, 401, error="invalid_client")


BAD_BEARERS = {
    "garbage": f"Bearer {MARK}",
    "a prefix alone": "Bearer dfoa_",
    "a wrong checksum": "Bearer dfoa_" + "A" * 49,
    "huge": "Bearer " + MARK * 2000,
    "NUL": f"Bearer dfoa_\x01{MARK}",
    "latin letters": "Bearer \xe9\xff",
    "two tokens": f"Bearer {MARK} {MARK}",
    "a comma": f"Bearer {MARK}, Bearer {MARK}",
    "a star": "Bearer *",
    "a path": "Bearer ../../etc/passwd",
    "quotes": f'Bearer "{MARK}"\' or 1=1',
    "a device_code": "Bearer " + new_device_code("00"),
}
NO_BEARERS = {
    "nothing": "",
    "the scheme alone": "Bearer",
    "the scheme and spaces": "Bearer    ",
    "Basic": basic("difyctl:"),
    "another scheme": f"Token {MARK}",
    "no scheme": MARK,
}


@pytest.mark.parametrize("header", BAD_BEARERS.values(), ids=BAD_BEARERS)
def test_a_bad_bearer_token(stage: Stage, header: str) -> None:
    """RFC 6750 §3.1."""
    answer = stage.send("GET", ACCOUNT, Authorization=header)
    assert_refused(answer, 401, error="invalid_token")
    assert answer.headers["WWW-Authenticate"].startswith('Bearer realm="oauthdevice", error="invalid_token"')


@pytest.mark.parametrize("header", NO_BEARERS.values(), ids=NO_BEARERS)
def test_no_bearer_token(stage: Stage, header: str) -> None:
    """RFC 6750 §3.1: no error code where the request brought no token."""
    answer = stage.send("GET", ACCOUNT, Authorization=header)
    assert_refused(answer, 401, error="invalid_token")
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="oauthdevice"'


def test_a_token_counts_in_the_header_alone(stage: Stage) -> None:
    for answer in (
        stage.send("GET", f"{ACCOUNT}?access_token={stage.token}"),
        stage.send("GET", ACCOUNT, quoted(access_token=stage.token), Content_Type=FORM),
        stage.send("GET", ACCOUNT, Cookie=f"access_token={stage.token}"),
    ):
        assert_refused(answer, 401, error="invalid_token")
    token = f"Bearer {stage.token}"
    assert stage.send("GET", ACCOUNT, Authorization=token).status_int == 200
    for changed in (token[:-1], token + "A", token.swapcase(), token[:20] + "." + token[21:]):
        if changed.lower().startswith("bearer"):
            assert_refused(stage.send("GET", ACCOUNT, Authorization=changed), 401, error="invalid_token")


BAD_COOKIES = {
    "garbage": MARK,
    "empty": "",
    "huge": MARK * 1500,
    "latin letters": "\xe9\xff",
    "a control": "\x01",
    "bytes that are no UTF-8": "\xa0",
    "escapes that are no UTF-8": '"\\240"',
    "quotes around what divides": 'a="\\240; b=\xa0"',
    "quotes": '"',
    "a signature of nothing": "A" * 86,
    "base64 of garbage": base64.b64encode(b"\xff" * 90).decode(),
}


@pytest.mark.parametrize("other", ["other=\xa0", 'other="\\240"', "\xa0=1"])
def test_a_cookie_of_another_that_cannot_be_read_hides_none_of_ours(stage: Stage, other: str) -> None:
    own = "; ".join(f"{one.name}={one.value}" for one in stage.person.browser.cookiejar)
    for cookie in (f"{other}; {own}", f"{own}; {other}"):
        answer = stage.send("GET", "/logout", b"", False, Cookie=cookie)
        assert answer.status_int == 200
        assert "Ada Person" in answer.text


@pytest.mark.parametrize("cookie", BAD_COOKIES.values(), ids=BAD_COOKIES)
class TestABadCookieIsNobodys:
    @pytest.mark.parametrize("path", DECISIONS)
    def test_it_decides_nothing(self, stage: Stage, path: str, cookie: str) -> None:
        answer = stage.send(
            "POST", path, b'{"user_code": "BCDFGHJK"}', False, Content_Type=JSON, Cookie=f"oauthdevice_session={cookie}"
        )
        assert_refused(answer, 401, error="login_required")

    @pytest.mark.parametrize("path", ["/device", "/login", "/logout"])
    def test_it_opens_the_pages_of_nobody(self, stage: Stage, path: str, cookie: str) -> None:
        answer = stage.send("GET", path, b"", False, Cookie=f"oauthdevice_session={cookie}")
        assert answer.status_int == 200
        assert "Ada Person" not in answer.text
        assert MARK not in answer.text

    @pytest.mark.parametrize("path", ["/device/consent", "/device/approved", "/device/denied"])
    def test_it_is_led_back_to_the_start(self, stage: Stage, path: str, cookie: str) -> None:
        answer = stage.send("GET", path, b"", False, Cookie=f"oauthdevice_session={cookie}")
        assert answer.status_int == 303
        assert answer.headers["Location"] == "http://localhost/device"


# The first is what it takes to be asked for the token at all.
BAD_CSRF_TOKENS = {
    "wrong": MARK,
    "empty": "",
    "latin letters": "\xe9\xff",
    "huge": MARK * 2000,
    "one letter": "0",
    "of another form": "0" * 40,
}


@pytest.mark.parametrize("csrf_token", BAD_CSRF_TOKENS.values(), ids=BAD_CSRF_TOKENS)
class TestABadCSRFToken:
    @pytest.mark.parametrize("path", DECISIONS)
    def test_in_the_header_decides_nothing(self, stage: Stage, path: str, csrf_token: str) -> None:
        body = json.dumps(stage.good[path]).encode()
        answer = stage.send("POST", path, body, True, Content_Type=JSON, X_CSRF_Token=csrf_token)
        assert_refused(answer, 403, error="csrf_mismatch")

    @pytest.mark.parametrize("path", PAGES_POSTED)
    def test_in_the_header_moves_no_page(self, stage: Stage, path: str, csrf_token: str) -> None:
        body = quoted(user_code=stage.device.user_code, decision="approve")
        answer = stage.send("POST", path, body, True, Content_Type=FORM, X_CSRF_Token=csrf_token)
        assert_page_refused(answer, 403)

    @pytest.mark.parametrize("path", [*PAGES_POSTED, *DECISIONS])
    def test_in_a_form_moves_nothing(self, stage: Stage, path: str, csrf_token: str) -> None:
        body = quoted(csrf_token=csrf_token, user_code=stage.device.user_code, decision="approve")
        answer = stage.send("POST", path, body, True, Content_Type=FORM, X_CSRF_Token="")
        (assert_refused if path in DECISIONS else assert_page_refused)(answer, 403)


BROKEN_CSRF_BODIES = {
    "Chinese": (FORM, quoted(csrf_token="中文")),
    "a lone surrogate": (FORM, b"csrf_token=%ed%a0%80"),
    "no UTF-8": (FORM, b"csrf_token=%ff"),
    "raw bytes": (FORM, b"csrf_token=\xff\xfe"),
    "NUL": (FORM, b"csrf_token=%00"),
    "a thousand": (FORM, b"csrf_token=zqjxk&" * 900),
    "an unknown charset": (FORM + "; charset=zqjxk", b"csrf_token=zqjxk"),
    "a charset that is no text": (FORM + "; charset=base64", b"csrf_token=zqjxk"),
    "UTF-16": (FORM + "; charset=utf-16", b"csrf_token=zqjxk"),
    "JSON": (JSON, b'{"csrf_token": "zqjxk"}'),
    "multipart without a boundary": ("multipart/form-data", b"csrf_token=zqjxk"),
    "multipart with an empty boundary": ("multipart/form-data; boundary=", b"csrf_token=zqjxk"),
    "multipart with a bad boundary": ('multipart/form-data; boundary="\xe9"', b"csrf_token=zqjxk"),
    "multipart cut short": (
        "multipart/form-data; boundary=b",
        b'--b\r\nContent-Disposition: form-data; name="csrf_token"\r\n\r\nzq',
    ),
    "a file": (
        "multipart/form-data; boundary=b",
        b'--b\r\nContent-Disposition: form-data; name="csrf_token"; filename="f"\r\n\r\nzqjxk\r\n--b--\r\n',
    ),
    "multipart in an unknown charset": (
        "multipart/form-data; boundary=b; charset=zqjxk",
        b'--b\r\nContent-Disposition: form-data; name="csrf_token"\r\n\r\nzqjxk\r\n--b--\r\n',
    ),
    "a part in an unknown transfer encoding": (
        "multipart/form-data; boundary=b",
        b'--b\r\nContent-Disposition: form-data; name="csrf_token"\r\nContent-Transfer-Encoding: zqjxk\r\n'
        b"\r\nzqjxk\r\n--b--\r\n",
    ),
    "a part in bad base64": (
        "multipart/form-data; boundary=b",
        b'--b\r\nContent-Disposition: form-data; name="csrf_token"\r\nContent-Transfer-Encoding: base64\r\n'
        b"\r\nz\r\n--b--\r\n",
    ),
    "a part in bad UTF-8": (
        "multipart/form-data; boundary=b",
        b'--b\r\nContent-Disposition: form-data; name="csrf_token"\r\n\r\n\xff\xfe\r\n--b--\r\n',
    ),
    "plain text": ("text/plain", b"csrf_token=zqjxk"),
    "nothing": (FORM, b""),
}


@pytest.mark.parametrize(("media_type", "body"), BROKEN_CSRF_BODIES.values(), ids=BROKEN_CSRF_BODIES)
@pytest.mark.parametrize("path", [*PAGES_POSTED, *DECISIONS])
def test_a_body_without_a_readable_csrf_token(stage: Stage, path: str, media_type: str, body: bytes) -> None:
    answer = stage.send("POST", path, body, True, Content_Type=media_type, X_CSRF_Token="")
    (assert_refused if path in DECISIONS else assert_page_refused)(answer, 400, 403, 415)


@pytest.mark.parametrize("path", PAGES_POSTED)
def test_a_form_of_nobody_needs_a_csrf_token_too(stage: Stage, path: str) -> None:
    body = quoted(user_code=stage.device.user_code, decision="approve", email="a@example.com", password="x")
    assert_page_refused(stage.send("POST", path, body, False, Content_Type=FORM), 403)


BAD_PAGE_BODIES = {
    "no UTF-8": (FORM, b"user_code=%ff&email=%ff&decision=%ff"),
    "raw bytes": (FORM, b"user_code=\xff&email=\xff&decision=\xff"),
    "a field of 10,000 characters": (
        FORM,
        b"user_code=" + b"z" * 10_000 + b"&email=" + b"z" * 3000 + b"&decision=approve",
    ),
    "repeated": (FORM, b"user_code=zqjxk&user_code=zqjxk&email=a&email=a&decision=deny&decision=approve"),
    "a thousand fields": (FORM, b"zqjxk=1&" * 1000),
    "not JSON": (JSON, b"{"),
    "a JSON list": (JSON, b'["zqjxk"]'),
    "JSON of other types": (JSON, b'{"user_code": 1, "email": [], "password": {}, "decision": true}'),
    "deep JSON": (JSON, b"[" * 10_000),
    "XML": ("application/xml", b"<zqjxk/>"),
    "multipart": (
        "multipart/form-data; boundary=b",
        b'--b\r\nContent-Disposition: form-data; name="user_code"\r\n\r\nzqjxk\r\n--b--\r\n',
    ),
    "text": ("text/plain", b"zqjxk"),
}


@pytest.mark.parametrize(("media_type", "body"), BAD_PAGE_BODIES.values(), ids=BAD_PAGE_BODIES)
@pytest.mark.parametrize("path", ["/device", "/login", "/device/consent"])
def test_a_page_takes_no_broken_form(stage: Stage, path: str, media_type: str, body: bytes) -> None:
    answer = stage.send("POST", path, body, True, Content_Type=media_type)
    assert_page_refused(answer, 400, 415)


BAD_SIGN_INS = {
    "nothing": ("", ""),
    "spaces": ("   ", "   "),
    "nobody": (f"{MARK}@example.com", MARK),
    "NUL": (f"{MARK}\x00@example.com", f"{MARK}\x00"),
    "line breaks": (f"{MARK}\r\nSet-Cookie: a=b", MARK),
    "markup": (f"<{MARK}>", f"<{MARK}>"),
    "quotes": (f"' or 1=1 -- {MARK}", "' or 1=1"),
    "percent": ("%", "%"),
    "320 characters": ("é" * 320, "é" * 1024),
    "emoji": ("\U0001f600@\U0001f600", "\U0001f600"),
}


@pytest.mark.parametrize(("email", "password"), BAD_SIGN_INS.values(), ids=BAD_SIGN_INS)
def test_a_bad_sign_in_is_told_on_the_page(stage: Stage, email: str, password: str) -> None:
    body = quoted(email=email, password=password)
    answer = stage.send("POST", "/login", body, True, Content_Type=FORM)
    assert_page_refused(answer, 401)


@pytest.mark.parametrize(
    ("email", "password"), [(r"\ud800", "x"), ("x", r"\ud800"), (r"\ud800@example.com", r"\udfff"), (r"\u0000", "x")]
)
def test_a_sign_in_that_is_no_text_is_refused(stage: Stage, email: str, password: str) -> None:
    body = f'{{"email": "{email}", "password": "{password}"}}'.encode()
    assert_page_refused(stage.send("POST", "/login", body, True, Content_Type=JSON), 400, 401)


@pytest.mark.parametrize("decision", ["", "allow", "APPROVE", "approve ", "deny,approve", MARK, "\x00", "1"])
def test_another_decision_decides_nothing(stage: Stage, decision: str) -> None:
    body = quoted(user_code=stage.device.user_code, decision=decision)
    assert_page_refused(stage.send("POST", "/device/consent", body, True, Content_Type=FORM), 400)


BAD_QUERIES = {
    "no UTF-8": "user_code=%ff",
    "an encoded surrogate": "user_code=%ed%a0%80",
    "a name that is no UTF-8": "%ff=1",
    "half a sequence": "user_code=%c3",
    "raw bytes": "user_code=\xff",
    "NUL in the name": "user_code%00=1",
    "repeated": "user_code=BCDFGHJK&user_code=BCDFGHJK",
    "huge": "user_code=" + "z" * 10_000,
    "a thousand": "x=1&" * 1000,
}


@pytest.mark.parametrize("query", BAD_QUERIES.values(), ids=BAD_QUERIES)
class TestABadQueryString:
    def test_at_lookup(self, stage: Stage, query: str) -> None:
        assert_refused(stage.send("GET", f"{LOOKUP}?{query}"), error="invalid_request")

    @pytest.mark.parametrize("path", ["/device", "/login", "/logout", "/device/consent", "/device/approved", "/"])
    def test_at_a_page(self, stage: Stage, path: str, query: str) -> None:
        answer = stage.send("GET", f"{path}?{query}")
        assert answer.status_int < 500, answer
        assert answer.headers["Cache-Control"] == "no-store"

    @pytest.mark.parametrize("path", [ACCOUNT, METADATA, CODE, f"{API}/nothing", "/nothing", "/static/device.css"])
    def test_where_none_is_read(self, stage: Stage, path: str, query: str) -> None:
        answer = stage.send("GET", f"{path}?{query}")
        assert answer.status_int in (200, 400, 401, 404, 405), answer


UNKNOWN_PATHS = [
    f"{API}/",
    f"{API}/{MARK}",
    f"{API}/oauth",
    f"{API}/oauth/device",
    f"{API}/oauth/device/",
    f"{CODE}/",
    f"{CODE}%00",
    f"{CODE}%20",
    f"{CODE};{MARK}",
    f"{CODE}/../token",
    f"{API}/oauth/device/CODE",
    f"{API}/account/",
    f"{API}/account%2f",
    f"{API}//account",
    f"{API}/{MARK * 2000}",
    f"{API}/%E4%B8%AD",
    f"{API}/%0d%0aSet-Cookie:%20a=b",
    f"{API}/{{{MARK}}}",
    f"{API}/<{MARK}>",
    "/.well-known/",
    f"/.well-known/{MARK}",
    f"{METADATA}/",
]


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
@pytest.mark.parametrize("path", UNKNOWN_PATHS, ids=lambda path: path[:40])
def test_at_an_unknown_address_of_the_api_is_nothing(stage: Stage, path: str, method: str) -> None:
    assert_refused(stage.send(method, path), 404, error="not_found")


BROKEN_PATHS = ["%ff", "%ed%a0%80", "%c0%80", "%fe%ff", "oauth/device/%ff"]


@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
@pytest.mark.parametrize("path", BROKEN_PATHS)
class TestAPathThatIsNoUTF8:
    def test_of_the_api(self, stage: Stage, path: str, method: str) -> None:
        assert_refused(stage.send(method, f"{API}/{path}"), 400, 404)

    @pytest.mark.parametrize("root", ["/", "/device/", "/static/"])
    def test_of_a_page(self, stage: Stage, root: str, path: str, method: str) -> None:
        assert_page_refused(stage.send(method, root + path), 400, 404)


UNKNOWN_PAGES = [
    f"/{MARK}",
    "/device/",
    "/login/",
    "/device/consent/",
    "/DEVICE",
    "/%00",
    "/device%00",
    "/%E4%B8%AD",
    f"/<{MARK}>",
    "/" + MARK * 2000,
    "/static/",
    "/static",
    f"/static/{MARK}",
    "/static/../development.ini",
    "/static/%2e%2e/development.ini",
    "/static/%2e%2e%2fdevelopment.ini",
    "/static/..%5cdevelopment.ini",
    "/static//etc/passwd",
    "/static/%00",
    "/static/device.css%00",
    "/favicon.ico",
    "/robots.txt",
    "/.git/config",
    "/.env",
]


@pytest.mark.parametrize("path", UNKNOWN_PAGES, ids=lambda path: path[:40])
def test_at_an_unknown_address_is_a_page_that_says_so(stage: Stage, path: str) -> None:
    assert_page_refused(stage.send("GET", path), 404)


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("path", ["/device", "/login", "/device/consent", "/logout", "/device/approved"])
def test_a_page_takes_no_other_method(stage: Stage, path: str, method: str) -> None:
    answer = stage.send(method, path, signed_in=True)
    assert_page_refused(answer, 405)
    assert "GET" in answer.headers["Allow"]


HOSTILE_HEADERS = {
    "Host": ("Host", "evil.example"),
    "Host with a port": ("Host", "evil.example:99999"),
    "Host with a space": ("Host", "evil example"),
    "Host with markup": ("Host", "<zqjxk>"),
    "Host with a user": ("Host", "localhost@evil.example"),
    "Host with a path": ("Host", "evil.example/zqjxk"),
    "Host of latin letters": ("Host", "\xe9"),
    "huge Host": ("Host", "z" * 10_000),
    "X-Forwarded-Host": ("X-Forwarded-Host", "evil.example"),
    "X-Forwarded-For": ("X-Forwarded-For", "198.51.100.9"),
    "broken X-Forwarded-For": ("X-Forwarded-For", "zqjxk, ,;="),
    "X-Forwarded-Proto": ("X-Forwarded-Proto", "https"),
    "X-Forwarded-Prefix": ("X-Forwarded-Prefix", "/evil.example"),
    "X-Forwarded-Port": ("X-Forwarded-Port", "zqjxk"),
    "X-Real-IP": ("X-Real-IP", "198.51.100.9"),
    "X-Original-URL": ("X-Original-URL", "/evil.example"),
    "X-Rewrite-URL": ("X-Rewrite-URL", "/evil.example"),
    "X-HTTP-Method-Override": ("X-HTTP-Method-Override", "DELETE"),
    "Forwarded": ("Forwarded", "for=198.51.100.9;host=evil.example;proto=https"),
    "True-Client-IP": ("True-Client-IP", "198.51.100.9"),
    "Client-IP": ("Client-IP", "198.51.100.9"),
    "Via": ("Via", "1.1 zqjxk"),
    "Accept": ("Accept", "zqjxk;q=x, */zqjxk"),
    "huge Accept": ("Accept", "a/b," * 3000),
    "Accept-Language": ("Accept-Language", "zqjxk;;;q=9"),
    "Accept-Charset": ("Accept-Charset", "zqjxk"),
    "Accept-Encoding": ("Accept-Encoding", "zqjxk;q="),
    "Range": ("Range", "bytes=zqjxk"),
    "If-Modified-Since": ("If-Modified-Since", "zqjxk"),
    "If-None-Match": ("If-None-Match", "*"),
    "Expect": ("Expect", "zqjxk"),
    "Origin": ("Origin", "https://evil.example"),
    "null Origin": ("Origin", "null"),
    "Referer": ("Referer", "\xe9\xff zqjxk"),
    "Cookie": ("Cookie", "=;;; =zqjxk; \xe9=\xe9"),
    "huge Cookie": ("Cookie", "z=" + "z" * 10_000),
    "Content-Encoding": ("Content-Encoding", "gzip"),
}


@pytest.mark.parametrize(("name", "value"), HOSTILE_HEADERS.values(), ids=HOSTILE_HEADERS)
class TestAHostileHeaderChangesNothing:
    def assert_unmoved(self, answer: TestResponse) -> None:
        told = str(answer.headers) + answer.text
        for word in ("evil.example", MARK, "198.51.100.9"):
            assert word not in told
        assert not [header for header in answer.headers if header.lower().startswith("access-control-")]

    def test_of_the_metadata(self, stage: Stage, name: str, value: str) -> None:
        answer = stage.send("GET", METADATA, **{name.replace("-", "_"): value})
        assert answer.status_int == 200
        assert answer.json["issuer"] == "http://localhost"
        assert answer.json["token_endpoint"] == f"http://localhost{TOKEN}"
        self.assert_unmoved(answer)

    @pytest.mark.parametrize("path", ["/", "/device/consent", "/device/approved"])
    def test_of_a_redirect(self, stage: Stage, path: str, name: str, value: str) -> None:
        answer = stage.send("GET", path, **{name.replace("-", "_"): value})
        assert answer.status_int == 303
        assert answer.headers["Location"] == "http://localhost/device"
        self.assert_unmoved(answer)

    @pytest.mark.parametrize("path", ["/device", "/login", "/logout"])
    def test_of_a_page(self, stage: Stage, path: str, name: str, value: str) -> None:
        answer = stage.send("GET", path, **{name.replace("-", "_"): value})
        assert answer.status_int == 200
        self.assert_unmoved(answer)

    def test_of_an_error(self, stage: Stage, name: str, value: str) -> None:
        header = {name.replace("-", "_"): value}
        assert_refused(stage.send("POST", CODE, b"client_id=" + MARK.encode(), Content_Type=FORM, **header), 401)
        assert_refused(stage.send("GET", f"{API}/nothing", **header), 404)
        answer = stage.send("GET", "/nothing", **header)
        assert_page_refused(answer, 404)
        self.assert_unmoved(answer)

    def test_of_a_file(self, stage: Stage, name: str, value: str) -> None:
        answer = stage.send("GET", "/static/device.css", **{name.replace("-", "_"): value})
        assert answer.status_int in (200, 304, 416), answer


@pytest.mark.parametrize("length", ["-1", "zqjxk", "1e3", "9" * 30, "0x10", " 5 ", "+5", "1,2"])
@pytest.mark.parametrize("path", [CODE, "/device"])
def test_a_length_that_is_no_number_does_no_harm(stage: Stage, path: str, length: str) -> None:
    request = Request.blank(path, method="POST", content_type=FORM)
    request.environ["wsgi.input"] = BytesIO(b"client_id=zqjxk")
    request.environ["CONTENT_LENGTH"] = length
    answer = request.get_response(stage.world.app)
    assert 400 <= answer.status_int < 500, answer
    assert MARK not in answer.text


@pytest.mark.parametrize("path", ["/device", "/login", METADATA, ACCOUNT])
@pytest.mark.parametrize("host", ["", " ", ":", "[", "\x00"])
def test_a_host_that_is_none_does_no_harm(stage: Stage, path: str, host: str) -> None:
    request = Request.blank(path, environ={"HTTP_HOST": host})
    assert request.get_response(stage.world.app).status_int == (401 if path == ACCOUNT else 200)


@pytest.mark.parametrize("address", ["", "zqjxk", "999.1.1.1", "::1%zqjxk", "unix:", "10.0.0.1:80", "\x00"])
def test_an_address_that_is_none_does_no_harm(stage: Stage, address: str, counts_wrong_codes: None) -> None:
    browser = stage.world.browser(address)
    answer = browser.post_json(LOOKUP, {"user_code": "BCDFGHJK"}, status=200)
    assert answer.json == {"valid": False, "expires_in_remaining": 0, "client_id": None}
    assert browser.post(CODE, {"client_id": MARK}, status=401).json["error"] == "invalid_client"


class TestAnHonestDeviceGoesOn:
    """After all of the above, as each of these begins with an empty Redis. What they write is theirs."""

    @pytest.fixture
    def stage(self, make: WorldMaker) -> Stage:
        world = make(**{"limit.code": "1/hour"})
        device = world.device().ask()
        person = world.person().sign_in()
        return Stage(world, device, person, person.csrf_token(), "")

    @pytest.fixture(autouse=True)
    def _nothing_is_written(self) -> None:
        """Not here: a device asks."""

    @pytest.mark.parametrize(("name", "value"), HOSTILE_HEADERS.values(), ids=HOSTILE_HEADERS)
    def test_under_hostile_headers(self, make: WorldMaker, name: str, value: str) -> None:
        world = make(**{"limit.code": "1/hour"})
        http = world.browser()
        answer = http.post(CODE, {"client_id": "difyctl"}, headers={name: value}, status=200)
        assert answer.json["verification_uri"] == "http://localhost/device"
        code = answer.json["user_code"]
        assert answer.json["verification_uri_complete"] == f"http://localhost/device?user_code={code}"
        # Another bucket would let it pass.
        http.post(CODE, {"client_id": "difyctl"}, headers={name: value[::-1]}, status=429)
        http.post(CODE, {"client_id": "difyctl"}, status=429)
        page = world.person().sign_in().open(code)
        assert "192.0.2.7" in page.text
        assert "198.51.100.9" not in page.text

    def test_bad_requests_neither_slow_nor_spend_its_code(self, stage: Stage) -> None:
        good = {"grant_type": DEVICE_GRANT, "client_id": "difyctl", "device_code": stage.device.device_code}
        for bad in (
            {"grant_type": "password"},
            {"client_secret": MARK},
            {"client_id": MARK},
            {"device_code": stage.device.device_code + "x"},
            {"device_code": ""},
        ):
            answer = stage.send("POST", TOKEN, quoted(**good | bad), Content_Type=FORM)
            assert answer.status_int in (400, 401)
        assert stage.device.poll().json == {
            "error": "authorization_pending",
            "error_description": "The person has not decided yet. Poll again after the interval.",
            "interval": 5,
        }
        stage.person.allow(stage.device.user_code)
        assert stage.device.poll().status_int == 200

    def test_the_original_dialect_knows_four_errors_alone(self, stage: Stage) -> None:
        """An unknown or used code, a malformed one included, is expired_token."""
        for code in (new_device_code("00"), "dc_nonsense", "x"):
            answer = stage.device.poll_original(device_code=code)
            assert answer.status_int == 400
            assert answer.json["error"] == "expired_token"

    @pytest.mark.parametrize("email", ["\x00", "nobody\x00@example.com", "nobody@example.com\x00"])
    def test_an_email_with_nul_is_nobodys_on_every_database(
        self, make: WorldMaker, postgresql_url: str, email: str
    ) -> None:
        """PostgreSQL, unlike SQLite, takes no NUL in a text."""
        browser = make(database_url=postgresql_url).browser()
        form = browser.get("/login").form
        form["email"], form["password"] = email, "x"
        assert_page_refused(form.submit(status="*"), 400, 401)
