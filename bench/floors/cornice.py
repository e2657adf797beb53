"""A plain Cornice service with a colander schema, as Cornice's documentation writes one: it asks Redis once."""

from typing import Any

import colander
from cornice import Service
from cornice.validators import colander_body_validator
from pyramid.config import Configurator
from pyramid.request import Request

from . import one_script_call

touch = one_script_call()
token = Service("token", "/token")


class TokenRequest(colander.MappingSchema):
    grant_type = colander.SchemaNode(colander.String())
    device_code = colander.SchemaNode(colander.String())
    client_id = colander.SchemaNode(colander.String())


@token.post(
    schema=TokenRequest(),
    validators=(colander_body_validator,),
    content_type=("application/json", "application/x-www-form-urlencoded"),
)
def post_token(request: Request) -> dict[str, Any]:
    touch(request.validated["client_id"])
    request.response.status_int = 400
    return {"error": "authorization_pending"}


with Configurator() as config:
    config.include("cornice")
    config.add_cornice_service(token)
    application = config.make_wsgi_app()
