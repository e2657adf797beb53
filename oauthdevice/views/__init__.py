"""HTTP in, HTTP out: read what was validated, call one service, shape the answer."""

import logging

from pyramid.config import Configurator

from ..settings import Settings

log = logging.getLogger(__name__)


def includeme(config: Configurator) -> None:
    """The JSON services under the API prefix, the metadata and the pages at the root."""
    settings: Settings = config.registry["oauthdevice.settings"]
    config.include(".account", route_prefix=settings.api_prefix)
    config.include(".tokens", route_prefix=settings.api_prefix)
    if settings.has_sso:
        config.include(".sso", route_prefix=settings.api_prefix)
        config.include(".sso_pages")
    if settings.legacy_mounts:
        config.include(".legacy")
    config.include(".metadata")
    config.include(".heartbeat")
    config.include(".openapi")
    config.include(".pages")
    config.include(".consent")
    config.include(".devices")
    config.include(".undo")
    if settings.has_passkeys:
        config.include(".passkeys")
    elif settings.passkeys:
        log.info("no passkeys: %s", settings.why_no_passkeys)
    config.include(".reports")
    config.include(".errors")
    config.include(".shortcuts")
