"""SessionStore on SQL: sessions, their access tokens and their refresh tokens."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import Select, delete, func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session as SQLSession

from ..domain.audit import AuditEvent
from ..domain.bearers import Bearer
from ..domain.errors import AccessDenied, StaleLease, StoreUnavailable
from ..domain.ports import TokenCache
from ..domain.sessions import NewSession, Rotation, RotationOutcome, Session, subject_digest
from ..domain.subjects import Account, AccountSubject, ExternalSubject, Subject
from .account_rows import read_account
from .audit_chain import AuditRows
from .models import AccessTokenRow, AccountRow, NoticeRow, RefreshTokenRow, SessionRow
from .sql import Database

# How often two transactions may meet in one unique index before the client is asked to come back.
TRIES = 5


class SQLSessionStore:
    """See `oauthdevice.domain.ports.SessionStore`. `cache` distrusts whatever this store ends."""

    def __init__(self, database: Database, cache: TokenCache, rows: AuditRows) -> None:
        self._database = database
        self._cache = cache
        self._rows = rows

    def mint(self, order: NewSession) -> None:
        for _ in range(TRIES):
            try:
                with self._database.write() as sql:
                    self._mint(sql, order)
            except IntegrityError:
                # Another transaction stored this session, or took this device, at the same moment.
                # It has committed; the next round sees what it did.
                continue
            return
        raise StoreUnavailable(detail="lost every race for one session")

    def by_token(self, token_digest: str) -> Bearer | None:
        live = (
            select(SessionRow, AccessTokenRow)
            .join(AccessTokenRow, AccessTokenRow.session_id == SessionRow.id)
            .where(AccessTokenRow.digest == token_digest, SessionRow.revoked_at.is_(None))
        )
        with self._database.read() as sql:
            found = sql.execute(live).one_or_none()
            if found is None:
                return None
            session, token = found
            return Bearer(
                session=_sessions(sql, [session])[0],
                scopes=frozenset(token.scopes.split()),
                issued_at=token.issued_at,
                expires_at=token.expires_at,
            )

    def by_refresh_token(self, refresh_digest: str, *, unspent: bool = False) -> Session | None:
        live = (
            select(SessionRow)
            .join(RefreshTokenRow, RefreshTokenRow.session_id == SessionRow.id)
            .where(RefreshTokenRow.digest == refresh_digest, SessionRow.revoked_at.is_(None))
        )
        if unspent:
            live = live.where(RefreshTokenRow.spent_at.is_(None))
        return self._one(live)

    def rotate(self, rotation: Rotation) -> tuple[RotationOutcome, str]:
        with self._database.write() as sql:
            outcome, sealed = self._rotate(sql, rotation)
            if (event := rotation.events.get(outcome)) is not None:
                self._rows.add_within(sql, event)
            return outcome, sealed

    def expire(self, token_digest: str) -> bool:
        with self._database.write() as sql:
            gone = delete(AccessTokenRow).where(AccessTokenRow.digest == token_digest).returning(AccessTokenRow.digest)
            return sql.scalars(gone).one_or_none() is not None

    def used(self, session_id: str, now: datetime) -> None:
        with self._database.write() as sql:
            sql.execute(update(SessionRow).where(SessionRow.id == session_id).values(last_used_at=now))

    def rename(self, session_id: str, name: str | None) -> bool:
        live = (SessionRow.id == session_id, SessionRow.revoked_at.is_(None))
        with self._database.write() as sql:
            renamed = update(SessionRow).where(*live).values(name=name).returning(SessionRow.id)
            return sql.scalars(renamed).one_or_none() is not None

    def get(self, session_id: str) -> Session | None:
        return self._one(select(SessionRow).where(SessionRow.id == session_id, SessionRow.revoked_at.is_(None)))

    def live_of(self, subject_key: str, now: datetime, offset: int, limit: int) -> tuple[Sequence[Session], int]:
        live = (
            SessionRow.subject_digest == subject_digest(subject_key),
            SessionRow.revoked_at.is_(None),
            SessionRow.expires_at > now,
        )
        newest = select(SessionRow).where(*live).order_by(SessionRow.created_at.desc(), SessionRow.id.desc())
        with self._database.read() as sql:
            rows = sql.scalars(newest.offset(offset).limit(limit)).all()
            total = sql.scalar(select(func.count()).select_from(SessionRow).where(*live)) or 0
            return _sessions(sql, rows), total

    def live(
        self,
        now: datetime,
        *,
        account_id: str | None,
        client_id: str | None,
        subject_key: str | None = None,
        since: datetime | None = None,
    ) -> Sequence[Session]:
        query = select(SessionRow).where(SessionRow.revoked_at.is_(None), SessionRow.expires_at > now)
        if account_id is not None:
            query = query.where(SessionRow.account_id == account_id)
        if client_id is not None:
            query = query.where(SessionRow.client_id == client_id)
        if subject_key is not None:
            query = query.where(SessionRow.subject_digest == subject_digest(subject_key))
        if since is not None:
            query = query.where(SessionRow.created_at >= since)
        with self._database.read() as sql:
            return _sessions(sql, sql.scalars(query.order_by(SessionRow.created_at.desc())).all())

    def purge(self, before: datetime, count: int) -> int:
        oldest = select(SessionRow.id).where(SessionRow.ends_at < before).order_by(SessionRow.ends_at).limit(count)
        with self._database.write() as sql:
            sql.execute(
                update(RefreshTokenRow)
                .where(RefreshTokenRow.sealed_answer.is_not(None), RefreshTokenRow.spent_at < before)
                .values(sealed_answer=None)
            )
            ended = sql.scalars(oldest.with_for_update(skip_locked=True)).all()
            sql.execute(delete(SessionRow).where(SessionRow.id.in_(ended)))
            return len(ended)

    def revoke(self, session_id: str, now: datetime, event: AuditEvent | None = None) -> bool:
        with self._database.write() as sql:
            if not end_sessions(sql, self._cache, [session_id], now):
                return False
            if event is not None:
                self._rows.add_within(sql, event)
            return True

    def _mint(self, sql: SQLSession, order: NewSession) -> None:
        if isinstance(order.subject, AccountSubject):
            # Locked, so that disabling the account waits for this token and then ends it.
            account = select(AccountRow.disabled_at).where(AccountRow.id == order.subject.account_id)
            found = sql.execute(account.with_for_update(key_share=True)).one_or_none()
            if found is None or found.disabled_at is not None:
                raise AccessDenied(detail="the account is not active")
        former = None
        if order.device_key is not None:
            # Locked: a name that is given to it at this moment is not to be lost.
            held = select(SessionRow).where(SessionRow.device_key == order.device_key, SessionRow.id != order.id)
            former = sql.scalars(held.with_for_update()).one_or_none()
        if former is not None:
            end_sessions(sql, self._cache, [former.id], order.issued_at)
        session = sql.get(SessionRow, order.id, with_for_update=True)
        if session is not None and session.attempt >= order.attempt:
            raise StaleLease()
        if session is not None and session.revoked_at is not None:
            # Ended between two attempts, by its owner or by a newer login of the same device.
            raise AccessDenied(detail="the session was ended before it was delivered")
        is_new_device = session is None and former is None
        if session is None:
            session = SessionRow(id=order.id)
            sql.add(session)
        else:
            _delete_tokens(sql, self._cache, [order.id])
        _fill(session, order)
        if former is not None:
            session.name = former.name
        sql.flush()
        sql.add(
            AccessTokenRow(
                digest=order.token_digest,
                session_id=order.id,
                scopes=session.scopes,
                issued_at=order.issued_at,
                expires_at=order.token_expires_at,
            )
        )
        if order.refresh_digest is not None:
            sql.add(RefreshTokenRow(digest=order.refresh_digest, session_id=order.id, issued_at=order.issued_at))
        if order.notify and is_new_device:
            now = order.issued_at
            sql.add(NoticeRow(session_id=order.id, language=order.language, made_at=now, due_at=now, tries=0))

    def _rotate(self, sql: SQLSession, rotation: Rotation) -> tuple[RotationOutcome, str]:
        # The session is locked before its tokens, as by everything else that ends or renews it.
        session_id = sql.scalar(
            select(RefreshTokenRow.session_id).where(RefreshTokenRow.digest == rotation.spent_digest)
        )
        session = sql.get(SessionRow, session_id, with_for_update=True) if session_id else None
        if session is None or session.revoked_at is not None or not _is_subject_active(sql, session):
            return RotationOutcome.GONE, ""
        spent = sql.get(RefreshTokenRow, rotation.spent_digest, populate_existing=True)
        if spent is None:
            return RotationOutcome.GONE, ""
        if spent.spent_at is not None:
            return self._again(sql, session, spent, rotation)
        self._forget_spent(sql, spent, rotation)
        spent.spent_at = rotation.issued_at
        spent.sealed_answer = rotation.sealed_answer if rotation.seal_seconds else None
        sql.add(RefreshTokenRow(digest=rotation.refresh_digest, session_id=session.id, issued_at=rotation.issued_at))
        sql.add(
            AccessTokenRow(
                digest=rotation.token_digest,
                session_id=session.id,
                scopes=" ".join(sorted(rotation.scopes)),
                issued_at=rotation.issued_at,
                expires_at=rotation.token_expires_at,
            )
        )
        return RotationOutcome.ROTATED, ""

    def _forget_spent(self, sql: SQLSession, spent: RefreshTokenRow, rotation: Rotation) -> None:
        """Sealed answers that are no longer given, and access tokens older than the pair that is traded in.

        So however often a session is refreshed, two access tokens of it live.
        """
        unsealed = rotation.issued_at - timedelta(seconds=rotation.seal_seconds)
        sql.execute(
            update(RefreshTokenRow)
            .where(RefreshTokenRow.session_id == spent.session_id, RefreshTokenRow.spent_at <= unsealed)
            .values(sealed_answer=None)
        )
        older = (AccessTokenRow.session_id == spent.session_id, AccessTokenRow.issued_at < spent.issued_at)
        gone = sql.scalars(delete(AccessTokenRow).where(*older).returning(AccessTokenRow.digest)).all()
        self._cache.distrust(gone)

    def _again(
        self, sql: SQLSession, session: SessionRow, spent: RefreshTokenRow, rotation: Rotation
    ) -> tuple[RotationOutcome, str]:
        age = rotation.issued_at - (spent.spent_at or rotation.issued_at)
        if spent.sealed_answer is not None and age < timedelta(seconds=rotation.seal_seconds):
            return RotationOutcome.REDELIVERED, spent.sealed_answer
        end_sessions(sql, self._cache, [session.id], rotation.issued_at)
        return RotationOutcome.REUSED, ""

    def _one(self, query: Select[SessionRow]) -> Session | None:
        with self._database.read() as sql:
            row = sql.scalars(query).one_or_none()
            return _sessions(sql, [row])[0] if row is not None else None


def end_sessions(sql: SQLSession, cache: TokenCache, session_ids: Sequence[str], now: datetime) -> Sequence[str]:
    """End those of the sessions that are live, within the caller's transaction; the ids of these.

    They are locked first: a refresh under way either has stored its token, which then ends too, or
    finds the session ended.
    """
    if not session_ids:
        return []
    ended = sql.scalars(
        update(SessionRow)
        .where(SessionRow.id.in_(session_ids), SessionRow.revoked_at.is_(None))
        .values(revoked_at=now, ends_at=now, device_key=None)
        .returning(SessionRow.id)
    ).all()
    _delete_tokens(sql, cache, ended)
    return ended


def end_sessions_of_account(sql: SQLSession, cache: TokenCache, account_id: str, now: datetime) -> Sequence[str]:
    """End every live session of an account, within the caller's transaction."""
    live = select(SessionRow.id).where(SessionRow.account_id == account_id, SessionRow.revoked_at.is_(None))
    return end_sessions(sql, cache, list(sql.scalars(live)), now)


