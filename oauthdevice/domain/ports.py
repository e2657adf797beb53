"""What the domain needs from outside, as Protocols. Everything given and taken is a domain value.

Every method may raise StoreUnavailable.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from .audit import AuditEvent
from .bearers import Bearer, Cached
from .device_authorization import AuthorizationRequest, DeviceAuthorization
from .identity_providers import Handshake, ProviderAnswer
from .notices import NewDeviceMail, Notice
from .passkeys import Passkey
from .rate_limits import Limit
from .sessions import NewSession, Rotation, RotationOutcome, Session
from .subjects import Account, ExternalSubject

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
    """Device authorizations. Each method is atomic and, but for `find`, one round trip."""

    def create(
        self,
        handle: Handle,
        user_code_digest: str,
        request: AuthorizationRequest,
        interval_seconds: int,
        spacing_seconds: float,
        *,
        event: AuditEvent | None = None,
    ) -> int:
        """Store record, user_code index and a waiting `event`, all or none; how many wait now. Raises UserCodeTaken."""

    def touch(self, handle: Handle, poller: str, keyless: str = "") -> Stored | None:
        """The record as it was, this poll stamped if it is on time and of the `poller` that the request names.

        `keyless` is the same poller without its key, for a request that names none.

        None, and nothing written, for an unknown code.
        """

    def look(self, handle: Handle) -> Stored | None:
        """The record, or None. It is no poll and stamps none."""

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
        events: Sequence[AuditEvent] = (),
    ) -> Stored | None:
        """Replace the record if it is still `seen`, keep the answer beside it, let `events` wait. None: it is not.

        The record keeps its lifetime; the sealed answer lives `sealed_answer_seconds`.
        """

    def sealed_answer(self, handle: Handle) -> str | None:
        """The answer kept by `swap`, or None once it is gone."""


class BurnStore(Protocol):
    """Networks whose waiting codes are burned, for as long as one of these may wait. Each method is atomic."""

    def burn(self, network: str) -> None:
        """Burn what waits now, by the store's clock."""

    def burned_at(self, network: str) -> datetime | None:
        """When that was last, or None."""


class Meter(Protocol):
    """Numbers for monitoring; they decide nothing."""

    def happened(self, event: AuditEvent) -> None:
        """One event was audited."""

    def refused(self, limit: str) -> None:
        """A limit refused a request."""

    def redeemed(self, client_id: str, seconds: float) -> None:
        """A token was given, so many seconds after its codes."""


class HandshakeStore(Protocol):
    """Handshakes with identity providers, each for `HANDSHAKE_SECONDS`. Each method is atomic."""

    def keep(self, handshake: Handshake) -> None:
        """Store it, so that only who brings its state can have it read."""

    def find(self, state: str) -> Handshake | None:
        """The handshake of a state, or None where it is unknown, spent or expired."""

    def spend(self, state: str) -> bool:
        """Forget it. True for the one caller who did."""


class ChallengeStore(Protocol):
    """The challenges that were used, for as long as one is good."""

    def spend(self, digest: str) -> bool:
        """Remember it. True for the one caller who is the first. Atomic."""


class IdentityProvider(Protocol):
    """What speaks to one identity provider, in whatever protocol."""

    def check(self) -> None:
        """Return if a sign-in could begin now. Raises SSOInitiateFailed."""

    def state_of(self, answer: ProviderAnswer) -> str | None:
        """The state of the handshake that `answer` claims to complete. Nothing is verified yet."""

    def begin(self, handshake: Handshake) -> str:
        """The address to send the browser to. Raises SSOInitiateFailed."""

    def complete(self, handshake: Handshake, answer: ProviderAnswer) -> ExternalSubject:
        """The person that the provider vouches for. Raises SSOFailed."""


class TokenCache(Protocol):
    """What the database said of an access token a moment ago. Never older than a revocation."""

    def get(self, digest: str) -> Cached:
        """What is known of a token."""

    def put(self, digest: str, bearer: Bearer | None, ticket: str | None, seconds: int) -> None:
        """Keep an answer, unless the token was distrusted since `get` gave the ticket."""

    def distrust(self, digests: Sequence[str]) -> None:
        """From now on ask the database, for longer than any answer on its way could still arrive.

        To be called before the transaction that ends these tokens commits.
        """


class AuditStore(Protocol):
    """Audit rows."""

    def append(self, event: AuditEvent, *, waits: bool = False) -> None:
        """A row, now or by whoever moves rows at this moment; while the database is away, once it is back.

        `waits`: another store lets it wait already.
        """

    def defer(self, event: AuditEvent) -> None:
        """A row soon, without waiting for the database."""

    def settle_when_due(self, waiting: int) -> None:
        """Another store has let an event wait; so many wait now."""

    def settle_left(self) -> None:
        """Another store has written an event: rows may have been left to whoever did."""


