"""PasskeyStore on SQL."""

import base64
import hashlib
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import delete, func, or_, select, update
from sqlalchemy.exc import IntegrityError

from ..domain.errors import PasskeyRefused, TooManyPasskeys
from ..domain.passkeys import Passkey
from ..domain.subjects import Account
from .account_rows import read_account
from .models import AccountRow, PasskeyRow, SignInRow
from .sql import Database


class SQLPasskeyStore:
    """See `oauthdevice.domain.ports.PasskeyStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, passkey: Passkey, at_most: int) -> None:
        row = PasskeyRow(
            id=passkey.id,
            credential_digest=_digest(passkey.credential_id),
            credential_id=_text(passkey.credential_id),
            public_key=_text(passkey.public_key),
            account_id=passkey.account_id,
            name=passkey.name,
            transports=" ".join(passkey.transports),
            sign_count=passkey.sign_count,
            created_at=passkey.created_at,
        )
        try:
            with self._database.write() as sql:
                # One at a time for each account: two at once would both see room for one more.
                sql.execute(select(AccountRow.id).where(AccountRow.id == passkey.account_id).with_for_update())
                of_account = PasskeyRow.account_id == passkey.account_id
                if (sql.scalar(select(func.count()).select_from(PasskeyRow).where(of_account)) or 0) >= at_most:
                    raise TooManyPasskeys()
                sql.add(row)
        except IntegrityError as error:
            raise PasskeyRefused(detail="the credential is known already") from error

    def of(self, account_id: str) -> Sequence[Passkey]:
        chosen = select(PasskeyRow).where(PasskeyRow.account_id == account_id)
        with self._database.read() as sql:
            rows = sql.scalars(chosen.order_by(PasskeyRow.created_at, PasskeyRow.id)).all()
            return [_passkey(row) for row in rows]

    def by_credential(self, credential_id: bytes) -> tuple[Passkey, Account] | None:
        with self._database.read() as sql:
            row = sql.scalar(select(PasskeyRow).where(PasskeyRow.credential_digest == _digest(credential_id)))
            account = read_account(sql, AccountRow.id == row.account_id) if row is not None else None
            return (_passkey(row), account) if row is not None and account is not None else None

    def used(self, passkey_id: str, sign_count: int, now: datetime) -> bool:
        # The comparison is part of the statement: of two uses with one count, the second finds it taken.
        does_not_count = (PasskeyRow.sign_count == 0) & (sign_count == 0)
        grown = or_(PasskeyRow.sign_count < sign_count, does_not_count)
        used = update(PasskeyRow).where(PasskeyRow.id == passkey_id, grown)
        with self._database.write() as sql:
            changed = used.values(sign_count=sign_count, last_used_at=now).returning(PasskeyRow.id)
            return sql.scalar(changed) is not None

    def remove(self, account_id: str, passkey_id: str) -> Passkey | None:
        removed = delete(PasskeyRow).where(PasskeyRow.account_id == account_id, PasskeyRow.id == passkey_id)
        with self._database.write() as sql:
            row = sql.scalar(removed.returning(PasskeyRow))
            return _passkey(row) if row is not None else None

    def remove_all(self, account_id: str) -> Sequence[Passkey]:
        removed = delete(PasskeyRow).where(PasskeyRow.account_id == account_id)
        with self._database.write() as sql:
            sql.execute(delete(SignInRow).where(SignInRow.account_id == account_id))
            return [_passkey(row) for row in sql.scalars(removed.returning(PasskeyRow)).all()]


def _passkey(row: PasskeyRow) -> Passkey:
    return Passkey(
        id=row.id,
        account_id=row.account_id,
        name=row.name,
        credential_id=_bytes(row.credential_id),
        public_key=_bytes(row.public_key),
        transports=tuple(row.transports.split()),
        sign_count=row.sign_count,
        created_at=row.created_at,
        last_used_at=row.last_used_at,
    )


def _digest(credential_id: bytes) -> str:
    return hashlib.sha256(credential_id).hexdigest()


def _text(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode("ascii")


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text)
