"""device_code and user_code: make, normalise, format, digest. Knows nothing of states or stores."""

import hashlib
import hmac
import re
import secrets
import unicodedata

from .credentials import checksum, has_checksum

# RFC 8628 §6.1: consonants make no words. Of the digits only those that look like no letter.
USER_CODE_ALPHABET = "BCDFGHJKLMNPQRSTVWXZ3479"
USER_CODE_LENGTH = 8
LONG_USER_CODE_LENGTH = 12

_DEVICE_CODE = re.compile(r"dc_[A-Za-z0-9_-]{43}[0-9a-f]{2}[0-9A-Za-z]{6}", re.ASCII)


def new_device_code(shard: str) -> str:
    """A device_code of 256 random bits, the shard of its record and a checksum.

    `shard` is two hexadecimal digits; see `shard_of_user_code`. Source: RFC 8628 §5.2.
    """
    body = f"dc_{secrets.token_urlsafe(32)}{shard}"
    return body + checksum(body)


def is_device_code(text: str) -> bool:
    """True where `text` has the form of a device_code, checksum included. Does no I/O."""
    return _DEVICE_CODE.fullmatch(text) is not None and has_checksum(text)


def device_code_digest(device_code: str) -> str:
    """SHA-256 in hexadecimal: what is stored of a device_code. 256 random bits need no key."""
    return hashlib.sha256(device_code.encode("ascii")).hexdigest()


def shard_of_device_code(device_code: str) -> str:
    """The two hexadecimal digits that say where the record of this device_code lies."""
    return device_code[-8:-6]


def new_user_code(length: int = USER_CODE_LENGTH) -> str:
    """`length` random symbols, without a dash (RFC 8628 §6.1)."""
    # One draw for all symbols: one for each costs five times as much.
    drawn, symbols = secrets.randbelow(len(USER_CODE_ALPHABET) ** length), []
    for _ in range(length):
        drawn, symbol = divmod(drawn, len(USER_CODE_ALPHABET))
        symbols.append(USER_CODE_ALPHABET[symbol])
    return "".join(symbols)


def normalise_user_code(text: str) -> str | None:
    """`text` without case, spaces and punctuation, or None where it cannot be a user_code.

    Full-width letters of an input method count as the letters they are. Source: RFC 8628 §6.1.
    """
    code = strip_user_code(text)
    if len(code) not in (USER_CODE_LENGTH, LONG_USER_CODE_LENGTH):
        return None
    return code if all(symbol in USER_CODE_ALPHABET for symbol in code) else None


def strip_user_code(text: str) -> str:
    """`text` in upper case with nothing but its letters and digits."""
    folded = unicodedata.normalize("NFKC", text).upper()
    return "".join(symbol for symbol in folded if symbol.isalnum())


def user_code_of_link(text: str) -> str | None:
    """The user_code of a `verification_uri_complete`, for who brings all of it where the code alone is asked for."""
    found = re.search(r"[?&]user_code=([\w-]+)", text)
    return found[1] if found else None


def format_user_code(user_code: str) -> str:
    """A normalised user_code as people see it: `WDJB-MJHT`."""
    return "-".join(user_code[start : start + 4] for start in range(0, len(user_code), 4))


def user_code_digest(key: bytes, user_code: str) -> str:
    """HMAC-SHA256 in hexadecimal of a normalised user_code.

    Keyed, because 37 bits could be searched by whoever reads a dump of the store.
    """
    return hmac.new(key, user_code.encode("ascii"), hashlib.sha256).hexdigest()


def shard_of_user_code(digest: str) -> str:
    """The first byte of a user_code digest: record and index of one authorization share this shard.

    A Redis Cluster runs a script over two keys only where both lie in one slot, and a poll knows
    only the device_code. So the device_code names the shard.
    """
    return digest[:2]