def _delete_tokens(sql: SQLSession, cache: TokenCache, session_ids: Sequence[str]) -> None:
    if not session_ids:
        return
    digests = sql.scalars(
        delete(AccessTokenRow).where(AccessTokenRow.session_id.in_(session_ids)).returning(AccessTokenRow.digest)
    ).all()
    sql.execute(delete(RefreshTokenRow).where(RefreshTokenRow.session_id.in_(session_ids)))
    # Before the commit: from here on every process asks the database, and finds what it then holds.
    cache.distrust(digests)


def _is_subject_active(sql: SQLSession, session: SessionRow) -> bool:
    if session.account_id is None:
        return True
    active = select(AccountRow.id).where(AccountRow.id == session.account_id, AccountRow.disabled_at.is_(None))
    return sql.scalar(active) is not None


def _fill(row: SessionRow, order: NewSession) -> None:
    row.attempt = order.attempt
    row.subject_digest = subject_digest(order.subject.key)
    if isinstance(order.subject, AccountSubject):
        row.account_id = order.subject.account_id
    else:
        row.subject_issuer = order.subject.issuer
        row.subject_id = order.subject.subject_id
        row.subject_email = order.subject.email
    row.client_id = order.client_id
    row.device_label = order.label
    row.address = order.address or None
    row.device_key = order.device_key
    row.jkt = order.jkt
    row.scopes = " ".join(sorted(order.scopes))
    row.prefix = order.prefix
    row.created_at = order.issued_at
    row.expires_at = order.expires_at
    row.ends_at = order.expires_at


def _sessions(sql: SQLSession, rows: Sequence[SessionRow]) -> list[Session]:
    """Each account is read once, however many of the sessions are its own."""
    ids = {row.account_id for row in rows if row.account_id is not None}
    accounts = {account_id: read_account(sql, AccountRow.id == account_id) for account_id in ids}
    return [_session(row, accounts.get(row.account_id or "")) for row in rows]


def _session(row: SessionRow, account: Account | None) -> Session:
    return Session(
        id=row.id,
        subject=_subject(row),
        account=account,
        client_id=row.client_id,
        label=row.device_label,
        name=row.name,
        address=row.address,
        jkt=row.jkt,
        scopes=frozenset(row.scopes.split()),
        prefix=row.prefix,
        created_at=row.created_at,
        last_used_at=row.last_used_at,
        expires_at=row.expires_at,
    )


def _subject(row: SessionRow) -> Subject:
    if row.account_id is not None:
        return AccountSubject(row.account_id)
    return ExternalSubject(row.subject_issuer or "", row.subject_id or "", row.subject_email or "")
