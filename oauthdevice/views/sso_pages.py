"""What people see of the SSO branch: the way to their identity provider, and what came of it."""

import json

from pyramid.config import Configurator
from pyramid.request import Request
from pyramid.response import Response

from ..schemas.body import deserialise, read_body, read_query
from ..schemas.sso import sso_login_form, sso_login_query
from .pages import Answer, go, login_page, refuse_method, waiting_code
from .sso import begin_sign_in

_EMAIL = "sso_email"
# A cookie holds 4 KiB, written in ASCII: who has an address that long (RFC 5321 §4.5.3.1.3 knows none) types it again
# at the provider.
_EMAIL_MAX_BYTES = 400


def includeme(config: Configurator) -> None:
    config.add_route("sso_login", "/login/sso")
    config.add_view(leave, route_name="sso_login", request_method="GET")
    template = "oauthdevice:templates/{}.html.jinja2"
    config.add_view(post_email, route_name="sso_login", request_method="POST", renderer=template.format("sso_continue"))
    config.add_view(refuse_method, route_name="sso_login", require_csrf=False)


def leave(request: Request) -> Response:
    """To the provider, for the code that this browser has entered. A link, so that no form is sent elsewhere."""
    user_code = waiting_code(request)
    if user_code is None:
        return go(request, "/device")
    query = deserialise(sso_login_query, read_query(request))
    hint = request.session.pop(_EMAIL, "")
    return begin_sign_in(request, user_code, query["provider"], hint, again=query["again"] == "1")


def post_email(request: Request) -> Answer:
    """The provider of an e-mail's domain, as a page that goes on by itself.

    A redirect of a form to another host is what our own policy (`form-action`) forbids.
    """
    email = deserialise(sso_login_form, read_body(request))["email"]
    provider = request.sso.provider_of(email)
    if provider is None:
        request.override_renderer = "oauthdevice:templates/login.html.jinja2"
        return login_page(request, sso_email=email, problem="no_provider", status=404)
    if len(json.dumps(email)) <= _EMAIL_MAX_BYTES:
        request.session[_EMAIL] = email.strip()
    return {"account": None, "provider": provider}
