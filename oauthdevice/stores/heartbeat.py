"""Whether what we depend on answers."""

from collections.abc import Callable

import redis
from sqlalchemy import text

from ..domain.errors import StoreUnavailable
from .redis import unavailable
from .sql import Database


class Heartbeat:
    """One look at the database and at Redis."""

    def __init__(self, database: Database, client: redis.Redis) -> None:
        self._database = database
        self._client = client

    def parts(self) -> dict[str, bool]:
        """What answers, by name. A database that was never migrated does not count as one."""
        return {"database": _holds(self._ask_database), "redis": _holds(self._ask_redis)}

    def _ask_database(self) -> object:
        with self._database.read() as sql:
            return sql.scalar(text("SELECT version_num FROM alembic_version"))

    def _ask_redis(self) -> object:
        return unavailable(self._client.ping)()


def _holds(ask: Callable[[], object]) -> bool:
    try:
        return bool(ask())
    except StoreUnavailable:
        return False
