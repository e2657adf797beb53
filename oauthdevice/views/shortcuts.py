"""A short way to the busiest routes: past Pyramid's routing, traversal and view lookup, and Cornice's wrapper.

Between them, those take an eighth of the instructions of a poll, to find for each request what is known since the
start. It is a tween, the innermost: whatever else surrounds a request does so here too.
"""

from collections.abc import Callable
from typing import Any

from pyramid.config import Configurator
from pyramid.interfaces import IRoutesMapper, ISecurityPolicy
from pyramid.request import Request
from pyramid.response import Response
from pyramid.tweens import MAIN

from ..domain.errors import DomainError
from .errors import tell
from .service import OAuthService

Handler = Callable[[Request], Response]


def includeme(config: Configurator) -> None:
    config.add_tween(
        "oauthdevice.views.shortcuts.shortcut_tween_factory", under="oauthdevice.schemas.body.bounding_tween", over=MAIN
    )


def shortcut_tween_factory(handler: Handler, registry: Any) -> Handler:
    """Answers the routes of every OAuthService that is `busy`; leaves every other request alone."""
    routes = registry.getUtility(IRoutesMapper)
    policy = registry.getUtility(ISecurityPolicy)
    busy = [one for one in registry.cornice_services.values() if isinstance(one, OAuthService) and one.busy]
    views: dict[tuple[str, str], tuple[Any, Handler]] = {}
    for service in busy:
        route = routes.get_route(service.name)
        for method, view, arguments in service.definitions:
            views[method, f"/{route.path.lstrip('/')}"] = route, _view(view, arguments, policy)

    def tween(request: Request) -> Response:
        environ = request.environ
        found = views.get((environ["REQUEST_METHOD"], environ.get("PATH_INFO", "")))
        if found is None:
            return handler(request)
        request.matched_route, view = found
        return view(request)

    return tween


def _view(view: Callable[[Request], Any], arguments: dict[str, Any], policy: Any) -> Handler:
    """What Pyramid and Cornice make of `view`, as far as a busy one needs it."""
    permission, validators = arguments.get("permission"), arguments["validators"]
    schema = arguments.get("schema")

    def answer(request: Request) -> Response:
        try:
            if permission is not None:
                policy.permits(request, None, permission)
            for validator in validators:
                validator(request, schema=schema)
        except DomainError as error:
            return tell(error, request)
        return view(request)

    return answer
