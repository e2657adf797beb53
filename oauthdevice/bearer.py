"""`config.include("oauthdevice.bearer")`: our access tokens in any Pyramid application.

A view names the scope it needs as its permission, `permission="apps:run"`, or `ANY_SCOPE`;
`request.identity` is then a `Bearer`. `oauthdevice.ini_file` names the ini file of the server, whose
settings and `[scope:…]` sections are taken over; any `oauthdevice.` setting of the application's own
wins. The application shares the database and Redis of the server: a token that is revoked there is
refused here at once.
"""

import configparser

from pyramid.config import Configurator
from pyramid.paster import get_appsettings
from pyramid.request import Request
from pyramid.response import Response

from .domain.bearers import Bearer
from .domain.errors import DomainError, InsufficientScope, InvalidToken, RateLimited, Unavailable
from .security import ANY_SCOPE, BearerPolicy
from .settings import SettingsError, read_settings
from .views.errors import answer_json
from .wiring import build_services

__all__ = ["ANY_SCOPE", "Bearer", "BearerPolicy"]

INI_FILE = "oauthdevice.ini_file"


def includeme(config: Configurator) -> None:
    """The policy and the answers to its refusals, built from `oauthdevice.*` settings. Raises SettingsError."""
    own = dict(config.registry.settings)
    ini_file = own.pop(INI_FILE, None)
    settings = read_settings({**_taken_over(ini_file), **own}, ini_file)
    services = build_services(settings)
    config.set_security_policy(BearerPolicy(services.bearers, services.scopes))
    for refusal in (InvalidToken, InsufficientScope, RateLimited, Unavailable):
        config.add_exception_view(_refused, context=refusal)


def _taken_over(ini_file: str | None) -> dict[str, str]:
    if ini_file is None:
        return {}
    try:
        return dict(get_appsettings(ini_file))
    except (OSError, LookupError, configparser.Error) as error:
        raise SettingsError(INI_FILE, f"cannot be read: {' '.join(str(error).split())}") from error


def _refused(error: DomainError, _request: Request) -> Response:
    return answer_json(error)
