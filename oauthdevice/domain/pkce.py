"""PKCE on the device grant: whoever stole a device_code cannot poll with it (RFC 7636).

RFC 8628 does not name it; the parameters are those of RFC 7636, at the device authorization endpoint and with each
poll, as Keycloak takes them. S256 alone: `plain` shows the verifier to whoever sees the first request.
"""

import base64
import hashlib
import hmac

from .clients import Policy
from .errors import InvalidGrant, InvalidRequest

METHOD = "S256"


def asked_challenge(policy: Policy, challenge: str | None, method: str | None) -> str | None:
    """The challenge that a device authorization begins with; None for none.

    Raises InvalidRequest for another method than S256, a method without a challenge, and where the client must send
    one and does not. Source: RFC 7636 §4.3, §4.4.1.
    """
    if policy is Policy.OFF:
        return None
    if challenge is None:
        if method is not None:
            raise InvalidRequest("Missing parameter: code_challenge.")
        if policy is Policy.REQUIRED:
            raise InvalidRequest("This client must send a code_challenge.")
        return None
    # RFC 7636 §4.3: without a method it would be plain.
    if method != METHOD:
        raise InvalidRequest("The code_challenge_method must be S256.")
    return challenge


def check_verifier(policy: Policy, challenge: str | None, verifier: str | None) -> None:
    """Return where the verifier is that of the challenge, or there is neither.

    A verifier without a challenge means that somebody took the challenge away (RFC 9700 §2.1.1). Raises InvalidGrant.
    """
    if challenge is None:
        if policy is Policy.REQUIRED or (verifier is not None and policy is not Policy.OFF):
            raise InvalidGrant("The device_code was asked for without a code_challenge.", detail="no code_challenge")
        return
    if verifier is None:
        raise InvalidGrant("Missing parameter: code_verifier.", detail="no code_verifier")
    if not hmac.compare_digest(challenge_of(verifier), challenge):
        raise InvalidGrant("The code_verifier is not that of the code_challenge.", detail="wrong code_verifier")


def challenge_of(verifier: str) -> str:
    """BASE64URL(SHA256(ASCII(verifier))), without padding (RFC 7636 §4.2)."""
    digest = hashlib.sha256(verifier.encode("ascii")).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")
