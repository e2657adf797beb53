"""Refresh tokens: used once, rotated at every use, and the whole family ended when one is used again.

Source: RFC 6749 §6; RFC 9700 §4.14.
"""

from datetime import timedelta
from typing import Any

from .answers import NewTokens, token_answer
from .audit import Audit, Event
from .clients import Client
from .credentials import credential_digest, is_credential, new_credential
from .dpop import DPoP, SentProof
from .errors import EmailBelongsToAccount, InvalidGrant, SSOFailed
from .external_subjects import ExternalSubjects
from .keys import seal, unseal
from .ports import Clock, SessionStore
from .rate_limits import RateLimits
from .scopes import Scopes
from .sessions import Rotation, RotationOutcome, Session, TokenPrefixes, facts
from .subjects import ExternalSubject


class Refresher:
    """Trades a refresh token for new tokens.

    `redelivery_seconds` is how long the same client gets the same answer again for the same spent
    token, because the first one may have been lost; 0 turns that off.
    """

    def __init__(
        self,
        *,
        sessions: SessionStore,
        external_subjects: ExternalSubjects,
        scopes: Scopes,
        prefixes: TokenPrefixes,
        limits: RateLimits,
        dpop: DPoP,
        redelivery_seconds: int,
        audit: Audit,
        clock: Clock,
    ) -> None:
        self._sessions = sessions
        self._external_subjects = external_subjects
        self._scopes = scopes
        self._prefixes = prefixes
        self._limits = limits
        self._dpop = dpop
        self._redelivery_seconds = redelivery_seconds
        self._audit = audit
        self._clock = clock

    def refresh(
        self, client: Client, refresh_token: str, scope: str, address: str, proof: SentProof | None = None
    ) -> dict[str, Any]:
        """The token answer with a new pair. `scope` may narrow the access token, "" keeps all.

        What is bound to a key stays bound to it, and takes a proof of it each time (RFC 9449 §5).
        Raises InvalidGrant, InvalidDPoPProof, InvalidScope, RateLimited, StoreUnavailable.
        """
        if not is_credential(refresh_token, self._prefixes.refresh):
            raise InvalidGrant(_INVALID, detail="malformed")
        digest = credential_digest(refresh_token)
        session = self._sessions.by_refresh_token(digest)
        if session is None or session.client_id != client.client_id or session.expires_at <= self._clock():
            raise InvalidGrant(_INVALID, detail="unknown, ended or of another client")
        self._dpop.key_at_refresh(client.dpop, session.jkt, proof)
        self._limits.hit("bearer", f"refresh {session.id}")
        self._check_subject(session)
        tokens = self._new_tokens(session, client, self._scopes.narrowed(scope, session.scopes))
        answer = token_answer(tokens, session.id, session.subject, session.account)
        events = {
            RotationOutcome.ROTATED: self._audit.drawn_up(
                Event.REFRESHED, scopes=tokens.scopes, address=address, **facts(session)
            ),
            RotationOutcome.REUSED: self._audit.drawn_up(Event.REUSE_DETECTED, address=address, **facts(session)),
        }
        outcome, sealed = self._sessions.rotate(
            Rotation(
                spent_digest=digest,
                refresh_digest=credential_digest(tokens.refresh_token or ""),
                token_digest=credential_digest(tokens.access_token),
                scopes=tokens.scopes,
                issued_at=tokens.issued_at,
                token_expires_at=tokens.expires_at,
                sealed_answer=seal(refresh_token, answer),
                seal_seconds=self._redelivery_seconds,
                events=events,
            )
        )
        if outcome in events:
            self._audit.stored(events[outcome])
        if outcome is RotationOutcome.REDELIVERED:
            return unseal(refresh_token, sealed)
        if outcome is RotationOutcome.ROTATED:
            return answer
        raise InvalidGrant(_INVALID, detail=outcome.value)

    def _check_subject(self, session: Session) -> None:
        # Of an account, the store asks as it rotates.
        if isinstance(session.subject, ExternalSubject):
            try:
                self._external_subjects.admit(session.subject)
            except (EmailBelongsToAccount, SSOFailed) as error:
                raise InvalidGrant(_INVALID, detail=error.error) from error

    def _new_tokens(self, session: Session, client: Client, scopes: frozenset[str]) -> NewTokens:
        now = self._clock()
        lifetime = timedelta(seconds=client.access_token_lifetime_seconds)
        return NewTokens(
            access_token=new_credential(session.prefix),
            refresh_token=new_credential(self._prefixes.refresh),
            issued_at=now,
            # The session has an end that no refresh moves.
            expires_at=min(now + lifetime, session.expires_at),
            scopes=scopes,
            jkt=session.jkt,
        )


_INVALID = "The refresh token is invalid, expired, revoked or belongs to another client."
