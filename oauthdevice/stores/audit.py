"""AuditStore: rows in SQL, with Redis as the place where they wait.

Every row waits first, as a field of a hash. A hot path leaves it there; everybody else moves what waits, its own row
among it, in one transaction, or leaves it to whoever does so at this moment. So however many write at once, a few
transactions carry the rows of all, nobody waits for the transaction of another, and a database that is away costs no
event. A row's id makes moving it twice harmless. The rows themselves are a chain: `audit_chain` adds them.
"""

import logging
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

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
from .waiting_events import dump_event, waiting_key, waits_with_its_record

log = logging.getLogger(__name__)

# How long it is known that a row was left: whoever moves rows meanwhile asks within the time of a transaction.
LEFT_SECONDS = 60
NONE_LEFT = ""


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
        # On a Cluster, next to the rows.
        self._left_key = f"{prefix}:{{{self._key}}}:audit_left"
        self._waits_already = waits_with_its_record(client)
        self._keep = client.register_script(read_script("audit_wait"))
        self._leave = client.register_script(read_script("audit_leave"))
        self._take = client.register_script(read_script("audit_take"))

    def append(self, event: AuditEvent, *, waits: bool = False) -> None:
        if not (waits and self._waits_already):
            try:
                self._wait(event)
            except StoreUnavailable:
                self._add([event], patient=True)
                return
        self._move_if_possible(event)

    def defer(self, event: AuditEvent) -> None:
        self.settle_when_due(self._wait(event))

    def settle_when_due(self, waiting: int) -> None:
        # One of those who wait, not everybody from then on: who moves them lets its own request wait.
        if waiting % self._waiting_max == 0:
            self._move_if_possible()

    def settle_left(self) -> None:
        self._move_if_possible(known=NONE_LEFT)

    def settle(self) -> None:
        """Move all that waits into the table, after whoever moves rows now. Raises StoreUnavailable."""
        seen = self._look()
        while seen.rows:
            self._carry(seen.rows, patient=True)
            seen = self._look(moved=seen)

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

    def _move_if_possible(self, own: AuditEvent | None = None, known: str | None = None) -> None:
        """Move what waits, `own` among it, or leave it to whoever does so now.

        It is left first, and looked after then: by then either the end of the chain is free, or whoever holds it has
        still to look for what was left. `known`: see `_look`.
        """
        try:
            if not self._move(known) and own is not None:
                self._mark_left(own)
                self._move()
        except StoreUnavailable as error:
            # They wait on, and the next event tries again.
            log.warning("audit rows wait: %s", error.detail)

    def _move(self, known: str | None = None) -> bool:
        """Move what waits now, and what was left in the meantime. False where somebody else moves rows.

        Not what others go on adding: a request would go on for as long as they do.
        """
        if self._adding.locked():
            return False
        seen = self._look(known=known)
        while seen.rows:
            if not self._carry(seen.rows, patient=False):
                return False
            seen = self._look(moved=seen, known=None if seen.are_more else seen.left)
        return True

    def _carry(self, waiting: dict[str, str], *, patient: bool) -> bool:
        try:
            return self._add(sorted(map(_load, waiting.values()), key=lambda event: event.at), patient=patient)
        except (StatementError, ValueError, KeyError, TypeError):
            self._add_one_by_one(waiting)
            return True

    def _add_one_by_one(self, waiting: dict[str, str]) -> None:
        """What the table does not take stays in the log alone: one bad row must not stop the others."""
        for text in waiting.values():
            try:
                self._add([_load(text)], patient=True)
            except (StatementError, ValueError, KeyError, TypeError):
                log.exception("the audit table does not take this row: %s", text)

    def _add(self, events: Sequence[AuditEvent], *, patient: bool) -> bool:
        """As `AuditRows.add`, by one thread of this process at a time."""
        if not self._adding.acquire(blocking=patient):
            return False
        try:
            return self._rows.add(events, patient=patient)
        finally:
            self._adding.release()

    @unavailable
    def _wait(self, event: AuditEvent) -> int:
        return int(self._keep([self._key], dump_event(event)))

    @unavailable
    def _mark_left(self, event: AuditEvent) -> None:
        self._leave([self._left_key], [event.id, LEFT_SECONDS])

    @unavailable
    def _look(self, *, moved: "_Seen | None" = None, known: str | None = None) -> "_Seen":
        """What waits, after what was `moved` is forgotten; nothing where the row that was left last is `known`."""
        ids = moved.rows if moved else ()
        left, are_more, rows = self._take(
            [self._key, self._left_key], [BATCH, int(known is not None), known or NONE_LEFT, *ids]
        )
        return _Seen(left, bool(are_more), dict(zip(rows[::2], rows[1::2], strict=True)))


@dataclass(frozen=True, slots=True)
class _Seen:
    """Rows that wait, by their ids, and the id of the row that had been left last when they were looked at."""

    left: str
    are_more: bool
    rows: dict[str, str]


def _load(text: str) -> AuditEvent:
    data: dict[str, Any] = orjson.loads(text)
    # A newer release beside this one may tell more than this one knows.
    known = {name: data[name] for name in MEMBERS if name in data}
    return AuditEvent(**{**known, "at": datetime.fromisoformat(data["at"])})
