"""The original paths, bound to the same handlers; mounted by `oauthdevice.legacy_mounts = on`."""

from pyramid.config import Configurator

from ..settings import Settings
from . import account, sso, tokens
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
# As MOUNTS, where SSO is on.
SSO_MOUNTS: dict[str, OAuthService] = {
    "/v1/oauth/device/sso-initiate": sso.sso_initiate,
    "/v1/device/sso-complete": sso.sso_complete,
    "/v1/oauth/device/approval-context": sso.approval_context,
    "/v1/oauth/device/approve-external": sso.approve_external,
}


def includeme(config: Configurator) -> None:
    settings: Settings = config.registry["oauthdevice.settings"]
    for path, service in {**MOUNTS, **(SSO_MOUNTS if settings.has_sso else {})}.items():
        config.add_cornice_service(service.at(f"legacy_{service.name}", path))
