"""Keys derived from the one secret, each for one purpose, and the sealing of an answer."""

import base64
import json
from collections.abc import Sequence
from typing import Any

from cryptography.fernet import Fernet, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF


def derive_key(secret: bytes, purpose: str) -> bytes:
    """32 bytes for `purpose` alone, so that no key of ours serves two ends (RFC 5869)."""
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=f"oauthdevice {purpose}".encode()).derive(secret)


def key_ring(secrets: Sequence[str], purpose: str) -> MultiFernet:
    """What encrypts with the key of the first secret for `purpose`, and decrypts with that of any."""
    return MultiFernet([_fernet(derive_key(secret.encode(), purpose)) for secret in secrets])


def seal(credential: str, answer: dict[str, Any]) -> str:
    """`answer` as text that only the holder of `credential` can make us open again."""
    return _box(credential).encrypt(json.dumps(answer).encode()).decode("ascii")


def unseal(credential: str, sealed: str) -> dict[str, Any]:
    """What `seal` was given. Raises cryptography.fernet.InvalidToken where it does not fit."""
    answer: dict[str, Any] = json.loads(_box(credential).decrypt(sealed.encode("ascii")))
    return answer


def _box(credential: str) -> Fernet:
    return _fernet(derive_key(credential.encode("ascii"), "redelivery"))


def _fernet(key: bytes) -> Fernet:
    return Fernet(base64.urlsafe_b64encode(key))
