"""The OpenAPI document says what the server does: no route more or less, and every answer as it is told."""

import copy
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from jsonschema import Draft202012Validator, FormatChecker
from openapi_spec_validator import OpenAPIV31SpecValidator
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks
from webtest import TestResponse

import oauthdevice.views
from oauthdevice.domain.codes import new_device_code
from oauthdevice.domain.scopes import EXTERNAL_ONLY
from oauthdevice.domain.token_endpoint import DEVICE_GRANT

from ..conftest import WorldMaker
from ..factories import API, APPROVE, CODE, DENY, LOOKUP, TOKEN, Device, Person, World
from ..servers import RedisServer
from .test_headers import _Markup, directives

Document = dict[str, Any]

FILE = Path(oauthdevice.views.__file__).with_name("openapi.json")
METHODS = ("get", "post", "put", "patch", "delete", "options", "trace")
PATHS = json.loads(FILE.read_text("utf-8"))["paths"]
ROUTES = [(path, method) for path, item in PATHS.items() for method in METHODS if method in item]
WITH_INPUT = [(path, method) for path, method in ROUTES if {"requestBody", "parameters"} & set(PATHS[path][method])]
DOCUMENT = f"{API}/openapi.json"
ACCOUNT, SESSIONS = f"{API}/account", f"{API}/account/sessions"
INTROSPECT, REVOKE = f"{API}/oauth/introspect", f"{API}/oauth/revoke"
SECRET = "the API's own long secret"
LIMITS = ("code", "token_unknown", "lookup", "guesses", "decide", "bearer")
NO_LIMITS = {f"limit.{name}": "off" for name in LIMITS}


@pytest.fixture
def ini_file(tmp_path: Path) -> str:
    """Two clients: a tool that may refresh, an API with a secret."""
    ini = tmp_path / "clients.ini"
    digest = hashlib.sha256(SECRET.encode()).hexdigest()
    ini.write_text(
        f"[client:difyctl]\nname = difyctl\nscopes = full {EXTERNAL_ONLY}\nrefresh = on\n"
        f"[client:api]\nname = API\nscopes = full\ndevice_flow = off\nsecret_sha256 = {digest}\n"
    )
    return str(ini)


@pytest.fixture
def world(make: WorldMaker, ini_file: str) -> World:
    return make(ini_file=ini_file, **NO_LIMITS)


def document_of(world: World) -> Document:
    document: Document = world.browser().get(DOCUMENT, status=200).json
    return document


def signed_in(world: World, person: Person, **parameters: str) -> tuple[Device, dict[str, Any]]:
    device = world.device().ask(**parameters)
    person.allow(device.user_code)
    return device, device.poll().json


