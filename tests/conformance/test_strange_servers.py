"""A server may answer anything: the kit tells what it saw, and no answer ends it."""

import itertools
import json
from typing import Any

import pytest
from webob import Request, Response

from oauthdevice.conformance.requirements import Outcome

from .conftest import Kit, Middleware, passing

STRANGE: list[Any] = [
    None, "http://[", True, "//", [], "ftp://x/", {}, "-o", [[]], "http://a:b/", -1, "", 10**400, "\u001b[2J",
    "é" * 5000,
]  # fmt: skip
PATHS = ("/.well-known/oauth-authorization-server", "/device/code", "/device/token", "/oauth/introspect")


def replaced(path: str, turn: int) -> Middleware:
    """Each member of a JSON answer has one of the strange values, another one at each turn."""

    def after(_: Request, reply: Response) -> None:
        if reply.content_type == "application/json":
            values = itertools.islice(itertools.cycle(STRANGE), turn, None)
            reply.body = json.dumps(dict(zip(reply.json, values, strict=False))).encode()

    return passing(path, after)


@pytest.mark.parametrize("turn", range(0, len(STRANGE), 4))
@pytest.mark.parametrize("path", PATHS)
def test_members_may_be_anything(kit: Kit, path: str, turn: int) -> None:
    found = kit.examine(app=replaced(path, turn)(kit.world.app), guesses=1)
    assert any(one.outcome is Outcome.FAILED for one in found.values())
    assert all(len(one.seen) <= 300 for one in found.values())


@pytest.mark.parametrize("body", [b"", b"[]", b"\xff\xfe", b"[" * 100_000], ids=lambda body: repr(body[:2]))
@pytest.mark.parametrize("path", PATHS[1:])
def test_bodies_may_be_anything(kit: Kit, path: str, body: bytes) -> None:
    def after(_: Request, reply: Response) -> None:
        reply.body = body

    found = kit.examine(app=passing(path, after)(kit.world.app))
    assert any(one.outcome is Outcome.FAILED for one in found.values())


@pytest.mark.parametrize("location", ["http://[", "/device", "mailto:x", "http://a:b", ""])
def test_pages_may_lead_anywhere(kit: Kit, location: str) -> None:
    """Also round in circles."""

    def redirecting(environ: dict[str, Any], start_response: Any) -> Any:
        if environ["PATH_INFO"] != "/device":
            return kit.world.app(environ, start_response)
        start_response("302 Found", [("Location", location)])
        return [b""]

    found = kit.examine("rfc8628-verification-page-is-there", "RFC9700", app=redirecting)
    assert found["rfc8628-verification-page-is-there"].outcome in (Outcome.FAILED, Outcome.NOT_TRIED)
