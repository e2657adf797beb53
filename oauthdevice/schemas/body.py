"""A request body as parameters: form or JSON, read strictly. Knows no parameter by name."""

import io
import json
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import unquote_to_bytes

import colander
from pyramid.request import Request
from pyramid.response import Response

from ..domain.errors import DomainError, InvalidRequest

BODY_MAX_BYTES = 16 * 1024
# How much of a longer body is read and dropped before it is refused.
DROPPED_MAX_BYTES = 1024 * 1024
# Where the tween puts the body into the environment.
BODY = "oauthdevice.body"
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
    """`pairs` through `schema`. Raises InvalidRequest, which names the parameter and never its value.

    Node by node, and of what is absent only the default is taken: a schema as a whole costs four times as much.
    """
    given: dict[str, Any] = {}
    for name, value in pairs:
        if value is None or value == "":
            continue
        if name in given and any(node.name == name for node in schema.children):
            raise InvalidRequest(f"Repeated parameter: {name}.")
        given[name] = value
    parameters: dict[str, Any] = {}
    for node in schema.children:
        name = node.name
        try:
            parameters[name] = node.deserialize(given[name]) if name in given else _default(node)
        except colander.Invalid as error:
            problem = "Malformed" if name in given else "Missing"
            raise InvalidRequest(f"{problem} parameter: {name}.") from error
    return parameters


def _default(node: colander.SchemaNode) -> Any:
    if node.missing is colander.required:
        raise colander.Invalid(node, "required")
    return node.missing


def read_body(request: Request) -> Sequence[tuple[str, Any]]:
    """The parameters of the body, repeated ones too. Raises as `validate_body` does."""
    body = request.environ[BODY]
    media_type = request.environ.get("CONTENT_TYPE", "")
    if media_type == FORM or (not media_type and not body):
        return _parse_form(body)
    if media_type == JSON:
        return _parse_json(body)
    raise UnsupportedMediaType()


def bounding_tween(handler: Callable[[Request], Response], _registry: Any) -> Callable[[Request], Response]:
    """A tween: no request reaches a view, nor a CSRF check, with a body beyond 16 KiB.

    What it has read lies in the environment as BODY. Whoever reads bodies besides us, the CSRF check, finds it
    too, and meets no charset and no multipart. Raises BodyTooLarge, UnsupportedMediaType, InvalidRequest.
    """

    def tween(request: Request) -> Response:
        environ = request.environ
        environ[BODY] = body = _read(environ)
        environ["wsgi.input"], environ["CONTENT_LENGTH"] = io.BytesIO(body), str(len(body))
        environ["webob.is_body_seekable"] = True
        # Case does not count, nor do parameters (RFC 9110 §8.3.1).
        media_type = environ.get("CONTENT_TYPE", "").partition(";")[0].strip().lower()
        if media_type.startswith("multipart/"):
            raise UnsupportedMediaType()
        environ["CONTENT_TYPE"] = media_type
        return handler(request)

    return tween


def _read(environ: dict[str, Any]) -> bytes:
    stated = environ.get("CONTENT_LENGTH") or ""
    if stated:
        if not (stated.isascii() and stated.isdecimal()):
            raise InvalidRequest("The Content-Length is no number.")
        # Of so many digits that Python would not read them, it is too large all the same.
        length = int(stated) if len(stated) < 20 else BODY_MAX_BYTES + 1
    elif "HTTP_TRANSFER_ENCODING" in environ or environ.get("wsgi.input_terminated"):
        # The WSGI server did not tell the length: read one byte more than is allowed, never all.
        length = BODY_MAX_BYTES + 1
    else:
        return b""
    if stated and length > BODY_MAX_BYTES:
        _drop(environ)
        raise BodyTooLarge()
    body = _read_some(environ, length)
    if len(body) > BODY_MAX_BYTES:
        _drop(environ)
        raise BodyTooLarge()
    if stated and len(body) < length:
        raise InvalidRequest("The body ended early.")
    return body


def _read_some(environ: dict[str, Any], length: int) -> bytes:
    try:
        body: bytes = environ["wsgi.input"].read(length)
    # Each WSGI server has errors of its own for chunks that are none and for clients that are gone; gunicorn's are
    # not even of OSError. None of them is a fault of ours.
    except Exception as error:
        raise InvalidRequest("The body cannot be read.", detail=type(error).__name__) from error
    return body


def _drop(environ: dict[str, Any]) -> None:
    """Read what the client is still sending: cut off in the middle, it, or its proxy, hears a reset and no answer."""
    dropped = 0
    while dropped < DROPPED_MAX_BYTES:
        chunk = _read_some(environ, BODY_MAX_BYTES)
        if not chunk:
            return
        dropped += len(chunk)


def _parse_form(body: bytes) -> Sequence[tuple[str, Any]]:
    """As urllib's parse_qsl, which takes four times as long for a poll."""
    parameters = body.split(b"&") if body else []
    if len(parameters) > _PARAMETERS_MAX:
        raise InvalidRequest("The form has too many parameters.")
    pairs = []
    try:
        for parameter in parameters:
            name, _, value = parameter.partition(b"=")
            if name or value:
                pairs.append((_decode(name), _decode(value)))
    except UnicodeDecodeError as error:
        raise InvalidRequest("The form is not valid UTF-8.") from error
    return pairs


def _decode(text: bytes) -> str:
    if b"+" in text:
        text = text.replace(b"+", b" ")
    return (unquote_to_bytes(text) if b"%" in text else text).decode()


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
