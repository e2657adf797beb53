"""The OpenAPI document says what the server does: no route more or less, and every answer as it is told."""

import copy
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker
from openapi_spec_validator import OpenAPIV31SpecValidator
from webtest import TestResponse

import oauthdevice.views
from oauthdevice.domain.codes import new_device_code
from oauthdevice.domain.errors import SSO_ERRORS
from oauthdevice.domain.scopes import EXTERNAL_ONLY
from oauthdevice.domain.token_endpoint import DEVICE_GRANT

from ..conftest import WorldMaker
from ..factories import (
    API,
    APPROVAL_CONTEXT,
    APPROVE,
    APPROVE_EXTERNAL,
    CODE,
    DENY,
    DENY_EXTERNAL,
    LOOKUP,
    SSO_COMPLETE,
    SSO_INITIATE,
    TOKEN,
    Device,
    Person,
    Stranger,
    World,
)
from ..key_holders import KeyHolder
from ..scripted_providers import ADA, CLIENT_ID, CLIENT_SECRET, ScriptedProvider
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
LIMITS = ("code", "token_unknown", "lookup", "guesses", "decide", "bearer", "sso_initiate", "approve_external")
NO_LIMITS = {f"limit.{name}": "off" for name in LIMITS}


@pytest.fixture
def ini_file(tmp_path: Path, provider: ScriptedProvider) -> str:
    """A tool that may refresh, one whose codes are brief, an API with a secret; one identity provider."""
    ini = tmp_path / "clients.ini"
    digest = hashlib.sha256(SECRET.encode()).hexdigest()
    ini.write_text(
        f"[client:difyctl]\nname = difyctl\nscopes = full {EXTERNAL_ONLY}\nrefresh = on\n"
        f"[client:brief]\nname = Brief\nscopes = {EXTERNAL_ONLY}\ndevice_code_lifetime_seconds = 60\n"
        f"[client:strict]\nname = Strict\nscopes = full {EXTERNAL_ONLY}\nother_network = confirm\n"
        f"[client:blocked]\nname = Blocked\nscopes = full {EXTERNAL_ONLY}\nother_network = block\n"
        f"[client:api]\nname = API\nscopes = full\ndevice_flow = off\nsecret_sha256 = {digest}\n"
        f"[sso:corp]\nissuer = {provider.url}\nclient_id = {CLIENT_ID}\nclient_secret = {CLIENT_SECRET}\n"
    )
    return str(ini)


@pytest.fixture
def world(make: WorldMaker, ini_file: str) -> World:
    """The enterprise edition: it has every route."""
    return make(ini_file=ini_file, edition="enterprise", **NO_LIMITS)


