"""NoticeStore on SQL: the mails that wait in the database."""

from datetime import datetime

from sqlalchemy import delete, select, update

from ..domain.notices import Notice
from .models import NoticeRow
from .sql import Database


class SQLNoticeStore:
    """See `oauthdevice.domain.ports.NoticeStore`. `SQLSessionStore.mint` writes the rows."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def claim(self, now: datetime, until: datetime) -> Notice | None:
        due = select(NoticeRow).where(NoticeRow.due_at <= now).order_by(NoticeRow.due_at).limit(1)
        with self._database.read() as sql:
            # Every few seconds of every process: SQLite is to be locked for it only where there is one.
            if sql.scalar(due.with_only_columns(NoticeRow.session_id)) is None:
                return None
        with self._database.write() as sql:
            # Another process passes over the row while we write it, and then finds it put off.
            row = sql.scalars(due.with_for_update(skip_locked=True)).one_or_none()
            if row is None:
                return None
            row.due_at = until
            row.tries += 1
            return Notice(row.session_id, row.language, row.made_at, row.tries)

    def put_off(self, session_id: str, until: datetime) -> None:
        with self._database.write() as sql:
            sql.execute(update(NoticeRow).where(NoticeRow.session_id == session_id).values(due_at=until))

    def forget(self, session_id: str) -> None:
        with self._database.write() as sql:
            sql.execute(delete(NoticeRow).where(NoticeRow.session_id == session_id))
