"""The JWT of a DPoP proof (RFC 9449 §4.2): read, and verified by the key that it brings."""

import json
import re
from typing import Any

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import JWKRegistry, Key, OctKey
from joserfc.util import base64_to_int, urlsafe_b64decode

from .domain.dpop import ALGORITHMS, PROOF_CHARACTERS, InvalidDPoPProof, SignedProof

_COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+", re.ASCII)
# What ALGORITHMS sign with, beside RSA.
_CURVES = {"P-256", "P-384", "Ed25519"}
_RSA_BITS = (2048, 4096)
# With a larger one a signature takes us much longer; 65537 is what everybody has.
_RSA_EXPONENT_MAX = 2**32
# RFC 7517 §4, RFC 7518 §6: what only whoever signs may have.
_PRIVATE = {"d", "p", "q", "dp", "dq", "qi", "oth", "k"}
# joserfc trusts the JSON in what it reads to be an object, and not too deep.
_MALFORMED = (JoseError, ValueError, TypeError, LookupError, AttributeError, RecursionError, OverflowError)


class _Registry(jws.JWSRegistry):
    """Of ALGORITHMS alone; a header with an RSA key is longer than joserfc's own bound."""

    max_header_length = PROOF_CHARACTERS

    def get_alg(self, name: str) -> Any:
        """Without joserfc's warning that EdDSA has a new name: which one a client uses is not ours to choose."""
        if name not in ALGORITHMS:
            raise JoseError("not one of our algorithms")
        return self.algorithms[name]


_registry = _Registry(strict_check_header=False)


def read_proof(text: str) -> SignedProof:
    """See `oauthdevice.domain.dpop.ReadProof`. Two headers, which WSGI joins with a comma, are no JWT."""
    if _COMPACT.fullmatch(text) is None:
        raise InvalidDPoPProof("There must be one DPoP proof, a signed JWT.", detail="no JWT, or more than one")
    try:
        header = json.loads(urlsafe_b64decode(text.partition(".")[0].encode()))
        key = _public_key(header)
        verified = jws.deserialize_compact(text, key, registry=_registry)
        claims = json.loads(verified.payload or b"")
        if not isinstance(claims, dict) or not isinstance(header["typ"], str):
            raise TypeError("no claims, or no typ")
        return SignedProof(header["typ"], key.thumbprint(), claims)
    except _MALFORMED as error:
        raise InvalidDPoPProof(
            "The DPoP proof is malformed, or not signed by the public key in its header.",
            detail=f"not verified: {type(error).__name__}",
        ) from error


def _public_key(header: dict[str, Any]) -> Key:
    """The `jwk` of the header. Raises one of _MALFORMED, also for a private or symmetric key, and for a weak one."""
    listed = header["jwk"]
    if _PRIVATE & listed.keys() or listed.get("crv") not in (None, *_CURVES):
        raise JoseError("a private key, or a curve that we do not take")
    if listed["kty"] == "RSA":
        bits, exponent = base64_to_int(listed["n"]).bit_length(), base64_to_int(listed["e"])
        if not _RSA_BITS[0] <= bits <= _RSA_BITS[1] or exponent >= _RSA_EXPONENT_MAX:
            raise JoseError("an RSA key that is too short or too slow")
    # What a key says of its own use (RFC 7517 §4.2 to §4.4) is for its owner to keep.
    key = JWKRegistry.import_key({name: listed[name] for name in ("kty", "crv", "x", "y", "n", "e") if name in listed})
    if isinstance(key, OctKey):
        raise JoseError("a symmetric key")
    return key
