"""Account rows as domain values, for the stores that read them in a transaction of their own."""

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from ..domain.subjects import Account, Workspace
from .models import AccountRow, MembershipRow, WorkspaceRow


def read_account(sql: Session, *where: ColumnElement[bool]) -> Account | None:
    """The one account that fits, with its workspaces, or None."""
    row = sql.scalars(select(AccountRow).where(*where)).one_or_none()
    return _account(sql, row) if row is not None else None


def read_accounts(sql: Session) -> list[Account]:
    """Every account, oldest first."""
    rows = sql.scalars(select(AccountRow).order_by(AccountRow.created_at, AccountRow.id)).all()
    return [_account(sql, row) for row in rows]


def email_key(email: str) -> str:
    """What makes an e-mail unique: case does not."""
    return email.casefold()


def _account(sql: Session, row: AccountRow) -> Account:
    joined = (
        select(WorkspaceRow.id, WorkspaceRow.name, MembershipRow.role)
        .join(MembershipRow, MembershipRow.workspace_id == WorkspaceRow.id)
        .where(MembershipRow.account_id == row.id)
        .order_by(MembershipRow.joined_at, WorkspaceRow.id)
    )
    workspaces = tuple(Workspace(*member) for member in sql.execute(joined))
    return Account(row.id, row.email, row.name, row.disabled_at is None, workspaces)
