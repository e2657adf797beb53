"""Where a client finds us: the metadata of RFC 8414."""

from typing import Any
from urllib.parse import urlsplit

from pyramid.config import Configurator
from pyramid.request import Request

from ..domain import pkce
from ..domain.clients import Policy
from ..domain.dpop import ALGORITHMS
from ..domain.token_endpoint import DEVICE_GRANT, REFRESH_GRANT
from ..settings import Settings
from .service import OAuthService

# Many clients read only the second.
WELL_KNOWN = ("oauth-authorization-server", "openid-configuration")


def includeme(config: Configurator) -> None:
    settings: Settings = config.registry["oauthdevice.settings"]
    path = urlsplit(settings.public_url).path
    for name in WELL_KNOWN:
        add_document(config, name, f"/.well-known/{name}")
        if path:
            # RFC 8414 §3.1 puts the path of the issuer behind the well-known name.
            add_document(config, f"{name}_of_path", f"/.well-known/{name}{path}")


def add_document(config: Configurator, name: str, path: str) -> None:
    """One more address of the metadata document."""
    service = OAuthService(name, path)
    service.add_view("GET", get_metadata)
    config.add_cornice_service(service)


def get_metadata(request: Request) -> dict[str, Any]:
    """RFC 8414 §2. All addresses are built from `public_url`."""
    settings: Settings = request.options
    api = settings.public_url + settings.api_prefix
    clients = settings.clients.values()
    scopes = set(settings.scopes).union(*(client.scopes for client in clients))
    with_secret = ["client_secret_basic", "client_secret_post"]
    methods = ["none", *(with_secret if any(client.is_confidential for client in clients) else [])]
    grants = [DEVICE_GRANT, *([REFRESH_GRANT] if any(client.refresh for client in clients) else [])]
    metadata: dict[str, Any] = {
        "issuer": settings.public_url,
        "device_authorization_endpoint": f"{api}/oauth/device/code",
        "token_endpoint": f"{api}/oauth/device/token",
        "introspection_endpoint": f"{api}/oauth/introspect",
        "revocation_endpoint": f"{api}/oauth/revoke",
        # RFC 8414 §2 lets a server add its own: where its API tells a token's owner of themselves.
        "account_endpoint": f"{api}/account",
        "sessions_endpoint": f"{api}/account/sessions",
        "grant_types_supported": grants,
        # Required by RFC 8414 §2, and there is no authorization endpoint to answer any other type.
        "response_types_supported": ["none"],
        "scopes_supported": sorted(scopes),
        "token_endpoint_auth_methods_supported": methods,
        "introspection_endpoint_auth_methods_supported": with_secret,
        "revocation_endpoint_auth_methods_supported": methods,
    }
    if any(client.pkce is not Policy.OFF for client in clients):
        metadata["code_challenge_methods_supported"] = [pkce.METHOD]
    if any(client.dpop is not Policy.OFF for client in clients):
        metadata["dpop_signing_alg_values_supported"] = list(ALGORITHMS)
    return metadata
