"""The challenges that passkeys answer: each for one browser and one purpose, once, within five minutes."""

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING

from .errors import PasskeyRefused
from .keys import derive_key

if TYPE_CHECKING:
    from .ports import ChallengeStore, Clock

CHALLENGE_SECONDS = 300
_RANDOM_BYTES = 24
_TIME_BYTES = 8


class Challenges:
    """Issues with the first of `keys`, takes what any of them issued.

    A challenge says by itself until when it is good, and its MAC for whom. So nothing is kept of it before
    it is used: whoever only asks for challenges, without an account, fills no store. Used ones are remembered.
    """

    def __init__(self, store: "ChallengeStore", clock: "Clock", secrets: Sequence[str]) -> None:
        self._store = store
        self._clock = clock
        self._keys = [derive_key(secret.encode(), "passkey challenge") for secret in secrets]

    def issue(self, purpose: str, browser: str) -> bytes:
        """A new one. `browser` is a secret of the browser session; nobody else can use it."""
        until = int(self._clock().timestamp()) + CHALLENGE_SECONDS
        said = secrets.token_bytes(_RANDOM_BYTES) + until.to_bytes(_TIME_BYTES, "big")
        return said + _mac(self._keys[0], said, purpose, browser)

    def spend(self, challenge: bytes, purpose: str, browser: str) -> None:
        """Return for the one caller who brings it in time, for this purpose and from this browser.

        Raises PasskeyRefused, StoreUnavailable.
        """
        length = _RANDOM_BYTES + _TIME_BYTES
        said, mac = challenge[:length], challenge[length:]
        if not any(hmac.compare_digest(mac, _mac(key, said, purpose, browser)) for key in self._keys):
            raise PasskeyRefused(detail="the challenge is not ours, or of another browser or purpose")
        if self._clock().timestamp() >= int.from_bytes(said[_RANDOM_BYTES:], "big"):
            raise PasskeyRefused(detail="the challenge has expired")
        if not self._store.spend(hashlib.sha256(challenge).hexdigest()):
            raise PasskeyRefused(detail="the challenge was used before")


def _mac(key: bytes, said: bytes, purpose: str, browser: str) -> bytes:
    # Digests, so that no two pairs of texts make one message.
    about = b"".join(hashlib.sha256(text.encode()).digest() for text in (purpose, browser))
    return hmac.digest(key, said + about, "sha256")
