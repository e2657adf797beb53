"""Sessions, introspection, revocation."""

import colander

from .fields import ClientId, ClientSecret, Field, PageLimit, PageNumber, Token


class _TokenRequest(colander.MappingSchema):
    token = Token()
    token_type_hint = Field(missing=None, validator=colander.Length(max=64))
    client_id = ClientId(missing=None)
    client_secret = ClientSecret(missing=None)


class _SessionsQuery(colander.MappingSchema):
    page = PageNumber(missing=1)
    limit = PageLimit(missing=100)


# RFC 7662 §2.1, RFC 7009 §2.1. The hint is read and not needed: a token tells its type.
token_request = _TokenRequest()
sessions_query = _SessionsQuery()
