"""SessionStore on SQL: sessions and their access tokens."""

from datetime import datetime

from sqlalchemy import delete, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session as SQLSession

from ..domain.errors import AccessDenied, StaleLease, StoreUnavailable
from ..domain.sessions import NewSession, Session
from ..domain.subjects import AccountSubject, ExternalSubject, Subject
from .account_rows import read_account
from .models import AccessTokenRow, AccountRow, SessionRow
from .sql import Database

# How often two transactions may meet in one unique index before the client is asked to come back.
TRIES = 5


class SQLSessionStore:
    """See `oauthdevice.domain.ports.SessionStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def mint(self, order: NewSession) -> None:
        for _ in range(TRIES):
            try:
                with self._database.write() as sql:
                    _mint(sql, order)
            except IntegrityError:
                # Another transaction stored this session, or took this device, at the same moment.
                # It has committed; the next round sees what it did.
                continue
            return
        raise StoreUnavailable(detail="lost every race for one session")

    def by_token(self, token_digest: str) -> Session | None:
        live = (
            select(SessionRow)
            .join(AccessTokenRow, AccessTokenRow.session_id == SessionRow.id)
            .where(AccessTokenRow.digest == token_digest, SessionRow.revoked_at.is_(None))
        )
        with self._database.read() as sql:
            row = sql.scalars(live).one_or_none()
            if row is None:
                return None
            account = read_account(sql, AccountRow.id == row.account_id) if row.account_id else None
        return Session(
            id=row.id,
            subject=_subject(row),
            account=account,
            client_id=row.client_id,
            label=row.device_label,
            scopes=frozenset(row.scopes.split()),
            expires_at=row.expires_at,
        )

    def revoke(self, session_id: str, now: datetime) -> bool:
        with self._database.write() as sql:
            return _end(sql, [session_id], now) > 0


def end_sessions_of_account(sql: SQLSession, account_id: str, now: datetime) -> None:
    """End every live session of an account, within the caller's transaction."""
    live = select(SessionRow.id).where(SessionRow.account_id == account_id, SessionRow.revoked_at.is_(None))
    _end(sql, list(sql.scalars(live)), now)


def _mint(sql: SQLSession, order: NewSession) -> None:
    if isinstance(order.subject, AccountSubject):
        # Locked, so that disabling the account waits for this token and then ends it.
        account = select(AccountRow).where(AccountRow.id == order.subject.account_id).with_for_update(key_share=True)
        row = sql.scalars(account).one_or_none()
        if row is None or row.disabled_at is not None:
            raise AccessDenied(detail="the account is not active")
    _end_same_device(sql, order)
    session = sql.get(SessionRow, order.id, with_for_update=True)
    if session is not None and session.attempt >= order.attempt:
        raise StaleLease()
    if session is not None and session.revoked_at is not None:
        # Ended between two attempts, by its owner or by a newer login of the same device.
        raise AccessDenied(detail="the session was ended before it was delivered")
    if session is None:
        session = SessionRow(id=order.id)
        sql.add(session)
    else:
        sql.execute(delete(AccessTokenRow).where(AccessTokenRow.session_id == order.id))
    _fill(session, order)
    sql.flush()
    sql.add(
        AccessTokenRow(
            digest=order.token_digest,
            session_id=order.id,
            issued_at=order.issued_at,
            expires_at=order.expires_at,
        )
    )


def _end_same_device(sql: SQLSession, order: NewSession) -> None:
    if order.device_key is None:
        return
    held = select(SessionRow.id).where(SessionRow.device_key == order.device_key, SessionRow.id != order.id)
    _end(sql, list(sql.scalars(held)), order.issued_at)


def _end(sql: SQLSession, session_ids: list[str], now: datetime) -> int:
    if not session_ids:
        return 0
    # The session first, its tokens then: whoever locks both does so in this order.
    ended = sql.scalars(
        update(SessionRow)
        .where(SessionRow.id.in_(session_ids), SessionRow.revoked_at.is_(None))
        .values(revoked_at=now, device_key=None)
        .returning(SessionRow.id)
    ).all()
    sql.execute(delete(AccessTokenRow).where(AccessTokenRow.session_id.in_(ended)))
    return len(ended)


def _fill(row: SessionRow, order: NewSession) -> None:
    row.attempt = order.attempt
    if isinstance(order.subject, AccountSubject):
        row.account_id = order.subject.account_id
    else:
        row.subject_issuer = order.subject.issuer
        row.subject_id = order.subject.subject_id
        row.subject_email = order.subject.email
    row.client_id = order.client_id
    row.device_label = order.label
    row.device_key = order.device_key
    row.scopes = " ".join(sorted(order.scopes))
    row.prefix = order.prefix
    row.created_at = order.issued_at
    row.expires_at = order.expires_at


def _subject(row: SessionRow) -> Subject:
    if row.account_id is not None:
        return AccountSubject(row.account_id)
    return ExternalSubject(row.subject_issuer or "", row.subject_id or "", row.subject_email or "")
