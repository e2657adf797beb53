"""Ours alone, where load says nothing: how it starts, what it and its codes weigh, whole flows, and a million codes."""

import http.client
import json
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass
from statistics import median
from typing import TypeVar, cast

import redis

from .contenders import Place, Request, Work
from .load import LoadFailed, load, send
from .ours import ADDRESS, EMAIL, Ours, device_codes, poll, services_at
from .servers import listening_port, memory_mib, processes_of, running

T = TypeVar("T")
U = TypeVar("U")

TIMES = 3
LIVENESS = "/healthz"
# Databases of Redis that no contender has.
FIRST_SPARE = 20
PENDING = 100_000
SIZES = (100, 10_000, 1_000_000)
# Of the pending codes so many at most are polled.
POLLED = 10_000
SECONDS, WARM_UP_SECONDS = 2, 1
FLOWS, THREADS = 200, 4


@dataclass(frozen=True, slots=True)
class Memory:
    """With no pending code and with `PENDING`: of a process, in MiB, and what Redis keeps of one code, in bytes."""

    empty_mib: float
    full_mib: float
    redis_bytes_per_code: float


@dataclass(frozen=True, slots=True)
class Latency:
    """Of pending polls one after the other while so many codes wait, in milliseconds."""

    pending: int
    p50_ms: float
    p99_ms: float


@dataclass(frozen=True, slots=True)
class Flows:
    """Whole flows, `THREADS` at a time, and each of their steps alone, as many at a time; a mean of each in seconds."""

    per_second: float
    whole_seconds: float
    part_seconds: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Scaled:
    """What `scale` found. `start_seconds` is until the first answer."""

    start_seconds: float
    memory: Memory
    latency: Sequence[Latency]
    flows: Flows


def scale(ours: Ours, place: Place) -> Scaled:
    """All of it in one process, at a prepared place. Raises LoadFailed."""
    return Scaled(
        median(_start_seconds(ours, place) for _ in range(TIMES)),
        _memory(ours, _spare(ours, place, 0)),
        _latency(ours, [_spare(ours, place, number) for number in range(1, len(SIZES) + 1)]),
        _flows(ours, place),
    )


def _spare(ours: Ours, place: Place, number: int) -> Place:
    """Another place over the same accounts, with a Redis that is empty."""
    redis_url = f"{place.redis_url.rpartition('/')[0]}/{FIRST_SPARE + number}"
    folder = place.folder / f"spare{number}"
    folder.mkdir()
    spare = Place(listening_port(), 1, redis_url, place.database_url, folder)
    ours.settle(spare)
    return spare


def _start_seconds(ours: Ours, place: Place) -> float:
    started = time.monotonic()
    with running(ours, place, LIVENESS):
        return time.monotonic() - started


def _memory(ours: Ours, place: Place) -> Memory:
    with running(ours, place) as process, services_at(place) as services:

        def used_mib() -> float:
            return max(map(memory_mib, processes_of(process)))

        # Before its first requests a process has less than it will ever have again.
        load(place, ours.requests(Work.ACCOUNT, place, POLLED), SECONDS)
        empty_mib, empty_bytes = used_mib(), _used_bytes(services.redis)
        polls = [poll(code) for code in device_codes(services, PENDING)]
        full_bytes = _used_bytes(services.redis)
        load(place, polls, SECONDS)
        full_mib = used_mib()
        services.redis.flushdb()
    return Memory(empty_mib, full_mib, (full_bytes - empty_bytes) / PENDING)


def _used_bytes(client: redis.Redis) -> int:
    return cast("dict[str, int]", client.info("memory"))["used_memory"]


