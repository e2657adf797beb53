"""Signed statements of others (JWS, RFC 7515) and the keys that verify them (JWK sets, RFC 7517)."""

import json
from contextlib import suppress
from typing import Any

from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, JWKRegistry, Key, KeySet, OctKey, OKPKey

from ..domain.errors import SSOFailed
from .documents import Document, Kept, Unreachable, cause

# What a key may verify is said by the key, never by the statement: so no public key is ever a shared
# secret (RFC 8725 §3.1), and `none` is nothing.
ALGORITHMS = {
    "RSA": ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"],
    "oct": ["HS256", "HS384", "HS512"],
}

# What comes of statements and key sets that are not what they say. joserfc trusts the JSON in them to be
# an object, and not too deep.
MALFORMED = (JoseError, ValueError, TypeError, LookupError, AttributeError, RecursionError)


def read_keys(document: Document, *, symmetric: bool = False) -> KeySet:
    """The signing keys of a JWK set that we understand, shared secrets only if `symmetric`. Raises Unreachable."""
    listed = document.get("keys")
    if not isinstance(listed, list):
        raise Unreachable("not a JWK set")
    keys = [key for one in listed if (key := _read_key(one)) is not None]
    usable = [key for key in keys if key.get("use") != "enc" and (symmetric or not isinstance(key, OctKey))]
    if not usable:
        raise Unreachable("a JWK set without a key for signatures")
    return KeySet(usable)


# RFC 7518 §3.4, RFC 9864. A curve that is not here signs nothing.
CURVES = {"P-256": ["ES256"], "P-384": ["ES384"], "P-521": ["ES512"], "Ed25519": ["Ed25519", "EdDSA"]}


def _read_key(listed: object) -> Key | None:
    # RFC 7517 §5: a key that we do not understand is no reason to refuse the others.
    try:
        return JWKRegistry.import_key(listed) if isinstance(listed, dict) else None
    except MALFORMED:
        return None


def algorithms_of(key: Key) -> list[str]:
    """The algorithms that a key may be used with; the one that it names itself, where it names one."""
    named = key.get("alg")
    possible = CURVES.get(key.curve_name, []) if isinstance(key, ECKey | OKPKey) else ALGORITHMS[key.key_type]
    return possible if named is None else [one for one in possible if one == named]


def verified(statement: str, keys: Kept[KeySet], *, named_key: bool) -> jwt.Token:
    """The header and claims of a statement, once a key of `keys` verifies it; the claims are not looked at.

    `named_key`: the statement must name its key (`kid`). Keys are loaded anew where none fits: the
    issuer may have rotated them. Raises SSOFailed, Unreachable.
    """
    with suppress(*MALFORMED):
        return _verified(statement, keys.get(), named_key)
    try:
        return _verified(statement, keys.renewed(), named_key)
    except MALFORMED as error:
        raise SSOFailed(detail=f"a signature was refused: {cause(error)}") from error


def unverified_claim(statement: str, name: str) -> str | None:
    """A claim as a statement makes it, whoever made it; None where there is no such text."""
    try:
        claims = jws.extract_compact(statement.encode()).payload
        claim: Any = json.loads(claims or b"").get(name)
    except MALFORMED:
        return None
    return claim if isinstance(claim, str) else None


def _verified(statement: str, keys: KeySet, named_key: bool) -> jwt.Token:
    header = jws.extract_compact(statement.encode()).headers()
    kid = header.get("kid")
    # get_by_kid takes the only key of a set for a statement that names none.
    key = keys.get_by_kid(kid if named_key or kid is not None else None)
    if named_key and kid is None:
        raise JoseError("no kid")
    algorithms = algorithms_of(key)
    if not algorithms:
        raise JoseError("the key is for no algorithm that we take")
    registry = jws.JWSRegistry(algorithms=algorithms, strict_check_header=False)
    return jwt.decode(statement, key, registry=registry)
