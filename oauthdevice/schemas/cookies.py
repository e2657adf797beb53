"""Cookies as a browser sends them: ours, and those of whatever else lives on this host."""

from collections.abc import Callable
from typing import Any

from pyramid.request import Request
from pyramid.response import Response


def readable_tween(handler: Callable[[Request], Response], _registry: Any) -> Callable[[Request], Response]:
    """A tween: a cookie that is no UTF-8 is none. WebOb would raise at whoever looks for any other."""

    def tween(request: Request) -> Response:
        header = request.environ.get("HTTP_COOKIE")
        if header and not _is_readable(header):
            kept = "; ".join(part for part in header.split(";") if _is_readable(part))
            # Where quotes hold what divides them, parts that can be read may make a whole that cannot.
            request.environ["HTTP_COOKIE"] = kept if _is_readable(kept) else ""
        return handler(request)

    return tween


def _is_readable(header: str) -> bool:
    try:
        len(Request({"HTTP_COOKIE": header}).cookies)
    except UnicodeDecodeError:
        return False
    return True
