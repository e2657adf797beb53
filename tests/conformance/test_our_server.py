"""The kit on our server: every MUST, and no more than one SHOULD that is known."""

from collections.abc import Callable
from typing import Any

import pytest

from oauthdevice.conformance.people import Nobody
from oauthdevice.conformance.probe import Client
from oauthdevice.conformance.requirements import Finding, Level, Outcome

from .conftest import API, Kit, results, told_in_documents

# DPoP is not there yet.


def with_outcome(found: dict[str, Finding], outcome: Outcome) -> set[str]:
    return {one for one, of in found.items() if of.outcome is outcome}


def failed(found: dict[str, Finding], level: Level) -> set[str]:
    return {one for one in with_outcome(found, Outcome.FAILED) if found[one].requirement.level is level}


def below(prefix: str, app: Any) -> Any:
    """As a proxy that serves the application beneath a path, and its metadata where RFC 8414 §3.1 puts it."""

    def proxied(environ: dict[str, Any], start_response: Any) -> Any:
        if environ["PATH_INFO"].startswith(prefix):
            environ.update(SCRIPT_NAME=prefix, PATH_INFO=environ["PATH_INFO"].removeprefix(prefix))
        return app(environ, start_response)

    return proxied


@pytest.mark.parametrize("url", ["http://localhost", "https://login.example.com"])
def test_ours_meets_every_must(make_kit: Callable[..., Kit], url: str) -> None:
    found = make_kit(public_url=url, **{"limit.lookup": "20/5 minutes"}).examine(guesses=30)
    assert failed(found, Level.MUST) == set()
    assert failed(found, Level.SHOULD) == set()
    assert with_outcome(found, Outcome.NOT_TRIED) == set()
    assert len(with_outcome(found, Outcome.PASSED)) >= 90
    if url.startswith("http:"):
        assert results(found) == told_in_documents("oauthdevice")


def test_ours_meets_every_must_beneath_a_path(make_kit: Callable[..., Kit]) -> None:
    kit = make_kit(public_url="https://example.com/sign-in")
    found = kit.examine(app=below("/sign-in", kit.world.app), person=Nobody())
    assert failed(found, Level.MUST) == set()
    assert {one for one in with_outcome(found, Outcome.NOT_TRIED) if one.startswith("rfc8414")} == set()
    assert "needs a person: --approve-with" in found["rfc6749-token-members"].seen
    assert "needs a person: --deny-with" in found["rfc8628-denied"].seen


@pytest.mark.parametrize("in_body", [False, True])
def test_ours_meets_every_must_for_a_client_with_a_secret(kit: Kit, in_body: bool) -> None:
    found = kit.examine(client=Client("safe", API.secret, in_body))
    assert failed(found, Level.MUST) == set()
    assert with_outcome(found, Outcome.NOT_TRIED) == {"rfc8628-guesses-are-limited"}
    assert found["rfc9700-refresh-token-replay"].outcome is Outcome.NOT_APPLICABLE
