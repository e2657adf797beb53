"""Whether what we depend on answers."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import redis
from redis.exceptions import RedisClusterException
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from ..domain.errors import StoreUnavailable
from .migration_numbers import newest_migration, suffices
from .redis import unavailable
from .sql import Database
from .sql import unavailable as unavailable_database


@dataclass(frozen=True, slots=True)
class RedisFacts:
    """Which Redis this is, how far its clock is ahead of ours, and what it forgets when it is full.

    `node` is its host and port where it is one of a Cluster, "" elsewhere.
    """

    node: str
    name: str
    version: str
    ahead_seconds: float
    eviction: str

    @property
    def release(self) -> tuple[int, ...]:
        """Its version as two numbers, to be compared."""
        return tuple(int(part) for part in self.version.split(".")[:2])

    @property
    def forgets(self) -> bool:
        """Whether a login that waits may be lost when memory is short."""
        return self.eviction != "noeviction"

    @property
    def place(self) -> str:
        """Where it is, to follow upon what is said of it."""
        return f", at {self.node}" if self.node else ""


class Heartbeat:
    """One look at the database and at Redis."""

    def __init__(self, database: Database, client: redis.Redis, prefix: str) -> None:
        self._database = database
        # Of the two kinds of client, which share no class.
        self._client: Any = client
        self._is_cluster = isinstance(client, redis.RedisCluster)
        # One key for each shard of the records (`shard_of_user_code`). Nothing ever lies there.
        self._keys = [f"{prefix}:{{{shard:02x}}}:heartbeat" for shard in range(256)]

    def parts(self) -> dict[str, bool]:
        """What answers, by name. A database whose tables are older than this release does not count as one."""
        return {"database": _holds(self._ask_database), "redis": _holds(self._ask_redis)}

    def migrations(self) -> tuple[str | None, str]:
        """The migration that the database is at, None before the first, and our newest. Raises StoreUnavailable."""
        # Imported here: a server has no use for Alembic, which costs 10 MiB and half a second.
        from alembic.migration import MigrationContext  # noqa: PLC0415

        with unavailable_database(), self._database.engine.connect() as connection:
            return MigrationContext.configure(connection).get_current_revision(), newest_migration()

    def redis_facts(self) -> list[RedisFacts]:
        """What Redis says of itself; each node, where it is a Cluster. Raises StoreUnavailable."""
        return unavailable(self._ask_redis_facts)()

    def _ask_redis_facts(self) -> list[RedisFacts]:
        if not self._is_cluster:
            return [_facts("", self._client)]
        return [_facts(node.name, self._client.get_redis_connection(node)) for node in self._client.get_nodes()]

    def _ask_database(self) -> object:
        try:
            with self._database.read() as sql:
                return suffices(sql.scalar(text("SELECT version_num FROM alembic_version")))
        except ProgrammingError:
            # PostgreSQL, where there is no such table yet.
            return False

    def _ask_redis(self) -> object:
        return unavailable(self._ask_each_node if self._is_cluster else self._client.ping)()

    def _ask_each_node(self) -> bool:
        """A node answers PING when it serves no key any more, so each that holds a shard is asked for one."""
        try:
            keys = {self._client.get_node_from_key(key).name: key for key in self._keys}
            pipeline = self._client.pipeline(transaction=False)
            for key in keys.values():
                pipeline.exists(key)
            pipeline.execute()
        except RedisClusterException:
            # No RedisError: a shard is held by nobody.
            return False
        return True


def _facts(node: str, client: redis.Redis) -> RedisFacts:
    seconds, microseconds = client.time()
    offset = datetime.fromtimestamp(seconds + microseconds / 1e6, UTC) - datetime.now(UTC)
    told = client.info()
    name = "Valkey" if "valkey_version" in told else "Redis"
    version = str(told.get("valkey_version", told["redis_version"]))
    return RedisFacts(node, name, version, offset.total_seconds(), str(told.get("maxmemory_policy", "noeviction")))


def _holds(ask: Callable[[], object]) -> bool:
    try:
        return bool(ask())
    except StoreUnavailable:
        return False
