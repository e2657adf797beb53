"""A request body as parameters: form or JSON, read strictly. Knows no parameter by name."""

import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qsl

import colander
from pyramid.events import NewRequest
from pyramid.request import Request

from ..domain.errors import DomainError, InvalidRequest

BODY_MAX_BYTES = 16 * 1024
# How much of a longer body is read and dropped before it is refused.
DROPPED_MAX_BYTES = 1024 * 1024
FORM = "application/x-www-form-urlencoded"
JSON = "application/json"
_PARAMETERS_MAX = 100


class UnsupportedMediaType(DomainError):
    """The body is neither a form nor JSON."""

    error = "invalid_request"
    description = "Send application/x-www-form-urlencoded or application/json."


class BodyTooLarge(DomainError):
    """The body is longer than 16 KiB."""

    error = "invalid_request"
    description = "The request body is too large."


def validate_body(request: Request, *, schema: colander.SchemaNode, **_: Any) -> None:
    """A Cornice validator: the body, through `schema`, in `request.validated`.

    Repeated parameters are refused, unknown ones ignored, empty ones count as absent (RFC 6749 §3.2).
    Raises InvalidRequest, UnsupportedMediaType.
    """
    request.validated = deserialise(schema, read_body(request))


def validate_query(request: Request, *, schema: colander.SchemaNode, **_: Any) -> None:
    """As `validate_body`, for the query string of a GET."""
    request.validated = deserialise(schema, read_query(request))


def read_query(request: Request) -> Sequence[tuple[str, Any]]:
    """The parameters of the query string, repeated ones too. Raises InvalidRequest."""
    return _parse_form(request.environ.get("QUERY_STRING", "").encode("latin-1"))


def deserialise(schema: colander.SchemaNode, pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """`pairs` through `schema`. Raises InvalidRequest, which names the parameter and never its value."""
    known = {node.name for node in schema.children}
    parameters: dict[str, Any] = {}
    for name, value in pairs:
        if name not in known or value is None or value == "":
            continue
        if name in parameters:
            raise InvalidRequest(f"Repeated parameter: {name}.")
        parameters[name] = value
    try:
        return schema.deserialize(parameters)
    except colander.Invalid as error:
        name = sorted(error.asdict())[0]
        problem = "Malformed" if name in parameters else "Missing"
        raise InvalidRequest(f"{problem} parameter: {name}.") from error


def read_body(request: Request) -> Sequence[tuple[str, Any]]:
    """The parameters of the body, repeated ones too. Raises as `validate_body` does."""
    body = request.body
    media_type = media_type_of(request)
    if media_type == JSON:
        return _parse_json(body)
    if media_type == FORM or (not media_type and not body):
        return _parse_form(body)
    raise UnsupportedMediaType()


def media_type_of(request: Request) -> str:
    """The media type of the body without its parameters; case does not count (RFC 9110 §8.3.1)."""
    return str(request.content_type or "").lower()


def bound_body(event: NewRequest) -> None:
    """A subscriber: no request reaches a view, nor a CSRF check, with a body beyond 16 KiB.

    Raises BodyTooLarge.
    """
    request = event.request
    if request.content_length is None and "HTTP_TRANSFER_ENCODING" in request.environ:
        # The WSGI server did not tell the length: read one byte more than is allowed, never all.
        request.body = request.environ["wsgi.input"].read(BODY_MAX_BYTES + 1)
    if (request.content_length or 0) > BODY_MAX_BYTES:
        _drop(request)
        raise BodyTooLarge()
    # What parses a body besides us, the CSRF check, is to meet no charset and no multipart.
    media_type = media_type_of(request)
    if media_type.startswith("multipart/"):
        raise UnsupportedMediaType()
    if media_type:
        request.environ["CONTENT_TYPE"] = media_type


def _drop(request: Request) -> None:
    """Read what the client is still sending: cut off in the middle, it, or its proxy, hears a reset and no answer."""
    dropped = 0
    while dropped < DROPPED_MAX_BYTES:
        chunk = request.environ["wsgi.input"].read(BODY_MAX_BYTES)
        if not chunk:
            return
        dropped += len(chunk)


def _parse_form(body: bytes) -> Sequence[tuple[str, Any]]:
    try:
        pairs = parse_qsl(
            body.decode("utf-8"),
            keep_blank_values=True,
            encoding="utf-8",
            errors="strict",
            max_num_fields=_PARAMETERS_MAX,
        )
    except ValueError as error:
        raise InvalidRequest("The form is not valid UTF-8 or has too many parameters.") from error
    return pairs


def _parse_json(body: bytes) -> Sequence[tuple[str, Any]]:
    try:
        parsed = json.loads(body.decode("utf-8"), object_pairs_hook=_Pairs, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest("The body is not valid JSON.") from error
    if not isinstance(parsed, _Pairs):
        raise InvalidRequest("The body is not a JSON object.")
    return parsed


class _Pairs(list[tuple[str, Any]]):
    """The members of a JSON object in order: a dict would hide repeated ones."""


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
