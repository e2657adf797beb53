"""Programs that prove a key (RFC 9449): they make proofs, good ones and, where a test says so, bad ones."""

import base64
import hashlib
import json
import secrets
from typing import Any

from joserfc import jws
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey
from webtest import TestResponse

from oauthdevice.domain.token_endpoint import DEVICE_GRANT

from .factories import API, CODE, TOKEN, World

# Made once: those of RSA take a while. By algorithm.
KEYS: dict[str, Key] = {
    "ES256": ECKey.generate_key("P-256"),
    "ES384": ECKey.generate_key("P-384"),
    "Ed25519": OKPKey.generate_key("Ed25519"),
    "EdDSA": OKPKey.generate_key("Ed25519"),
    "RS256": RSAKey.generate_key(2048),
    "PS256": RSAKey.generate_key(2048),
}


class _Any(jws.JWSRegistry):
    """Signs by any algorithm, without joserfc's advice."""

    max_header_length = 100_000

    def get_alg(self, name: str) -> Any:
        return self.algorithms[name]

    def check_header(self, header: Any) -> None:
        """Anything goes."""


def signed(key: Key, header: dict[str, Any], claims: Any) -> str:
    """A JWT, whatever it says."""
    return jws.serialize_compact(header, json.dumps(claims).encode(), key, registry=_Any(strict_check_header=False))


def base64url(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def ath(token: str) -> str:
    """RFC 9449 §4.2."""
    return base64url(hashlib.sha256(token.encode()).digest())


class KeyHolder:
    """A client program with a key, which remembers the codes that it was given."""

    def __init__(
        self, world: World, client_id: str = "difyctl", alg: str = "ES256", address: str = "192.0.2.7"
    ) -> None:
        self.world = world
        self.device = world.device(client_id, address)
        self.alg = alg
        self.key = KEYS[alg] if alg != "ES256" else ECKey.generate_key("P-256")

    @property
    def jkt(self) -> str:
        return self.key.thumbprint()

    def proof(self, method: str, path: str, *, header: dict[str, Any] | None = None, **claims: Any) -> str:
        """A good proof of this request; a claim or member of the header that is None is left out."""
        said = {
            "jti": secrets.token_urlsafe(16),
            "htm": method,
            "htu": self.world.settings.public_url + path,
            "iat": int(self.world.clock().timestamp()),
            **claims,
        }
        top = {"typ": "dpop+jwt", "alg": self.alg, "jwk": self.key.as_dict(private=False), **(header or {})}
        return signed(
            self.key,
            {name: value for name, value in top.items() if value is not None},
            {name: value for name, value in said.items() if value is not None},
        )

    def post(self, path: str, form: dict[str, str], proof: str | None) -> TestResponse:
        headers = {} if proof is None else {"DPoP": proof}
        return self.device.http.post(path, {"client_id": self.device.client_id, **form}, headers=headers, status="*")

    def ask(self, **parameters: str) -> "KeyHolder":
        """Start, bound to the key, which must succeed."""
        answer = self.post(CODE, parameters, self.proof("POST", CODE))
        assert answer.status_int == 200, answer.text
        self.device.answer = answer.json
        return self

    def ask_unbound(self, **parameters: str) -> "KeyHolder":
        """Start without a proof, which must succeed."""
        self.device.ask(**parameters)
        return self

    def poll(self, proof: str | None = None, **parameters: str) -> TestResponse:
        """With a good proof unless one is given; "" for none."""
        form = {"grant_type": DEVICE_GRANT, "device_code": self.device.device_code, **parameters}
        return self.post(TOKEN, form, self._or_good(proof, "POST", TOKEN))

    def refresh(self, token: str, proof: str | None = None) -> TestResponse:
        """As `poll`."""
        form = {"grant_type": "refresh_token", "refresh_token": token}
        return self.post(TOKEN, form, self._or_good(proof, "POST", TOKEN))

    def account(self, token: str, proof: str | None = None, scheme: str = "DPoP") -> TestResponse:
        """GET /account; as `poll`."""
        path = f"{API}/account"
        sent = self._or_good(proof, "GET", path, ath=ath(token))
        headers = {"Authorization": f"{scheme} {token}"} | ({} if sent is None else {"DPoP": sent})
        return self.device.http.get(path, headers=headers, status="*")

    def signed_in(self, **parameters: str) -> dict[str, Any]:
        """The token answer, bound from the start."""
        self.ask(**parameters)
        self.world.person().allow(self.device.user_code)
        answer = self.poll()
        assert answer.status_int == 200, answer.text
        return answer.json

    def _or_good(self, proof: str | None, method: str, path: str, **claims: str) -> str | None:
        return self.proof(method, path, **claims) if proof is None else proof or None
