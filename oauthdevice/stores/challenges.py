"""Used challenges of passkeys, on Redis."""

import redis

from ..domain.challenges import CHALLENGE_SECONDS
from .redis import unavailable
from .spending import spend

# The clocks of two processes may differ a little.
_SPARE_SECONDS = 60


class RedisChallengeStore:
    """See `oauthdevice.domain.ports.ChallengeStore`."""

    def __init__(self, client: redis.Redis, prefix: str) -> None:
        self._client = client
        self._prefix = prefix

    @unavailable
    def spend(self, digest: str) -> bool:
        return spend(self._client, f"{self._prefix}:challenge:{digest}", CHALLENGE_SECONDS + _SPARE_SECONDS)
