"""Whether what we depend on answers."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import redis
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from ..domain.errors import StoreUnavailable
from .migration_numbers import newest_migration, suffices
from .redis import unavailable
from .sql import Database
from .sql import unavailable as unavailable_database


@dataclass(frozen=True, slots=True)
class RedisFacts:
    """Which Redis this is, how far its clock is ahead of ours, and what it forgets when it is full."""

    name: str
    version: str
    ahead_seconds: float
    eviction: str


class Heartbeat:
    """One look at the database and at Redis."""

    def __init__(self, database: Database, client: redis.Redis) -> None:
        self._database = database
        self._client = client

    def parts(self) -> dict[str, bool]:
        """What answers, by name. A database whose tables are older than this release does not count as one."""
        return {"database": _holds(self._ask_database), "redis": _holds(self._ask_redis)}

    def migrations(self) -> tuple[str | None, str]:
        """The migration that the database is at, None before the first, and our newest. Raises StoreUnavailable."""
        # Imported here: a server has no use for Alembic, which costs 10 MiB and half a second.
        from alembic.migration import MigrationContext  # noqa: PLC0415

        with unavailable_database(), self._database.engine.connect() as connection:
            return MigrationContext.configure(connection).get_current_revision(), newest_migration()

    def redis_facts(self) -> RedisFacts:
        """What Redis says of itself. Raises StoreUnavailable."""
        return unavailable(self._ask_redis_facts)()

    def _ask_redis_facts(self) -> RedisFacts:
        seconds, microseconds = self._client.time()
        offset = datetime.fromtimestamp(seconds + microseconds / 1e6, UTC) - datetime.now(UTC)
        told = self._client.info()
        if "redis_version" not in told:
            # A Cluster answers by node.
            told = next(iter(told.values()))
        name = "Valkey" if "valkey_version" in told else "Redis"
        version = str(told.get("valkey_version", told["redis_version"]))
        return RedisFacts(name, version, offset.total_seconds(), str(told.get("maxmemory_policy", "noeviction")))

    def _ask_database(self) -> object:
        try:
            with self._database.read() as sql:
                return suffices(sql.scalar(text("SELECT version_num FROM alembic_version")))
        except ProgrammingError:
            # PostgreSQL, where there is no such table yet.
            return False

    def _ask_redis(self) -> object:
        return unavailable(self._client.ping)()


def _holds(ask: Callable[[], object]) -> bool:
    try:
        return bool(ask())
    except StoreUnavailable:
        return False
