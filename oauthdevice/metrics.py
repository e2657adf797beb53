"""What Prometheus is told, at `/metrics`: numbers of this server, right across worker processes.

With several processes, PROMETHEUS_MULTIPROC_DIR names an empty folder that they share; `gunicorn_server` makes it. No
label comes from a stranger: clients are those declared, routes and errors are ours.
"""

import os
import time
from collections.abc import Iterable
from functools import cache
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from pyramid.request import Request
from pyramid.response import Response

from .domain.audit import AuditEvent, Event
from .domain.errors import StoreUnavailable
from .domain.rate_limits import DEFAULT_LIMITS

CONTENT_TYPE = CONTENT_TYPE_LATEST

EVENTS = Counter("oauthdevice_events_total", "Audited events.", ["event", "client_id"])
ANSWERS = Counter("oauthdevice_answers_total", "Answers; error is empty for a success.", ["route", "status", "error"])
FAULTS = Counter("oauthdevice_faults_total", "Requests that ended in a fault of ours.")
REQUEST_SECONDS = Histogram(
    "oauthdevice_request_seconds",
    "How long an answer took.",
    ["route"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
REFUSALS = Counter("oauthdevice_limit_refusals_total", "Requests that a limit refused.", ["limit"])
CODE_TO_TOKEN_SECONDS = Histogram(
    "oauthdevice_code_to_token_seconds",
    "From the codes to the token.",
    ["client_id"],
    buckets=(5, 10, 20, 30, 60, 120, 300, 600, 900, 1800),
)
STORE_SECONDS = Histogram(
    "oauthdevice_store_seconds",
    "How long Redis, the database or an identity provider took.",
    ["store", "method"],
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
STORE_FAILURES = Counter("oauthdevice_store_failures_total", "Calls that found a store away.", ["store"])


class Meter:
    """See `oauthdevice.domain.ports.Meter`. `clients` are the ids of those declared."""

    def __init__(self, clients: Iterable[str] = ()) -> None:
        # What first appears as 1 has not grown, as Prometheus sees it: so everything appears as 0.
        for client_id in ("", *clients):
            for event in Event:
                EVENTS.labels(event.value, client_id)
        for limit in DEFAULT_LIMITS:
            REFUSALS.labels(limit)

    def happened(self, event: AuditEvent) -> None:
        EVENTS.labels(event.event, event.client_id or "").inc()

    def refused(self, limit: str) -> None:
        REFUSALS.labels(limit).inc()

    def redeemed(self, client_id: str, seconds: float) -> None:
        CODE_TO_TOKEN_SECONDS.labels(client_id).observe(seconds)


class Timed:
    """A store whose every call is timed. It takes and gives what the store does."""

    def __init__(self, store: Any, name: str) -> None:
        self._timed_store = store
        self._timed_name = name

    def __getattr__(self, method: str) -> Any:
        store = self._timed_store
        seconds, failures = STORE_SECONDS.labels(self._timed_name, method), STORE_FAILURES.labels(self._timed_name)

        def timed(*args: Any, **kwargs: Any) -> Any:
            started = time.perf_counter()
            try:
                return getattr(store, method)(*args, **kwargs)
            except StoreUnavailable:
                failures.inc()
                raise
            finally:
                seconds.observe(time.perf_counter() - started)

        # From now on it is found without coming here.
        setattr(self, method, timed)
        return timed


def exposition() -> bytes:
    """Every number, in the text format of Prometheus."""
    if not os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        return generate_latest()
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # it has no types
    return generate_latest(registry)


@cache
def _answers(route: str, status: int, error: str) -> Counter:
    return ANSWERS.labels(route, str(status), error)


@cache
def _seconds(route: str) -> Histogram:
    return REQUEST_SECONDS.labels(route)


def count(request: Request, response: Response, seconds: float) -> None:
    """One more answer, which took so long."""
    # A preflight is answered before a route is found.
    matched = request.__dict__.get("matched_route")
    route = "none" if matched is None else matched.name
    status = response.status_int
    _answers(route, status, request.environ.get("oauthdevice.error", "")).inc()
    _seconds(route).observe(seconds)
    if status == 500:
        FAULTS.inc()
