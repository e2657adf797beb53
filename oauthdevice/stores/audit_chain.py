"""The audit table as a chain: whoever adds rows holds the head, so that any number of processes make one chain."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, cast

import orjson
from sqlalchemy import CursorResult, String, Table, Text, bindparam, column, func, insert, select, text, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session
from sqlalchemy.types import TypeEngine

from ..domain.audit import MEMBERS, AuditEvent
from ..domain.audit_chain import Chain, ChainedEvent, Head, Link
from ..domain.webhooks import Subscription
from .models import AuditHeadRow, AuditRow, WebhookDeliveryRow
from .sql import Database

# How many rows are held in memory at once.
BATCH = 500
COLUMNS = [*MEMBERS, "position", "hash", "key_id"]

# The tables themselves, without the mapping of rows to objects, which would cost half of what the statement does.
_rows = cast("Table", AuditRow.__table__)
_head = cast("Table", AuditHeadRow.__table__)
_last_position = select(func.max(_rows.c.position)).scalar_subquery()
_HEAD = select(_head.c.position, _head.c.seal, _head.c.begun_at, _last_position)
_MOVE_HEAD = update(_head).values(position=bindparam("position"), seal=bindparam("seal"))


class _SomeAreThere(Exception):
    """Some of the rows to be added are in the chain."""


class AuditRows:
    """See `oauthdevice.domain.audit_proof.ChainStore`, and what adds to the chain."""

    def __init__(self, database: Database, chain: Chain, subscription: Subscription) -> None:
        self._database = database
        self._chain = chain
        self._subscription = subscription
        # Both databases have words of their own for it.
        self._on_postgresql = database.engine.dialect.name == "postgresql"
        self._dialect = postgresql if self._on_postgresql else sqlite
        self._inserting = self._taking_in()

    def add(self, events: Sequence[AuditEvent], *, patient: bool = True) -> bool:
        """Rows at the end of the chain, and what is to be delivered of them, in one transaction.

        What is in the chain already stays as it is. Where another process holds the end and `patient` is not set,
        nothing is written, and the answer is False; on SQLite everybody waits. Raises StoreUnavailable, StatementError.
        """
        events = list({event.id: event for event in events}.values())
        try:
            return self._add(events, patient)
        except _SomeAreThere:
            # Who moved them has not yet forgotten that they wait, or died before it did.
            return self._add(events, patient, look=True)

    def add_within(self, sql: Session, event: AuditEvent) -> None:
        """As `add`, of an event that is new, in the transaction that it tells of.

        It waits for whoever holds the end, and holds it from then on: to be called last.
        """
        self._extend(sql, [event], patient=True, look=False)

    def _add(self, events: Sequence[AuditEvent], patient: bool, look: bool = False) -> bool:
        with self._database.write() as sql:
            return self._extend(sql, events, patient, look)

    def _extend(self, sql: Session, events: Sequence[AuditEvent], patient: bool, look: bool) -> bool:
        head = self._held_head(sql, events, patient)
        if head is None:
            return False
        # Looked for with the head held: whoever else brought the same rows has committed.
        new = _new(sql, events) if look else events
        if new:
            links, end = self._chain.extend(head, new)
            self._insert(sql, [_columns(*one) for one in zip(new, links, strict=True)])
            sql.execute(_MOVE_HEAD, {"position": end.position, "seal": end.seal})
            _enqueue(sql, self._subscription, new)
        return True

    def _insert(self, sql: Session, rows: list[dict[str, Any]]) -> None:
        """Raises _SomeAreThere, and then the transaction must not be committed: there would be gaps."""
        if self._on_postgresql:
            result = sql.execute(self._inserting, {"rows": orjson.dumps(rows).decode()})
        else:
            result = sql.execute(self._inserting, rows)
        if cast("CursorResult[Any]", result).rowcount < len(rows):
            raise _SomeAreThere

    def _held_head(self, sql: Session, events: Sequence[AuditEvent], patient: bool) -> Head | None:
        """The head, which nobody else gets before this transaction ends."""
        held = _HEAD.with_for_update(of=_head, skip_locked=not patient)
        found = sql.execute(held).one_or_none()
        if found is None:
            if not patient and sql.scalar(select(_head.c.id)) is not None:
                return None
            sql.execute(self._dialect.insert(_head).on_conflict_do_nothing(), _first_head(sql, events))
            found = sql.execute(_HEAD.with_for_update(of=_head)).one()
        position, seal, begun_at, last = found
        # Somebody may have put the head back. The next row then stands after all others, so that it can be written,
        # and does not fit, so that everybody sees it for good.
        return Head(max(position, last or 0), seal, begun_at)

    def _taking_in(self) -> Any:
        """A process of a release without a chain may have moved the same row at this moment: it is taken in."""
        statement = self._dialect.insert(_rows)
        changed = {name: statement.excluded[name] for name in COLUMNS[1:]}
        if self._on_postgresql:
            # One statement with one parameter, in place of a statement for each row.
            given = func.json_to_recordset(bindparam("rows", type_=Text).cast(postgresql.JSON))
            rows = given.table_valued(*(column(name, _unbounded(_rows.c[name].type)) for name in COLUMNS))
            statement = statement.from_select(COLUMNS, select(rows.render_derived(with_types=True)))
        unchained = _rows.c.position.is_(None)
        taking_in = statement.on_conflict_do_update(index_elements=["id"], set_=changed, where=unchained)
        return taking_in.execution_options(preserve_rowcount=True)

    def head(self) -> tuple[Head | None, int]:
        with self._database.read() as sql:
            found = sql.execute(_HEAD).one_or_none()
            if found is None:
                return None, sql.scalar(select(_last_position)) or 0
            position, seal, begun_at, last = found
            return Head(position, seal, begun_at), last or 0

    def at(self, position: int) -> ChainedEvent | None:
        with self._database.read() as sql:
            row = sql.scalars(select(AuditRow).where(AuditRow.position == position)).one_or_none()
            return _chained(row) if row else None

    def chained(self, after: int, last: int) -> Iterator[ChainedEvent]:
        found = BATCH
        while found == BATCH:
            within = select(AuditRow).where(AuditRow.position > after, AuditRow.position <= last)
            # A transaction for each batch: one over the whole table would keep the database from cleaning up.
            with self._database.read() as sql:
                rows = [_chained(row) for row in sql.scalars(within.order_by(AuditRow.position).limit(BATCH))]
            yield from rows
            found, after = len(rows), rows[-1].link.position if rows else last

    def unchained_before(self, moment: datetime) -> int:
        with self._database.read() as sql:
            self._take_time(sql)
            unchained = select(func.count()).select_from(AuditRow).where(AuditRow.position.is_(None))
            return sql.scalar(unchained.where(AuditRow.at < moment)) or 0

    def unchained_since(self, moment: datetime) -> Iterator[AuditEvent]:
        with self._database.read() as sql:
            self._take_time(sql)
            unchained = select(AuditRow).where(AuditRow.position.is_(None), AuditRow.at >= moment)
            for row in sql.scalars(unchained.order_by(AuditRow.at, AuditRow.id).execution_options(yield_per=BATCH)):
                yield event_of(row)

    def _take_time(self, sql: Session) -> None:
        """For what may have to look at millions of rows, while no request waits."""
        if self._on_postgresql:
            sql.execute(text("SET LOCAL statement_timeout = 0"))


def _unbounded(type_: TypeEngine[Any]) -> TypeEngine[Any]:
    """A cast to a bounded type would cut off what is too long, and say nothing."""
    return Text() if isinstance(type_, String) else type_


def _first_head(sql: Session, events: Sequence[AuditEvent]) -> dict[str, Any]:
    """Where there is none: the chain begins, or goes on where it was, but with a seal that does not fit."""
    lost = sql.scalar(select(_last_position)) or 0
    begun_at = min(event.at for event in events)
    return {"id": 1, "position": lost, "seal": "" if lost else None, "begun_at": begun_at}


def _new(sql: Session, events: Sequence[AuditEvent]) -> list[AuditEvent]:
    """The events that are not in the chain, in order."""
    ids = [event.id for event in events]
    chained = set(sql.scalars(select(AuditRow.id).where(AuditRow.id.in_(ids), AuditRow.position.is_not(None))))
    return [event for event in events if event.id not in chained]


def _enqueue(sql: Session, subscription: Subscription, events: Sequence[AuditEvent]) -> None:
    """What waits to be delivered, if anybody subscribed."""
    if rows := [
        {"id": delivery_id, "event_id": event.id, "url": url, "attempts": 0, "next_attempt_at": event.at}
        for event in events
        for delivery_id, url in subscription.deliveries(event)
    ]:
        sql.execute(insert(WebhookDeliveryRow), rows)


def _columns(event: AuditEvent, link: Link) -> dict[str, Any]:
    told = {name: getattr(event, name) for name in MEMBERS}
    return told | {"position": link.position, "hash": link.hash, "key_id": link.key_id}


def event_of(row: AuditRow) -> AuditEvent:
    """What a row tells."""
    return AuditEvent(**{name: getattr(row, name) for name in MEMBERS})


def link_of(row: AuditRow) -> Link:
    """Where a row stands in the chain."""
    return Link(row.position or 0, row.hash or "", row.key_id or "")


def _chained(row: AuditRow) -> ChainedEvent:
    return ChainedEvent(event_of(row), link_of(row))
