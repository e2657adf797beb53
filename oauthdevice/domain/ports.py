"""What the domain needs from outside, as Protocols. Everything given and taken is a domain value.

Every method may raise StoreUnavailable.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from .device_authorization import AuthorizationRequest, DeviceAuthorization
from .rate_limits import Limit
from .sessions import NewSession, Session
from .subjects import Account

Clock = Callable[[], datetime]  # aware UTC


@dataclass(frozen=True, slots=True)
class Handle:
    """Where the record of one device_code lies: its shard and its digest."""

    shard: str
    digest: str


@dataclass(frozen=True, slots=True)
class Stored:
    """A record as it was read. `now` is the store's time; `version` is what a swap compares.

    `on_time` is False for a poll that came before the spacing was over.
    """

    record: DeviceAuthorization
    handle: Handle
    now: datetime
    version: str
    on_time: bool = True


class AuthorizationStore(Protocol):
    """Device authorizations. Each method is one round trip and atomic."""

    def create(
        self,
        handle: Handle,
        user_code_digest: str,
        request: AuthorizationRequest,
        interval_seconds: int,
        spacing_seconds: float,
    ) -> None:
        """Store record and user_code index, both or neither. Raises UserCodeTaken."""

    def touch(self, handle: Handle, client_id: str) -> Stored | None:
        """The record as it was, this poll stamped if it is on time and of the client that started it.

        None, and nothing written, for an unknown code.
        """

    def find(self, user_code_digest: str) -> Stored | None:
        """The record behind a user_code, or None."""

    def swap(
        self,
        seen: Stored,
        new: DeviceAuthorization,
        *,
        spacing_seconds: float | None = None,
        sealed_answer: str = "",
        sealed_answer_seconds: int = 0,
    ) -> Stored | None:
        """Replace the record if it is still `seen`, and keep the answer beside it. None: it is not.

        The record keeps its lifetime; the sealed answer lives `sealed_answer_seconds`.
        """

    def sealed_answer(self, handle: Handle) -> str | None:
        """The answer kept by `swap`, or None once it is gone."""


class SessionStore(Protocol):
    """Sessions and their access tokens. Each method is one transaction."""

    def mint(self, order: NewSession) -> None:
        """Store session and token; end what an earlier attempt minted and what the device held before.

        Raises StaleLease where a later attempt has taken over, AccessDenied where the account of the
        subject is no longer active.
        """

    def by_token(self, token_digest: str) -> Session | None:
        """The live session of an access token, or None. Says nothing of the time."""

    def revoke(self, session_id: str, now: datetime) -> bool:
        """End a session and every token of it. False where there was no live one."""


class AccountStore(Protocol):
    """Accounts, their workspaces and their sign-ins. Each method is one transaction."""

    def add(self, account: Account, password_hash: str, now: datetime) -> None:
        """Raises AccountExists."""

    def get(self, account_id: str) -> Account | None:
        """The account with its workspaces, active or not."""

    def by_email(self, email: str) -> Account | None:
        """As `get`; case does not count."""

    def all(self) -> list[Account]:
        """Every account, oldest first."""

    def password_hash(self, account_id: str) -> str | None:
        """The argon2 hash, or None where there is no such account."""

    def set_password_hash(self, account_id: str, password_hash: str, *, end_sign_ins: bool) -> None:
        """Replace the hash; with `end_sign_ins`, sign the person out everywhere."""

    def set_active(self, account_id: str, active: bool, now: datetime) -> None:
        """Enable or disable. Disabling ends every sign-in and every session."""

    def add_sign_in(self, account_id: str, key_digest: str, now: datetime, expires_at: datetime) -> None:
        """Remember a browser that signed in."""

    def by_sign_in(self, key_digest: str, now: datetime) -> Account | None:
        """The active account behind a live sign-in, or None."""

    def end_sign_in(self, key_digest: str) -> None:
        """Forget a sign-in."""

    def add_workspace(self, workspace_id: str, name: str, now: datetime) -> None:
        """Raises WorkspaceExists."""

    def join_workspace(self, workspace: str, account_id: str, role: str, now: datetime) -> bool:
        """Make the account a member of the workspace with this id or name; False where there is none."""


class LimitStore(Protocol):
    """Counters. Each method is atomic."""

    def hit(self, limit: Limit, key: str) -> int:
        """Count one. 0 where it was within the limit, else the seconds until it may be tried again."""

    def reserve(self, limit: Limit, key: str) -> int:
        """As `hit`, in a window that `refund` and `clear` can correct."""

    def refund(self, limit: Limit, key: str) -> None:
        """Take back one `reserve`."""

    def clear(self, limit: Limit, key: str) -> None:
        """Forget every `reserve`."""

    def is_spent(self, limit: Limit, key: str) -> bool:
        """True where the next `hit` would be refused. Counts nothing."""
