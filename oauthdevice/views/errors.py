"""The one table from domain error to answer: JSON for programs, a page for people."""

import logging
from functools import cache

from pyramid.config import Configurator
from pyramid.exceptions import BadCSRFOrigin, BadCSRFToken, URLDecodeError
from pyramid.httpexceptions import HTTPException, HTTPMethodNotAllowed, HTTPNotFound
from pyramid.renderers import render_to_response
from pyramid.request import Request
from pyramid.response import Response

from ..domain import errors
from ..domain.audit import request_id
from ..domain.dpop import ALGORITHMS, BoundTokenRefused, UseDPoPNonce
from ..domain.undo import DeviceEnded, UndoExpired, UndoMalformed
from ..schemas.body import BodyTooLarge, UnsupportedMediaType
from .json_answers import json_answer

log = logging.getLogger(__name__)

# The status of an error is that of its nearest class here; of RFC 6749 §5.2 and RFC 8628 §3.5, 400.
STATUS: dict[type[errors.DomainError], int] = {
    errors.DomainError: 400,
    errors.InvalidClient: 401,
    errors.InvalidToken: 401,
    errors.LoginRequired: 401,
    errors.LoginFailed: 401,
    errors.NoApproval: 401,
    errors.InsufficientScope: 403,
    errors.CSRFMismatch: 403,
    errors.PasskeyRefused: 403,
    errors.EmailBelongsToAccount: 403,
    errors.OtherNetworkBlocked: 403,
    errors.ConfirmationRequired: 403,
    errors.ConfirmationFailed: 403,
    errors.ExpiredOrUnknown: 404,
    errors.NoSuchSession: 404,
    errors.NoSuchPasskey: 404,
    errors.UserCodeGone: 404,
    errors.AlreadyResolved: 409,
    errors.AlreadyClaimed: 409,
    errors.TooManyPasskeys: 409,
    errors.UserCodeNotPending: 409,
    UndoMalformed: 404,
    UndoExpired: 410,
    DeviceEnded: 410,
    BodyTooLarge: 413,
    UnsupportedMediaType: 415,
    errors.RateLimited: 429,
    errors.SSOInitiateFailed: 502,
    errors.Unavailable: 503,
}


class NotFound(errors.DomainError):
    """No such address."""

    error = "not_found"
    description = "There is nothing at this address."


class MethodNotAllowed(errors.DomainError):
    """The address exists, but not for this method."""

    error = "invalid_request"
    description = "This address does not take this method."


class ServerError(errors.DomainError):
    """A fault of ours. `reference` finds it in the log."""

    error = "server_error"
    description = "The server met an unexpected condition."


STATUS |= {NotFound: 404, MethodNotAllowed: 405, ServerError: 500}


def includeme(config: Configurator) -> None:
    config.add_exception_view(tell, context=errors.DomainError)
    config.add_exception_view(tell_csrf, context=BadCSRFToken)
    config.add_exception_view(tell_csrf, context=BadCSRFOrigin)
    config.add_exception_view(tell_http, context=HTTPException)
    config.add_exception_view(tell_fault, context=Exception)
    config.add_exception_view(tell_unreadable, context=URLDecodeError)
    config.add_notfound_view(tell_http)


def tell(error: errors.DomainError, request: Request) -> Response:
    """Any domain error as JSON or as a page."""
    request.environ["oauthdevice.error"] = error.error
    status = status_of(error)
    log_detail(error, status)
    if not is_page(request):
        return answer_json(error)
    response = _page(error, status, request)
    response.headers.update(_headers(error))
    return response


def log_detail(error: errors.DomainError, status: int) -> None:
    """What the caller is not told."""
    if error.detail:
        log.log(logging.WARNING if status >= 500 else logging.INFO, "%s: %s", error.error, error.detail)


def answer_json(error: errors.DomainError) -> Response:
    """The error as every program is told it."""
    body = {"error": error.error, "error_description": error.description, **error.members}
    response = json_answer(status_of(error), body)
    if headers := _headers(error):
        response.headerlist += headers.items()
    return response


