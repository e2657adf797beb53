"""AuditStore: rows in SQL, with Redis as the place where they wait.

Every row waits first, as a field of a hash. A hot path leaves it there; everybody else moves what waits, its own row
among it, in one transaction, or leaves it to whoever does so at this moment. So however many write at once, a few
transactions carry the rows of all, and a database that is away costs no event. A row's id makes moving it twice
harmless. The rows themselves are a chain: `audit_chain` adds them.

Nobody is left waiting by two who leave their rows to one another: who is refused sets the mark and tries once more, and
who held the end of the chain, or was refused it, looks afterwards whether the mark has changed.
"""

import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson
import redis
from sqlalchemy import select
from sqlalchemy.exc import ProgrammingError, StatementError

from ..domain.audit import MEMBERS, AuditEvent
from ..domain.errors import StoreUnavailable
from .audit_chain import BATCH, AuditRows, event_of
from .models import AuditRow
from .sql import Database
from .waiting_events import waits_with_its_record
from .waiting_rows import NO_MARK, WaitingRows

log = logging.getLogger(__name__)

# How many batches one request moves at most: after an outage there may be many.
BATCHES_MAX = 10


class AuditLedger:
    """See `oauthdevice.domain.ports.AuditStore`. `waiting_max` rows may wait before they are moved."""

    def __init__(
        self, database: Database, rows: AuditRows, client: redis.Redis, prefix: str, waiting_max: int = 100
    ) -> None:
        self._waiting_max = waiting_max
        self._database = database
        self._rows = rows
        self._adding = threading.Lock()
        self._waiting = WaitingRows(client, prefix)
        self._waits_already = waits_with_its_record(client)

    def append(self, event: AuditEvent, *, waits: bool = False) -> None:
        if not (waits and self._waits_already):
            try:
                self._waiting.add(event)
            except StoreUnavailable:
                self._add([event], patient=True)
                self.settle_left()
                return
        self._move_or_leave(event)

    def defer(self, event: AuditEvent) -> None:
        self.settle_when_due(self._waiting.add(event))

    def settle_when_due(self, waiting: int) -> None:
        # One of those who wait, not everybody from then on: who moves them lets its own request wait.
        if waiting % self._waiting_max == 0:
            self._move_or_leave()

    def settle_left(self) -> None:
        self._move_or_leave(known=NO_MARK)

    def settle(self) -> None:
        """Move all that waits into the table, after whoever moves rows now. Raises StoreUnavailable."""
        seen = self._waiting.look()
        while seen.rows:
            self._carry(seen.rows, patient=True)
            seen = self._waiting.forget(seen)

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

    def _move_or_leave(self, own: AuditEvent | None = None, known: str | None = None) -> None:
        """Move what waits, `own` among it, or leave it to whoever does so now. `known`: see `WaitingRows.look`."""
        try:
            if not self._move(known):
                self._leave(own)
                # By now the end of the chain is free, or whoever holds it has yet to look at the mark.
                self._move()
        except StoreUnavailable as error:
            # They wait on, and the next event tries again.
            log.warning("audit rows wait: %s", error.detail)

    def _leave(self, own: AuditEvent | None) -> None:
        try:
            self._waiting.mark()
        except StoreUnavailable:
            if own is None:
                raise
            # A Redis that is full takes no mark, and nobody would come for the row.
            self._add([own], patient=True)

    def _move(self, known: str | None = None) -> bool:
        """Move what waits now, and what was left in the meantime. False where somebody else moves rows.

        Not what others go on adding: a request would go on for as long as they do.
        """
        if self._adding.locked():
            return False
        moved, seen = True, self._waiting.look(known=known)
        for _ in range(BATCHES_MAX):
            if not seen.rows:
                break
            moved = self._carry(seen.rows, patient=False)
            # Refused, too: meanwhile somebody may have left rows to this process.
            seen = self._waiting.forget(seen) if moved else self._waiting.look(known=seen.mark)
        return moved

    def _carry(self, waiting: Mapping[str, str], *, patient: bool) -> bool:
        try:
            return self._add(sorted(map(_load, waiting.values()), key=lambda event: event.at), patient=patient)
        except (StatementError, ValueError, KeyError, TypeError):
            self._add_one_by_one(waiting)
            return True

    def _add_one_by_one(self, waiting: Mapping[str, str]) -> None:
        """What the table does not take stays in the log alone: one bad row must not stop the others.

        Where it takes none, that is no fault of theirs, and they wait on: raises StoreUnavailable.
        """
        refused = []
        for text in waiting.values():
            try:
                self._add([_load(text)], patient=True)
            except ProgrammingError as error:
                refused.append((text, error))
            except (StatementError, ValueError, KeyError, TypeError):
                log.exception("the audit table does not take this row: %s", text)
        if len(refused) == len(waiting):
            raise StoreUnavailable(detail=f"the audit table takes no row: {refused[0][1].orig}")
        for text, refusal in refused:
            log.error("the audit table does not take this row: %s", text, exc_info=refusal)

    def _add(self, events: Sequence[AuditEvent], *, patient: bool) -> bool:
        """As `AuditRows.add`, by one thread of this process at a time."""
        if not self._adding.acquire(blocking=patient):
            return False
        try:
            return self._rows.add(events, patient=patient)
        finally:
            self._adding.release()


def _load(text: str) -> AuditEvent:
    data: dict[str, Any] = orjson.loads(text)
    # A newer release beside this one may tell more than this one knows.
    known = {name: data[name] for name in MEMBERS if name in data}
    return AuditEvent(**{**known, "at": datetime.fromisoformat(data["at"])})
