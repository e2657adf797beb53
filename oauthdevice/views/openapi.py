"""The API described: OpenAPI 3.1 for programs at `openapi.json`, the same as a page at `/openapi`."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from importlib.resources import files
from typing import Any, TypeAlias
from urllib.parse import urlencode

from pyramid.config import Configurator
from pyramid.httpexceptions import HTTPMethodNotAllowed
from pyramid.request import Request

from ..schemas.body import FORM, JSON
from ..settings import Settings
from .service import OAuthService

Members: TypeAlias = dict[str, Any]

METHODS = ("get", "post", "put", "delete")
# The tag of what only the enterprise edition has.
SSO = "SSO"
# How curl is told of a security scheme.
CURL = {
    "client": '-u "$CLIENT_ID:$CLIENT_SECRET"',
    "bearer": '-H "Authorization: Bearer $TOKEN"',
    "dpop": '-H "Authorization: DPoP $TOKEN" -H "DPoP: $PROOF"',
    "session": '-b "$COOKIE"',
    "csrf": '-H "X-CSRF-Token: $CSRF_TOKEN"',
    "approval": '-b "$COOKIE"',
    "approval_csrf": '-H "X-CSRF-Token: $CSRF_TOKEN"',
}


def includeme(config: Configurator) -> None:
    settings: Settings = config.registry["oauthdevice.settings"]
    config.registry["oauthdevice.openapi"] = read_document(settings)
    service = OAuthService("openapi", f"{settings.api_prefix}/openapi.json")
    service.add_view("GET", get_document)
    config.add_cornice_service(service)
    config.add_route("openapi_page", "/openapi")
    template = "oauthdevice:templates/openapi.html.jinja2"
    config.add_view(show_document, route_name="openapi_page", request_method="GET", renderer=template)
    config.add_view(refuse_method, route_name="openapi_page", require_csrf=False)


def read_document(settings: Settings) -> Members:
    """`openapi.json` beside this file, with the version and the public addresses of this server."""
    document: Members = json.loads(files(__package__).joinpath("openapi.json").read_text("utf-8"))
    document["info"]["version"] = version("oauthdevice")
    document["servers"] = [{"url": settings.public_url + settings.api_prefix}]
    if not settings.has_sso:
        _drop_sso(document)
    for path, item in document["paths"].items():
        if path.startswith("/.well-known/"):
            item["servers"] = [{"url": settings.public_url}]
    return document


def _drop_sso(document: Members) -> None:
    """Take out the routes that are tagged SSO, and what nothing else refers to."""
    document["tags"] = [one for one in document["tags"] if one["name"] != SSO]
    document["paths"] = {
        path: item
        for path, item in document["paths"].items()
        if not any(SSO in item[method]["tags"] for method in METHODS if method in item)
    }
    told = json.dumps(document)
    schemes = {name for one in operations(document) for way in one.told["security"] for name in way}
    for kind, parts in document["components"].items():
        for name in list(parts):
            is_used = name in schemes if kind == "securitySchemes" else f'"#/components/{kind}/{name}"' in told
            if not is_used:
                del parts[name]


def get_document(request: Request) -> Members:
    """The document. All addresses are built from `public_url`."""
    document: Members = request.registry["oauthdevice.openapi"]
    return document


def show_document(request: Request) -> Members:
    """The document as a person reads it."""
    document = get_document(request)
    return {"document": document, "operations": list(operations(document))}


def refuse_method(_: Request) -> Members:
    """Any method but GET and HEAD."""
    error = HTTPMethodNotAllowed()
    error.allow = ("GET", "HEAD")
    raise error


@dataclass(frozen=True)
class Parameter:
    """One parameter of a route. `place` is path, query or body; `schema` is the one it resolves to."""

    name: str
    place: str
    required: bool
    schema: Members


@dataclass(frozen=True)
class Operation:
    """One route and method, as the page shows it. `answers` are by status, with their error codes."""

    method: str
    path: str
    told: Members
    parameters: list[Parameter]
    answers: dict[str, tuple[str, list[str]]]
    curl: str


def operations(document: Members) -> Iterator[Operation]:
    """Every route and method, in the order of the document."""
    for path, item in document["paths"].items():
        (server,) = item.get("servers", document["servers"])
        for method in METHODS:
            if method in item:
                told = item[method]
                yield Operation(
                    method=method.upper(),
                    path=path,
                    told=told,
                    parameters=list(_parameters(document, told)),
                    answers={status: _answer(document, one) for status, one in told["responses"].items()},
                    curl=_curl(method.upper(), server["url"] + path, told),
                )


def _resolved(document: Members, one: Members) -> Members:
    """`one`, and beneath it what it refers to: its own members win."""
    if "$ref" not in one:
        return one
    found: Any = document
    for step in one["$ref"].removeprefix("#/").split("/"):
        found = found[step]
    return {**_resolved(document, found), **one}


def _parameters(document: Members, told: Members) -> Iterator[Parameter]:
    for one in told.get("parameters", ()):
        schema = {**_resolved(document, one["schema"]), "description": one["description"]}
        yield Parameter(one["name"], one["in"], one.get("required", False), schema)
    if "requestBody" in told:
        schema = told["requestBody"]["content"][FORM]["schema"]
        choices = [_resolved(document, choice) for choice in schema.get("anyOf", [schema])]
        seen: set[str] = set()
        for name, one in (member for choice in choices for member in choice["properties"].items()):
            if name not in seen:
                seen.add(name)
                required = all(name in choice["required"] for choice in choices)
                yield Parameter(name, "body", required, _resolved(document, one))


def _answer(document: Members, one: Members) -> tuple[str, list[str]]:
    answer = _resolved(document, one)
    # A redirect has no content.
    schema = answer.get("content", {}).get(JSON, {}).get("schema", {})
    errors = schema.get("properties", {}).get("error", {})
    return answer["description"], errors.get("enum", [])


def _curl(method: str, url: str, told: Members) -> str:
    """A command that can be pasted into a shell once the variables in it are set."""
    words = [CURL[name] for name in told["security"][0]]
    if method not in ("GET", "POST"):
        words.append(f"-X {method}")
    example = told["requestBody"]["content"][FORM]["example"] if "requestBody" in told else {}
    words += [f'-d "{name}={value}"' for name, value in example.items()]
    examples = {one["name"]: one for one in told.get("parameters", ()) if "example" in one}
    query = {name: one["example"] for name, one in examples.items() if one["in"] == "query"}
    for name, one in examples.items():
        url = url.replace(f"{{{name}}}", one["example"])
    return "curl " + " \\\n  ".join([*words, f'"{url}{"?" if query else ""}{urlencode(query)}"'])
