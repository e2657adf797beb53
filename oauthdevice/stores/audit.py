"""AuditStore: rows in SQL, with Redis as the place where they wait.

A hot path does not wait for the database, and a database that is away costs no event: the row waits
as a field of a hash and is moved by whoever writes next. Its id makes moving it twice harmless.
"""

import logging
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, cast

import orjson
import redis
from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import StatementError

from ..domain.audit import MEMBERS, AuditEvent
from ..domain.errors import StoreUnavailable
from .models import AuditRow
from .redis import read_script, unavailable
from .sql import Database
from .waiting_events import audit_columns, dump_event, waiting_key

log = logging.getLogger(__name__)

# How many rows are moved at once.
BATCH = 500


class AuditLedger:
    """See `oauthdevice.domain.ports.AuditStore`. `waiting_max` rows may wait before they are moved."""

    def __init__(self, database: Database, client: redis.Redis, prefix: str, waiting_max: int = 100) -> None:
        self._waiting_max = waiting_max
        self._database = database
        self._client = client
        self._key = waiting_key(prefix)
        self._keep = client.register_script(read_script("audit_wait"))

    def append(self, event: AuditEvent, *, waits: bool = False) -> None:
        try:
            self._insert([event])
        except StoreUnavailable:
            self._wait(event)
            return
        self._settle_if_possible([event.id] if waits else [])

    def defer(self, event: AuditEvent) -> None:
        self.settle_when_due(self._wait(event))

    def settle_when_due(self, waiting: int) -> None:
        # One of those who wait, not everybody from then on: who moves them lets its own request wait.
        if waiting % self._waiting_max == 0:
            self._settle_if_possible()

    def _settle_if_possible(self, inserted: Sequence[str] = ()) -> None:
        try:
            if inserted:
                self._forget(inserted)
            self.settle()
        except StoreUnavailable as error:
            # They wait on, and the next event tries again.
            log.warning("audit rows wait: %s", error.detail)

    def settle(self) -> None:
        """Move what waits into the table. Raises StoreUnavailable."""
        while waiting := self._waiting():
            try:
                self._insert([_load(text) for text in waiting.values()])
            except (StatementError, ValueError, KeyError, TypeError):
                self._insert_one_by_one(waiting)
            self._forget(list(waiting))

    def _insert_one_by_one(self, waiting: dict[str, str]) -> None:
        """What the table does not take stays in the log alone: one bad row must not stop the others."""
        for text in waiting.values():
            try:
                self._insert([_load(text)])
            except (StatementError, ValueError, KeyError, TypeError):
                log.exception("the audit table does not take this row: %s", text)

    def newest(self, count: int) -> Sequence[AuditEvent]:
        """The last `count` events, oldest first."""
        self.settle()
        with self._database.read() as sql:
            rows = sql.scalars(select(AuditRow).order_by(AuditRow.at.desc(), AuditRow.id.desc()).limit(count)).all()
            return [_event(row) for row in reversed(rows)]

    def all(self) -> Iterator[AuditEvent]:
        """Every event, oldest first."""
        self.settle()
        with self._database.read() as sql:
            for row in sql.scalars(
                select(AuditRow).order_by(AuditRow.at, AuditRow.id).execution_options(yield_per=BATCH)
            ):
                yield _event(row)

    def _insert(self, events: Sequence[AuditEvent]) -> None:
        # Another process may move the same rows at this moment. Both databases have words of their own for it.
        on_postgresql = self._database.engine.dialect.name == "postgresql"
        insert = postgresql.insert(AuditRow) if on_postgresql else sqlite.insert(AuditRow)
        with self._database.write() as sql:
            sql.execute(insert.on_conflict_do_nothing(), [audit_columns(one) for one in events])

    @unavailable
    def _wait(self, event: AuditEvent) -> int:
        return int(self._keep([self._key], dump_event(event)))

    @unavailable
    def _waiting(self) -> dict[str, str]:
        if not self._client.exists(self._key):
            return {}
        _, found = self._client.hscan(self._key, count=BATCH)
        return cast("dict[str, str]", found)

    @unavailable
    def _forget(self, ids: Sequence[str]) -> None:
        self._client.hdel(self._key, *ids)


def _load(text: str) -> AuditEvent:
    data: dict[str, Any] = orjson.loads(text)
    # A newer release beside this one may tell more than this one knows.
    known = {name: data[name] for name in MEMBERS if name in data}
    return AuditEvent(**{**known, "at": datetime.fromisoformat(data["at"])})


def _event(row: AuditRow) -> AuditEvent:
    return AuditEvent(**{name: getattr(row, name) for name in MEMBERS})
