"""DPoP (RFC 9449): a grant and its tokens are of use only to the holder of a key, who proves it at each request.

Which proof is good is said here; its signature is verified by a `ReadProof`. Nothing is kept but that a proof was used.
"""

import base64
import hashlib
import hmac
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import SplitResult, unquote_to_bytes, urlsplit

from .clients import Policy
from .errors import DomainError, InvalidGrant, InvalidToken
from .keys import derive_key

if TYPE_CHECKING:
    from .ports import Clock

# RFC 9449 §4.2: asymmetric, and never `none`. EdDSA is how many name Ed25519 (RFC 9864).
ALGORITHMS = ("ES256", "ES384", "Ed25519", "EdDSA", "RS256", "PS256")
# That of an RSA key of 4096 bits has some 2300.
PROOF_CHARACTERS = 4096
JTI_CHARACTERS = 256
# How far the clock of a client without a nonce may be from ours, either way.
SKEW_SECONDS = 60
# A nonce is handed out for so long; it is good in the time before and after that too, as no two clocks are the same.
NONCE_SECONDS = 100
# Longer than any proof can be good: three times a nonce, and a minute for the clocks of our processes.
REMEMBERED_SECONDS = 3 * NONCE_SECONDS + 60


class InvalidDPoPProof(DomainError):
    """RFC 9449 §5, §7.1: there is no proof, more than one, or one that is not good."""

    error = "invalid_dpop_proof"
    description = "The DPoP proof is missing or malformed, or not for this request."


class UseDPoPNonce(InvalidDPoPProof):
    """RFC 9449 §8, §9: the proof needs our nonce, or a newer one. Carries it as `nonce`."""

    error = "use_dpop_nonce"
    description = "The DPoP proof needs the nonce of the DPoP-Nonce header."

    def __init__(self, nonce: str, detail: str) -> None:
        super().__init__(detail=detail)
        self.nonce = nonce


class BoundTokenRefused(InvalidToken):
    """RFC 9449 §7.1: the token is bound to a key, or said to be, and whoever sent it did not prove that they have it.

    `error` is that of the proof where it is the proof that is not good; `nonce` the one to use, "" for none.
    """

    def __init__(self, description: str, *, detail: str, error: str = InvalidToken.error, nonce: str = "") -> None:
        super().__init__(description, detail=detail)
        self.error = error
        self.nonce = nonce


@dataclass(frozen=True, slots=True)
class SentProof:
    """A proof as it came, with the method and the path, below the address of this server, of its request.

    `path` is decoded and has one character a byte, as WSGI has it (PEP 3333).
    """

    text: str
    method: str
    path: str


@dataclass(frozen=True, slots=True)
class SignedProof:
    """What a JWT says, once the key in its header has verified it. `thumbprint` is that of RFC 7638, with SHA-256."""

    typ: str
    thumbprint: str
    claims: Mapping[str, Any]


# The JWT of a proof. Raises InvalidDPoPProof for what is none, is signed by no algorithm of ALGORITHMS, or by another
# key than the public one in its header.
ReadProof = Callable[[str], SignedProof]


class ProofStore(Protocol):
    """The proofs that were used, for REMEMBERED_SECONDS. May raise StoreUnavailable."""

    def spend(self, digest: str) -> bool:
        """Remember it. True for the one caller who is the first. Atomic."""