def resolved(document: Document, one: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in one:
        return one
    for step in one["$ref"].removeprefix("#/").split("/"):
        document = document[step]
    return document


class TestTheDocument:
    def test_has_every_route_and_method_that_is_mounted_and_no_other(self, world: World) -> None:
        document = document_of(world)
        mounted = {
            (f"/{pattern.lstrip('/')}", method)
            for pattern, service in world.app.registry.cornice_services.items()
            for method, _, _ in service.definitions
            # Of every GET there is a HEAD, which is no route of its own.
            if method != "HEAD"
        }
        told = {
            (item.get("servers", document["servers"])[0]["url"].removeprefix("http://localhost") + path, method.upper())
            for path, item in document["paths"].items()
            for method in METHODS
            if method in item
        }
        assert told == mounted

    def test_is_valid_openapi(self, world: World) -> None:
        document = document_of(world)
        assert document["openapi"].startswith("3.1.")
        assert [str(error) for error in OpenAPIV31SpecValidator(document).iter_errors()] == []

    def test_gives_examples_that_are_valid(self, world: World) -> None:
        document = document_of(world)
        found = list(examples(document, document["paths"])) + list(examples(document, document["components"]))
        assert len(found) > 40
        for schema, example in found:
            assert problems(document, schema, example) == [], example

    def test_defines_nothing_that_it_does_not_use(self) -> None:
        text = FILE.read_text("utf-8")
        document = json.loads(text)
        for kind in ("schemas", "responses", "headers"):
            for name in document["components"][kind]:
                assert f'"#/components/{kind}/{name}"' in text, name
        for name in document["components"]["securitySchemes"]:
            assert any(name in way for path, method in ROUTES for way in document["paths"][path][method]["security"])

    @pytest.mark.parametrize(("path", "method"), ROUTES)
    def test_tells_of_each_route_in_a_line_and_at_length(self, world: World, path: str, method: str) -> None:
        told = document_of(world)["paths"][path][method]
        assert 10 < len(told["summary"]) < 80
        assert "\n" not in told["summary"]
        assert told["description"].endswith(".")
        assert told["operationId"].startswith(method)
        assert "200" in told["responses"]

    def test_names_the_public_addresses_of_this_server(self, make: WorldMaker) -> None:
        world = make(public_url="https://login.example.com/auth", api_prefix="/api/v2")
        document = world.browser().get("/api/v2/openapi.json", headers={"Host": "evil.example"}).json
        assert document["servers"] == [{"url": "https://login.example.com/auth/api/v2"}]
        metadata = document["paths"]["/.well-known/oauth-authorization-server"]
        assert metadata["servers"] == [{"url": "https://login.example.com/auth"}]
        assert "evil" not in json.dumps(document)

    def test_needs_neither_a_token_nor_a_cookie(self, world: World) -> None:
        answer = world.browser().get(DOCUMENT, headers={"Authorization": "Bearer nonsense"}, status=200)
        assert answer.content_type == "application/json"
        assert "Set-Cookie" not in answer.headers


def examples(document: Document, part: Any) -> Iterator[tuple[dict[str, Any], Any]]:
    """Every example with its schema, wherever it stands."""
    if isinstance(part, list):
        for one in part:
            yield from examples(document, one)
    if not isinstance(part, dict):
        return
    if "schema" in part and "example" in part:
        yield part["schema"], part["example"]
    if "schema" in part and "examples" in part:
        yield from ((part["schema"], one["value"]) for one in part["examples"].values())
    for one in part.values():
        yield from examples(document, one)


def problems(document: Document, schema: dict[str, Any], value: Any) -> list[str]:
    """What is wrong with `value`, members that the schema does not name included."""
    components = copy.deepcopy(document["components"])
    for name, one in components["schemas"].items():
        # Routes add members of their own to an error.
        if one.get("type") == "object" and name != "Error":
            one["unevaluatedProperties"] = False
    whole = {**schema, "components": components}
    if "$ref" in schema or "oneOf" in schema:
        whole["unevaluatedProperties"] = False
    validator = Draft202012Validator(whole, format_checker=FormatChecker())
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(value)]


