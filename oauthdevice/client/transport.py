"""One request of a flow over httpx: bounded in time and size, never following a redirect."""

import asyncio
import logging
import ssl
import time
from typing import Any

import httpx

from .messages import Fault, Reply, Request

log = logging.getLogger("oauthdevice.client")

ANSWER_BYTES = 1024 * 1024
# Bounded answers are read as they come; a compressed one might unpack to anything.
_HEADERS = {"Accept-Encoding": "identity", "User-Agent": "oauthdevice"}
# How httpx calls itself where its client was given no name.
_HTTPX = "python-httpx/"
_TOO_LARGE = Fault(f"the answer is larger than {ANSWER_BYTES} bytes", lasting=True)
_TOO_SLOW = Fault("the server did not answer in time")


def send(http: httpx.Client, request: Request, timeout_seconds: float) -> Reply | Fault:
    """The reply, or what kept it away. No error of httpx gets out: its message may hold what was sent."""
    began = time.monotonic()
    outcome: Reply | Fault
    try:
        with http.stream(**_arguments(http.headers, request, timeout_seconds)) as response:
            body = bytearray(_read_already(response))
            for chunk in () if response.is_stream_consumed else response.iter_raw():
                body += chunk
                if len(body) > ANSWER_BYTES or time.monotonic() - began > 2 * timeout_seconds:
                    break
            outcome = _reply(response, bytes(body), time.monotonic() - began > 2 * timeout_seconds)
    except (httpx.HTTPError, httpx.InvalidURL, ssl.SSLError) as error:
        outcome = _fault(error)
    _tell(request, outcome, time.monotonic() - began)
    return outcome


async def send_async(http: httpx.AsyncClient, request: Request, timeout_seconds: float) -> Reply | Fault:
    """As `send`, without blocking."""
    began = time.monotonic()
    outcome: Reply | Fault
    try:
        async with (
            asyncio.timeout(2 * timeout_seconds),
            http.stream(**_arguments(http.headers, request, timeout_seconds)) as response,
        ):
            body = bytearray(_read_already(response))
            if not response.is_stream_consumed:
                async for chunk in response.aiter_raw():
                    body += chunk
                    if len(body) > ANSWER_BYTES:
                        break
            outcome = _reply(response, bytes(body), False)
    except (httpx.HTTPError, httpx.InvalidURL, ssl.SSLError) as error:
        outcome = _fault(error)
    except TimeoutError:
        outcome = _TOO_SLOW
    _tell(request, outcome, time.monotonic() - began)
    return outcome


def _arguments(client_headers: httpx.Headers, request: Request, timeout_seconds: float) -> dict[str, Any]:
    given = client_headers.get("User-Agent", _HTTPX)
    agent = {} if given.startswith(_HTTPX) else {"User-Agent": given}
    return {
        "method": request.method,
        "url": request.url,
        "data": dict(request.form) if request.form is not None else None,
        "json": request.json,
        "headers": {**_HEADERS, **agent, **request.headers},
        "timeout": timeout_seconds,
        # A redirect would take the secrets of the request elsewhere.
        "follow_redirects": False,
    }


def _read_already(response: httpx.Response) -> bytes:
    """What a transport (httpx.MockTransport) or a hook of the caller's client has read before us."""
    return response.content if response.is_stream_consumed else b""


def _reply(response: httpx.Response, body: bytes, too_slow: bool) -> Reply | Fault:
    if len(body) > ANSWER_BYTES:
        return _TOO_LARGE
    if too_slow:
        return _TOO_SLOW
    return Reply(response.status_code, {name.lower(): value for name, value in response.headers.items()}, body)


def _fault(error: Exception) -> Fault:
    if isinstance(error, httpx.TimeoutException):
        return _TOO_SLOW
    if isinstance(error, httpx.InvalidURL | httpx.UnsupportedProtocol):
        return Fault("this is no address", lasting=True)
    if isinstance(error, ssl.SSLCertVerificationError) or "CERTIFICATE_VERIFY_FAILED" in str(error):
        return Fault("the certificate of the server is not trusted", lasting=True)
    if isinstance(error, httpx.ConnectError):
        return Fault("no connection to the server")
    if isinstance(error, httpx.ProxyError):
        return Fault("the proxy refuses the connection")
    return Fault("the connection broke off")


def _tell(request: Request, outcome: Reply | Fault, seconds: float) -> None:
    """For `--debug`: nothing of a body, no header but the name that the server's log knows this request by."""
    if isinstance(outcome, Fault):
        told = outcome.reason
    else:
        told = f"{outcome.status} request id {outcome.headers.get('x-request-id', '-')[:128]!a}"
    log.debug("%s %s: %s (%d ms)", request.method, request.url, told, seconds * 1000)