class DPoP:
    """Checks proofs for one server, which clients reach at `url`.

    Nonces are made with the first of `secrets`, and taken if any of them made it. With `nonce_required` each proof
    needs one; otherwise only that of a client whose clock is wrong.
    """

    def __init__(
        self,
        *,
        read: ReadProof,
        store: ProofStore,
        url: str,
        secrets: Sequence[str],
        nonce_required: bool,
        clock: "Clock",
    ) -> None:
        self._read = read
        self._store = store
        self._url = urlsplit(url)
        self._keys = [derive_key(secret.encode(), "DPoP nonce") for secret in secrets]
        self._nonce_required = nonce_required
        self._clock = clock

    def key_at_start(self, policy: Policy, announced: str | None, sent: SentProof | None) -> str | None:
        """The thumbprint of the key that a device authorization is bound to from its start; None for none.

        `announced` is the parameter dpop_jkt, which needs no proof yet (RFC 9449 §10).
        Raises InvalidDPoPProof, UseDPoPNonce, StoreUnavailable.
        """
        if policy is Policy.OFF:
            return None
        if sent is None:
            if announced is None and policy is Policy.REQUIRED:
                raise InvalidDPoPProof("This client must send a DPoP proof or dpop_jkt.", detail="no proof")
            return announced
        proof = self._verified(sent)
        if announced not in (None, proof.thumbprint):
            raise InvalidDPoPProof("The dpop_jkt is not the thumbprint of the key of the proof.", detail="dpop_jkt")
        self._spend(proof)
        return proof.thumbprint

    def read(self, policy: Policy, sent: SentProof | None) -> SignedProof | None:
        """A good proof, not yet spent, of whatever key; None where there is none to be looked at.

        Raises InvalidDPoPProof, UseDPoPNonce.
        """
        return None if sent is None or policy is Policy.OFF else self._verified(sent)

    def key_at_poll(self, policy: Policy, bound_to: str | None, proof: SignedProof | None) -> str | None:
        """The thumbprint of the key that the tokens of a poll are bound to; None for none. Spends what `read` gave.

        What was not bound from its start is bound to the key of the poll that fetches the token (RFC 9449 §5).
        Raises InvalidGrant for another key than that of the start, InvalidDPoPProof, StoreUnavailable.
        """
        if bound_to is None and policy is Policy.REQUIRED:
            raise InvalidGrant(_UNBOUND, detail="not bound to a key")
        if proof is None:
            if bound_to is not None:
                raise _no_proof()
            return None
        if bound_to not in (None, proof.thumbprint):
            raise _another_key()
        self._spend(proof)
        return proof.thumbprint

    def key_at_refresh(self, policy: Policy, bound_to: str | None, sent: SentProof | None) -> None:
        """Return where a session may be refreshed: it keeps the key that it has, or none.

        Raises InvalidGrant, InvalidDPoPProof, UseDPoPNonce, StoreUnavailable.
        """
        if bound_to is None:
            if policy is Policy.REQUIRED:
                raise InvalidGrant(_UNBOUND, detail="not bound to a key")
            return
        if sent is None:
            raise _no_proof()
        proof = self._verified(sent)
        if proof.thumbprint != bound_to:
            raise _another_key()
        self._spend(proof)

    def check_token(self, bound_to: str | None, token: str, sent: SentProof | None) -> None:
        """Return where the token was sent by the holder of its key. Raises BoundTokenRefused (RFC 9449 §7.1)."""
        if bound_to is None:
            raise BoundTokenRefused("The access token is not bound to a key. Send it as Bearer.", detail="not bound")
        try:
            if sent is None:
                raise InvalidDPoPProof(detail="no proof")
            proof = self._verified(sent)
            if not _is_text(proof.claims.get("ath"), _digest(token)):
                raise InvalidDPoPProof("The ath of the proof is not that of the access token.", detail="ath")
            if proof.thumbprint != bound_to:
                raise BoundTokenRefused("The access token is bound to another key.", detail="bound to another key")
            self._spend(proof)
        except InvalidDPoPProof as error:
            nonce = error.nonce if isinstance(error, UseDPoPNonce) else ""
            raise BoundTokenRefused(error.description, detail=error.detail, error=error.error, nonce=nonce) from error

    def _verified(self, sent: SentProof) -> SignedProof:
        """The checks of RFC 9449 §4.3 but for `ath` and `jti`."""
        if len(sent.text) > PROOF_CHARACTERS:
            raise InvalidDPoPProof("The DPoP proof is too long.", detail="too long")
        proof = self._read(sent.text)
        claims = proof.claims
        if proof.typ.lower() != "dpop+jwt":
            raise InvalidDPoPProof("The typ of the proof is not dpop+jwt.", detail="typ")
        jti, issued_at = claims.get("jti"), claims.get("iat")
        if not isinstance(jti, str) or not 0 < len(jti) <= JTI_CHARACTERS or not jti.isascii():
            raise InvalidDPoPProof("The proof has no usable jti.", detail="jti")
        if isinstance(issued_at, bool) or not isinstance(issued_at, int | float) or not 0 <= issued_at < _LATEST:
            raise InvalidDPoPProof("The proof has no usable iat.", detail="iat")
        if claims.get("htm") != sent.method:
            raise InvalidDPoPProof("The htm of the proof is not the method of this request.", detail="htm")
        if not _is_address(claims.get("htu"), self._url, sent.path):
            raise InvalidDPoPProof("The htu of the proof is not the address of this request.", detail="htu")
        self._check_time(claims.get("nonce"), issued_at)
        return proof

    def _check_time(self, nonce: object, issued_at: float) -> None:
        """RFC 9449 §4.3, 11: a proof is as old as its nonce or, without one, its iat."""
        now = self._clock().timestamp()
        if nonce is not None:
            taken = (_nonce(key, now + shift) for key in self._keys for shift in (0, -NONCE_SECONDS, NONCE_SECONDS))
            # Not any(): how long it takes is to tell nothing.
            if not sum(_is_text(nonce, one) for one in taken):
                raise UseDPoPNonce(self._new_nonce(), detail="a nonce that is old or not ours")
        elif self._nonce_required:
            raise UseDPoPNonce(self._new_nonce(), detail="no nonce")
        elif abs(now - issued_at) > SKEW_SECONDS:
            raise UseDPoPNonce(self._new_nonce(), detail="iat is too far from our clock")

    def _new_nonce(self) -> str:
        return _nonce(self._keys[0], self._clock().timestamp())

    def _spend(self, proof: SignedProof) -> None:
        """Last of all: a proof that is refused for another reason leaves nothing."""
        if not self._store.spend(hashlib.sha256(f"{proof.thumbprint} {proof.claims['jti']}".encode()).hexdigest()):
            raise InvalidDPoPProof("The DPoP proof was used before.", detail="replayed")


