"""DeliveryStore on SQL: what waits in the database to be told to other programs."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, CursorResult, case, delete, func, select, update
from sqlalchemy.sql import Delete, Update

from ..domain.webhooks import Delivery
from .audit_chain import event_of, link_of
from .models import AuditRow, WebhookDeliveryRow
from .sql import Database

# How many rows are held in memory at once.
BATCH = 500
PROBLEM_MAX = 200


class SQLDeliveryStore:
    """See `oauthdevice.domain.webhooks.DeliveryStore`. `AuditRows.add` writes the rows."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def claim(self, url: str, now: datetime, until: datetime) -> Delivery | None:
        mine = (WebhookDeliveryRow.url == url, WebhookDeliveryRow.next_attempt_at <= now)
        due = select(WebhookDeliveryRow).where(*mine).order_by(WebhookDeliveryRow.next_attempt_at).limit(1)
        with self._database.read() as sql:
            # Every few seconds of every deliverer: SQLite is to be locked for it only where there is one.
            if sql.scalar(due.with_only_columns(WebhookDeliveryRow.id)) is None:
                return None
        with self._database.write() as sql:
            # Another process passes over the row while we write it, and then finds it put off.
            row = sql.scalars(due.with_for_update(skip_locked=True)).one_or_none()
            if row is None:
                return None
            row.next_attempt_at = until
            row.attempts += 1
            return _delivery(row, sql.get_one(AuditRow, row.event_id))

    def done(self, delivery: Delivery) -> None:
        self._change(delete(WebhookDeliveryRow).where(WebhookDeliveryRow.id == delivery.id))

    def put_off(self, delivery: Delivery, until: datetime | None, problem: str) -> None:
        mine = (WebhookDeliveryRow.id == delivery.id, WebhookDeliveryRow.attempts == delivery.attempts)
        self._change(
            update(WebhookDeliveryRow).where(*mine).values(next_attempt_at=until, problem=problem[:PROBLEM_MAX])
        )

    def waiting(self, *, failed: bool) -> Iterator[Delivery]:
        given_up = WebhookDeliveryRow.next_attempt_at.is_(None)
        chosen = (
            select(WebhookDeliveryRow, AuditRow)
            .join(AuditRow, AuditRow.id == WebhookDeliveryRow.event_id)
            .where(given_up if failed else ~given_up)
            .order_by(AuditRow.at, WebhookDeliveryRow.id)
        )
        with self._database.read() as sql:
            for row, event in sql.execute(chosen.execution_options(yield_per=BATCH)):
                yield _delivery(row, event)

    def renew(self, delivery_id: str | None, now: datetime) -> int:
        return self._change(
            update(WebhookDeliveryRow).where(_chosen(delivery_id)).values(next_attempt_at=now, attempts=0)
        )

    def forget(self, delivery_id: str | None) -> int:
        return self._change(delete(WebhookDeliveryRow).where(_chosen(delivery_id)))

    def counts(self) -> tuple[int, int]:
        given_up = case((WebhookDeliveryRow.next_attempt_at.is_(None), 1), else_=0)
        with self._database.read() as sql:
            total, failed = sql.execute(select(func.count(), func.sum(given_up)).select_from(WebhookDeliveryRow)).one()
        return total - (failed or 0), failed or 0

    def _change(self, statement: Update | Delete) -> int:
        with self._database.write() as sql:
            result: CursorResult[Any] = sql.execute(statement)  # type: ignore[assignment]  # of what changes rows
            return result.rowcount


def _chosen(delivery_id: str | None) -> ColumnElement[bool]:
    if delivery_id is None:
        return WebhookDeliveryRow.next_attempt_at.is_(None)
    return WebhookDeliveryRow.id == delivery_id


def _delivery(row: WebhookDeliveryRow, event: AuditRow) -> Delivery:
    return Delivery(row.id, row.url, event_of(event), link_of(event), row.attempts, row.next_attempt_at, row.problem)
