"""Other origins whose pages may call the JSON routes (`oauthdevice.cors_allow_origins`); none by default."""

from collections.abc import Callable

from pyramid.config import Configurator
from pyramid.request import Request
from pyramid.response import Response
from pyramid.tweens import EXCVIEW

from .settings import Settings

ALLOW_METHODS = "GET, POST, DELETE, OPTIONS"
ALLOW_HEADERS = "Authorization, Content-Type, DPoP, X-CSRF-Token"
EXPOSE_HEADERS = "DPoP-Nonce, Retry-After, WWW-Authenticate"
MAX_AGE_SECONDS = 600

Handler = Callable[[Request], Response]


def includeme(config: Configurator) -> None:
    settings: Settings = config.registry["oauthdevice.settings"]
    if settings.cors_allow_origins:
        config.add_tween("oauthdevice.cors.cors_tween_factory", over=EXCVIEW)


def cors_tween_factory(handler: Handler, registry: dict[str, Settings]) -> Handler:
    """Answers preflights of listed origins and marks the answers to them; leaves every other request alone."""
    settings = registry["oauthdevice.settings"]

    def tween(request: Request) -> Response:
        origin = request.headers.get("Origin", "")
        if not request.environ.get("PATH_INFO", "").startswith(settings.program_prefixes):
            return handler(request)
        if origin not in settings.cors_allow_origins:
            response = handler(request)
        elif request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers:
            response = _preflight()
        else:
            response = handler(request)
        response.vary = (*(response.vary or ()), "Origin")
        if origin in settings.cors_allow_origins:
            response.headers["Access-Control-Allow-Origin"] = origin
            response.headers["Access-Control-Allow-Credentials"] = "true"
            response.headers["Access-Control-Expose-Headers"] = EXPOSE_HEADERS
        return response

    return tween


def _preflight() -> Response:
    response = Response(status=204)
    response.headers["Access-Control-Allow-Methods"] = ALLOW_METHODS
    response.headers["Access-Control-Allow-Headers"] = ALLOW_HEADERS
    response.headers["Access-Control-Max-Age"] = str(MAX_AGE_SECONDS)
    return response
