"""The original paths, bound to the same handlers; mounted by `oauthdevice.legacy_mounts = on`."""

from pyramid.config import Configurator

from . import account, tokens
from .service import OAuthService

# Path -> the service that answers there too.
MOUNTS: dict[str, OAuthService] = {
    "/v1/oauth/device/code": account.device_code,
    "/v1/oauth/device/token": account.device_token,
    "/v1/oauth/device/lookup": account.device_lookup,
    "/console/api/oauth/device/approve": account.device_approve,
    "/console/api/oauth/device/deny": account.device_deny,
    "/v1/me": tokens.account,
    "/v1/oauth/authorizations/self": tokens.own_session,
}


def includeme(config: Configurator) -> None:
    for path, service in MOUNTS.items():
        config.add_cornice_service(service.at(f"legacy_{service.name}", path))
