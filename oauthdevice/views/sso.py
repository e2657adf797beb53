"""The SSO branch: the services of people known only to an identity provider (DESIGN.md §2.2)."""

from typing import Any

from pyramid.config import Configurator
from pyramid.httpexceptions import HTTPFound
from pyramid.request import Request

from ..domain.answers import iso
from ..domain.codes import format_user_code
from ..domain.errors import SSO_ERRORS, DomainError, NoApproval, SSOFailed
from ..domain.identity_providers import ProviderAnswer
from ..domain.other_network import Confirmation
from ..domain.places import ENGLISH
from ..schemas.account import approve_request, user_code_request
from ..schemas.body import deserialise, read_query, validate_body, validate_query
from ..schemas.sso import initiate_request, provider_answer
from ..sso_cookies import (
    browser_secret,
    clear_approval,
    give_approval,
    mark_browser,
    new_browser_secret,
    require_approval,
)
from .errors import log_detail, status_of
from .links import came_by_link, is_from_another_site
from .service import OAuthService

sso_initiate = OAuthService("sso_initiate", "/oauth/device/sso-initiate")
sso_complete = OAuthService("sso_complete", "/oauth/device/sso-complete")
sso_complete_of_provider = OAuthService("sso_complete_of_provider", "/oauth/device/sso-complete/{provider}")
approval_context = OAuthService("approval_context", "/oauth/device/approval-context")
approve_external = OAuthService("approve_external", "/oauth/device/approve-external")
deny_external = OAuthService("deny_external", "/oauth/device/deny-external")


def includeme(config: Configurator) -> None:
    for service in (
        sso_initiate,
        sso_complete,
        sso_complete_of_provider,
        approval_context,
        approve_external,
        deny_external,
    ):
        config.add_cornice_service(service)


@sso_initiate.get(schema=initiate_request, validators=(validate_query,))
@sso_initiate.post(schema=initiate_request, validators=(validate_body,))
def initiate_sso(request: Request) -> HTTPFound:
    """Send the browser to the identity provider; a stale approval does not outlive this."""
    return begin_sign_in(request, request.validated["user_code"], request.validated["provider"])


@sso_complete.get()
@sso_complete_of_provider.get()
def complete_sso(request: Request) -> HTTPFound:
    """The browser is back from the provider. Whatever happened, the page tells it; no detail leaves the log."""
    try:
        told = deserialise(provider_answer, read_query(request))
        answer = ProviderAnswer(
            state=told["state"],
            code=told["code"],
            error=told["error"],
            issuer=told["iss"],
            assertion=told["sso_assertion"],
            callback=request.matchdict.get("provider"),
        )
        approval = request.sso.complete(answer, browser_secret(request), request.remote_addr or "")
    except DomainError as error:
        log_detail(error, status_of(error))
        known = next((one for one in SSO_ERRORS if isinstance(error, one)), SSOFailed)
        request.environ["oauthdevice.error"] = known.error
        return HTTPFound(f"{request.options.public_url}/device?sso_error={known.error}")
    response = HTTPFound(f"{request.options.public_url}/device?sso_verified=1")
    give_approval(request, response, approval)
    return response


@approval_context.get()
def get_approval_context(request: Request) -> dict[str, Any]:
    """Who decides about what: everything that a consent page shows."""
    approval = request.approval
    if approval is None:
        raise NoApproval()
    opened = request.sso.context(approval, request.remote_addr or "")
    return {
        "subject_email": approval.subject.email,
        "subject_issuer": approval.subject.issuer,
        "user_code": format_user_code(approval.user_code),
        "csrf_token": approval.csrf_token,
        "expires_at": iso(approval.expires_at),
        "client_id": opened.client.client_id,
        "client_name": opened.client.name,
        "device_label": opened.device_label,
        "scopes": [{"name": one.name, "text": one.text, "sensitive": one.sensitive} for one in opened.scopes],
        "access_expires_in": int(opened.client.access_lifetime.total_seconds()),
        "access_renewable_for": int(opened.client.renewable.total_seconds()) if opened.client.renewable else None,
        "address": opened.address,
        "network": opened.network or opened.address,
        "same_network": opened.same_network,
        "other_network": opened.other_network.value,
        "place": opened.place.told(ENGLISH) if opened.place else None,
        "same_country": opened.same_country,
        "linked": approval.linked,
        "issued_at": iso(opened.issued_at),
        "expires_in_remaining": int(opened.remaining.total_seconds()),
    }


@approve_external.post(schema=approve_request, validators=(require_approval, validate_body))
def post_approve_external(request: Request) -> dict[str, str]:
    """Approve as the external subject of the approval, which is spent."""
    request.sso.approve(
        request.validated["user_code"],
        request.approval,
        request.remote_addr or "",
        confirmation=Confirmation(request.validated["confirmation_number"]),
        language=request.locale_name,
    )
    clear_approval(request, request.response)
    return {"status": "approved"}


@deny_external.post(schema=user_code_request, validators=(require_approval, validate_body))
def post_deny_external(request: Request) -> dict[str, str]:
    """Deny as the external subject of the approval, which is spent."""
    request.sso.deny(request.validated["user_code"], request.approval, request.remote_addr or "")
    clear_approval(request, request.response)
    return {"status": "denied"}


def begin_sign_in(
    request: Request, user_code: str, provider: str | None, login_hint: str = "", *, again: bool = False
) -> HTTPFound:
    """The redirect to the provider, with the cookie that brings this browser back. See `SSO.begin`."""
    # Kept where there is one: a person may have two sign-ins under way in two tabs.
    secret = browser_secret(request) or new_browser_secret()
    # The handshake carries it, and not the session: a form of another site comes without that one's cookie.
    linked = is_from_another_site(request) or came_by_link(request, user_code)
    address = request.sso.begin(
        user_code, provider, secret, request.remote_addr or "", login_hint=login_hint, again=again, linked=linked
    )
    response = HTTPFound(address)
    mark_browser(request, response, secret)
    clear_approval(request, response)
    return response
