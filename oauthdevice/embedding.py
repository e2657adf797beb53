"""The whole server inside an existing Pyramid application: `config.include("oauthdevice", route_prefix="/sign-in")`.

It stays an application of its own beneath that prefix, with its own sessions, policies and error
pages, so that neither gets in the way of the other.
"""

import configparser

from pyramid.config import Configurator
from pyramid.paster import get_appsettings
from pyramid.router import Router
from pyramid.security import NO_PERMISSION_REQUIRED
from pyramid.wsgi import wsgiapp, wsgiapp2

from .settings import Settings, SettingsError, read_settings

INI_FILE = "oauthdevice.ini_file"


def mount(config: Configurator, settings: Settings, app: Router) -> None:
    """Serve `app`, which has these settings, below the prefix of the include. Raises SettingsError."""
    prefix = "/" + (config.route_prefix or "").strip("/")
    if prefix == "/" or not settings.public_url.endswith(prefix):
        raise SettingsError("oauthdevice.public_url", "must end with the route_prefix of config.include")
    options = {"require_csrf": False, "permission": NO_PERMISSION_REQUIRED}
    config.add_route("oauthdevice", "/*subpath")
    config.add_view(wsgiapp2(app), route_name="oauthdevice", **options)
    # RFC 8414 §3.1: the metadata of an issuer with a path lies at the root, outside of our prefix, which
    # is that of this include alone.
    config.route_prefix = None
    for name in ("oauth-authorization-server", "openid-configuration"):
        config.add_route(f"oauthdevice_{name}", f"/.well-known/{name}{prefix}")
        config.add_view(wsgiapp(app), route_name=f"oauthdevice_{name}", **options)


def embedded_settings(config: Configurator) -> Settings:
    """What the settings of another application say of us, over those of the ini file that they name.

    Raises SettingsError.
    """
    own = dict(config.registry.settings)
    ini_file = own.pop(INI_FILE, None)
    return read_settings({**_taken_over(ini_file), **own}, ini_file)


def _taken_over(ini_file: str | None) -> dict[str, str]:
    if ini_file is None:
        return {}
    try:
        return dict(get_appsettings(ini_file))
    except (OSError, LookupError, configparser.Error) as error:
        raise SettingsError(INI_FILE, f"cannot be read: {' '.join(str(error).split())}") from error
