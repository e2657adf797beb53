"""The checks of RFC 9449 on a server that gets everything wrong; `test_other_servers` has one that gets it right."""

from typing import Any

import httpx
import pytest

from oauthdevice.conformance.people import Asked
from oauthdevice.conformance.probe import Client, Probe
from oauthdevice.conformance.requirements import Finding, Outcome
from oauthdevice.conformance.rfc9449 import chapter
from oauthdevice.conformance.transport import Transport

from .careless import URL, Careless
from .conftest import API, findings

PROOFS = {one.id for one in chapter.requirements if one.id.startswith("rfc9449-proof-") or "one-proof" in one.id}


class Anybody:
    """Every code is approved already."""

    def decide(self, asked: Asked, approve: bool) -> None:
        assert approve
        assert asked.user_code


def examined(server: Careless, **options: Any) -> dict[str, Finding]:
    http = httpx.Client(transport=httpx.WSGITransport(app=server))
    given = {"person": Anybody(), "other_client": API, **options}
    probe = Probe(URL, Transport(http, 1000, sleep=lambda _: None), Client("cli"), **given)
    return findings(probe, ["RFC9449"])


def test_every_check_fails_where_no_proof_is_looked_at() -> None:
    found = examined(Careless())
    assert {one: of.outcome for one, of in found.items() if of.outcome is not Outcome.FAILED} == {
        "rfc9449-proofs-work-once": Outcome.NOT_DONE
    }
    assert {found[one].seen for one in PROOFS} == {"200 with access_token, refresh_token, token_type, expires_in"}
    assert found["rfc9449-algorithms"].seen == "HS256, ES256"
    assert found["rfc9449-no-downgrade-to-bearer"].seen == "as Bearer: 200 with active"


def test_nothing_is_said_of_proofs_that_are_not_reached() -> None:
    found = examined(Careless(code_first=True))
    assert {found[one].outcome for one in PROOFS} == {Outcome.NOT_TRIED}


def test_a_nonce_is_learned() -> None:
    found = examined(Careless(nonce="n-0S6"))
    assert found["rfc9449-token-type-is-dpop"].outcome is Outcome.PASSED
    assert found["rfc9449-refresh-with-the-key"].outcome is Outcome.PASSED
    # Known to the nonce alone, the wrong ones are taken.
    assert found["rfc9449-proof-is-for-the-method"].outcome is Outcome.FAILED


@pytest.mark.parametrize("algorithms", [[], ["HS256"], ["EdDSA"]])
def test_algorithms_that_are_not_known_here_are_not_tried(algorithms: list[str]) -> None:
    class Other(Careless):
        def _answer(self, request: Any) -> Any:
            reply = super()._answer(request)
            if "dpop_signing_alg_values_supported" in reply.json:
                reply.json_body = {**reply.json, "dpop_signing_alg_values_supported": algorithms}
            return reply

    found = examined(Other())
    assert {found[one].outcome for one in PROOFS} == {Outcome.NOT_TRIED}
    assert found["rfc9449-algorithms"].outcome is (Outcome.PASSED if algorithms == ["EdDSA"] else Outcome.FAILED)
