"""Handshakes with identity providers, on Redis: one command a method."""

from dataclasses import asdict
from typing import cast

import redis

from ..domain.credentials import credential_digest
from ..domain.identity_providers import HANDSHAKE_SECONDS, Handshake
from ..domain.keys import seal, unseal
from .redis import unavailable


class RedisHandshakeStore:
    """See `oauthdevice.domain.ports.HandshakeStore`. A key is the digest of a state, its value is sealed with it."""

    def __init__(self, client: redis.Redis, prefix: str) -> None:
        self._client = client
        self._prefix = prefix

    @unavailable
    def keep(self, handshake: Handshake) -> None:
        # The former release, beside this one during an upgrade, takes no member that it does not know: what is
        # not so is left out.
        members = {name: value for name, value in asdict(handshake).items() if value is not False}
        sealed = seal(handshake.state, members)
        self._client.set(self._key(handshake.state), sealed, ex=HANDSHAKE_SECONDS)

    @unavailable
    def find(self, state: str) -> Handshake | None:
        # The client decodes every answer; its types do not know.
        sealed = cast("str | None", self._client.get(self._key(state)))
        try:
            return Handshake(**unseal(state, sealed)) if sealed is not None else None
        except TypeError:
            # Of another release, beside this one during an upgrade.
            return None

    @unavailable
    def spend(self, state: str) -> bool:
        return bool(self._client.delete(self._key(state)))

    def _key(self, state: str) -> str:
        return f"{self._prefix}:handshake:{credential_digest(state)}"
