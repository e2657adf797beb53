"""What the tokens are for: account, sessions, introspection, revocation (DESIGN.md §2.3)."""

from typing import Any

from pyramid.config import Configurator
from pyramid.request import Request

from ..domain.answers import identity_answer, iso
from ..domain.bearers import Bearer
from ..domain.sessions import Session
from ..schemas.body import validate_body, validate_query
from ..schemas.tokens import sessions_query, token_request
from ..security import ANY_SCOPE, client_credentials
from .service import OAuthService

account = OAuthService("account", "/account", busy=True)
sessions = OAuthService("sessions", "/account/sessions")
own_session = OAuthService("own_session", "/account/sessions/self")
session = OAuthService("session", "/account/sessions/{id}")
introspection = OAuthService("introspection", "/oauth/introspect", busy=True)
revocation = OAuthService("revocation", "/oauth/revoke")


def includeme(config: Configurator) -> None:
    for service in (account, sessions, own_session, session, introspection, revocation):
        config.add_cornice_service(service)


@account.get(permission=ANY_SCOPE)
def get_account(request: Request) -> dict[str, Any]:
    """Whom the token speaks for."""
    held: Bearer = request.identity
    answer: dict[str, Any] = {"subject_email": None, "subject_issuer": None}
    return answer | identity_answer(held.session.subject, held.session.account)


@sessions.get(schema=sessions_query, validators=(validate_query,), permission=ANY_SCOPE)
def get_sessions(request: Request) -> dict[str, Any]:
    """The live sessions of the subject, newest first."""
    subject = request.identity.session.subject
    found = request.sessions.page(subject, request.validated["page"], request.validated["limit"])
    return {
        "page": found.page,
        "limit": found.limit,
        "total": found.total,
        "has_more": found.has_more,
        "data": [_told(one) for one in found.sessions],
    }


@own_session.delete(permission=ANY_SCOPE)
def delete_own_session(request: Request) -> dict[str, str]:
    """End the session that the token belongs to."""
    held: Bearer = request.identity
    request.sessions.end(held.session.id, held.session.subject, request.remote_addr or "")
    return {"status": "revoked"}


@session.delete(permission=ANY_SCOPE)
def delete_session(request: Request) -> dict[str, str]:
    """End one of the subject's sessions."""
    subject = request.identity.session.subject
    request.sessions.end(request.matchdict["id"], subject, request.remote_addr or "")
    return {"status": "revoked"}


@introspection.post(schema=token_request, validators=(validate_body,))
def post_introspection(request: Request) -> dict[str, Any]:
    """The state of a token, for a confidential client (RFC 7662)."""
    return request.introspection.introspect(client_credentials(request), request.validated["token"])


@revocation.post(schema=token_request, validators=(validate_body,))
def post_revocation(request: Request) -> dict[str, Any]:
    """Give a token back (RFC 7009). What it was is told to nobody."""
    request.introspection.revoke(client_credentials(request), request.validated["token"], request.remote_addr or "")
    return {}


def _told(one: Session) -> dict[str, Any]:
    return {
        "id": one.id,
        "prefix": one.prefix,
        "client_id": one.client_id,
        "device_label": one.label,
        "name": one.name,
        "created_at": iso(one.created_at),
        "last_used_at": iso(one.last_used_at) if one.last_used_at else None,
        "expires_at": iso(one.expires_at),
    }
