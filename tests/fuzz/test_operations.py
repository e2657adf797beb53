"""Requests that nobody wrote down, at every operation of the OpenAPI document: the answer is one that it tells of."""

from typing import Any

import pytest
import schemathesis
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks

from ..factories import Stranger, World
from ..functional.test_openapi_document import (
    ROUTES,
    SECRET,
    WITH_INPUT,
    csrf_token_of,
    document_of,
    ini_file,
    signed_in,
    world,
)
from ..scripted_providers import ScriptedProvider
from .inputs import fuzzed

__all__ = ["ini_file", "world"]

# Of each operation and mode.
INPUTS = 40
CHECKS = (
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
    checks.response_headers_conformance,
)


@pytest.mark.parametrize(("path", "method"), ROUTES)
def test_as_documented(world: World, provider: ScriptedProvider, path: str, method: str) -> None:
    ask(world, path, method, schemathesis.GenerationMode.POSITIVE, provider)


@pytest.mark.parametrize(("path", "method"), WITH_INPUT)
def test_not_as_documented(world: World, provider: ScriptedProvider, path: str, method: str) -> None:
    ask(world, path, method, schemathesis.GenerationMode.NEGATIVE, provider)


def ask(world: World, path: str, method: str, mode: Any, provider: ScriptedProvider) -> None:
    person = world.person().sign_in()
    _, answer = signed_in(world, person)
    ada = Stranger(world).sign_in(provider, world.device().ask().user_code)
    own = {
        "bearer": {"headers": {"Authorization": f"Bearer {answer['access_token']}"}},
        "session": {"headers": {"X-CSRF-Token": person.csrf_token()}, "cookies": dict(person.browser.cookies)},
        "approval": {"headers": {"X-CSRF-Token": csrf_token_of(world, ada)}, "cookies": dict(ada.browser.cookies)},
    }
    document = document_of(world)
    # In process, the servers of a path are not looked at.
    document["servers"] = document["paths"][path].pop("servers", document["servers"])
    schema = schemathesis.openapi.from_dict(document)
    schema.app = world.app
    options = own.get(next(iter(document["paths"][path][method]["security"][0]), ""), {})
    known = {"client_id": "api", "client_secret": SECRET} if "introspect" in path else {"client_id": "difyctl"}

    @fuzzed(INPUTS, schema[path][method].as_strategy(generation_mode=mode), name=f"operations.{mode.value}")
    def every(case: Any) -> None:
        if isinstance(case.body, dict) and "client_id" in case.body:
            # No drawn text is ever a client that there is.
            case.body = {name: value for name, value in case.body.items() if name != "client_secret"} | known
        case.validate_response(case.call(**options), checks=CHECKS)

    every()
