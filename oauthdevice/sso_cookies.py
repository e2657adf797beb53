"""The two cookies of the SSO branch: which browser began a sign-in, and what its person may decide."""

import hmac
import re
import secrets
from typing import Any
from urllib.parse import urlsplit

from pyramid.config import Configurator
from pyramid.request import Request
from pyramid.response import Response

from .domain.errors import CSRFMismatch, InvalidApproval
from .domain.identity_providers import HANDSHAKE_SECONDS
from .domain.sso import APPROVAL_SECONDS
from .domain.subjects import Approval
from .security import check_origin
from .settings import Settings

_BROWSER, _APPROVAL = "oauthdevice_sso", "oauthdevice_approval"


def includeme(config: Configurator) -> None:
    config.add_request_method(read_approval, "approval", reify=True)


def read_approval(request: Request) -> Approval | None:
    """The approval that this browser holds, or None. Whether it was spent is for the decision to find out."""
    settings: Settings = request.options
    text = request.cookies.get(_approval_name(settings)) if settings.has_sso else None
    approval: Approval | None = request.approval_seal.unseal(text) if text else None
    return approval


def require_approval(request: Request, **_: Any) -> None:
    """A Cornice validator. Raises InvalidApproval, then CSRFMismatch."""
    if request.approval is None:
        raise InvalidApproval()
    sent = request.headers.get("X-CSRF-Token", "")
    if not hmac.compare_digest(sent.encode(), request.approval.csrf_token.encode()):
        raise CSRFMismatch()
    check_origin(request)


def give_approval(request: Request, response: Response, approval: Approval) -> None:
    """Put an approval into this browser, at each path where it is asked for."""
    sealed = request.approval_seal.seal(approval)
    _set_approval(request.options, response, sealed, APPROVAL_SECONDS)


def clear_approval(request: Request, response: Response) -> None:
    """Take the approval out of this browser."""
    _set_approval(request.options, response, "", 0)


def browser_secret(request: Request) -> str:
    """The secret of the browser that began a sign-in; "" where it began none, or brings what is none of ours."""
    secret = str(request.cookies.get(_browser_name(request.options), ""))
    return secret if re.fullmatch(r"[A-Za-z0-9_-]{43}", secret, re.ASCII) else ""


def mark_browser(request: Request, response: Response, secret: str) -> None:
    """Let this browser, and no other, complete the sign-in that it begins."""
    settings: Settings = request.options
    response.set_cookie(
        _browser_name(settings),
        secret,
        max_age=HANDSHAKE_SECONDS,
        secure=settings.is_https,
        httponly=True,
        samesite="Lax",
    )


def new_browser_secret() -> str:
    """256 random bits."""
    return secrets.token_urlsafe(32)


def _set_approval(settings: Settings, response: Response, value: str, max_age: int) -> None:
    for path in _approval_paths(settings):
        response.set_cookie(
            _approval_name(settings),
            value,
            max_age=max_age,
            path=path,
            secure=settings.is_https,
            httponly=True,
            samesite="Lax",
        )


def _approval_paths(settings: Settings) -> list[str]:
    base = urlsplit(settings.public_url).path
    legacy = [f"{base}/v1/oauth/device"] if settings.legacy_mounts else []
    return [f"{base}{settings.api_prefix}/oauth/device", f"{base}/device", f"{base}/logout", *legacy]


def _browser_name(settings: Settings) -> str:
    # The name makes browsers refuse one that another host of our domain has set.
    return f"__Host-{_BROWSER}" if settings.is_https else _BROWSER


def _approval_name(settings: Settings) -> str:
    # Not __Host-, which would have to be sent to every path.
    return f"__Secure-{_APPROVAL}" if settings.is_https else _APPROVAL
