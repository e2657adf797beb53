"""Account rows as domain values, for the stores that read them in a transaction of their own."""

from itertools import groupby
from typing import Any, cast

from sqlalchemy import ColumnElement, Table, select
from sqlalchemy.orm import Session

from ..domain.subjects import Account, Workspace
from .models import AccountRow, MembershipRow, WorkspaceRow

# The tables themselves: each sign-in reads an account, and what maps rows to objects costs as much as the statement.
_account = cast("Table", AccountRow.__table__).c
_membership = cast("Table", MembershipRow.__table__).c
_workspace = cast("Table", WorkspaceRow.__table__).c
_ACCOUNTS = (
    select(_account.id, _account.email, _account.name, _account.disabled_at)
    .add_columns(_workspace.id, _workspace.name, _membership.role)
    .outerjoin_from(AccountRow.__table__, MembershipRow.__table__, _membership.account_id == _account.id)
    .outerjoin(WorkspaceRow.__table__, _workspace.id == _membership.workspace_id)
    .order_by(_account.created_at, _account.id, _membership.joined_at, _workspace.id)
)


def read_account(sql: Session, *where: ColumnElement[bool]) -> Account | None:
    """The one account that fits, with its workspaces, or None."""
    return next(iter(_read(sql, *where)), None)


def read_accounts(sql: Session) -> list[Account]:
    """Every account, oldest first."""
    return _read(sql)


def email_key(email: str) -> str:
    """What makes an e-mail unique: case does not."""
    return email.casefold()


def _read(sql: Session, *where: ColumnElement[bool]) -> list[Account]:
    """Accounts in the order of their making, each with its workspaces in the order in which it joined them."""
    rows = sql.execute(_ACCOUNTS.where(*where)).all()
    return [_made(account, list(joined)) for account, joined in groupby(rows, lambda row: tuple(row[:4]))]


def _made(account: tuple[Any, ...], joined: list[Any]) -> Account:
    account_id, email, name, disabled_at = account
    workspaces = tuple(Workspace(*row[4:]) for row in joined if row[4] is not None)
    return Account(account_id, email, name, disabled_at is None, workspaces)
