"""The kit on a server that others wrote: oidc-provider, with the pages that it has of its own."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from oauthdevice.conformance.people import Asked
from oauthdevice.conformance.probe import Client, Probe
from oauthdevice.conformance.requirements import Outcome
from oauthdevice.conformance.transport import Transport

from ..cli.conftest import API_SECRET, DeviceProvider
from .conftest import findings, results, told_in_documents

CODE_SECONDS = 8
# As docs/conformance.md tells them.
DEVIATIONS = {
    "rfc6749-token-has-pragma",
    "rfc9700-page-cannot-be-framed",
    "rfc9700-page-has-frame-ancestors",
    "rfc9700-page-keeps-its-address",
    "rfc9700-page-loads-nothing-foreign",
    "rfc6749-page-with-the-code-is-not-stored",
    "rfc8628-guesses-are-limited",
}


class Decider:
    """Somebody at its pages."""

    def __init__(self, provider: DeviceProvider) -> None:
        self._provider = provider

    def decide(self, asked: Asked, approve: bool) -> None:
        self._provider.decide(asked.user_code, approve)


@pytest.fixture
def short_provider(tmp_path: Path) -> Iterator[DeviceProvider]:
    """One whose codes expire within a test."""
    one = DeviceProvider(tmp_path / "log", CODE_SECONDS)
    yield one
    one.stop()


def test_oidc_provider(short_provider: DeviceProvider) -> None:
    with httpx.Client() as http:
        probe = Probe(
            short_provider.issuer,
            Transport(http, CODE_SECONDS + 1),
            Client("cli"),
            Decider(short_provider),
            scope="openid offline_access",
            other_client=Client("api", API_SECRET),
            guesses=10,
        )
        found = findings(probe)
    assert {one for one, of in found.items() if of.outcome is Outcome.FAILED} == DEVIATIONS
    assert {one for one, of in found.items() if of.outcome is Outcome.NOT_DONE} == {"rfc8628-haste-is-told"}
    assert {one for one, of in found.items() if of.outcome is Outcome.NOT_TRIED} == set()
    assert found["rfc8628-expired"].seen == f"after {CODE_SECONDS} s: 400 expired_token"
    assert found["rfc9449-introspection-tells-the-key"].outcome is Outcome.PASSED
    assert results(found) == told_in_documents("oidc-provider")
