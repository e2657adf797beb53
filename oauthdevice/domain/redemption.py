"""From an approved device authorization to the token, and to the same token again.

No token exists before the client fetches it. Redis does not roll back with SQL, so: lease the
record, mint in one SQL transaction, mark the record consumed. After a crash in between, the lease
lapses and the next poll redeems again; its higher attempt number makes the store end what the first
one minted, and keeps a first one that was merely slow from minting at all.
"""

import logging
from datetime import datetime, timedelta
from typing import Any

from .clients import Client
from .credentials import credential_digest, new_credential
from .device_authorization import consume, lease, refuse, release
from .errors import AccessDenied, InvalidGrant, StaleLease, StoreUnavailable
from .keys import seal, unseal
from .ports import AccountStore, AuthorizationStore, Clock, SessionStore, Stored
from .sessions import NewSession, TokenPrefixes
from .subjects import Account, AccountSubject, ExternalSubject

log = logging.getLogger(__name__)


class Redeemer:
    """Mints the token of an approved device authorization, once.

    `redelivery_seconds` is how long the answer can be fetched again; 0 turns that off.
    """

    def __init__(
        self,
        *,
        store: AuthorizationStore,
        sessions: SessionStore,
        accounts: AccountStore,
        prefixes: TokenPrefixes,
        redelivery_seconds: int,
        clock: Clock,
    ) -> None:
        self._store = store
        self._sessions = sessions
        self._accounts = accounts
        self._prefixes = prefixes
        self._redelivery_seconds = redelivery_seconds
        self._clock = clock

    def redeem(self, seen: Stored, client: Client, device_code: str) -> dict[str, Any] | None:
        """The token answer, or None where another poll was faster.

        Raises AccessDenied where the subject may no longer sign in, StoreUnavailable.
        """
        leased = self._store.swap(seen, lease(seen.record, seen.now))
        if leased is None:
            return None
        try:
            answer = self._mint(leased, client)
        except StaleLease:
            return None
        except AccessDenied:
            self._store.swap(leased, refuse(leased.record))
            raise
        except StoreUnavailable:
            # Nothing was answered, so the next poll need not wait for the lease to lapse.
            self._store.swap(leased, release(leased.record))
            raise
        sealed = seal(device_code, answer) if self._redelivery_seconds else ""
        consumed = self._store.swap(
            leased,
            consume(leased.record),
            sealed_answer=sealed,
            sealed_answer_seconds=self._redelivery_seconds,
        )
        return answer if consumed is not None else None

    def redeliver(self, seen: Stored, device_code: str) -> dict[str, Any]:
        """The same answer again while it is kept, for an answer that was lost on its way.

        Afterwards the code was replayed: what it gave is revoked, and InvalidGrant raised.
        """
        sealed = self._store.sealed_answer(seen.handle)
        if sealed is not None:
            return unseal(device_code, sealed)
        revoked = self._sessions.revoke(seen.record.request.id, self._clock())
        log.warning(
            "a spent device_code was replayed",
            extra={"event": "replayed", "token_id": seen.record.request.id, "revoked": revoked},
        )
        raise InvalidGrant(detail="already redeemed")

    def _mint(self, leased: Stored, client: Client) -> dict[str, Any]:
        record = leased.record
        subject = record.subject
        if subject is None:
            raise AccessDenied(detail="approved without a subject")
        account = None
        if isinstance(subject, AccountSubject):
            account = self._accounts.get(subject.account_id)
            if account is None or not account.active:
                raise AccessDenied(detail="the account is not active")
        token = new_credential(self._prefixes.of(subject))
        issued_at = self._clock()
        order = NewSession(
            id=record.request.id,
            attempt=record.attempt,
            subject=subject,
            client_id=client.client_id,
            label=record.request.device_label,
            scopes=record.granted,
            prefix=self._prefixes.of(subject),
            token_digest=credential_digest(token),
            issued_at=issued_at,
            expires_at=issued_at + timedelta(seconds=client.access_token_lifetime_seconds),
        )
        self._sessions.mint(order)
        return token_answer(order, account, token)


def token_answer(order: NewSession, account: Account | None, token: str) -> dict[str, Any]:
    """The body of a token response in both dialects at once (RFC 6749 §5.1; DESIGN.md §2.4)."""
    answer: dict[str, Any] = {
        "access_token": token,
        "token_type": "Bearer",
        "expires_in": int((order.expires_at - order.issued_at).total_seconds()),
        "scope": " ".join(sorted(order.scopes)),
        "token": token,
        "expires_at": iso(order.expires_at),
        "token_id": order.id,
        **identity_answer(order.subject, account),
    }
    return answer


def identity_answer(subject: AccountSubject | ExternalSubject, account: Account | None) -> dict[str, Any]:
    """Who a token speaks for, as the token answer and `GET /account` tell it."""
    answer: dict[str, Any] = {
        "subject_type": subject.subject_type,
        "account": None,
        "workspaces": [],
        "default_workspace_id": None,
    }
    if account is not None:
        answer["account"] = {"id": account.id, "email": account.email, "name": account.name}
        answer["workspaces"] = [{"id": w.id, "name": w.name, "role": w.role} for w in account.workspaces]
        answer["default_workspace_id"] = account.default_workspace_id
    if isinstance(subject, ExternalSubject):
        answer["subject_email"] = subject.email
        answer["subject_issuer"] = subject.issuer
    return answer


def iso(moment: datetime) -> str:
    """An aware UTC datetime to the second, as in `2026-01-31T12:00:00Z`."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
