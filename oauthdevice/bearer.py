"""`config.include("oauthdevice.bearer")`: our access tokens in any Pyramid application.

A view names the scope it needs as its permission, `permission="apps:run"`, or `ANY_SCOPE`;
`request.identity` is then a `Bearer`. Needs the settings `oauthdevice.public_url`,
`oauthdevice.database_url`, `oauthdevice.redis_url` and `oauthdevice.secret` of the server, and shares
its database and Redis: a token that is revoked there is refused here at once.
"""

from pyramid.config import Configurator
from pyramid.request import Request
from pyramid.response import Response

from .domain.bearers import Bearer
from .domain.errors import DomainError, InsufficientScope, InvalidToken, RateLimited, Unavailable
from .security import ANY_SCOPE, BearerPolicy
from .settings import read_settings
from .views.errors import answer_json
from .wiring import build_services

__all__ = ["ANY_SCOPE", "Bearer", "BearerPolicy"]


def includeme(config: Configurator) -> None:
    """The policy and the answers to its refusals, built from `oauthdevice.*` settings. Raises SettingsError."""
    options = config.registry.settings
    settings = read_settings(options, options.get("__file__"))
    services = build_services(settings)
    config.set_security_policy(BearerPolicy(services.bearers, services.scopes))
    for refusal in (InvalidToken, InsufficientScope, RateLimited, Unavailable):
        config.add_exception_view(_refused, context=refusal)


def _refused(error: DomainError, _request: Request) -> Response:
    return answer_json(error)