class SessionStore(Protocol):
    """Sessions and their tokens. Each method is one transaction; whatever it ends, the cache distrusts."""

    def mint(self, order: NewSession) -> None:
        """Store session and token; end what an earlier attempt minted and what the device held before.

        A device keeps the name that its owner gave it. With `notify`, a mail is made due where the device is new:
        where the session is stored for the first time and takes no other's place.

        Raises StaleLease where a later attempt has taken over, AccessDenied where the account of the
        subject is no longer active.
        """

    def by_token(self, token_digest: str) -> Bearer | None:
        """An access token with its live session, or None. Says nothing of the time."""

    def by_refresh_token(self, refresh_digest: str, *, unspent: bool = False) -> Session | None:
        """The session of a refresh token, or None where it is unknown, or the session ended.

        `unspent`: None for a spent one too.
        """

    def rotate(self, rotation: Rotation) -> tuple[RotationOutcome, str]:
        """Spend a refresh token and store what follows it, or say why not.

        With REDELIVERED comes the sealed answer of the first use. REUSED has ended the session.
        """

    def expire(self, token_digest: str) -> bool:
        """Forget an access token that has expired. True for the one caller who did."""

    def used(self, session_id: str, now: datetime) -> None:
        """Remember when a session was used last."""

    def rename(self, session_id: str, name: str | None) -> bool:
        """What the person calls the device; None: what it calls itself. False where the session has ended."""

    def get(self, session_id: str) -> Session | None:
        """A session that was not revoked, or None. Says nothing of the time."""

    def live_of(self, subject_key: str, now: datetime, offset: int, limit: int) -> tuple[Sequence[Session], int]:
        """Some live sessions of a subject, newest first, and how many there are."""

    def live(
        self,
        now: datetime,
        *,
        account_id: str | None,
        client_id: str | None,
        subject_key: str | None = None,
        since: datetime | None = None,
    ) -> Sequence[Session]:
        """Every live session, newest first: of an account, of a client, of a subject, begun at `since` or later.

        None of each means any.
        """

    def purge(self, before: datetime, count: int) -> int:
        """Forget up to `count` sessions that ended before; how many. Two at once share the work."""

    def revoke(self, session_id: str, now: datetime, event: AuditEvent | None = None) -> bool:
        """End a session and every token of it, and store the row of `event`. False where there was no live one."""


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

    def set_active(self, account_id: str, active: bool, now: datetime) -> Sequence[str]:
        """Enable or disable. Disabling ends every sign-in and every session; the ids of those are returned."""

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


class PasskeyStore(Protocol):
    """The passkeys of accounts. Each method is one transaction."""

    def add(self, passkey: Passkey, at_most: int) -> None:
        """Raises TooManyPasskeys where its account has `at_most`, PasskeyRefused where its credential is known."""

    def of(self, account_id: str) -> Sequence[Passkey]:
        """Those of an account, oldest first."""

    def by_credential(self, credential_id: bytes) -> tuple[Passkey, Account] | None:
        """A passkey and whose it is, active or not; None where it is unknown."""

    def used(self, passkey_id: str, sign_count: int, now: datetime) -> bool:
        """Remember a use. False, and nothing written, where the count has not grown from one use to the next.

        An authenticator that always tells 0 does not count.
        """

    def remove(self, account_id: str, passkey_id: str) -> Passkey | None:
        """What was removed; None where this account has no such passkey."""

    def remove_all(self, account_id: str) -> Sequence[Passkey]:
        """Every passkey of an account, and every sign-in of it. What was removed."""


class AccountDirectory(Protocol):
    """A company's own accounts, in place of ours (`oauthdevice.accounts`).

    An account's id is 1 to 36 characters and never given to another person. Methods may be called
    from several threads at once, and raise StoreUnavailable where the directory is away.
    """

    def authenticate(self, email: str, password: str) -> Account | None:
        """The account of this e-mail if the password is its own, else None."""

    def get(self, account_id: str) -> Account | None:
        """The account with its workspaces as they are now, active or not; None where there is none."""

    def by_email(self, email: str) -> Account | None:
        """As `get`; case must not count."""


class NoticeStore(Protocol):
    """Mails that are to be sent. Each method is one transaction."""

    def claim(self, now: datetime, until: datetime) -> Notice | None:
        """One that is due, for the caller alone until then; None where there is none."""

    def put_off(self, session_id: str, until: datetime) -> None:
        """Try again then."""

    def forget(self, session_id: str) -> None:
        """It was sent, or never will be."""


class Post(Protocol):
    """What takes mails and brings them."""

    def send(self, mail: NewDeviceMail) -> None:
        """Hand it to a mail server. Raises MailUnavailable, MailRefused."""

    def check(self) -> str:
        """How the mail server is reached, as words, if a mail could be sent now. Raises MailUnavailable."""


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

    def use_up(self, limit: Limit, key: str, left: int) -> None:
        """Count as many as leave no more than `left` before the limit."""

    def wait(self, limit: Limit, key: str) -> int:
        """0 where the next `hit` would be within the limit, else the seconds to wait. Counts nothing."""

    def is_first(self, limit: Limit, key: str) -> bool:
        """True once per period and key: for what is to be told once of many."""
