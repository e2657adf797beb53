"""Proofs of possession (RFC 9449 §4.2): right ones, and wrong ones for a server to refuse."""

import base64
import hashlib
import json
import secrets
from collections.abc import Callable, Mapping
from typing import Any

from joserfc import jws
from joserfc.jwk import ECKey, Key, RSAKey

from .answers import Answer
from .requirements import NotTried

Header = tuple[str, str]
# What we can sign with, the shortest first: the algorithm and what its key is made from.
EC_CURVES = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}
RSA_ALGORITHMS = ("PS256", "RS256")


class Prover:
    """A key, and the nonce that the server last gave for proofs (RFC 9449 §8). `now` tells seconds since 1970."""

    def __init__(self, algorithms: list[str], now: Callable[[], float]) -> None:
        found = [one for one in (*EC_CURVES, *RSA_ALGORITHMS) if one in algorithms]
        if not found:
            raise NotTried(f"none of its algorithms is known here: {', '.join(map(str, algorithms))}")
        self.algorithm = found[0]
        self.now = now
        self.key = self._new_key()
        self.nonce = ""

    @property
    def thumbprint(self) -> str:
        """RFC 7638: what `cnf.jkt` is to be."""
        return str(self.key.thumbprint())

    @property
    def public(self) -> dict[str, Any]:
        return dict(self.key.as_dict(private=False))

    @property
    def private(self) -> dict[str, Any]:
        return dict(self.key.as_dict(private=True))

    def another(self) -> "Prover":
        """With a key of its own."""
        return Prover([self.algorithm], self.now)

    def learn(self, answer: Answer) -> None:
        """Keep the nonce that an answer gives."""
        self.nonce = answer.header("dpop-nonce").split(", ")[0] or self.nonce

    def claims(self, method: str, url: str, access_token: str = "", **changes: Any) -> dict[str, Any]:
        """Of a right proof, with some changed; a change to None leaves the claim out."""
        found: dict[str, Any] = {
            "jti": secrets.token_urlsafe(16),
            "htm": method,
            "htu": url,
            "iat": int(self.now()),
        }
        if access_token:
            digest = hashlib.sha256(access_token.encode()).digest()
            found["ath"] = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        if self.nonce:
            found["nonce"] = self.nonce
        return {name: value for name, value in {**found, **changes}.items() if value is not None}

    def sign(self, claims: Mapping[str, Any], **changes: Any) -> Header:
        """The header with a proof of these claims; `changes` are of its JOSE header."""
        head = {"typ": "dpop+jwt", "alg": self.algorithm, "jwk": self.public, **changes}
        payload = json.dumps(claims).encode()
        signed = jws.serialize_compact(head, payload, self.key, algorithms=[self.algorithm])
        return "dpop", signed

    def unsigned(self, claims: Mapping[str, Any]) -> Header:
        """`alg` is none, and there is no signature."""
        head = {"typ": "dpop+jwt", "alg": "none", "jwk": self.public}
        return "dpop", f"{_part(head)}.{_part(claims)}."

    def forged(self, claims: Mapping[str, Any]) -> Header:
        """Signed by another key than the one that it shows."""
        return self.another().sign(claims, jwk=self.public)

    def proof(self, method: str, url: str, access_token: str = "") -> Header:
        """A right one, for one request."""
        return self.sign(self.claims(method, url, access_token))

    def _new_key(self) -> Key:
        if self.algorithm in EC_CURVES:
            return ECKey.generate_key(EC_CURVES[self.algorithm])
        return RSAKey.generate_key(2048)


def _part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")
