"""What other parties may learn of a token, and how a client gives one back."""

from typing import Any

from .answers import identity_answer, token_type
from .audit import Audit, Event
from .bearers import Bearer, Bearers
from .clients import ClientCredentials, Clients
from .credentials import credential_digest, is_credential
from .ports import Clock, SessionStore
from .sessions import Session, TokenPrefixes, facts
from .subjects import ExternalSubject

INACTIVE: dict[str, Any] = {"active": False}


class Introspection:
    """RFC 7662 for resource servers, RFC 7009 for clients."""

    def __init__(
        self,
        *,
        clients: Clients,
        bearers: Bearers,
        sessions: SessionStore,
        prefixes: TokenPrefixes,
        issuer: str,
        audit: Audit,
        clock: Clock,
    ) -> None:
        self._clients = clients
        self._bearers = bearers
        self._sessions = sessions
        self._prefixes = prefixes
        self._issuer = issuer
        self._audit = audit
        self._clock = clock

    def introspect(self, credentials: ClientCredentials, token: str) -> dict[str, Any]:
        """The state of an access or refresh token, told to a confidential client alone.

        Whatever is not a live token is `{"active": false}` and no more (RFC 7662 §2.2).
        Raises InvalidClient, StoreUnavailable.
        """
        self._clients.authenticate_confidential(credentials)
        if is_credential(token, self._prefixes.refresh):
            session = self._live_refresh(token)
            return INACTIVE if session is None else self._of_refresh(session)
        bearer = self._bearers.inspect(token)
        return INACTIVE if bearer is None else self._of_bearer(bearer)

    def revoke(self, credentials: ClientCredentials, token: str, address: str) -> None:
        """End the session of a token of this client. Of any other token nothing is done, and nothing told.

        Raises InvalidClient, StoreUnavailable. Source: RFC 7009 §2.1, §2.2.
        """
        client = self._clients.authenticate(credentials)
        session = self._session_of(token)
        if session is None or session.client_id != client.client_id:
            return
        event = self._audit.drawn_up(Event.REVOKED, address=address, reason="by its client", **facts(session))
        if self._sessions.revoke(session.id, self._clock(), event):
            self._audit.stored(event)

    def _session_of(self, token: str) -> Session | None:
        if is_credential(token, self._prefixes.refresh):
            return self._sessions.by_refresh_token(credential_digest(token))
        if any(is_credential(token, prefix) for prefix in (self._prefixes.account, self._prefixes.external)):
            bearer = self._sessions.by_token(credential_digest(token))
            return bearer.session if bearer is not None else None
        return None

    def _live_refresh(self, token: str) -> Session | None:
        session = self._sessions.by_refresh_token(credential_digest(token), unspent=True)
        return session if session is not None and session.expires_at > self._clock() else None

    def _of_bearer(self, bearer: Bearer) -> dict[str, Any]:
        return {
            **self._of_session(bearer.session),
            "scope": " ".join(sorted(bearer.scopes)),
            "token_type": token_type(bearer.session.jkt),
            "exp": int(bearer.expires_at.timestamp()),
            "iat": int(bearer.issued_at.timestamp()),
        }

    def _of_refresh(self, session: Session) -> dict[str, Any]:
        return {
            **self._of_session(session),
            "scope": " ".join(sorted(session.scopes)),
            "exp": int(session.expires_at.timestamp()),
            "iat": int(session.created_at.timestamp()),
        }

    def _of_session(self, session: Session) -> dict[str, Any]:
        subject = session.subject
        email = subject.email if isinstance(subject, ExternalSubject) else session.account and session.account.email
        return {
            "active": True,
            "client_id": session.client_id,
            "iss": self._issuer,
            "sub": subject.subject_id if isinstance(subject, ExternalSubject) else subject.account_id,
            "username": email,
            "token_id": session.id,
            "device_label": session.label,
            **identity_answer(subject, session.account),
            # RFC 9449 §6.2: whoever asks has to check the proof.
            **({} if session.jkt is None else {"cnf": {"jkt": session.jkt}}),
        }
