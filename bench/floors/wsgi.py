"""A bare WSGI callable: it reads the form and asks Redis once."""

import json
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import parse_qs

from . import one_script_call

touch = one_script_call()


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    form = parse_qs(environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)).decode())
    touch(form["client_id"][0])
    body = json.dumps({"error": "authorization_pending"}).encode()
    start_response("400 Bad Request", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
