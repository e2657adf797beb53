"""Checks access tokens: form first, then the cache, then the database."""

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from .audit import Audit, Event
from .credentials import credential_digest, is_credential
from .dpop import BoundTokenRefused, DPoP, SentProof
from .errors import InvalidToken, StoreUnavailable
from .rate_limits import RateLimits, network
from .sessions import Session, TokenPrefixes, facts
from .subjects import AccountSubject

if TYPE_CHECKING:
    from .ports import Clock, SessionStore, TokenCache

log = logging.getLogger(__name__)

# How often `last_used_at` is written, and for how long an answer of the database is believed.
USED_SECONDS = 60
POSITIVE_SECONDS = 60
NEGATIVE_SECONDS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Bearer:
    """A valid access token: its session, and what it itself may do and until when."""

    session: Session
    scopes: frozenset[str]
    issued_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Cached:
    """What the cache knows of a token.

    `bearer` is None for a token that is not valid. `known` is False where the database must be asked;
    its answer is stored with `ticket`, which the cache refuses after a revocation. A `ticket` of None:
    the answer must not be stored.
    """

    known: bool
    bearer: Bearer | None = None
    ticket: str | None = None


class Bearers:
    """Checks access tokens. A revocation is in force everywhere at once: see `TokenCache`."""

    def __init__(
        self,
        *,
        sessions: "SessionStore",
        cache: "TokenCache",
        limits: RateLimits,
        dpop: DPoP,
        prefixes: TokenPrefixes,
        audit: Audit,
        clock: "Clock",
    ) -> None:
        self._sessions = sessions
        self._cache = cache
        self._limits = limits
        self._dpop = dpop
        self._prefixes = (prefixes.account, prefixes.external)
        self._audit = audit
        self._clock = clock

    def authenticate(self, token: str, address: str) -> Bearer:
        """What `token` opens, for whoever came with it from `address`. Garbage costs no I/O.

        Raises InvalidToken, RateLimited, StoreUnavailable. Source: RFC 6750 §3.1.
        """
        bearer = self.inspect(token, guesser=_guesser(address))
        if bearer is None:
            raise InvalidToken()
        if bearer.session.jkt is not None:
            self._limits.hit("bearer", _guesser(address))
            raise BoundTokenRefused("The access token is bound to a key. Send it as DPoP.", detail="sent as Bearer")
        self._limits.hit("bearer", bearer.session.id)
        return bearer

    def authenticate_bound(self, token: str, address: str, proof: SentProof | None) -> Bearer:
        """As `authenticate`, for a token that was sent with a proof of the key that it is bound to.

        Whoever has stolen it counts among those who guess, and not against its owner.
        Raises BoundTokenRefused, RateLimited, StoreUnavailable. Source: RFC 9449 §7.1.
        """
        bearer = self.inspect(token, guesser=_guesser(address))
        if bearer is None:
            raise BoundTokenRefused(InvalidToken.description, detail="unknown")
        try:
            self._dpop.check_token(bearer.session.jkt, token, proof)
        except BoundTokenRefused as error:
            if not error.nonce:
                self._limits.hit("bearer", _guesser(address))
            raise
        self._limits.hit("bearer", bearer.session.id)
        return bearer

    def inspect(self, token: str, *, guesser: str | None = None) -> Bearer | None:
        """As `authenticate`, but counts nothing of a valid token; None for any other.

        Unknown tokens are counted against `guesser`; None counts nobody: whoever asks for others is
        not the one who guesses.
        """
        if not any(is_credential(token, prefix) for prefix in self._prefixes):
            return None
        digest = credential_digest(token)
        cached = self._cache.get(digest)
        bearer = cached.bearer if cached.known else self._from_database(digest, cached.ticket, guesser)
        return bearer if bearer is not None and bearer.expires_at > self._clock() else None

    def _from_database(self, digest: str, ticket: str | None, guesser: str | None) -> Bearer | None:
        bearer = self._live(digest)
        if bearer is None:
            # Counted only now: whoever shares an address with a guesser is not refused for it. Beyond
            # the limit nothing is cached, so that guesses cannot fill the cache.
            if guesser is not None:
                self._limits.hit("bearer", guesser)
            self._cache.put(digest, None, ticket, NEGATIVE_SECONDS)
            return None
        now = self._clock()
        left = int((bearer.expires_at - now).total_seconds())
        self._cache.put(digest, bearer, ticket, min(POSITIVE_SECONDS, max(left, 1)))
        used = bearer.session.last_used_at
        if used is None or now - used >= timedelta(seconds=USED_SECONDS):
            self._note_use(bearer.session.id, now)
        return bearer

    def _note_use(self, session_id: str, now: datetime) -> None:
        try:
            self._sessions.used(session_id, now)
        except StoreUnavailable as error:
            # A database that only reads has just told that the token is good.
            log.warning("when a session was used is not stored: %s", error.detail)

    def _live(self, digest: str) -> Bearer | None:
        bearer = self._sessions.by_token(digest)
        if bearer is None:
            return None
        if bearer.expires_at <= self._clock():
            if self._sessions.expire(digest):
                self._audit.record(Event.EXPIRED, scopes=bearer.scopes, **facts(bearer.session))
            return None
        account = bearer.session.account
        if isinstance(bearer.session.subject, AccountSubject) and not (account and account.active):
            return None
        return bearer


def _guesser(address: str) -> str:
    return f"address {network(address)}"
