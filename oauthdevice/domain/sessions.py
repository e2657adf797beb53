"""Sessions: a live grant of a subject to one client on one device. List them, end them."""

import hashlib
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from typing import TYPE_CHECKING

from .audit import Audit, AuditEvent, Event, SessionFacts
from .errors import NoSuchAccount, NoSuchSession
from .rate_limits import is_within
from .subjects import Account, AccountSubject, Subject

if TYPE_CHECKING:
    from .ports import AccountStore, Clock, SessionStore


# Why a session ended, for the audit.
BY_ITS_OWNER = "by its owner"
# How many sessions are ended between two looks at what is left.
_BATCH = 100


@dataclass(frozen=True, slots=True)
class TokenPrefixes:
    """How our tokens begin: access tokens per kind of subject, and refresh tokens."""

    account: str = "dfoa_"
    external: str = "dfoe_"
    refresh: str = "dfor_"

    def of(self, subject: Subject) -> str:
        return self.account if isinstance(subject, AccountSubject) else self.external


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSession:
    """What a redemption stores. `id` is that of the device authorization.

    `attempt` counts the redemptions of that authorization; the store keeps the highest. `label` is
    None where the device gave none: such a session never replaces another. `refresh_digest` is None
    where the client gets no refresh token; `expires_at` is the end of the session, with every
    refresh, and `token_expires_at` that of its first access token. `address` is where the device
    asked from, "" where that is unknown. With `notify` its owner is told by mail if the device is new, in
    `language`, the locale of whoever approved, where that is known. `jkt` is the thumbprint of the key that its tokens
    are bound to (RFC 9449), None where it is none.
    """

    id: str
    attempt: int
    subject: Subject
    client_id: str
    label: str | None
    scopes: frozenset[str]
    prefix: str
    token_digest: str
    refresh_digest: str | None
    issued_at: datetime
    expires_at: datetime
    token_expires_at: datetime
    address: str = ""
    notify: bool = False
    language: str | None = None
    jkt: str | None = None

    @property
    def device_key(self) -> str | None:
        """One text per (subject, client, device), or None without a label."""
        if not self.label:
            return None
        parts = "\x00".join((self.subject.key, self.client_id, self.label))
        return hashlib.sha256(parts.encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A session as it is stored. `account` is None for an external subject.

    `prefix` is how its tokens begin. `last_used_at` is None until it is used. `label` is what the device
    calls itself, `name` what the person calls it; `address` is where it asked from. `jkt` is the
    thumbprint of the key that its tokens are bound to. Each may be None.
    """

    id: str
    subject: Subject
    account: Account | None
    client_id: str
    label: str | None
    scopes: frozenset[str]
    prefix: str
    created_at: datetime
    last_used_at: datetime | None
    expires_at: datetime
    name: str | None = None
    address: str | None = None
    jkt: str | None = None


@dataclass(frozen=True, slots=True)
class SessionPage:
    """One page of sessions, newest first; `total` counts all of them."""

    page: int
    limit: int
    total: int
    sessions: tuple[Session, ...]

    @property
    def has_more(self) -> bool:
        return self.page * self.limit < self.total


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotation:
    """One use of a refresh token: what takes its place, and the answer that tells it, sealed.

    `seal_seconds` is how long the same answer is given again to the same spent token; `events` become audit rows.
    """

    spent_digest: str
    refresh_digest: str
    token_digest: str
    scopes: frozenset[str]
    issued_at: datetime
    token_expires_at: datetime
    sealed_answer: str
    seal_seconds: int
    events: "Mapping[RotationOutcome, AuditEvent]" = field(default_factory=dict)


class RotationOutcome(Enum):
    """What became of a rotation. GONE: the session has ended or its account is not active."""

    ROTATED = "rotated"
    REDELIVERED = "redelivered"
    REUSED = "reused"
    GONE = "gone"


class Sessions:
    """What the owner of sessions may do about them."""

    def __init__(self, store: "SessionStore", audit: Audit, clock: "Clock") -> None:
        self._store = store
        self._audit = audit
        self._clock = clock

    def page(self, subject: Subject, page: int, limit: int) -> SessionPage:
        """Page `page` (from 1) of the live sessions of `subject`."""
        found, total = self._store.live_of(subject.key, self._clock(), (page - 1) * limit, limit)
        return SessionPage(page, limit, total, tuple(found))

    def one(self, session_id: str, subject: Subject) -> Session:
        """A live session of `subject`.

        Raises NoSuchSession for one that is foreign, unknown, malformed or ended: which, is told to nobody.
        """
        return self.owned_by(subject_digest(subject.key), session_id)

    def owned_by(self, owner: str, session_id: str) -> Session:
        """As `one`, where the digest of the subject tells the owner."""
        session = self._store.get(session_id) if _is_id(session_id) else None
        if session is None or subject_digest(session.subject.key) != owner or session.expires_at <= self._clock():
            raise NoSuchSession()
        return session

    def rename(self, session_id: str, subject: Subject, name: str) -> None:
        """Call the device of a session `name`; "" for what it calls itself. Raises as `one` does."""
        if not self._store.rename(self.one(session_id, subject).id, name or None):
            raise NoSuchSession()

    def end(self, session_id: str, subject: Subject, address: str, reason: str = BY_ITS_OWNER) -> None:
        """End a session of `subject`. Raises as `one` does."""
        if not self._end(self.one(session_id, subject), address, reason):
            raise NoSuchSession()

    def end_others(self, session_id: str, subject: Subject, address: str) -> int:
        """End every session of `subject` but this one; how many. Raises as `one` does, and then ends none."""
        kept, ended = self.one(session_id, subject), 0
        while others := [one for one in self.page(subject, 1, _BATCH).sessions if one.id != kept.id]:
            ended += sum(self._end(one, address, BY_ITS_OWNER) for one in others)
        return ended

    def _end(self, session: Session, address: str, reason: str) -> bool:
        """False where somebody else was faster."""
        event = self._audit.drawn_up(Event.REVOKED, address=address, reason=reason, **facts(session))
        if not self._store.revoke(session.id, self._clock(), event):
            return False
        self._audit.stored(event)
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which sessions: of an account, of a client, of devices in some networks (see `is_within`), not older than
    `age`. None of each means any.
    """

    email: str | None = None
    client_id: str | None = None
    networks: str | None = None
    age: timedelta | None = None


ALL = Selection()


class Registry:
    """What an administrator may do about everybody's sessions."""

    def __init__(self, store: "SessionStore", accounts: "AccountStore", audit: Audit, clock: "Clock") -> None:
        self._store = store
        self._accounts = accounts
        self._audit = audit
        self._clock = clock

    def live(self, which: Selection = ALL) -> Sequence[Session]:
        """Live sessions, newest first. Raises NoSuchAccount."""
        account = None if which.email is None else self._accounts.by_email(which.email)
        if which.email is not None and account is None:
            raise NoSuchAccount()
        now = self._clock()
        found = self._store.live(
            now,
            account_id=account.id if account else None,
            client_id=which.client_id,
            since=None if which.age is None else now - which.age,
        )
        if which.networks is None:
            return found
        return [one for one in found if is_within(one.address or "", which.networks)]

    def end_all(self, which: Selection) -> int:
        """End every session that `live` lists; how many. One that ends by itself meanwhile does not count."""
        ended = 0
        for session in self.live(which):
            try:
                self.end(session.id)
            except NoSuchSession:
                continue
            ended += 1
        return ended

    def end(self, session_id: str) -> None:
        """End a session. Raises NoSuchSession."""
        session = self._store.get(session_id)
        if session is None:
            raise NoSuchSession()
        event = self._audit.drawn_up(Event.REVOKED, reason="by an administrator", **facts(session))
        if not self._store.revoke(session_id, self._clock(), event):
            raise NoSuchSession()
        self._audit.stored(event)

    def purge(self, days: int, batch: int = 500) -> Iterator[int]:
        """Forget what ended more than `days` ago, a batch at a time; yields how many so far."""
        before, total = self._clock() - timedelta(days=days), 0
        while gone := self._store.purge(before, batch):
            total += gone
            yield total


def facts(session: Session) -> SessionFacts:
    """What an audit event tells of a session."""
    return {
        "token_id": session.id,
        "client_id": session.client_id,
        "subject": session.subject,
        "device_label": session.label,
    }


def subject_digest(subject_key: str) -> str:
    """What sessions are looked up by: a subject's key may be longer than an index takes."""
    return hashlib.sha256(subject_key.encode()).hexdigest()


def _is_id(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False
