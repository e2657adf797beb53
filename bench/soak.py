"""`python -m bench.soak`: devices that poll and people who approve, for a quarter of an hour; then under attack.

Three times over, on one server with the limits of production: in calm; beside a storm of new codes; beside people who
guess codes. Every device has an address of its own, as has every guesser. A latency counts from when the poll was due,
so a server that falls behind cannot hide it. The attacks come so many a second: whoever may send without any bound
takes all of two cores, and is a matter for the proxy. Prints a line each ten seconds, JSON at the end, and ends with 1
where anything is not as it must be.
"""

import argparse
import asyncio
import json
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import redis

from oauthdevice.domain.subjects import Account
from tests.ports import free_port
from tests.servers import running_postgresql

from .contenders import Place
from .crowd import Crowd, Seen
from .ours import ADDRESS, EMAIL, Ours, ini, services_at
from .servers import memory_mib, processes_of, running, running_redis

LIFETIME_SECONDS = 1800
WINDOW_SECONDS = 10
P99_MS, MEMORY_MIB = 100, 8


class Soaked(Ours):
    """Our server with the limits of production, behind a proxy on this machine that it believes."""

    def settle(self, place: Place) -> None:
        super().settle(place)
        lines = [line for line in ini(place).splitlines() if not line.startswith("oauthdevice.limit.")]
        text = "\n".join(lines).replace("[app:main]", "[app:server]")
        text = text.replace(
            "oauthdevice.device_code_lifetime_seconds = 86400",
            f"oauthdevice.device_code_lifetime_seconds = {LIFETIME_SECONDS}",
        )
        proxied = "[pipeline:main]\npipeline = proxies server\n\n[filter:proxies]\nuse = egg:oauthdevice#proxies\n"
        (place.folder / "bench.ini").write_text(f"{proxied}trusted = 127.0.0.1\n\n{text}\n", "utf-8")


@dataclass(frozen=True, slots=True)
class Window:
    """Ten seconds of it. Latencies in milliseconds, memory of the largest process in MiB."""

    second: int
    polls_per_second: float
    poll_p50_ms: float
    poll_p99_ms: float
    tokens: int
    errors: int
    memory_mib: float
    redis_keys: int
    redis_mib: float


def approve_each(place: Place, user_codes: "multiprocessing.Queue[str | None]") -> None:
    """A process: approves what comes, as the one account that there is, until None comes."""
    with services_at(place) as services:
        account: Account = next(one for one in services.accounts.all() if one.email == EMAIL)
        while (user_code := user_codes.get()) is not None:
            services.approvals.approve(user_code, account, ADDRESS)


async def phase(
    name: str, crowd: Crowd, seconds: float, pids: Sequence[int], tasks: Sequence[asyncio.Task[None]]
) -> dict[str, Any]:
    """What is seen while `tasks` go on. Raises what one of them does."""
    windows, whole, began = [], Seen(), time.monotonic()
    with redis.Redis.from_url(crowd.place.redis_url) as client:
        for number in range(1, max(2, round(seconds / WINDOW_SECONDS) + 1)):
            crowd.seen = Seen()
            at = time.monotonic()
            await asyncio.wait(
                tasks, timeout=max(0, began + number * WINDOW_SECONDS - at), return_when="FIRST_EXCEPTION"
            )
            for task in tasks:
                if task.done():
                    task.result()
            windows.append(_window(crowd.seen, time.monotonic() - at, number * WINDOW_SECONDS, pids, client))
            whole.add(crowd.seen)
            print(name, json.dumps(asdict(windows[-1])), dict(crowd.seen.attempts), dict(crowd.seen.errors), flush=True)
    return {
        "seconds": round(time.monotonic() - began),
        "polls": len(whole.polls),
        "poll_p50_ms": _percentile(whole.polls, 50),
        "poll_p99_ms": _percentile(whole.polls, 99),
        "codes": len(whole.codes),
        "code_p99_ms": _percentile(whole.codes, 99),
        "tokens": whole.tokens,
        "attempts": dict(whole.attempts),
        "errors": dict(whole.errors),
        "windows": [asdict(one) for one in windows],
    }


