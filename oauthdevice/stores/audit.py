"""AuditStore: rows in SQL, with Redis as the place where they wait.

A hot path does not wait for the database, and a database that is away costs no event: the row waits
as a field of a hash and is moved by whoever writes next. Its id makes moving it twice harmless. The rows themselves
are a chain: `audit_chain` adds them.
"""

import logging
import threading
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, cast

import orjson
import redis
from sqlalchemy import select
from sqlalchemy.exc import StatementError

from ..domain.audit import MEMBERS, AuditEvent
from ..domain.errors import StoreUnavailable
from .audit_chain import BATCH, AuditRows, event_of
from .models import AuditRow
from .redis import read_script, unavailable
from .sql import Database
from .waiting_events import dump_event, waiting_key

log = logging.getLogger(__name__)

# How long it is known that a row was left: whoever moves rows meanwhile asks within the time of a transaction.
LEFT_SECONDS = 60


class AuditLedger:
    """See `oauthdevice.domain.ports.AuditStore`. `waiting_max` rows may wait before they are moved."""

    def __init__(
        self, database: Database, rows: AuditRows, client: redis.Redis, prefix: str, waiting_max: int = 100
    ) -> None:
        self._waiting_max = waiting_max
        self._database = database
        self._rows = rows
        self._adding = threading.Lock()
        self._client = client
        self._key = waiting_key(prefix)
        self._left_key = f"{self._key}_left"
        self._keep = client.register_script(read_script("audit_wait"))

    def append(self, event: AuditEvent, *, waits: bool = False) -> None:
        try:
            added = self._add([event], patient=False)
        except StoreUnavailable:
            self._wait(event)
            return
        if not added:
            self._leave(event)
        self._settle_if_possible([event.id] if waits and added else [])

    def _leave(self, event: AuditEvent) -> None:
        """To whoever holds the end of the chain: no request waits for the transaction of another.

        It is left first, and looked after then: by then either the end is free, or whoever holds it has still to
        look for what was left.
        """
        try:
            self._wait(event)
            self._mark_left(event)
        except StoreUnavailable:
            self._add([event], patient=True)

    def _add(self, events: Sequence[AuditEvent], *, patient: bool) -> bool:
        """As `AuditRows.add`, by one thread of this process at a time."""
        if not self._adding.acquire(blocking=patient):
            return False
        try:
            return self._rows.add(events, patient=patient)
        finally:
            self._adding.release()

    def defer(self, event: AuditEvent) -> None:
        self.settle_when_due(self._wait(event))

    def settle_when_due(self, waiting: int) -> None:
        # One of those who wait, not everybody from then on: who moves them lets its own request wait. And so it moves
        # what waits now, and not also what others go on adding.
        if waiting % self._waiting_max == 0:
            self._settle_if_possible(whole=False)

    def _settle_if_possible(self, inserted: Sequence[str] = (), *, whole: bool = True) -> None:
        try:
            if inserted:
                self._forget(inserted)
            if not self._adding.locked():
                self.settle(patient=False, whole=whole)
        except StoreUnavailable as error:
            # They wait on, and the next event tries again.
            log.warning("audit rows wait: %s", error.detail)

    def settle(self, *, patient: bool = True, whole: bool = True) -> None:
        """Move what waits into the table, or leave it to whoever does so now. Raises StoreUnavailable.

        `whole`: until none waits. Else one batch, and another only where somebody has left a row in the meantime.
        """
        # Known before each look at what waits: whoever leaves a row after that look changes it.
        last = None if whole else self._last_left()
        while waiting := self._waiting():
            try:
                events = sorted(map(_load, waiting.values()), key=lambda event: event.at)
                moved = self._add(events, patient=patient)
            except (StatementError, ValueError, KeyError, TypeError):
                self._insert_one_by_one(waiting)
                moved = True
            if not moved:
                return
            self._forget(list(waiting))
            if not whole:
                before, last = last, self._last_left()
                if last == before:
                    return

    def _insert_one_by_one(self, waiting: dict[str, str]) -> None:
        """What the table does not take stays in the log alone: one bad row must not stop the others."""
        for text in waiting.values():
            try:
                self._add([_load(text)], patient=True)
            except (StatementError, ValueError, KeyError, TypeError):
                log.exception("the audit table does not take this row: %s", text)

    def newest(self, count: int) -> Sequence[AuditEvent]:
        """The last `count` events, oldest first."""
        self.settle()
        with self._database.read() as sql:
            rows = sql.scalars(select(AuditRow).order_by(AuditRow.at.desc(), AuditRow.id.desc()).limit(count)).all()
            return [event_of(row) for row in reversed(rows)]

    def all(self) -> Iterator[AuditEvent]:
        """Every event, oldest first."""
        self.settle()
        with self._database.read() as sql:
            for row in sql.scalars(
                select(AuditRow).order_by(AuditRow.at, AuditRow.id).execution_options(yield_per=BATCH)
            ):
                yield event_of(row)

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
    def _mark_left(self, event: AuditEvent) -> None:
        self._client.set(self._left_key, event.id, ex=LEFT_SECONDS)

    @unavailable
    def _last_left(self) -> str | None:
        """The id of the row that was left last, where that is not long ago."""
        return cast("str | None", self._client.get(self._left_key))

    @unavailable
    def _forget(self, ids: Sequence[str]) -> None:
        self._client.hdel(self._key, *ids)


def _load(text: str) -> AuditEvent:
    data: dict[str, Any] = orjson.loads(text)
    # A newer release beside this one may tell more than this one knows.
    known = {name: data[name] for name in MEMBERS if name in data}
    return AuditEvent(**{**known, "at": datetime.fromisoformat(data["at"])})
