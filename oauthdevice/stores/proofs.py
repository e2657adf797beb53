"""Used DPoP proofs, on Redis: one command."""

import redis

from ..domain.dpop import REMEMBERED_SECONDS
from .redis import unavailable


class RedisProofStore:
    """See `oauthdevice.domain.dpop.ProofStore`."""

    def __init__(self, client: redis.Redis, prefix: str) -> None:
        self._client = client
        self._prefix = prefix

    @unavailable
    def spend(self, digest: str) -> bool:
        name = f"{self._prefix}:proof:{digest}"
        return bool(self._client.set(name, "1", nx=True, px=REMEMBERED_SECONDS * 1000))
