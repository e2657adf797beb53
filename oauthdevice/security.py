"""Who is asking: browser session, account, CSRF, client credentials; and the headers on every answer."""

import base64
import binascii
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import unquote_plus, urlsplit

from pyramid.config import Configurator
from pyramid.csrf import check_csrf_origin, check_csrf_token
from pyramid.request import Request, RequestLocalCache
from pyramid.response import Response
from pyramid.security import Allowed
from pyramid.session import BaseCookieSessionFactory, JSONSerializer
from pyramid.tweens import EXCVIEW, INGRESS
from webob.cookies import SignedSerializer

from .domain.answers import token_type
from .domain.bearers import Bearer, Bearers
from .domain.clients import ClientCredentials
from .domain.dpop import SentProof
from .domain.errors import CSRFMismatch, InsufficientScope, InvalidClient, InvalidRequest, InvalidToken, LoginRequired
from .domain.keys import derive_key
from .domain.scopes import Scopes
from .domain.subjects import Account
from .settings import Settings

PAGE_CSP = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
API_CSP = "default-src 'none'; frame-ancestors 'none'"
# Opened by itself, an SVG picture is a document, and an operator's may come from anywhere.
PICTURE_CSP = f"{API_CSP}; style-src 'unsafe-inline'; sandbox"
_CSP = {"text/html": PAGE_CSP, "image/svg+xml": PICTURE_CSP}
_SIGN_IN = "sign_in"
# Codes that a person is to be warned about (`views.links`): no new session forgets them.
LINKED = "linked"


def includeme(config: Configurator) -> None:
    settings: Settings = config.registry["oauthdevice.settings"]
    config.set_session_factory(_session_factory(settings))
    # Every unsafe request needs a token; the services for devices opt out by name.
    # A browser that sends no Origin has still shown the token.
    config.set_default_csrf_options(require_csrf=True, allow_no_origin=True)
    config.add_settings(
        {
            "pyramid.csrf_trusted_origins": [
                urlsplit(origin).netloc for origin in (settings.public_url, *settings.cors_allow_origins)
            ]
        }
    )
    config.add_request_method(signed_in_account, "account", reify=True)
    services = config.registry["oauthdevice.services"]
    config.set_security_policy(BearerPolicy(services.bearers, services.scopes))
    config.add_tween("oauthdevice.schemas.body.bounding_tween", under=EXCVIEW)
    # Before whoever reads the first cookie.
    config.add_tween(
        "oauthdevice.schemas.cookies.readable_tween", under=INGRESS, over="oauthdevice.languages.remembering_tween"
    )


def _session_factory(settings: Settings) -> Any:
    # The name says what the attributes promise: a browser keeps a __Host- cookie to this host alone.
    shared = settings.cookie_domain or not settings.is_https
    return BaseCookieSessionFactory(
        _SignedByAny(settings.secrets),
        cookie_name="oauthdevice_session" if shared else "__Host-oauthdevice_session",
        domain=settings.cookie_domain or None,
        secure=settings.is_https,
        httponly=True,
        samesite="Lax",
        max_age=None,
        timeout=settings.sign_in_lifetime_seconds,
        reissue_time=settings.sign_in_lifetime_seconds // 10,
    )


class _SignedByAny:
    """A serializer of sessions that signs with the first of `secrets` and takes what any of them signed."""

    def __init__(self, secrets: Sequence[str]) -> None:
        keys = [derive_key(secret.encode(), "browser session").hex() for secret in secrets]
        self._serializers = [
            SignedSerializer(key, "pyramid.session.", "sha512", serializer=JSONSerializer()) for key in keys
        ]

    def dumps(self, state: Any) -> bytes:
        signed: bytes = self._serializers[0].dumps(state)
        return signed

    def loads(self, cookie: bytes) -> Any:
        """Raises ValueError, as the session asks for, where none of them signed it."""
        for serializer in self._serializers:
            with suppress(ValueError):
                return serializer.loads(cookie)
        raise ValueError("a session that we did not sign")


def signed_in_account(request: Request) -> Account | None:
    """The account of this browser, or None. Asked of the database at every request."""
    key = request.session.get(_SIGN_IN)
    return request.accounts.signed_in(key) if key else None


def had_signed_in(request: Request) -> bool:
    """Whether this browser was signed in to an account, which may have ended."""
    return _SIGN_IN in request.session


def remember_sign_in(request: Request, key: str, kept: tuple[str, ...]) -> None:
    """A new browser session for a new sign-in; only the entries named in `kept` move over.

    The old one, its CSRF token included, may have been planted by somebody else.
    """
    replaced = request.session.get(_SIGN_IN)
    if replaced:
        request.accounts.sign_out(replaced)
    _renew(request, kept)
    request.session[_SIGN_IN] = key


def renew_session(request: Request) -> None:
    """A new browser session for a person whom a provider has just vouched for; a sign-in moves over."""
    _renew(request, (_SIGN_IN,))


def _renew(request: Request, kept: tuple[str, ...]) -> None:
    carried = {name: request.session[name] for name in (*kept, LINKED) if name in request.session}
    request.session.invalidate()
    request.session.update(carried)
    request.session.new_csrf_token()


def forget_sign_in(request: Request) -> None:
    """End the sign-in of this browser, here and at the server."""
    key = request.session.get(_SIGN_IN)
    if key:
        request.accounts.sign_out(key)
    request.session.invalidate()


def require_account(request: Request, **_: Any) -> None:
    """A Cornice validator. Raises LoginRequired, then CSRFMismatch."""
    if request.account is None:
        raise LoginRequired()
    if not check_csrf_token(request, raises=False):
        raise CSRFMismatch()
    check_origin(request)


