"""The rules of PKCE (RFC 7636), without a server."""

import pytest

from oauthdevice.domain.clients import Policy
from oauthdevice.domain.errors import InvalidGrant, InvalidRequest
from oauthdevice.domain.pkce import asked_challenge, challenge_of, check_verifier

# RFC 7636 appendix B.
VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
TAKING = (Policy.ALLOWED, Policy.REQUIRED)


def test_the_challenge_is_that_of_the_rfc() -> None:
    assert challenge_of(VERIFIER) == CHALLENGE


class TestAsking:
    @pytest.mark.parametrize("policy", TAKING)
    def test_with_a_challenge(self, policy: Policy) -> None:
        assert asked_challenge(policy, CHALLENGE, "S256") == CHALLENGE

    @pytest.mark.parametrize("policy", TAKING)
    @pytest.mark.parametrize("method", [None, "plain", "s256", "S512"])
    def test_by_no_other_method(self, policy: Policy, method: str | None) -> None:
        """§4.3: without one it would be plain."""
        with pytest.raises(InvalidRequest):
            asked_challenge(policy, CHALLENGE, method)

    @pytest.mark.parametrize("policy", TAKING)
    def test_with_a_method_alone(self, policy: Policy) -> None:
        with pytest.raises(InvalidRequest):
            asked_challenge(policy, None, "S256")

    def test_without(self) -> None:
        assert asked_challenge(Policy.ALLOWED, None, None) is None
        with pytest.raises(InvalidRequest):
            asked_challenge(Policy.REQUIRED, None, None)

    def test_where_it_is_off_nothing_counts(self) -> None:
        assert asked_challenge(Policy.OFF, CHALLENGE, "plain") is None


class TestPolling:
    @pytest.mark.parametrize("policy", Policy)
    def test_with_its_verifier(self, policy: Policy) -> None:
        """Also where it was switched off meanwhile: what the code was asked for with stays."""
        check_verifier(policy, CHALLENGE, VERIFIER)

    @pytest.mark.parametrize("policy", Policy)
    @pytest.mark.parametrize("verifier", [None, VERIFIER[:-1] + "K", CHALLENGE, VERIFIER * 2])
    def test_with_none_or_another(self, policy: Policy, verifier: str | None) -> None:
        with pytest.raises(InvalidGrant):
            check_verifier(policy, CHALLENGE, verifier)

    @pytest.mark.parametrize("policy", TAKING)
    def test_with_one_where_no_challenge_was(self, policy: Policy) -> None:
        """RFC 9700 §2.1.1: otherwise whoever takes the challenge away takes PKCE away."""
        with pytest.raises(InvalidGrant):
            check_verifier(policy, None, VERIFIER)

    def test_without_either(self) -> None:
        check_verifier(Policy.ALLOWED, None, None)
        check_verifier(Policy.OFF, None, None)
        check_verifier(Policy.OFF, None, VERIFIER)
        with pytest.raises(InvalidGrant):
            check_verifier(Policy.REQUIRED, None, None)
