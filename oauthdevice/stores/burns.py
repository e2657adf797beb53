"""Burned networks, on Redis: one key a network, one script or one command a method."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import cast

import redis

from .redis import read_script, unavailable


class RedisBurnStore:
    """See `oauthdevice.domain.ports.BurnStore`. A mark lives for `lifetime_seconds`, that of the longest code.

    `clock_offset` is added to the clock of Redis; only tests, which move time, give one.
    """

    def __init__(
        self,
        client: redis.Redis,
        prefix: str,
        lifetime_seconds: int,
        clock_offset: Callable[[], timedelta] = lambda: timedelta(0),
    ) -> None:
        self._client = client
        self._prefix = prefix
        self._lifetime_seconds = lifetime_seconds
        self._clock_offset = clock_offset
        self._mark = client.register_script(read_script("burn_mark"))

    @unavailable
    def burn(self, network: str) -> None:
        offset = int(self._clock_offset().total_seconds() * 1000)
        self._mark([self._key(network)], [self._lifetime_seconds * 1000, offset])

    @unavailable
    def burned_at(self, network: str) -> datetime | None:
        # The client decodes every answer; its types do not know.
        found = cast("str | None", self._client.get(self._key(network)))
        return datetime.fromtimestamp(int(found) / 1000, UTC) if found is not None else None

    def _key(self, network: str) -> str:
        return f"{self._prefix}:burned:{network}"
