"""Where the link of a mail leads: a page with one button, which ends one device without a sign-in.

To open the link changes nothing: mail scanners do, and browsers that fetch ahead. Its token moves into the browser
session at once, so that it leaves the address bar, and stays when the page is read in another language.
"""

from pyramid.config import Configurator
from pyramid.request import Request

from ..domain.errors import DomainError
from ..domain.undo import UndoMalformed
from ..schemas.body import deserialise, read_query
from ..schemas.devices import undo_query
from .pages import Answer, go, refuse_method

_TOKEN = "undo"  # noqa: S105
_UNDONE = "undone"


def includeme(config: Configurator) -> None:
    template = "oauthdevice:templates/{}.html.jinja2"
    config.add_route("undo", "/devices/undo")
    config.add_view(show_undo, route_name="undo", request_method="GET", renderer=template.format("undo"))
    config.add_view(post_undo, route_name="undo", request_method="POST")
    config.add_route("undone", "/devices/undone")
    config.add_view(show_undone, route_name="undone", request_method="GET", renderer=template.format("undone"))
    for name in ("undo", "undone"):
        config.add_view(refuse_method, route_name=name, require_csrf=False)


def show_undo(request: Request) -> Answer:
    """What the link would end, and the button that does."""
    given = deserialise(undo_query, read_query(request))["token"]
    token = given or request.session.get(_TOKEN)
    if not token:
        raise UndoMalformed()
    device = request.undo.device(token, request.remote_addr or "")
    if given:
        request.session[_TOKEN] = given
        return go(request, "/devices/undo")
    return {"account": request.account, "device": device}


def post_undo(request: Request) -> Answer:
    """End it."""
    token = request.session.get(_TOKEN)
    if not token:
        raise UndoMalformed()
    try:
        device = request.undo.end(token, request.remote_addr or "")
    except DomainError:
        # Kept, it would stand in the way of the next link.
        request.session.pop(_TOKEN)
        raise
    request.session.pop(_TOKEN)
    request.session[_UNDONE] = device.client_name
    return go(request, "/devices/undone")


def show_undone(request: Request) -> Answer:
    """That it has ended, and what to do next."""
    client_name = request.session.get(_UNDONE)
    if client_name is None:
        return go(request, "/devices")
    return {"account": request.account, "client_name": client_name}
