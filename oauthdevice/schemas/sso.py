"""One schema per service of the SSO branch."""

import colander

from .fields import Field, UserCode


class _InitiateRequest(colander.MappingSchema):
    # A missing code is told like a wrong one.
    user_code = UserCode(missing="")
    provider = Field(missing=None, validator=colander.Length(max=32))


class _Answer(colander.MappingSchema):
    state = Field(missing=None, validator=colander.Length(max=256))
    code = Field(missing=None, validator=colander.Length(max=4096))
    error = Field(missing=None, validator=colander.Length(max=128))
    iss = Field(missing=None, validator=colander.Length(max=1024))
    sso_assertion = Field(missing=None, validator=colander.Length(max=8192))


class _LoginQuery(colander.MappingSchema):
    provider = Field(missing=None, validator=colander.Length(max=32))
    again = Field(missing="", validator=colander.Length(max=1))


class _LoginForm(colander.MappingSchema):
    email = Field(missing="", validator=colander.Length(max=320))


initiate_request = _InitiateRequest()
# RFC 6749 §4.1.2 with the issuer of RFC 9207, or the assertion of a broker.
provider_answer = _Answer()
sso_login_query = _LoginQuery()
sso_login_form = _LoginForm()
