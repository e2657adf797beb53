"""The form that our secrets share: a prefix, 32 random bytes, a checksum. Makes and checks it."""

import hashlib
import re
import secrets
import zlib

_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_CHECKSUM_LENGTH = 6


def checksum(body: str) -> str:
    """Six base-62 digits of the CRC-32 of `body`.

    It keeps mistyped and random credentials away from the stores and lets a secret scanner verify
    a hit without asking us. It is no protection against forgery, and none is needed.
    """
    value = zlib.crc32(body.encode("ascii"))
    digits = []
    for _ in range(_CHECKSUM_LENGTH):
        value, remainder = divmod(value, 62)
        digits.append(_BASE62[remainder])
    return "".join(reversed(digits))


def has_checksum(text: str) -> bool:
    """True where the last six characters of ASCII `text` are the checksum of the rest."""
    return checksum(text[:-_CHECKSUM_LENGTH]) == text[-_CHECKSUM_LENGTH:]


def new_credential(prefix: str) -> str:
    """`prefix`, 43 base64url characters (256 random bits) and the checksum."""
    body = prefix + secrets.token_urlsafe(32)
    return body + checksum(body)


def is_credential(text: str, prefix: str) -> bool:
    """True where `text` has the form that `new_credential(prefix)` makes. Does no I/O."""
    if not text.startswith(prefix) or len(text) != len(prefix) + 43 + _CHECKSUM_LENGTH:
        return False
    return re.fullmatch(r"[A-Za-z0-9_-]+", text[len(prefix) :], re.ASCII) is not None and has_checksum(text)


def credential_digest(text: str) -> str:
    """SHA-256 in hexadecimal: what is stored of a credential. 256 random bits need no salt."""
    return hashlib.sha256(text.encode("ascii")).hexdigest()
