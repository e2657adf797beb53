"""A bare Pyramid view: it reads the form and asks Redis once."""

from typing import Any

from pyramid.config import Configurator
from pyramid.request import Request

from . import one_script_call

touch = one_script_call()


def post_token(request: Request) -> dict[str, Any]:
    touch(request.POST["client_id"])
    request.response.status_int = 400
    return {"error": "authorization_pending"}


with Configurator() as config:
    config.add_route("token", "/token")
    config.add_view(post_token, route_name="token", request_method="POST", renderer="json")
    application = config.make_wsgi_app()