class Reader:
    """Holds every answer of a story against the document."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.seen: set[tuple[str, str, int, str]] = set()

    def check(self, answer: TestResponse) -> TestResponse:
        """The answer, after it was found to be as the document says."""
        path, method = self._route(answer.request.path), answer.request.method
        told = resolved(
            self.document, self.document["paths"][path][method.lower()]["responses"][str(answer.status_int)]
        )
        assert problems(self.document, told["content"][answer.content_type]["schema"], answer.json) == []
        for name, header in told.get("headers", {}).items():
            schema = resolved(self.document, header)["schema"]
            value = answer.headers[name]
            assert problems(self.document, schema, int(value) if schema["type"] == "integer" else value) == []
        for name in ("Retry-After", "WWW-Authenticate"):
            assert (name in answer.headers) == (name in told.get("headers", {})), name
        self.seen.add((method, path, answer.status_int, answer.json.get("error", "")))
        return answer

    def _route(self, path: str) -> str:
        path = path.removeprefix(API)
        if path in self.document["paths"]:
            return path
        assert path.startswith("/account/sessions/")
        return "/account/sessions/{id}"


class TestAStory:
    """Told over the real routes; `check` holds each answer against the document."""

    @pytest.fixture
    def reader(self, world: World) -> Reader:
        return Reader(document_of(world))

    def test_of_a_device_and_a_person(self, world: World, reader: Reader) -> None:
        check, device, person = reader.check, world.device(), world.person()
        workspace = world.services.accounts.add_workspace("Research")
        world.services.accounts.join_workspace(workspace, person.account.email, "owner")
        device.answer = check(device.http.post(CODE, {"client_id": "difyctl", "device_label": "laptop"})).json
        for answer in (device.poll(), device.poll(), device.poll_original()):
            check(answer)
        check(device.http.get(LOOKUP, {"user_code": device.user_code}))
        person.allow(device.user_code)
        check(device.http.post_json(LOOKUP, {"user_code": device.user_code}))
        check(device.http.post(LOOKUP, {"user_code": "BCDF-GHJK"}))
        tokens = check(device.poll()).json
        bearer = {"Authorization": f"Bearer {tokens['access_token']}"}
        check(device.http.get(ACCOUNT, headers=bearer))
        check(device.http.get(SESSIONS, headers=bearer))
        check(device.http.get(f"{SESSIONS}?limit=201", headers=bearer, status=400))
        api = {"client_id": "api", "client_secret": SECRET}
        for token in (tokens["access_token"], tokens["refresh_token"], "nonsense"):
            check(device.http.post(INTROSPECT, {**api, "token": token}))
        form = {"grant_type": "refresh_token", "client_id": "difyctl"}
        second = check(device.http.post(TOKEN, {**form, "refresh_token": tokens["refresh_token"]})).json
        check(
            device.http.post(
                TOKEN, {**form, "refresh_token": second["refresh_token"], "scope": "apps:run full x"}, status=400
            )
        )
        check(device.http.post(REVOKE, {"client_id": "difyctl", "token": second["refresh_token"]}))
        check(device.http.get(ACCOUNT, headers={"Authorization": f"Bearer {second['access_token']}"}, status=401))
        assert len({route[:2] for route in reader.seen}) == 8
        told = {error for *_, error in reader.seen}
        assert told == {"", "authorization_pending", "slow_down", "invalid_scope", "invalid_request", "invalid_token"}

    def test_of_sessions_that_end(self, world: World, reader: Reader) -> None:
        check, person = reader.check, world.person().sign_in()
        device, first = signed_in(world, person)
        _, second = signed_in(world, person)
        bearer = {"Authorization": f"Bearer {first['access_token']}"}
        for path, status in (
            (second["token_id"], 200),
            (second["token_id"], 404),
            ("x", 404),
            ("self", 200),
            ("self", 401),
        ):
            check(device.http.delete(f"{SESSIONS}/{path}", headers=bearer, status=status))

    @pytest.mark.parametrize(("path", "other"), [(APPROVE, DENY), (DENY, APPROVE)])
    def test_of_decisions(self, world: World, reader: Reader, path: str, other: str) -> None:
        check, person, stranger = reader.check, world.person().sign_in(), world.person().sign_in()
        device, claimed = world.device().ask(), world.device().ask()
        stranger.open(claimed.user_code)
        check(world.browser().post_json(path, {"user_code": device.user_code}, status=401))
        check(person.browser.post_json(path, {"user_code": device.user_code}, status=403))
        for code, status in (("", 400), ("BCDF-GHJK", 404), (claimed.user_code, 409), (device.user_code, 200)):
            assert check(person.post(path, code)).status_int == status
        assert check(person.post(other, device.user_code)).json["error"] == "already_resolved"
        check(device.poll())
        assert ("POST", path.removeprefix(API), 409, "already_claimed") in reader.seen

    def test_of_a_scope_that_no_account_can_grant(self, world: World, reader: Reader) -> None:
        device, person = world.device().ask(scope=EXTERNAL_ONLY), world.person().sign_in()
        answer = person.post(APPROVE, device.user_code)
        assert reader.check(answer).json["error"] == "invalid_scope"

    @pytest.mark.parametrize("path", [CODE, TOKEN, LOOKUP, INTROSPECT, REVOKE])
    def test_of_requests_that_are_none(self, world: World, reader: Reader, path: str) -> None:
        http = world.browser()
        reader.check(http.post(path, {}, status=400))
        reader.check(http.post_json(path, [], status=400))
        reader.check(http.post(path, b"x" * 17 * 1024, status=413))
        reader.check(http.post(path, b"<x/>", headers={"Content-Type": "application/xml"}, status=415))

    def test_of_clients_that_may_not(self, world: World, reader: Reader) -> None:
        check, http = reader.check, world.browser()
        device = world.device().ask()
        nobody = {"client_id": "nobody", "token": "x", "grant_type": "refresh_token", "refresh_token": "x"}
        for path in (CODE, TOKEN, INTROSPECT, REVOKE):
            check(http.post(path, nobody, status=401))
        check(http.post(INTROSPECT, {"client_id": "difyctl", "token": "x"}, status=401))
        api = {"client_id": "api", "client_secret": SECRET}
        check(http.post(CODE, api, status=400))
        check(http.post(CODE, {"client_id": "difyctl", "scope": "nonsense"}, status=400))
        check(http.post(TOKEN, {**api, "grant_type": "refresh_token", "refresh_token": "x"}, status=400))
        check(device.poll(grant_type="password"))
        check(device.poll(device_code="nonsense"))
        check(device.poll_original(device_code="nonsense"))
        check(http.get(ACCOUNT, status=401))
        world.clock.pass_seconds(900)
        check(device.poll())
        told = {error for *_, error in reader.seen}
        assert told == {
            "invalid_client",
            "unauthorized_client",
            "invalid_scope",
            "unsupported_grant_type",
            "invalid_grant",
            "expired_token",
            "invalid_token",
        }

    def test_of_limits(self, make: WorldMaker) -> None:
        world = make(**{f"limit.{name}": "1/hour" for name in LIMITS if name != "code"}, **{"limit.code": "3/hour"})
        check, http = Reader(document_of(world)).check, world.browser()
        person = world.person().sign_in()
        device, answer = signed_in(world, person)
        unknown = {"grant_type": DEVICE_GRANT, "client_id": "difyctl"}
        bearer = {"Authorization": f"Bearer {answer['access_token']}"}
        device.ask()
        device.ask()
        http.post(TOKEN, {**unknown, "device_code": new_device_code("00")}, status=400)
        http.get(ACCOUNT, headers=bearer, status=200)
        for answer in (
            http.post(CODE, {"client_id": "difyctl"}, status=429),
            http.post(TOKEN, {**unknown, "device_code": new_device_code("00")}, status=429),
            http.get(LOOKUP, {"user_code": "x"}, status=429),
            http.post(LOOKUP, {"user_code": "x"}, status=429),
            person.post(APPROVE, device.user_code),
            person.post(DENY, device.user_code),
            http.get(ACCOUNT, headers=bearer, status=429),
            http.get(SESSIONS, headers=bearer, status=429),
            http.delete(f"{SESSIONS}/self", headers=bearer, status=429),
            http.delete(f"{SESSIONS}/x", headers=bearer, status=429),
        ):
            assert check(answer).status_int == 429

    def test_of_a_store_that_is_away(self, make: WorldMaker, ini_file: str, own_redis_server: RedisServer) -> None:
        world = make(ini_file=ini_file, redis_url=own_redis_server.url)
        check, http, person = Reader(document_of(world)).check, world.browser(), world.person().sign_in()
        device, held = signed_in(world, person)
        bearer, csrf_token = {"Authorization": f"Bearer {held['access_token']}"}, person.csrf_token()
        device.ask()
        own_redis_server.stop()
        lookup, decision = {"user_code": device.user_code}, {"headers": {"X-CSRF-Token": csrf_token}, "status": 503}
        for answer in (
            device.poll(),
            http.post(CODE, {"client_id": "difyctl"}, status=503),
            http.get(LOOKUP, lookup, status=503),
            http.post(LOOKUP, lookup, status=503),
            person.browser.post_json(APPROVE, lookup, **decision),
            person.browser.post_json(DENY, lookup, **decision),
            http.get(ACCOUNT, headers=bearer, status=503),
            http.get(SESSIONS, headers=bearer, status=503),
            http.delete(f"{SESSIONS}/self", headers=bearer, status=503),
            http.delete(f"{SESSIONS}/x", headers=bearer, status=503),
            http.post(INTROSPECT, {"client_id": "api", "client_secret": SECRET, "token": held["token"]}, status=503),
            http.post(REVOKE, {"client_id": "difyctl", "token": held["token"]}, status=503),
        ):
            assert check(answer).status_int == 503

    def test_of_the_documents(self, world: World, reader: Reader) -> None:
        for path in ("/.well-known/oauth-authorization-server", "/.well-known/openid-configuration", DOCUMENT):
            reader.check(world.browser().get(path, status=200))


class TestAnyRequest:
    """Requests that nobody wrote down: whatever comes in, the answer is one that the document tells of."""

    CHECKS = (
        not_a_server_error,
        checks.status_code_conformance,
        checks.content_type_conformance,
        checks.response_schema_conformance,
        checks.response_headers_conformance,
    )

    @pytest.mark.parametrize(("path", "method"), ROUTES)
    def test_as_documented(self, world: World, path: str, method: str) -> None:
        self.ask(world, path, method, schemathesis.GenerationMode.POSITIVE)

    @pytest.mark.parametrize(("path", "method"), WITH_INPUT)
    def test_not_as_documented(self, world: World, path: str, method: str) -> None:
        self.ask(world, path, method, schemathesis.GenerationMode.NEGATIVE)

    def ask(self, world: World, path: str, method: str, mode: Any) -> None:
        person = world.person().sign_in()
        _, answer = signed_in(world, person)
        own = {
            "bearer": {"headers": {"Authorization": f"Bearer {answer['access_token']}"}},
            "session": {"headers": {"X-CSRF-Token": person.csrf_token()}, "cookies": dict(person.browser.cookies)},
        }
        document = document_of(world)
        # In process, the servers of a path are not looked at.
        document["servers"] = document["paths"][path].pop("servers", document["servers"])
        schema = schemathesis.openapi.from_dict(document)
        schema.app = world.app
        options = own.get(next(iter(document["paths"][path][method]["security"][0]), ""), {})
        known = {"client_id": "api", "client_secret": SECRET} if "introspect" in path else {"client_id": "difyctl"}
        unusual = [HealthCheck.filter_too_much, HealthCheck.too_slow]

        @settings(max_examples=40, deadline=None, database=None, suppress_health_check=unusual)
        @given(case=schema[path][method].as_strategy(generation_mode=mode))
        def every(case: Any) -> None:
            if isinstance(case.body, dict) and "client_id" in case.body:
                # No drawn text is ever a client that there is.
                case.body = {name: value for name, value in case.body.items() if name != "client_secret"} | known
            case.validate_response(case.call(**options), checks=self.CHECKS)

        every()


class TestThePage:
    def test_names_every_route(self, world: World) -> None:
        page = world.browser().get("/openapi", status=200)
        assert page.content_type == "text/html"
        for path, method in ROUTES:
            assert f"<code>{method.upper()} {path}</code></h2>" in page.text
        document = document_of(world)
        for path, method in ROUTES:
            told = document["paths"][path][method]
            assert page.html.find(id=told["operationId"]).parent.strong.text == f"{told['summary']}."

    def test_keeps_to_the_policy_of_every_page(self, world: World) -> None:
        page, markup = world.browser().get("/openapi"), _Markup()
        markup.feed(page.text)
        assert markup.problems == []
        assert all(address.startswith(("/", "#")) for address in markup.loaded)
        assert {source for sources in directives(page).values() for source in sources} == {"'self'", "'none'"}
        assert page.headers.getall("Set-Cookie") == []

    def test_needs_neither_redis_nor_the_database(self, make: WorldMaker) -> None:
        world = make(redis_url="redis://127.0.0.1:1/0", database_url="postgresql+psycopg://nobody@127.0.0.1:1/nothing")
        world.browser().get("/openapi", status=200)
        world.browser().get(DOCUMENT, status=200)

    @pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
    def test_takes_no_other_method(self, world: World, method: str) -> None:
        answer = world.browser().request("/openapi", method=method, status=405)
        assert answer.content_type == "text/html"
        assert sorted(answer.headers["Allow"].split(", ")) == ["GET", "HEAD"]
