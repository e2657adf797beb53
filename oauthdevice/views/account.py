"""The account branch: five services (DESIGN.md §2.1)."""

import re
from typing import Any

from pyramid.config import Configurator
from pyramid.request import Request

from ..domain.device_flow import StartRequest
from ..domain.token_endpoint import TokenRequest
from ..schemas.account import approve_request, device_code_request, device_token_request, user_code_request
from ..schemas.body import JSON, validate_body, validate_query
from ..security import client_credentials, require_account, sent_proof
from .service import OAuthService
from .sign_ins_again import confirmation

# RFC 7240 §2: preferences between commas, their names in any case, their values perhaps in quotes; the first counts.
_WAIT = re.compile(r"(?:^|,)[ \t]*wait[ \t]*=[ \t]*(\"?)([0-9]{1,9})\1[ \t]*(?=[,;]|$)", re.IGNORECASE | re.ASCII)

device_code = OAuthService("device_code", "/oauth/device/code", busy=True)
device_token = OAuthService("device_token", "/oauth/device/token", busy=True)
device_lookup = OAuthService("device_lookup", "/oauth/device/lookup")
device_approve = OAuthService("device_approve", "/oauth/device/approve")
device_deny = OAuthService("device_deny", "/oauth/device/deny")


def includeme(config: Configurator) -> None:
    for service in (device_code, device_token, device_lookup, device_approve, device_deny):
        config.add_cornice_service(service)


@device_code.post(schema=device_code_request, validators=(validate_body,))
def post_device_code(request: Request) -> dict[str, Any]:
    """Start a device authorization (RFC 8628 §3.1, §3.2)."""
    started = request.device_flow.start(
        StartRequest(
            credentials=client_credentials(request),
            scope=request.validated["scope"],
            device_label=request.validated["device_label"],
            address=request.remote_addr or "",
            code_challenge=request.validated["code_challenge"],
            code_challenge_method=request.validated["code_challenge_method"],
            dpop_jkt=request.validated["dpop_jkt"],
            proof=sent_proof(request),
        )
    )
    page = f"{request.options.public_url}/device"
    return {
        "device_code": started.device_code,
        "user_code": started.user_code,
        "verification_uri": page,
        "verification_uri_complete": f"{page}?user_code={started.user_code}",
        "expires_in": started.expires_in,
        "interval": started.interval,
    }


@device_token.post(schema=device_token_request, validators=(validate_body,))
def post_device_token(request: Request) -> dict[str, Any]:
    """Poll for the token (RFC 8628 §3.4, §3.5), or refresh it (RFC 6749 §6).

    JSON without grant_type is the original dialect. `Prefer: wait=SECONDS` (RFC 7240 §4.3) holds the poll.
    """
    parameters = request.validated
    answer: dict[str, Any] = request.token_endpoint.exchange(
        TokenRequest(
            credentials=client_credentials(request),
            address=request.remote_addr or "",
            grant_type=parameters["grant_type"],
            device_code=parameters["device_code"],
            code_verifier=parameters["code_verifier"],
            proof=sent_proof(request),
            refresh_token=parameters["refresh_token"],
            scope=parameters["scope"],
            original_dialect=request.environ["CONTENT_TYPE"] == JSON and parameters["grant_type"] is None,
            wait_seconds=wished_seconds(request.environ.get("HTTP_PREFER", "")),
        )
    )
    return answer


def wished_seconds(prefer: str) -> int:
    """How long the client wishes to wait, by its header field; 0 where it says nothing of it."""
    found = _WAIT.search(prefer) if prefer else None
    return int(found[2]) if found else 0


@device_lookup.get(schema=user_code_request, validators=(validate_query,))
@device_lookup.post(schema=user_code_request, validators=(validate_body,))
def lookup_user_code(request: Request) -> dict[str, Any]:
    """Whether a user_code still waits for a decision."""
    found = request.approvals.lookup(request.validated["user_code"], request.remote_addr or "")
    return {
        "valid": found.valid,
        "expires_in_remaining": found.expires_in_remaining,
        "client_id": found.client_id,
    }


@device_approve.post(schema=approve_request, validators=(require_account, validate_body))
def post_device_approve(request: Request) -> dict[str, str]:
    """Approve as the signed-in account."""
    request.approvals.approve(
        request.validated["user_code"],
        request.account,
        request.remote_addr or "",
        confirmation=confirmation(request, request.validated["confirmation_number"]),
        language=request.locale_name,
    )
    return {"status": "approved"}


@device_deny.post(schema=user_code_request, validators=(require_account, validate_body))
def post_device_deny(request: Request) -> dict[str, str]:
    """Deny as the signed-in account."""
    request.approvals.deny(request.validated["user_code"], request.account, request.remote_addr or "")
    return {"status": "denied"}
