"""AccountStore on SQL: accounts, workspaces, sign-ins."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import delete, or_, select, update
from sqlalchemy.exc import IntegrityError

from ..domain.errors import AccountExists, WorkspaceExists
from ..domain.ports import TokenCache
from ..domain.subjects import Account
from .account_rows import email_key, read_account, read_accounts
from .models import AccountRow, MembershipRow, SignInRow, WorkspaceRow
from .sessions import end_sessions_of_account
from .sql import Database


class SQLAccountStore:
    """See `oauthdevice.domain.ports.AccountStore`. `cache` distrusts the tokens that a disabling ends."""

    def __init__(self, database: Database, cache: TokenCache) -> None:
        self._database = database
        self._cache = cache

    def add(self, account: Account, password_hash: str, now: datetime) -> None:
        row = AccountRow(
            id=account.id,
            email=account.email,
            email_key=email_key(account.email),
            name=account.name,
            password_hash=password_hash,
            created_at=now,
        )
        try:
            with self._database.write() as sql:
                sql.add(row)
        except IntegrityError as error:
            raise AccountExists() from error

    def get(self, account_id: str) -> Account | None:
        with self._database.read() as sql:
            return read_account(sql, AccountRow.id == account_id)

    def by_email(self, email: str) -> Account | None:
        with self._database.read() as sql:
            return read_account(sql, AccountRow.email_key == email_key(email))

    def all(self) -> list[Account]:
        with self._database.read() as sql:
            return read_accounts(sql)

    def password_hash(self, account_id: str) -> str | None:
        with self._database.read() as sql:
            return sql.scalar(select(AccountRow.password_hash).where(AccountRow.id == account_id))

    def set_password_hash(self, account_id: str, password_hash: str, *, end_sign_ins: bool) -> None:
        with self._database.write() as sql:
            sql.execute(update(AccountRow).where(AccountRow.id == account_id).values(password_hash=password_hash))
            if end_sign_ins:
                sql.execute(delete(SignInRow).where(SignInRow.account_id == account_id))

    def set_active(self, account_id: str, active: bool, now: datetime) -> Sequence[str]:
        with self._database.write() as sql:
            disabled_at = None if active else now
            sql.execute(update(AccountRow).where(AccountRow.id == account_id).values(disabled_at=disabled_at))
            if active:
                return []
            sql.execute(delete(SignInRow).where(SignInRow.account_id == account_id))
            return end_sessions_of_account(sql, self._cache, account_id, now)

    def add_sign_in(self, account_id: str, key_digest: str, now: datetime, expires_at: datetime) -> None:
        with self._database.write() as sql:
            sql.execute(delete(SignInRow).where(SignInRow.expires_at <= now))
            sql.add(SignInRow(key_digest=key_digest, account_id=account_id, created_at=now, expires_at=expires_at))

    def by_sign_in(self, key_digest: str, now: datetime) -> Account | None:
        live = select(SignInRow.account_id).where(SignInRow.key_digest == key_digest, SignInRow.expires_at > now)
        with self._database.read() as sql:
            return read_account(sql, AccountRow.id == live.scalar_subquery(), AccountRow.disabled_at.is_(None))

    def end_sign_in(self, key_digest: str) -> None:
        with self._database.write() as sql:
            sql.execute(delete(SignInRow).where(SignInRow.key_digest == key_digest))

    def add_workspace(self, workspace_id: str, name: str, now: datetime) -> None:
        try:
            with self._database.write() as sql:
                sql.add(WorkspaceRow(id=workspace_id, name=name, created_at=now))
        except IntegrityError as error:
            raise WorkspaceExists() from error

    def join_workspace(self, workspace: str, account_id: str, role: str, now: datetime) -> bool:
        named = select(WorkspaceRow.id).where(or_(WorkspaceRow.id == workspace, WorkspaceRow.name == workspace))
        with self._database.write() as sql:
            workspace_id = sql.scalar(named)
            if workspace_id is None:
                return False
            member = sql.get(MembershipRow, (account_id, workspace_id))
            if member is not None:
                member.role = role
                return True
            sql.add(MembershipRow(account_id=account_id, workspace_id=workspace_id, role=role, joined_at=now))
            return True
