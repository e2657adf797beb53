"""`config.include("oauthdevice.bearer")`: our access tokens in any Pyramid application.

A view names the scope it needs as its permission, `permission="apps:run"`, or `ANY_SCOPE`;
`request.identity` is then a `Bearer`. `oauthdevice.ini_file` names the ini file of the server, whose
settings and `[scope:…]` sections are taken over; any `oauthdevice.` setting of the application's own
wins. The application shares the database and Redis of the server: a token that is revoked there is
refused here at once.
"""

from pyramid.config import Configurator
from pyramid.request import Request
from pyramid.response import Response

from .domain.bearers import Bearer
from .domain.errors import DomainError, InsufficientScope, InvalidToken, RateLimited, Unavailable
from .embedding import embedded_settings
from .security import ANY_SCOPE, BearerPolicy
from .views.errors import answer_json
from .wiring import build_services

__all__ = ["ANY_SCOPE", "Bearer", "BearerPolicy"]


def includeme(config: Configurator) -> None:
    """The policy and the answers to its refusals, built from `oauthdevice.*` settings. Raises SettingsError."""
    settings = embedded_settings(config)
    services = build_services(settings, own_url=settings.resource_url or settings.public_url)
    config.set_security_policy(BearerPolicy(services.bearers, services.scopes))
    for refusal in (InvalidToken, InsufficientScope, RateLimited, Unavailable):
        config.add_exception_view(_refused, context=refusal)


def _refused(error: DomainError, _request: Request) -> Response:
    return answer_json(error)
