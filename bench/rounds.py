"""The measure: every contender alone at the same work, in rounds A B C A B C, and the middle of what came out."""

import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from .contenders import Contender, Place, Request, Work
from .load import Figures, load, send
from .servers import cpu_seconds, memory_mib, processes_of, running

# How many codes are polled in turn. Two thirds of them are measured: at 8,000 polls a second none of those is polled
# again before its interval of 5 s is over, which would be told to slow down, at a cost of its own.
CODES = 60_000
# Node.js compiles what is hot after some 10,000 requests; the same for all.
WARM_UP_SECONDS = 3
# Of processor, in a quarter of a second: a server that is not asked uses less.
IDLE_SECONDS = 0.03


@dataclass
class Measured:
    """What came out for one contender at one kind of work and a number of processes, a value a round."""

    per_second: list[float] = field(default_factory=list)
    p50_ms: list[float] = field(default_factory=list)
    p99_ms: list[float] = field(default_factory=list)
    # Processor time of its processes for one answer, in microseconds.
    cpu_us: list[float] = field(default_factory=list)
    memory_mib: list[float] = field(default_factory=list)

    def add(self, figures: Figures, cpu_us: float, memory: float) -> None:
        self.per_second.append(figures.per_second)
        self.p50_ms.append(figures.p50_ms)
        self.p99_ms.append(figures.p99_ms)
        self.cpu_us.append(cpu_us)
        self.memory_mib.append(memory)

    @property
    def middle(self) -> float:
        """The median of answers a second."""
        return median(self.per_second)


Key = tuple[str, Work, int]


def measure(
    contenders: Sequence[Contender], places: Mapping[str, Place], rounds: int, seconds: int, processes: Sequence[int]
) -> Mapping[Key, Measured]:
    """By name, work and number of processes. Raises LoadFailed."""
    measured: dict[Key, Measured] = {}
    prepared = {
        (contender.name, work): contender.requests(work, places[contender.name], CODES)
        for contender in contenders
        for work in contender.work
    }
    for number in range(rounds):
        for count in processes:
            for contender in contenders:
                place = with_processes(places[contender.name], count)
                with running(contender, place) as process:
                    for work in sorted(contender.work, key=list(Work).index):
                        found = measured.setdefault((contender.name, work, count), Measured())
                        _measure(place, process, prepared[contender.name, work], seconds, found)
                        print(
                            f"round {number + 1}: {contender.name}, {work.value}, {count} process(es): "
                            f"{found.per_second[-1]:,.1f}/s, p99 {found.p99_ms[-1]:.1f} ms, "
                            f"{found.cpu_us[-1]:.0f} µs of processor, {found.memory_mib[-1]:.0f} MiB",
                            flush=True,
                        )
    return measured


def _measure(
    place: Place, process: subprocess.Popen[bytes], requests: Sequence[Request], seconds: int, found: Measured
) -> None:
    pids = processes_of(process)
    send(place, requests[0])
    # Codes to warm up with are others: those that count must not be polled too early. The rest is asked again, and
    # known by then, as in production.
    distinct = len(requests) == CODES
    load(place, requests[: CODES // 3] if distinct else requests, WARM_UP_SECONDS)
    _rest(pids)
    before = sum(map(cpu_seconds, pids))
    figures = load(place, requests[CODES // 3 :] if distinct else requests, seconds)
    used = sum(map(cpu_seconds, pids)) - before
    found.add(figures, used / figures.answers * 1e6, max(map(memory_mib, pids)))
    _rest(pids)


def _rest(pids: Sequence[int]) -> None:
    """Return once the server is done with what wrk left behind: of slow answers, several seconds."""
    before = -1.0
    while (used := sum(map(cpu_seconds, pids))) - before > IDLE_SECONDS:
        before = used
        time.sleep(0.25)


def with_processes(place: Place, count: int) -> Place:
    """The same place with another number of processes."""
    return Place(place.port, count, place.redis_url, place.database_url, place.folder)


def places_for(
    contenders: Sequence[Contender], redis_url: str, databases: Mapping[str, str], folder: Path, first_port: int
) -> Iterator[tuple[str, Place]]:
    """A place for each contender: a port, a folder, a database and a number in Redis of its own."""
    for number, contender in enumerate(contenders):
        own = folder / contender.name.replace(" ", "-")
        own.mkdir()
        yield contender.name, Place(first_port + number, 1, f"{redis_url}/{number}", databases[contender.name], own)