def check_origin(request: Request) -> None:
    """Raises CSRFMismatch for a request that a page of another origin made."""
    if request.scheme == "https" and not check_csrf_origin(request, allow_no_origin=True, raises=False):
        raise CSRFMismatch("The request comes from another origin.")


# The permission of a view that takes any valid token.
ANY_SCOPE = "oauthdevice.any_scope"


class BearerPolicy:
    """A Pyramid security policy: identity from the Authorization header, permissions from scopes."""

    def __init__(self, bearers: Bearers, scopes: Scopes) -> None:
        self._bearers = bearers
        self._scopes = scopes
        self._identities = RequestLocalCache(self._authenticate)

    def identity(self, request: Request) -> Bearer | None:
        """What the token opens; None where the request brought none.

        Raises InvalidToken, which BoundTokenRefused is too, RateLimited, StoreUnavailable.
        """
        identity: Bearer | None = self._identities.get_or_create(request)
        return identity

    def authenticated_userid(self, request: Request) -> str | None:
        """The key of the subject, such as `account:ID`."""
        bearer = self.identity(request)
        return bearer.session.subject.key if bearer is not None else None

    def permits(self, request: Request, _context: Any, permission: str) -> Allowed:
        """Raises InvalidToken (401) without a token, InsufficientScope (403) without the scope (RFC 6750 §3.1)."""
        bearer = self.identity(request)
        if bearer is None:
            raise InvalidToken("An access token is needed.", detail="missing")
        if permission != ANY_SCOPE and not self._scopes.covers(bearer.scopes, permission):
            raise InsufficientScope(permission, token_type(bearer.session.jkt))
        return Allowed("the token has the scope %s", permission)

    def remember(self, _request: Request, _userid: str, **_: Any) -> list[tuple[str, str]]:
        """Nothing: a bearer comes with its token every time."""
        return []

    def forget(self, _request: Request, **_: Any) -> list[tuple[str, str]]:
        """Nothing, as `remember`."""
        return []

    def _authenticate(self, request: Request) -> Bearer | None:
        # The header alone: a token in a query string ends up in logs (RFC 6750 §2.3).
        scheme, _, token = request.environ.get("HTTP_AUTHORIZATION", "").partition(" ")
        address = request.remote_addr or ""
        if scheme.lower() == "bearer" and token.strip():
            return self._bearers.authenticate(token.strip(), address)
        if scheme.lower() == "dpop" and token.strip():
            return self._bearers.authenticate_bound(token.strip(), address, sent_proof(request))
        return None


def sent_proof(request: Request) -> SentProof | None:
    """The DPoP proof that came with a request (RFC 9449 §4.1), unverified."""
    text = request.environ.get("HTTP_DPOP")
    return None if text is None else SentProof(text, request.method, request.environ.get("PATH_INFO", ""))


def client_credentials(request: Request) -> ClientCredentials:
    """Who the client says it is: HTTP Basic or the body, never both (RFC 6749 §2.3).

    An empty Basic password is that of a public client. Raises InvalidRequest, InvalidClient.
    """
    client_id, secret = request.validated.get("client_id"), request.validated.get("client_secret")
    header = request.environ.get("HTTP_AUTHORIZATION", "")
    if not header.lower().startswith("basic "):
        if client_id is None:
            raise InvalidRequest("Missing parameter: client_id.")
        return ClientCredentials(client_id, secret, address=request.remote_addr or "")
    sent_id, sent_secret = _basic(header[6:])
    basic_id = unquote_plus(sent_id)
    if secret is not None:
        raise InvalidRequest("The client used more than one way to authenticate.")
    if client_id not in (None, basic_id):
        raise InvalidRequest("The client_id differs from the one in the Authorization header.")
    return ClientCredentials(
        basic_id, unquote_plus(sent_secret) or None, sent_secret or None, address=request.remote_addr or ""
    )


def _basic(encoded: str) -> tuple[str, str]:
    try:
        text = base64.b64decode(encoded.strip(), validate=True).decode("utf-8")
    except (binascii.Error, ValueError) as error:
        raise InvalidClient("The Authorization header is malformed.") from error
    client_id, colon, secret = text.partition(":")
    if not colon:
        raise InvalidClient("The Authorization header is malformed.")
    return client_id, secret


class AnswerHeaders:
    """The headers of DESIGN.md §6, on every answer, errors included."""

    def __init__(self, settings: Settings) -> None:
        self._json_prefixes = settings.json_prefixes
        hsts = [("Strict-Transport-Security", "max-age=31536000; includeSubDomains")] if settings.is_https else []
        always = [
            ("X-Frame-Options", "DENY"),
            ("X-Content-Type-Options", "nosniff"),
            ("Referrer-Policy", "same-origin"),
        ]
        self._lists = {
            (policy, stored): [
                ("Content-Security-Policy", policy),
                *always,
                *hsts,
                *([] if stored else [("Cache-Control", "no-store"), ("Pragma", "no-cache")]),
            ]
            for policy in (API_CSP, *_CSP.values())
            for stored in (True, False)
        }
        self._names = {stored: {name.lower() for name, _ in self._lists[API_CSP, stored]} for stored in (True, False)}

    def of(self, response: Response, environ: Mapping[str, Any]) -> list[tuple[str, str]]:
        """All headers of `response`, ours in the place of any other of that name."""
        given = {name.lower(): value for name, value in response.headerlist}
        content_type = given.get("content-type", "").partition(";")[0].strip()
        stored = not (
            content_type == "text/html"
            or response.status_int >= 400
            or environ.get("PATH_INFO", "").startswith(self._json_prefixes)
        )
        names, others = self._names[stored], response.headerlist
        if not names.isdisjoint(given):
            others = [header for header in others if header[0].lower() not in names]
        return others + self._lists[_CSP.get(content_type, API_CSP), stored]
