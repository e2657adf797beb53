"""Sessions: a live grant of a subject to one client on one device, and the access tokens that open it."""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from .credentials import credential_digest, is_credential
from .errors import InvalidToken
from .rate_limits import RateLimits
from .subjects import Account, AccountSubject, Subject

if TYPE_CHECKING:
    from .ports import Clock, SessionStore


@dataclass(frozen=True, slots=True)
class TokenPrefixes:
    """How our tokens begin, per kind of subject."""

    account: str = "dfoa_"
    external: str = "dfoe_"

    def of(self, subject: Subject) -> str:
        return self.account if isinstance(subject, AccountSubject) else self.external


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSession:
    """What a redemption stores. `id` is that of the device authorization.

    `attempt` counts the redemptions of that authorization; the store keeps the highest. `label` is
    None where the device gave none: such a session never replaces another.
    """

    id: str
    attempt: int
    subject: Subject
    client_id: str
    label: str | None
    scopes: frozenset[str]
    prefix: str
    token_digest: str
    issued_at: datetime
    expires_at: datetime

    @property
    def device_key(self) -> str | None:
        """One text per (subject, client, device), or None without a label."""
        if not self.label:
            return None
        parts = "\x00".join((self.subject.key, self.client_id, self.label))
        return hashlib.sha256(parts.encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A session as it is read by its token. `account` is None for an external subject."""

    id: str
    subject: Subject
    account: Account | None
    client_id: str
    label: str | None
    scopes: frozenset[str]
    expires_at: datetime


class Bearers:
    """Checks access tokens."""

    def __init__(
        self,
        sessions: "SessionStore",
        limits: RateLimits,
        prefixes: TokenPrefixes,
        clock: "Clock",
    ) -> None:
        self._sessions = sessions
        self._limits = limits
        self._prefixes = prefixes
        self._clock = clock

    def authenticate(self, token: str) -> Session:
        """The live session that `token` opens. Garbage is refused without I/O.

        Raises InvalidToken, RateLimited, StoreUnavailable. Source: RFC 6750 §3.1.
        """
        if not any(is_credential(token, prefix) for prefix in (self._prefixes.account, self._prefixes.external)):
            raise InvalidToken()
        session = self._sessions.by_token(credential_digest(token))
        if session is None or session.expires_at <= self._clock():
            raise InvalidToken()
        if isinstance(session.subject, AccountSubject) and not (session.account and session.account.active):
            raise InvalidToken()
        self._limits.hit("bearer", session.id)
        return session