def _nonce(key: bytes, timestamp: float) -> str:
    """The one that every process of ours hands out at this time."""
    period = int(timestamp // NONCE_SECONDS)
    return _base64url(hmac.digest(key, period.to_bytes(8, "big"), "sha256")[:16])


def _digest(token: str) -> str:
    """RFC 9449 §4.2: `ath`."""
    return _base64url(hashlib.sha256(token.encode("ascii")).digest())


def _base64url(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode("ascii")


def _is_text(told: object, wanted: str) -> bool:
    return isinstance(told, str) and told.isascii() and hmac.compare_digest(told, wanted)


def _is_address(told: object, url: SplitResult, path: str) -> bool:
    """Whether this is the address of a path below `url`. Query and fragment do not count (RFC 9449 §4.3, 9).

    Nor do case of scheme and host, the default port, and how the path is percent-encoded (RFC 3986 §6.2.2, §6.2.3).
    """
    if not isinstance(told, str) or not told.isascii():
        return False
    try:
        parts = urlsplit(told)
        origin = _origin(parts)
    except ValueError:
        return False
    asked = unquote_to_bytes(url.path) + path.encode("latin-1")
    return "@" not in parts.netloc and origin == _origin(url) and unquote_to_bytes(parts.path or "/") == asked


def _origin(parts: SplitResult) -> tuple[str, str | None, int | None]:
    """Raises ValueError where the port is none."""
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def _no_proof() -> InvalidGrant:
    return InvalidGrant("This is bound to a key. Send a DPoP proof of that key.", detail="no proof")


def _another_key() -> InvalidGrant:
    return InvalidGrant("This is bound to another key.", detail="bound to another key")


# Of an iat, beyond what a float can hold.
_LATEST = 1e12
_UNBOUND = "This client must bind what it gets to a key. Start again with a DPoP proof or dpop_jkt."