def _latency(ours: Ours, places: Sequence[Place]) -> list[Latency]:
    """The same load on as many servers, each with a number of pending codes, in rounds A B C A B C.

    The codes may be polled again at once. A hundred codes that may not are polled 25 times a second without being told
    to slow down, which costs more than a poll; so the small number would look slow. The polled are drawn evenly from
    all that wait. One connection: a queue would hide what one poll takes.
    """
    polls: list[Sequence[Request]] = []
    found: dict[int, list[tuple[float, float]]] = {size: [] for size in SIZES}
    with ExitStack() as stack:
        for size, place in zip(SIZES, places, strict=True):
            with services_at(place) as services:
                made = device_codes(services, size, spacing_seconds=0)
                stack.callback(_forget, place)
            polls.append([poll(code) for code in made[:: max(1, size // POLLED)]])
            stack.enter_context(running(ours, place))
            _expect_pending(place, polls[-1][0])
            load(place, polls[-1], WARM_UP_SECONDS, connections=1)
        for _ in range(TIMES):
            for size, place, requests in zip(SIZES, places, polls, strict=True):
                figures = load(place, requests, SECONDS, connections=1)
                found[size].append((figures.p50_ms, figures.p99_ms))
    return [Latency(size, *map(median, zip(*values, strict=True))) for size, values in found.items()]


def _forget(place: Place) -> None:
    with redis.Redis.from_url(place.redis_url, socket_timeout=60) as client:
        client.flushdb()


def _expect_pending(place: Place, request: Request) -> None:
    answer = json.loads(send(place, request))
    if answer["error"] != "authorization_pending":
        raise LoadFailed(f"a code that nobody decided answers {answer}")


def _flows(ours: Ours, place: Place) -> Flows:
    [start] = ours.requests(Work.CODE, place, 1)
    whole: list[float] = []
    parts: dict[str, list[float]] = {"code": [], "pending poll": [], "approval": [], "redeeming poll": []}
    with running(ours, place), services_at(place) as services:
        account = next(one for one in services.accounts.all() if one.email == EMAIL)

        def ask_code(connection: http.client.HTTPConnection, _: object) -> dict[str, str]:
            return _ask(connection, start, 200)

        def poll_pending(connection: http.client.HTTPConnection, started: dict[str, str]) -> None:
            _ask(connection, poll(started["device_code"]), 400)

        def approve(_: http.client.HTTPConnection, started: dict[str, str]) -> None:
            services.approvals.approve(started["user_code"], account, ADDRESS)

        def redeem(connection: http.client.HTTPConnection, started: dict[str, str]) -> None:
            _ask(connection, poll(started["device_code"]), 200)

        def flow(connection: http.client.HTTPConnection, _: object) -> None:
            started = ask_code(connection, None)
            poll_pending(connection, started)
            approve(connection, started)
            redeem(connection, started)

        _each(place, flow, range(FLOWS // 4))
        for _ in range(TIMES):
            codes, seconds = _each(place, ask_code, range(FLOWS))
            parts["code"].append(seconds)
            for name, step in ("pending poll", poll_pending), ("approval", approve), ("redeeming poll", redeem):
                parts[name].append(_each(place, step, codes)[1])
            whole.append(_each(place, flow, range(FLOWS))[1])
    seconds = median(whole)
    return Flows(1 / seconds, seconds, {name: median(values) for name, values in parts.items()})


def _each(
    place: Place, step: Callable[[http.client.HTTPConnection, T], U], items: Sequence[T]
) -> tuple[list[U], float]:
    """What the step gave for each item, and the seconds for one. Each thread keeps its connection."""

    def lane(own: Sequence[T]) -> list[U]:
        with closing(http.client.HTTPConnection("127.0.0.1", place.port, timeout=30)) as connection:
            return [step(connection, item) for item in own]

    started = time.monotonic()
    with ThreadPoolExecutor(THREADS) as threads:
        lanes = list(threads.map(lane, [items[number::THREADS] for number in range(THREADS)]))
    return [one for own in lanes for one in own], (time.monotonic() - started) / len(items)


def _ask(connection: http.client.HTTPConnection, request: Request, status: int) -> dict[str, str]:
    connection.request(request.method, request.path, request.body, dict(request.headers))
    answer = connection.getresponse()
    body = answer.read()
    if answer.status != status:
        raise LoadFailed(f"{request.path}: {answer.status} {body[:200]!r}")
    told: dict[str, str] = json.loads(body)
    return told
