"""AuditStore: rows in SQL, with Redis as the place where they wait.

A hot path does not wait for the database, and a database that is away costs no event: the row waits
as a field of a hash and is moved by whoever writes next. Its id makes moving it twice harmless.
"""

import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any, cast

import redis
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError, StatementError

from ..domain.audit import AuditEvent
from ..domain.errors import StoreUnavailable
from .models import AuditRow
from .redis import unavailable
from .sql import Database

log = logging.getLogger(__name__)

# How many rows are moved at once.
BATCH = 500


class AuditLedger:
    """See `oauthdevice.domain.ports.AuditStore`. `waiting_max` rows may wait before they are moved."""

    def __init__(self, database: Database, client: redis.Redis, prefix: str, waiting_max: int = 100) -> None:
        self._waiting_max = waiting_max
        self._database = database
        self._client = client
        self._key = f"{prefix}:audit"

    def append(self, event: AuditEvent) -> None:
        try:
            self._insert([event])
        except StoreUnavailable:
            self._wait(event)
            return
        self._settle_if_possible()

    def defer(self, event: AuditEvent) -> None:
        if self._wait(event) >= self._waiting_max:
            self._settle_if_possible()

    def _settle_if_possible(self) -> None:
        try:
            self.settle()
        except StoreUnavailable as error:
            # They wait on, and the next event tries again.
            log.warning("audit rows wait: %s", error.detail)

    def settle(self) -> None:
        """Move what waits into the table. Raises StoreUnavailable."""
        while waiting := self._waiting():
            try:
                self._insert([_load(text) for text in waiting.values()])
            except IntegrityError:
                # Another process moves some of them at this moment: they stay until one of us is done.
                return
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
        with self._database.write() as sql:
            stored = set(sql.scalars(select(AuditRow.id).where(AuditRow.id.in_([one.id for one in events]))))
            sql.add_all(_row(one) for one in events if one.id not in stored)

    @unavailable
    def _wait(self, event: AuditEvent) -> int:
        with self._client.pipeline(transaction=False) as pipeline:
            pipeline.hset(self._key, event.id, json.dumps(event.members()))
            pipeline.hlen(self._key)
            return int(pipeline.execute()[1])

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
    data: dict[str, Any] = json.loads(text)
    # A newer release beside this one may tell more than this one knows.
    known = {one.name: data[one.name] for one in fields(AuditEvent) if one.name in data}
    return AuditEvent(**{**known, "at": datetime.fromisoformat(data["at"])})


def _row(event: AuditEvent) -> AuditRow:
    return AuditRow(**{one.name: getattr(event, one.name) for one in fields(AuditEvent)})


def _event(row: AuditRow) -> AuditEvent:
    return AuditEvent(**{one.name: getattr(row, one.name) for one in fields(AuditEvent)})
