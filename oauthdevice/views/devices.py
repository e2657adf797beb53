"""The devices of the account that is signed in: look at them, name them, end them.

Nobody but an account has these pages: a person whom an identity provider vouches for is known here for one
decision alone.
"""

from typing import Any

from pyramid.config import Configurator
from pyramid.request import Request

from ..domain.errors import InvalidRequest, LoginRequired
from ..domain.subjects import Account
from ..schemas.body import deserialise, read_body, read_query
from ..schemas.devices import action_form, name_form, page_query
from .pages import Answer, go, refuse_method, sign_in_first

# What has just been done, for the next page to tell.
_DONE = "devices"


def includeme(config: Configurator) -> None:
    template = "oauthdevice:templates/{}.html.jinja2"
    config.add_route("devices", "/devices")
    config.add_view(show_devices, route_name="devices", request_method="GET", renderer=template.format("devices"))
    config.add_route("device", "/devices/{id:[0-9a-f-]{36}}")
    config.add_view(show_device, route_name="device", request_method="GET", renderer=template.format("device"))
    config.add_view(post_device, route_name="device", request_method="POST", renderer=template.format("device"))
    for name in ("devices", "device"):
        config.add_view(refuse_method, route_name=name, require_csrf=False)


def show_devices(request: Request) -> Answer:
    """A page of them, newest first."""
    number = deserialise(page_query, read_query(request))["page"]
    if request.account is None:
        return sign_in_first(request)
    page = request.devices.page(request.account, number, request.remote_addr or "")
    if page.page > page.pages:
        # What stood there was ended meanwhile.
        return go(request, f"/devices?page={page.pages}")
    return {"account": request.account, "page": page, "done": _just_done(request)}


def show_device(request: Request) -> Answer:
    """All that is known of one, and what may be done about it."""
    if request.account is None:
        return sign_in_first(request)
    return _device_page(request, request.account)


def post_device(request: Request) -> Answer:
    """Rename it, end it, or end all others."""
    parameters = read_body(request)
    action = deserialise(action_form, parameters)["action"]
    account: Account | None = request.account
    if account is None:
        # Who pressed a button must hear that it did nothing.
        sign_in_first(request)
        raise LoginRequired()
    device_id, address = request.matchdict["id"], request.remote_addr or ""
    if action == "rename":
        try:
            name = deserialise(name_form, parameters)["name"]
        except InvalidRequest:
            return _device_page(request, account, problem="name", status=400)
        request.devices.rename(device_id, account, name)
        request.session.flash({"did": "rename"}, _DONE)
        return go(request, f"/devices/{device_id}")
    if action == "end":
        request.devices.end(device_id, account, address)
        request.session.flash({"did": "end", "count": 1}, _DONE)
    else:
        ended = request.devices.end_others(device_id, account, address)
        request.session.flash({"did": "end", "count": ended}, _DONE)
    return go(request, "/devices")


def _device_page(request: Request, account: Account, problem: str = "", status: int = 200) -> dict[str, Any]:
    device = request.devices.one(request.matchdict["id"], account, request.remote_addr or "")
    request.response.status_int = status
    return {
        "account": account,
        "device": device,
        "others": request.devices.others(account),
        "problem": problem,
        "done": _just_done(request),
    }


def _just_done(request: Request) -> dict[str, Any] | None:
    """What the form before this page did, told once."""
    done: list[dict[str, Any]] = request.session.pop_flash(_DONE) if request.session.peek_flash(_DONE) else []
    return done[-1] if done else None