def _window(seen: Seen, seconds: float, second: int, pids: Sequence[int], client: redis.Redis) -> Window:
    memory: Any = client.info("memory")
    keys: Any = client.dbsize()
    return Window(
        second=second,
        polls_per_second=round(len(seen.polls) / seconds, 1),
        poll_p50_ms=_percentile(seen.polls, 50),
        poll_p99_ms=_percentile(seen.polls, 99),
        tokens=seen.tokens,
        errors=sum(seen.errors.values()),
        memory_mib=round(max(map(memory_mib, pids)), 1),
        redis_keys=keys,
        redis_mib=round(memory["used_memory"] / 2**20, 1),
    )


def _percentile(values: Sequence[float], percent: int) -> float:
    """0 of none."""
    ordered = sorted(values)
    return round(ordered[min(len(ordered) - 1, len(ordered) * percent // 100)], 1) if ordered else 0


def faults(phases: Mapping[str, Mapping[str, Any]]) -> Sequence[str]:
    """What is not as it must be, in words."""
    found = [f"{name}: {kind}, {count} times" for name, one in phases.items() for kind, count in one["errors"].items()]
    for name, one in phases.items():
        found += [
            f"{name}: p99 of {kind} is {one[f'{kind}_p99_ms']} ms"
            for kind in ("poll", "code")
            if one[f"{kind}_p99_ms"] >= P99_MS
        ]
    windows = phases["calm"]["windows"]
    third = len(windows) // 3
    if third:
        # The first third warms up.
        middle, last = (_mean_mib(windows[start : start + third]) for start in (third, 2 * third))
        if last - middle > MEMORY_MIB:
            found.append(f"calm: a process grew from {middle:.1f} to {last:.1f} MiB")
    return found


def _mean_mib(windows: Sequence[Mapping[str, float]]) -> float:
    return sum(one["memory_mib"] for one in windows) / len(windows)


def keys_for_ever(redis_url: str) -> int:
    """How many keys of Redis never expire, but for the audit rows that wait."""
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        return sum(client.ttl(key) == -1 and not key.endswith(":audit") for key in client.scan_iter(count=1000))


async def soaked(place: Place, given: argparse.Namespace, pids: Sequence[int]) -> dict[str, Any]:
    """Each phase by its name."""
    context = multiprocessing.get_context("spawn")
    user_codes: multiprocessing.Queue[str | None] = context.Queue()
    people = context.Process(target=approve_each, args=(place, user_codes), daemon=True)
    people.start()
    crowd = Crowd(place, given.devices, given.devices * given.completing, user_codes.put)
    await crowd.begin()
    print(f"{given.devices} devices wait", flush=True)
    told = {}
    honest = [asyncio.create_task(crowd.poll_all()), asyncio.create_task(crowd.approve_some())]
    attacks = {"calm": None, "storm": crowd.storm(given.storm), "guessing": crowd.guess(given.guesses)}
    for name, attack in attacks.items():
        attacking = [asyncio.create_task(attack)] if attack else []
        seconds = given.minutes * 60 / (3 if attack else 1)
        told[name] = await phase(name, crowd, seconds, pids, [*honest, *attacking])
        await _end(attacking)
    await _end(honest)
    user_codes.put(None)
    people.join(60)
    return told


async def _end(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def main() -> None:
    """See `--help`."""
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=15, help="of calm; storm and guessing take a third each")
    parser.add_argument("--devices", type=int, default=10_000)
    parser.add_argument("--completing", type=float, default=0.01, help="which part of them is approved each second")
    parser.add_argument("--storm", type=float, default=200, help="new codes a second beside them")
    parser.add_argument("--guesses", type=float, default=500, help="guesses a second beside them")
    parser.add_argument("--processes", type=int, default=2)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="soak-") as temporary, running_postgresql() as postgresql:
        folder = Path(temporary)
        with running_redis(folder, free_port()) as redis_url:
            database = postgresql.create_database("soak")
            place = Place(free_port(), given.processes, f"{redis_url}/0", database, folder)
            # With one thread, every poll would wait for the redemption before it.
            ours = Soaked(threads=2)
            ours.prepare(place)
            with running(ours, place) as process:
                phases = asyncio.run(soaked(place, given, processes_of(process)))
            wrong = [*faults(phases)]
            if forever := keys_for_ever(place.redis_url):
                wrong.append(f"{forever} keys never expire")
    print(json.dumps({"given": vars(given), "phases": phases, "wrong": wrong}, indent=2))
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
