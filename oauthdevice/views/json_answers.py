"""JSON as an answer, success or error."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import orjson
from pyramid.response import Response

_STATUS_LINES = {one.value: f"{one.value} {one.phrase}" for one in HTTPStatus}


def json_answer(status: int, members: Mapping[str, Any]) -> Response:
    """`members` as an object of JSON, in UTF-8."""
    body = orjson.dumps(members)
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
    return Response(app_iter=[body], status=_STATUS_LINES[status], headerlist=headers)
