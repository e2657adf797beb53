"""Used DPoP proofs, on Redis."""

import redis

from ..domain.dpop import REMEMBERED_SECONDS
from .redis import unavailable
from .spending import spend


class RedisProofStore:
    """See `oauthdevice.domain.dpop.ProofStore`."""

    def __init__(self, client: redis.Redis, prefix: str) -> None:
        self._client = client
        self._prefix = prefix

    @unavailable
    def spend(self, digest: str) -> bool:
        return spend(self._client, f"{self._prefix}:proof:{digest}", REMEMBERED_SECONDS)