def tell_csrf(_: Exception, request: Request) -> Response:
    """Pyramid's own CSRF check failed."""
    return tell(errors.CSRFMismatch(), request)


def tell_http(error: Exception, request: Request) -> Response:
    """404 and 405 in the shape of every other error; a redirect as it is."""
    if isinstance(error, HTTPMethodNotAllowed):
        response = tell(MethodNotAllowed(), request)
        response.allow = error.allow
        return response
    if isinstance(error, HTTPNotFound):
        return tell(NotFound(), request)
    if isinstance(error, HTTPException) and error.status_int < 400:
        return error
    return tell(errors.InvalidRequest(), request)


def tell_unreadable(_: Exception, request: Request) -> Response:
    """A path that is no UTF-8."""
    return tell(NotFound(), request)


def tell_fault(error: Exception, request: Request) -> Response:
    """A bug: logged with a reference, told without a detail."""
    reference = request_id.get() or ""
    log.error("unexpected error %s", reference, exc_info=error)
    return tell(ServerError(f"The server met an unexpected condition. Reference: {reference}."), request)


def status_of(error: errors.DomainError) -> int:
    """The HTTP status of an error."""
    return _status_of_kind(type(error))  # type: ignore[arg-type]  # a class has a hash, whatever its instances have


@cache
def _status_of_kind(kind: type[errors.DomainError]) -> int:
    return next(STATUS[one] for one in kind.__mro__ if one in STATUS)


def is_page(request: Request) -> bool:
    """True where a person is looking, and not a program or a script."""
    # Not request.path_info, which cannot be read where the path is no UTF-8.
    return not request.environ.get("PATH_INFO", "").startswith(request.options.json_prefixes)


def _page(error: errors.DomainError, status: int, request: Request) -> Response:
    # A few errors are one code to a program and a story of their own to a person.
    kind = "nothing_ticked" if isinstance(error, errors.NothingTicked) else error.error
    values = {"error": error, "kind": kind, "status": status, "reference": request_id.get() or ""}
    response = render_to_response("oauthdevice:templates/error.html.jinja2", values, request)
    response.status_int = status
    return response


def _headers(error: errors.DomainError) -> dict[str, str]:
    if isinstance(error, errors.InvalidClient):
        return {"WWW-Authenticate": 'Basic realm="oauthdevice", charset="UTF-8"'}
    if isinstance(error, UseDPoPNonce):
        return {"DPoP-Nonce": error.nonce}
    if isinstance(error, BoundTokenRefused):
        # RFC 9449 §7.1, §9.
        told = f'{_challenge("DPoP")}, error="{error.error}", error_description="{error.description}"'
        return {"WWW-Authenticate": told} | ({"DPoP-Nonce": error.nonce} if error.nonce else {})
    if isinstance(error, errors.InvalidToken):
        # RFC 6750 §3.1: no error code where the request brought no token.
        told = "" if error.detail == "missing" else f', error="{error.error}", error_description="{error.description}"'
        return {"WWW-Authenticate": f"{_challenge('Bearer')}{told}"}
    if isinstance(error, errors.LoginRequired | errors.NoApproval):
        # RFC 9110 §15.5.2 asks for a challenge with every 401; a cookie has no registered scheme.
        return {"WWW-Authenticate": 'Session realm="oauthdevice"'}
    if isinstance(error, errors.InsufficientScope):
        told = f'error="{error.error}", error_description="{error.description}", scope="{error.members["scope"]}"'
        return {"WWW-Authenticate": f"{_challenge(error.scheme)}, {told}"}
    if isinstance(error, errors.RateLimited | errors.Unavailable):
        return {"Retry-After": str(error.retry_after_seconds)}
    return {}


def _challenge(scheme: str) -> str:
    return f'{scheme} realm="oauthdevice"' + (f', algs="{" ".join(ALGORITHMS)}"' if scheme == "DPoP" else "")
