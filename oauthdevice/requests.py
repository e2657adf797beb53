"""The class of our requests, made once at the start.

Pyramid makes a class anew for each request that `add_request_method` gave a property, and Cornice sends each
through a subscriber: together a fifth of a poll. Both are done here once, for all.
"""

from typing import Any

from cornice import wrap_request
from cornice.errors import Errors
from pyramid.config import Configurator
from pyramid.decorator import reify
from pyramid.interfaces import IRequestExtensions, IRequestFactory
from pyramid.request import Request


class OAuthRequest(Request):
    """What Cornice's views expect of every request. Its filters and its CORS are not ours."""

    @reify
    def validated(self) -> dict[str, Any]:
        return {}

    @reify
    def errors(self) -> Errors:
        return Errors()

    @reify
    def info(self) -> dict[str, Any]:
        return {}


def settle(config: Configurator) -> None:
    """After all includes, and before the application is made: no property of requests is added any more."""
    config.commit()
    registry = config.registry
    for one in list(registry.registeredHandlers()):
        if getattr(one.handler, "__wrapped__", None) is wrap_request:
            registry.unregisterHandler(one.handler, one.required)
    # Pyramid looks for subscribers four times in each request, unless it knows that there are none.
    registry.has_listeners = bool(list(registry.registeredHandlers()))
    extensions = registry.getUtility(IRequestExtensions)
    kind = type("OAuthRequest", (OAuthRequest,), {**extensions.methods, **extensions.descriptors})
    registry.registerUtility(kind, IRequestFactory)
    registry.unregisterUtility(extensions, IRequestExtensions)
