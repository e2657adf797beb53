"""For load balancers and monitoring: is the process there, can it work, what did it do?

No part of the API, and so not in the OpenAPI document.
"""

from typing import Any

from pyramid.config import Configurator
from pyramid.httpexceptions import HTTPMethodNotAllowed
from pyramid.request import Request
from pyramid.response import Response

from ..metrics import CONTENT_TYPE, exposition


def includeme(config: Configurator) -> None:
    views = {"healthz": get_health, "readyz": get_readiness}
    if config.registry["oauthdevice.settings"].metrics:
        views["metrics"] = get_metrics
    for name, view in views.items():
        config.add_route(name, f"/{name}")
        config.add_view(view, route_name=name, request_method="GET", renderer="json")
        config.add_view(refuse_method, route_name=name, require_csrf=False)


def get_health(_: Request) -> dict[str, str]:
    """This process answers. Nothing else is asked: one that waits for a database is not to be killed."""
    return {"status": "ok"}


def get_readiness(request: Request) -> dict[str, Any]:
    """The database, at our migration, and Redis answer, so requests may come; 503 where they do not."""
    parts = request.heartbeat.parts()
    ready = all(parts.values())
    if not ready:
        request.response.status_int = 503
        request.response.headers["Retry-After"] = "5"
    return {"status": "ok" if ready else "unavailable", **{name: "ok" if up else "away" for name, up in parts.items()}}


def get_metrics(_: Request) -> Response:
    """Prometheus' text format."""
    response = Response(body=exposition())
    response.headers["Content-Type"] = CONTENT_TYPE
    return response


def refuse_method(_: Request) -> Response:
    """Any method but GET and HEAD."""
    error = HTTPMethodNotAllowed()
    error.allow = ("GET", "HEAD")
    raise error
