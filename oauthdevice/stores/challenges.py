"""Used challenges of passkeys, on Redis: one command."""

import redis

from ..domain.challenges import CHALLENGE_SECONDS
from .redis import unavailable

# The clocks of two processes may differ a little.
_SPARE_SECONDS = 60


class RedisChallengeStore:
    """See `oauthdevice.domain.ports.ChallengeStore`."""

    def __init__(self, client: redis.Redis, prefix: str) -> None:
        self._client = client
        self._prefix = prefix

    @unavailable
    def spend(self, digest: str) -> bool:
        seconds = CHALLENGE_SECONDS + _SPARE_SECONDS
        return bool(self._client.set(f"{self._prefix}:challenge:{digest}", "1", nx=True, ex=seconds))
