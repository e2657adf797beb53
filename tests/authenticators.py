"""An authenticator in software, with the browser in front of it: makes passkeys and signs, truly or not."""

import base64
import hashlib
import json
import secrets
from dataclasses import dataclass, field, replace
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from webauthn.helpers import encode_cbor

PRESENT, VERIFIED, CREDENTIAL = 0x01, 0x04, 0x40
CREATE, GET = "webauthn.create", "webauthn.get"


def base64url(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode("ascii")


@dataclass
class Authenticator:
    """Keeps one passkey. `origin` is that of the page that it believes to be on; `rp_id` what it signs for.

    With `counts`, it tells how often it has signed.
    """

    origin: str = "http://localhost"
    rp_id: str = "localhost"
    algorithm: int = -7
    flags: int = PRESENT | VERIFIED
    counts: bool = True
    sign_count: int = 0
    credential_id: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    user_handle: bytes = b""
    client_data: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._key = {
            -7: lambda: ec.generate_private_key(ec.SECP256R1()),
            -8: ed25519.Ed25519PrivateKey.generate,
            -257: lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048),
            -35: lambda: ec.generate_private_key(ec.SECP384R1()),
        }[self.algorithm]()

    def copy(self) -> "Authenticator":
        """With the same key and count: a clone."""
        one = replace(self)
        one._key = self._key
        return one

    def create(self, options: dict[str, Any]) -> dict[str, Any]:
        """RegistrationResponseJSON for PublicKeyCredentialCreationOptionsJSON."""
        self.user_handle = base64.urlsafe_b64decode(options["user"]["id"] + "===")
        about = bytes(16) + len(self.credential_id).to_bytes(2, "big") + self.credential_id + self.public_key()
        attestation = {"fmt": "none", "attStmt": {}, "authData": self._authenticator_data(CREDENTIAL) + about}
        return self._answer(
            clientDataJSON=self._client_data(CREATE, options["challenge"]),
            attestationObject=encode_cbor(attestation),
        )

    def get(self, options: dict[str, Any]) -> dict[str, Any]:
        """AuthenticationResponseJSON for PublicKeyCredentialRequestOptionsJSON."""
        if self.counts:
            self.sign_count += 1
        client_data = self._client_data(GET, options["challenge"])
        data = self._authenticator_data()
        signature = self._sign(data + hashlib.sha256(client_data).digest())
        told = {"clientDataJSON": client_data, "authenticatorData": data, "signature": signature}
        return self._answer(**told, **({"userHandle": self.user_handle} if self.user_handle else {}))

    def public_key(self) -> bytes:
        """As COSE_Key (RFC 9052 §7)."""
        key = self._key.public_key()
        if isinstance(key, rsa.RSAPublicKey):
            numbers = key.public_numbers()
            return encode_cbor({1: 3, 3: self.algorithm, -1: numbers.n.to_bytes(256, "big"), -2: b"\x01\x00\x01"})
        if isinstance(key, ed25519.Ed25519PublicKey):
            return encode_cbor({1: 1, 3: self.algorithm, -1: 6, -2: key.public_bytes_raw()})
        point, size = key.public_numbers(), key.key_size // 8
        x, y = point.x.to_bytes(size, "big"), point.y.to_bytes(size, "big")
        return encode_cbor({1: 2, 3: self.algorithm, -1: {256: 1, 384: 2}[key.key_size], -2: x, -3: y})

    def _answer(self, **response: bytes) -> dict[str, Any]:
        name = base64url(self.credential_id)
        told = {member: base64url(content) for member, content in response.items()}
        return {"id": name, "rawId": name, "type": "public-key", "response": told}

    def _client_data(self, kind: str, challenge: str) -> bytes:
        told = {"type": kind, "challenge": challenge, "origin": self.origin, "crossOrigin": False, **self.client_data}
        return json.dumps(told).encode()

    def _authenticator_data(self, flags: int = 0) -> bytes:
        flagged = (self.flags | flags).to_bytes(1, "big")
        return hashlib.sha256(self.rp_id.encode()).digest() + flagged + self.sign_count.to_bytes(4, "big")

    def _sign(self, message: bytes) -> bytes:
        if isinstance(self._key, rsa.RSAPrivateKey):
            return self._key.sign(message, padding.PKCS1v15(), SHA256())
        if isinstance(self._key, ed25519.Ed25519PrivateKey):
            return self._key.sign(message)
        return self._key.sign(message, ec.ECDSA(SHA256()))
