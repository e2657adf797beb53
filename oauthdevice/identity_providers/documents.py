"""JSON documents of identity providers: fetched with a timeout, kept for a while."""

import io
import json
import re
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Generic, TypeGuard, TypeVar
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter

from ..domain.ports import Clock

Document = dict[str, Any]
T = TypeVar("T")
S = TypeVar("S", bound=requests.Session)

ANSWER_MAX_BYTES = 1024 * 1024

# How long a document is taken for what it was.
FRESH = timedelta(hours=1)


class Unreachable(Exception):
    """A provider did not answer in time, or answered what it should not. The text is for the log."""


def cause(error: Exception) -> str:
    """The kind of an error, for the log. Not its text, which may quote a code, a token or a stranger."""
    parts = (type(error).__name__, getattr(error, "error", None), getattr(error, "claim", None))
    return " ".join(part for part in parts if isinstance(part, str) and part.isprintable() and 0 < len(part) <= 64)


class BoundedAdapter(HTTPAdapter):
    """No answer takes more than `seconds` after its first byte, however it drips, nor is longer than ANSWER_MAX_BYTES.

    The time-outs of requests count anew at each read.
    """

    def __init__(self, seconds: int) -> None:
        super().__init__()
        self._seconds = seconds

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        response = super().send(request, *args, **{**kwargs, "stream": True})
        deadline, body = time.monotonic() + self._seconds, b""
        while part := response.raw.read1(decode_content=True):
            body += part
            if len(body) > ANSWER_MAX_BYTES or time.monotonic() > deadline:
                response.close()
                raise requests.exceptions.ReadTimeout("the answer is too long, or too long in coming")
        response.raw = io.BytesIO(body)
        return response


def bounded(session: S, seconds: int) -> S:
    """The session, all of whose answers are bounded."""
    for scheme in ("https://", "http://"):
        session.mount(scheme, BoundedAdapter(seconds))
    return session


def fetch(url: str, timeout_seconds: int, *, posted: Document | None = None) -> Document:
    """The JSON object at an address, or the answer to the one `posted` there. Raises Unreachable.

    No redirect is followed: an address that moved is to be declared anew.
    """
    method = "GET" if posted is None else "POST"
    headers = {"Accept": "application/json"}
    try:
        with bounded(requests.Session(), timeout_seconds) as session:
            answer = session.request(
                method, url, json=posted, headers=headers, timeout=timeout_seconds, allow_redirects=False
            )
        document = answer.json() if answer.status_code == requests.codes.ok else None
    except (requests.RequestException, ValueError, RecursionError) as error:
        raise Unreachable(f"{method} {url}: {cause(error)}") from error
    if not isinstance(document, dict):
        raise Unreachable(f"{method} {url}: status {answer.status_code} or no JSON object")
    return document


def is_address(found: object, *, secure_as: str) -> TypeGuard[str]:
    """True for an absolute address: of https, or of http where the declared address `secure_as` is."""
    schemes = ("https://",) if secure_as.startswith("https:") else ("https://", "http://")
    if not isinstance(found, str) or not found.startswith(schemes) or not re.fullmatch(r"[\x21-\x7e]+", found):
        return False
    try:
        return bool(urlsplit(found).hostname)
    except ValueError:
        return False


def read_file(path: str) -> Document:
    """The JSON object in a file. Raises Unreachable."""
    try:
        document = json.loads(Path(path).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise Unreachable(f"{path}: {cause(error)}") from error
    if not isinstance(document, dict):
        raise Unreachable(f"{path}: no JSON object")
    return document


class Kept(Generic[T]):
    """What `load` gave, for an hour. `load` may raise Unreachable."""

    def __init__(self, load: Callable[[], T], clock: Clock) -> None:
        self._load = load
        self._clock = clock
        self._kept: tuple[T, datetime] | None = None

    def get(self) -> T:
        """What is kept, or loaded where nothing is. Raises Unreachable."""
        kept = self._kept
        if kept is not None and self._clock() - kept[1] < FRESH:
            return kept[0]
        return self.renewed()

    def renewed(self) -> T:
        """What is loaded now, and kept from now on. Raises Unreachable."""
        loaded = self._load()
        self._kept = (loaded, self._clock())
        return loaded
