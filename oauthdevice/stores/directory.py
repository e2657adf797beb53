"""Accounts of a company's own, behind our stores: asked where it matters, and mirrored where rows need them.

A row of ours stands for each account that has signed in here, because sign-ins and sessions refer to
one; what it says is never believed where the company can be asked.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from sqlalchemy import select, update

from ..domain.bearers import Bearer
from ..domain.ports import AccountDirectory, TokenCache
from ..domain.sessions import Session
from ..domain.subjects import Account, AccountSubject
from .account_rows import email_key
from .accounts import SQLAccountStore
from .audit_chain import AuditRows
from .models import AccountRow
from .sessions import SQLSessionStore
from .sql import Database

# No argon2 hash: nobody signs in with a password of ours.
_NO_PASSWORD = "-"  # noqa: S105


class DirectoryAccountStore(SQLAccountStore):
    """See `oauthdevice.domain.ports.AccountStore`."""

    def __init__(self, database: Database, cache: TokenCache, directory: AccountDirectory) -> None:
        super().__init__(database, cache)
        self._directory = directory

    def get(self, account_id: str) -> Account | None:
        return self._directory.get(account_id)

    def by_email(self, email: str) -> Account | None:
        return self._directory.by_email(email)

    def all(self) -> list[Account]:
        mirrored = (self._directory.get(one.id) for one in super().all())
        return [account for account in mirrored if account is not None]

    def by_sign_in(self, key_digest: str, now: datetime) -> Account | None:
        mirrored = super().by_sign_in(key_digest, now)
        account = self._directory.get(mirrored.id) if mirrored is not None else None
        return account if account is not None and account.active else None

    def add_sign_in(self, account_id: str, key_digest: str, now: datetime, expires_at: datetime) -> None:
        account = self._directory.get(account_id)
        if account is not None:
            self._mirror(account)
        super().add_sign_in(account_id, key_digest, now, expires_at)

    def set_active(self, account_id: str, active: bool, now: datetime) -> Sequence[str]:
        """Disabling ends what there is; whether the account may come back is for the company to say."""
        ended = super().set_active(account_id, active, now)
        return ended if active else [*ended, *super().set_active(account_id, True, now)]

    def _mirror(self, account: Account) -> None:
        key = email_key(account.email)
        with self._database.write() as sql:
            # An address may have moved from one person to another.
            others = (AccountRow.email_key == key, AccountRow.id != account.id)
            ids = sql.scalars(select(AccountRow.id).where(*others)).all()
            for former in ids:
                moved = update(AccountRow).where(AccountRow.id == former)
                sql.execute(moved.values(email_key=f"former {former}"))
            row = sql.get(AccountRow, account.id)
            if row is None:
                row = AccountRow(id=account.id, password_hash=_NO_PASSWORD, created_at=datetime.now(UTC))
                sql.add(row)
            row.email, row.email_key, row.name = account.email, key, account.name


class DirectorySessionStore(SQLSessionStore):
    """See `oauthdevice.domain.ports.SessionStore`."""

    def __init__(self, database: Database, cache: TokenCache, rows: AuditRows, directory: AccountDirectory) -> None:
        super().__init__(database, cache, rows)
        self._directory = directory

    def by_token(self, token_digest: str) -> Bearer | None:
        bearer = super().by_token(token_digest)
        return bearer and replace(bearer, session=self._asked(bearer.session))

    def by_refresh_token(self, refresh_digest: str, *, unspent: bool = False) -> Session | None:
        session = super().by_refresh_token(refresh_digest, unspent=unspent)
        if session is None:
            return None
        asked = self._asked(session)
        gone = isinstance(asked.subject, AccountSubject) and not (asked.account and asked.account.active)
        return None if gone else asked

    def _asked(self, session: Session) -> Session:
        if not isinstance(session.subject, AccountSubject):
            return session
        return replace(session, account=self._directory.get(session.subject.account_id))
