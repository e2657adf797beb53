"""For load balancers and monitoring: is the process there, can it work, what did it do?"""

from typing import Any

from pyramid.config import Configurator
from pyramid.request import Request
from pyramid.response import Response

from ..metrics import CONTENT_TYPE, exposition
from .service import OAuthService

healthz = OAuthService("healthz", "/healthz")
readyz = OAuthService("readyz", "/readyz")
metrics = OAuthService("metrics", "/metrics")


def includeme(config: Configurator) -> None:
    for service in (healthz, readyz):
        config.add_cornice_service(service)
    if config.registry["oauthdevice.settings"].metrics:
        config.add_cornice_service(metrics)


@healthz.get()
def get_health(_: Request) -> dict[str, str]:
    """This process answers. Nothing else is asked: one that waits for a database is not to be killed."""
    return {"status": "ok"}


@readyz.get()
def get_readiness(request: Request) -> dict[str, Any]:
    """The database and Redis answer, so requests may come; 503 where they do not."""
    parts = request.heartbeat.parts()
    ready = all(parts.values())
    if not ready:
        request.response.status_int = 503
        request.response.headers["Retry-After"] = "5"
    return {"status": "ok" if ready else "unavailable", **{name: "ok" if up else "away" for name, up in parts.items()}}


@metrics.get()
def get_metrics(_: Request) -> Response:
    """Prometheus' text format."""
    response = Response(body=exposition())
    response.headers["Content-Type"] = CONTENT_TYPE
    return response