@pytest.fixture(params=["community", "enterprise"])
def either(request: pytest.FixtureRequest, make: WorldMaker, ini_file: str) -> World:
    """Each edition."""
    return make(ini_file=ini_file, edition=request.param, **NO_LIMITS)


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
    def test_has_every_route_and_method_that_is_mounted_and_no_other(self, either: World) -> None:
        document = document_of(either)
        mounted = {
            (f"/{pattern.lstrip('/')}", method)
            for pattern, service in either.app.registry.cornice_services.items()
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

    def test_is_valid_openapi(self, either: World) -> None:
        document = document_of(either)
        assert document["openapi"].startswith("3.1.")
        assert [str(error) for error in OpenAPIV31SpecValidator(document).iter_errors()] == []

    def test_gives_examples_that_are_valid(self, either: World) -> None:
        document = document_of(either)
        found = list(examples(document, document["paths"])) + list(examples(document, document["components"]))
        assert len(found) > 40
        for schema, example in found:
            assert problems(document, schema, example) == [], example

    def test_defines_nothing_that_it_does_not_use(self, either: World) -> None:
        document = document_of(either)
        text = json.dumps(document)
        for kind in ("schemas", "responses", "headers"):
            for name in document["components"][kind]:
                assert f'"#/components/{kind}/{name}"' in text, name
        told = [item[method] for item in document["paths"].values() for method in METHODS if method in item]
        used = {name for one in told for way in one["security"] for name in way}
        assert set(document["components"]["securitySchemes"]) == used
        assert [one["name"] for one in document["tags"]] == list(dict.fromkeys(one["tags"][0] for one in told))

    def test_tells_of_sso_in_the_enterprise_edition_alone(self, either: World) -> None:
        document = document_of(either)
        told = {
            path
            for path, item in document["paths"].items()
            for method in METHODS
            if "SSO" in item.get(method, {}).get("tags", ())
        }
        there = {SSO_INITIATE, SSO_COMPLETE, APPROVAL_CONTEXT, APPROVE_EXTERNAL, DENY_EXTERNAL}
        there = {path.removeprefix(API) for path in there} | {"/oauth/device/sso-complete/{provider}"}
        assert told == (there if either.settings.has_sso else set())
        assert any("approval" in name for name in document["components"]["securitySchemes"]) == bool(told)

    @pytest.mark.parametrize(("path", "method"), ROUTES)
    def test_tells_of_each_route_in_a_line_and_at_length(self, world: World, path: str, method: str) -> None:
        told = document_of(world)["paths"][path][method]
        assert 10 < len(told["summary"]) < 80
        assert "\n" not in told["summary"]
        assert told["description"].endswith(".")
        assert told["operationId"].startswith(method)
        assert {"200", "302"} & set(told["responses"])

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
        # A redirect has nothing to read but its headers.
        body = answer.json if "content" in told else {}
        if "content" in told:
            assert problems(self.document, told["content"][answer.content_type]["schema"], body) == []
        for name, header in told.get("headers", {}).items():
            schema = resolved(self.document, header)["schema"]
            if name == "DPoP-Nonce" and body["error"] != "use_dpop_nonce":
                assert name not in answer.headers
                continue
            value = answer.headers[name]
            assert problems(self.document, schema, int(value) if schema["type"] == "integer" else value) == []
        for name in ("Retry-After", "WWW-Authenticate", "Location"):
            assert (name in answer.headers) == (name in told.get("headers", {})), name
        self.seen.add((method, path, answer.status_int, body.get("error", "")))
        return answer

    def _route(self, path: str) -> str:
        path = path.removeprefix(API)
        if path in self.document["paths"]:
            return path
        if path.startswith("/oauth/device/sso-complete/"):
            return "/oauth/device/sso-complete/{provider}"
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

    def test_of_a_key(self, world: World, reader: Reader) -> None:
        check, tool = reader.check, KeyHolder(world)
        for proof in (tool.proof("GET", CODE), tool.proof("POST", CODE, iat=0), tool.proof("POST", CODE)):
            answer = check(tool.post(CODE, {}, proof))
        tool.device.answer = answer.json
        for proof in ("", tool.proof("POST", TOKEN, iat=0), "nonsense", None):
            check(tool.poll(proof))
        world.person().allow(tool.device.user_code)
        tokens = check(tool.poll()).json
        token = tokens["access_token"]
        for proof in ("", tool.proof("GET", ACCOUNT, iat=0), None):
            check(tool.account(token, proof))
        check(tool.account(token, scheme="Bearer"))
        check(tool.refresh(tokens["refresh_token"]))
        api = {"client_id": "api", "client_secret": SECRET}
        for one in (token, tokens["refresh_token"]):
            check(tool.device.http.post(INTROSPECT, {**api, "token": one}))
        told = {error for *_, error in reader.seen}
        assert told == {
            "", "authorization_pending", "invalid_grant", "invalid_dpop_proof", "use_dpop_nonce", "invalid_token",
        }  # fmt: skip

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

    def test_of_another_network(self, world: World, reader: Reader) -> None:
        check, person = reader.check, world.person(address="203.0.113.9").sign_in()
        device, blocked = world.device("strict").ask(), world.device("blocked").ask()
        for answer in (device.poll(), device.poll()):
            assert check(answer).json["confirmation_number"]
        number = device.number
        check(person.post(APPROVE, blocked.user_code))
        check(person.post(APPROVE, device.user_code))
        check(person.post(APPROVE, device.user_code, confirmation_number="x" * 17))
        for guess in ("100", "100", number):
            check(person.post(APPROVE, device.user_code, confirmation_number=guess))
        told = {error for *_, error in reader.seen}
        refused = {"other_network_blocked", "confirmation_required", "confirmation_failed", "invalid_request"}
        assert told == {"", "authorization_pending", "slow_down", *refused}

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


class TestAStoryOfSSO:
    """As TestAStory, of people known only to an identity provider."""

    @pytest.fixture
    def reader(self, world: World) -> Reader:
        return Reader(document_of(world))

    @pytest.mark.parametrize("path", [APPROVE_EXTERNAL, DENY_EXTERNAL])
    def test_of_a_decision(self, world: World, reader: Reader, provider: ScriptedProvider, path: str) -> None:
        check, device, http = reader.check, world.device().ask(device_label="laptop"), world.browser()
        body = {"user_code": device.user_code, "provider": "corp"}
        check(http.post_json(SSO_INITIATE, body))
        there = check(http.get(SSO_INITIATE, body))
        check(http.get(provider.sign_in(there.headers["Location"])))
        token = check(http.get(APPROVAL_CONTEXT)).json["csrf_token"]
        spent = http.cookies["oauthdevice_approval"]
        for code, csrf_token, status in (
            ("", token, 400),
            ("BCDF-GHJK", token, 400),
            (device.user_code, "", 403),
            (device.user_code, token, 200),
        ):
            check(http.post_json(path, {"user_code": code}, headers={"X-CSRF-Token": csrf_token}, status=status))
        check(http.get(APPROVAL_CONTEXT, status=401))
        check(http.post(path, body, status=401))
        headers = {"X-CSRF-Token": token, "Cookie": f"oauthdevice_approval={spent}"}
        check(world.browser().post(path, body, headers=headers, status=401))
        check(device.poll())
        told = {error for route, name, _, error in reader.seen if name == path.removeprefix(API)}
        decided = {"invalid_request", "user_code_mismatch", "csrf_mismatch", "invalid_session"}
        assert told == {"", "session_already_consumed", *decided}

    @pytest.mark.parametrize("path", [APPROVE_EXTERNAL, DENY_EXTERNAL])
    def test_of_a_code_that_is_no_longer_theirs(
        self, world: World, reader: Reader, provider: ScriptedProvider, path: str
    ) -> None:
        check, claimed, decided, old = (
            reader.check,
            world.device().ask(),
            world.device().ask(),
            world.device("brief").ask(),
        )
        ada, other, third = (Stranger(world).sign_in(provider, one.user_code) for one in (claimed, decided, old))
        # The context claims a code, so the token is taken from the seal.
        tokens = {one: csrf_token_of(world, one) for one in (ada, other, third)}
        world.person().open(claimed.user_code)
        Stranger(world).sign_in(provider, decided.user_code).decide(DENY_EXTERNAL, decided.user_code)
        assert check(ada.browser.get(APPROVAL_CONTEXT, status=409)).json["error"] == "already_claimed"
        assert check(ada.decide(path, claimed.user_code, tokens[ada])).json["error"] == "already_claimed"
        assert check(other.decide(path, decided.user_code, tokens[other])).json["error"] == "user_code_not_pending"
        world.clock.pass_seconds(60)
        assert check(third.decide(path, old.user_code, tokens[third])).status_int == 404
        assert check(third.browser.get(APPROVAL_CONTEXT, status=401)).json["error"] == "no_session"

    def test_of_another_network(self, world: World, reader: Reader, provider: ScriptedProvider) -> None:
        check = reader.check
        for client_id, error in (("strict", "confirmation_required"), ("blocked", "other_network_blocked")):
            device = world.device(client_id).ask()
            ada = Stranger(world, "203.0.113.9").sign_in(provider, device.user_code)
            context = check(ada.browser.get(APPROVAL_CONTEXT)).json
            assert check(ada.decide(APPROVE_EXTERNAL, device.user_code, context["csrf_token"])).json["error"] == error
            if client_id == "strict":
                for number in ("100", device.number):
                    check(ada.decide(APPROVE_EXTERNAL, device.user_code, confirmation_number=number))
        assert ("POST", APPROVE_EXTERNAL.removeprefix(API), 403, "confirmation_failed") in reader.seen

    def test_of_what_cannot_be_approved(
        self, world: World, reader: Reader, provider: ScriptedProvider, make: WorldMaker
    ) -> None:
        check, full, device = reader.check, world.device().ask(scope="full"), world.device().ask()
        ada = Stranger(world).sign_in(provider, full.user_code)
        assert check(ada.browser.get(APPROVAL_CONTEXT, status=400)).json["error"] == "invalid_scope"
        answer = ada.decide(APPROVE_EXTERNAL, full.user_code, csrf_token_of(world, ada))
        assert check(answer).json["error"] == "invalid_scope"
        ada.sign_in(provider, device.user_code)
        token = csrf_token_of(world, ada)
        # Another process, whose ini file no longer declares the provider.
        elsewhere, body = make(edition="enterprise").browser(), {"user_code": device.user_code}
        cookie = f"oauthdevice_approval={ada.browser.cookies['oauthdevice_approval']}"
        answer = elsewhere.post(APPROVE_EXTERNAL, body, headers={"X-CSRF-Token": token, "Cookie": cookie}, status=401)
        assert check(answer).json["error"] == "invalid_session"
        world.person(ADA["email"])
        assert check(ada.decide(APPROVE_EXTERNAL, device.user_code, token)).json["error"] == "email_belongs_to_account"

    def test_of_sign_ins_that_do_not_begin(self, world: World, reader: Reader, provider: ScriptedProvider) -> None:
        check, http, user_code = reader.check, world.browser(), world.device().ask().user_code
        provider.down = True
        for ask in (http.get, http.post):
            for body, status in (
                ({}, 400),
                ({"user_code": "BCDF-GHJK"}, 400),
                ({"user_code": user_code, "provider": "nobody"}, 400),
                ({"user_code": user_code}, 502),
            ):
                check(ask(SSO_INITIATE, body, status=status))
        assert {error for *_, error in reader.seen} == {"invalid_user_code", "invalid_request", "sso_initiate_failed"}

    def test_of_sign_ins_that_fail(self, world: World, reader: Reader) -> None:
        for path in (SSO_COMPLETE, f"{SSO_COMPLETE}/corp", f"{SSO_COMPLETE}/nobody"):
            for query in ({}, {"state": "x", "code": "y"}, {"sso_assertion": "z"}, {"code": "y" * 5000}):
                answer = reader.check(world.browser().get(path, query))
                assert answer.headers["Location"] == "http://localhost/device?sso_error=sso_failed"
        told = reader.document["paths"]["/oauth/device/sso-complete"]["get"]["responses"]["302"]["description"]
        assert all(one.error in told for one in SSO_ERRORS)

    @pytest.mark.parametrize("path", [SSO_INITIATE, APPROVE_EXTERNAL, DENY_EXTERNAL])
    def test_of_requests_that_are_none(
        self, world: World, reader: Reader, provider: ScriptedProvider, path: str
    ) -> None:
        ada = Stranger(world).sign_in(provider, world.device().ask().user_code)
        headers = {"X-CSRF-Token": csrf_token_of(world, ada)}
        reader.check(ada.browser.post_json(path, [], headers=headers, status=400))
        reader.check(ada.browser.post(path, b"x" * 17 * 1024, headers=headers, status=413))
        xml = {**headers, "Content-Type": "application/xml"}
        reader.check(ada.browser.post(path, b"<x/>", headers=xml, status=415))

    def test_of_limits(self, make: WorldMaker, ini_file: str, provider: ScriptedProvider) -> None:
        limits = {"limit.sso_initiate": "2/hour", "limit.approve_external": "1/hour"}
        world = make(ini_file=ini_file, edition="enterprise", **limits)
        check, one, other = Reader(document_of(world)).check, world.device().ask(), world.device().ask()
        ada, again = (Stranger(world).sign_in(provider, device.user_code) for device in (one, other))
        assert ada.decide(APPROVE_EXTERNAL, one.user_code).status_int == 200
        for answer in (
            again.decide(APPROVE_EXTERNAL, other.user_code),
            again.decide(DENY_EXTERNAL, other.user_code),
            ada.browser.get(SSO_INITIATE, {"user_code": other.user_code}, status=429),
            ada.browser.post(SSO_INITIATE, {"user_code": other.user_code}, status=429),
        ):
            assert check(answer).status_int == 429

    def test_of_a_store_that_is_away(
        self, make: WorldMaker, ini_file: str, provider: ScriptedProvider, own_redis_server: RedisServer
    ) -> None:
        world = make(ini_file=ini_file, edition="enterprise", redis_url=own_redis_server.url)
        check, device, ada = Reader(document_of(world)).check, world.device().ask(), Stranger(world)
        callback = provider.sign_in(ada.leave(device.user_code))
        ada.sign_in(provider, device.user_code)
        token = csrf_token_of(world, ada)
        own_redis_server.stop()
        body = {"user_code": device.user_code}
        for answer in (
            ada.browser.get(APPROVAL_CONTEXT, status=503),
            ada.decide(APPROVE_EXTERNAL, device.user_code, token),
            ada.decide(DENY_EXTERNAL, device.user_code, token),
            ada.browser.get(SSO_INITIATE, body, status=503),
            ada.browser.post(SSO_INITIATE, body, status=503),
        ):
            assert check(answer).status_int == 503
        assert check(ada.come_back(callback)).headers["Location"].endswith("?sso_error=sso_failed")


def csrf_token_of(world: World, stranger: Stranger) -> str:
    """The token of the approval that a browser holds."""
    approval = world.services.approval_seal.unseal(stranger.browser.cookies["oauthdevice_approval"])
    assert approval is not None
    return approval.csrf_token


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
        assert all(address.startswith(("/", "#", "?ui_locales=")) for address in markup.loaded)
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
