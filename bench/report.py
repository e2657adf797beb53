"""What was measured, told: as JSON, as tables for a terminal and for docs/performance.md, and as a chart."""

import json
import os
import platform
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any
from xml.sax.saxutils import escape

from .contenders import Contender, Work
from .load import CONNECTIONS
from .rounds import Key, Measured
from .scale import Scaled
from .wsgi_servers import CHECKOUT

DOCS = CHECKOUT / "docs"
PAGE = "performance.md"
BEGIN, END = "<!-- made by `make bench` -->\n", "<!-- end of what `make bench` made -->\n"
OURS, NODE, DJANGO = "oauthdevice", "oidc-provider", "django-oauth-toolkit"
TWO_THREADS = "oauthdevice (two threads)"
CORNICE, PYRAMID = "bare cornice", "bare pyramid"
TITLES = {
    Work.CODE: "Device codes",
    Work.POLL: "Pending polls",
    Work.INTROSPECTION: "Introspection",
    Work.ACCOUNT: "GET /account with a token",
}
# Decimals of the columns of Measured.
PLACES = {"per_second": 0, "p50_ms": 2, "p99_ms": 2, "cpu_us": 0, "memory_mib": 1}

Told = Mapping[str, Any]


def gathered(
    contenders: Sequence[Contender], measured: Mapping[Key, Measured], scaled: Scaled | None, command: str
) -> dict[str, Any]:
    """All that is told, as JSON types; of each figure the median of the rounds, and the least and the most."""
    told: dict[str, Any] = {
        "command": command,
        "date": datetime.now(UTC).date().isoformat(),
        "machine": _machine(),
        "versions": {"servers": _servers(), **{one.name: dict(one.versions()) for one in contenders}},
        "rounds": max(len(found.per_second) for found in measured.values()),
        "connections": CONNECTIONS,
        "loads": [
            {
                "work": work.value,
                "contender": name,
                "processes": processes,
                **{column: _spread(getattr(found, column)) for column in PLACES},
            }
            for (name, work, processes), found in sorted(measured.items(), key=_order(contenders))
        ],
        "scale": None if scaled is None else asdict(scaled),
    }
    targets = {"targets": list(_targets(told)), "targets_with_two_threads": list(_targets(told, TWO_THREADS))}
    return {**told, "ratios": _ratios(told), **targets}


def table(told: Told) -> str:
    """The tables, in Markdown."""
    return "\n\n".join([*_loads(told), _ratio_table(told), *_scale_tables(told), _target_table(told)])


def write(told: Told) -> None:
    """docs/performance.json, docs/performance.svg, and the part of docs/performance.md that is not written by hand.

    Raises ValueError where the marks around that part are missing.
    """
    page = (DOCS / PAGE).read_text("utf-8")
    before, after = page[: page.index(BEGIN) + len(BEGIN)], page[page.index(END) :]
    parts = [_circumstances(told), f"![{_summary(told)}](performance.svg)", table(told)]
    (DOCS / PAGE).write_text(before + "\n" + "\n\n".join(parts) + "\n\n" + after, "utf-8")
    (DOCS / "performance.json").write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n", "utf-8")
    (DOCS / "performance.svg").write_text(chart(told), "utf-8")


def _order(contenders: Sequence[Contender]) -> Callable[[tuple[Key, Measured]], tuple[int, int, int]]:
    names, works = [one.name for one in contenders], list(Work)
    return lambda item: (works.index(item[0][1]), item[0][2], names.index(item[0][0]))


def _spread(values: Sequence[float]) -> dict[str, float]:
    return {"median": round(median(values), 3), "min": round(min(values), 3), "max": round(max(values), 3)}


def _machine() -> dict[str, Any]:
    memory_kib = Path("/proc/meminfo").read_text().split(maxsplit=2)[1]
    return {
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(int(memory_kib) / 1024**2, 1),
        "kernel": f"{platform.system()} {platform.release().partition('-')[0]}",
        "python": platform.python_version(),
    }


def _servers() -> dict[str, str]:
    """The versions of what all of them stand on."""
    return {
        "redis": _said("redis-server", "--version").partition("v=")[2].split()[0],
        # Tells its version with its usage, and calls that a failure.
        "wrk": _said("wrk", "-v").split()[1],
    }


def _said(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def _rate(told: Told, name: str, work: Work, processes: int) -> float | None:
    """The median of answers a second, None where that was not measured."""
    for one in told["loads"]:
        if (one["contender"], one["work"], one["processes"]) == (name, work.value, processes):
            rate: float = one["per_second"]["median"]
            return rate
    return None


def _share(one: float | None, other: float | None) -> float | None:
    return None if one is None or not other else round(one / other, 3)


def _counts(told: Told) -> list[int]:
    """The numbers of processes."""
    return sorted({one["processes"] for one in told["loads"]})


def _floor_work(name: str, work: Work) -> Work:
    """A floor does one work, the pending poll; every other is held against that."""
    return Work.POLL if name.startswith("bare ") else work


def _ratios(told: Told) -> list[dict[str, Any]]:
    """Our answers a second in those of each other, at the same work and number of processes."""
    others = dict.fromkeys(one["contender"] for one in told["loads"] if one["contender"] != OURS)
    found = (
        {"to": name, "work": work.value, "processes": processes, "ratio": _ratio(told, name, work, processes)}
        for name in others
        for work in Work
        for processes in _counts(told)
    )
    return [one for one in found if one["ratio"] is not None]


def _ratio(told: Told, name: str, work: Work, processes: int, ours: str = OURS) -> float | None:
    return _share(_rate(told, ours, work, processes), _rate(told, name, _floor_work(name, work), processes))


def _targets(told: Told, ours: str = OURS) -> Iterator[dict[str, Any]]:
    """Each target with what was found; `met` is None where it was not measured."""
    fewest, *more = _counts(told)
    yield _at_least("pending poll, of a plain Cornice view", 2.0, _ratio(told, CORNICE, Work.POLL, fewest, ours))
    for work, least in ((Work.POLL, 0.85), (Work.CODE, 0.7), (Work.INTROSPECTION, 0.7), (Work.ACCOUNT, 0.7)):
        yield _at_least(f"{work.value}, of a bare Pyramid view", least, _ratio(told, PYRAMID, work, fewest, ours))
    for work in Work:
        yield _at_least(f"{work.value}, of {NODE} (an aim)", 1.0, _ratio(told, NODE, work, fewest, ours))
    for name, works in (DJANGO, Work), (f"{DJANGO} (bearer)", [Work.INTROSPECTION]):
        for work in works:
            yield _at_least(f"{work.value}, of {name}", 5.0, _ratio(told, name, work, fewest, ours))
    for work in Work:
        speed_up = _share(_rate(told, ours, work, more[0]), _rate(told, ours, work, fewest)) if more else None
        yield _at_least(f"{work.value}, two processes of one", 1.8, speed_up)
    # Measured of the one alone.
    scaled = told["scale"] if ours == OURS else None
    memory = scaled and scaled["memory"]
    heaviest = max((one["memory_mib"]["max"] for one in told["loads"] if one["contender"] == ours), default=None)
    if memory and heaviest is not None:
        heaviest = max(heaviest, memory["empty_mib"], memory["full_mib"])
    yield _at_most("bytes of Redis for a pending code", 1024, memory and memory["redis_bytes_per_code"])
    for_many = "poll p50 at 1,000,000 pending codes, of that at 100"
    if scaled:
        for_many = "poll p50 at {:,} pending codes, of that at {:,}".format(*_ends(scaled, "pending"))
    yield _at_most(for_many, 1.1, scaled and _share(*_ends(scaled, "p50_ms")))
    yield _at_most("seconds from start to first answer", 1.5, scaled and scaled["start_seconds"])
    yield _at_most("MiB of memory for a process", 90, heaviest)
    yield _at_most("whole flow, of the sum of its parts", 1.5, scaled and _whole(scaled))


def _ends(scaled: Told, column: str) -> tuple[float, float]:
    """The value with the most pending codes, and with the fewest."""
    return scaled["latency"][-1][column], scaled["latency"][0][column]


def _whole(scaled: Told) -> float:
    flows = scaled["flows"]
    return float(flows["whole_seconds"] / sum(flows["part_seconds"].values()))


def _at_least(what: str, asked: float, found: float | None) -> dict[str, Any]:
    return {"target": what, "asked": f"≥ {asked:g}", "found": found, "met": None if found is None else found >= asked}


def _at_most(what: str, asked: float, found: float | None) -> dict[str, Any]:
    return {"target": what, "asked": f"≤ {asked:g}", "found": found, "met": None if found is None else found <= asked}


def _circumstances(told: Told) -> str:
    machine = told["machine"]
    versions = [
        f"- {name}: {', '.join(f'{package} {version}' for package, version in packages.items())}"
        for name, packages in told["versions"].items()
        if packages
    ]
    return "\n".join(
        [
            f"Measured on {told['date']} by `{told['command']}`: {told['rounds']} round(s), "
            f"{told['connections']} connections, on {machine['cores']} cores with {machine['memory_gib']} GiB of "
            f"memory, {machine['kernel']}, Python {machine['python']}.",
            "",
            *versions,
        ]
    )


def _loads(told: Told) -> Iterator[str]:
    head = ("server", "processes", "answers a second", "p50 ms", "p99 ms", "µs of processor each", "MiB a process")
    for work, title in TITLES.items():
        rows = [one for one in told["loads"] if one["work"] == work.value]
        cells = [
            (one["contender"], one["processes"], *(_cell(one[column], places) for column, places in PLACES.items()))
            for one in rows
        ]
        if cells:
            yield f"### {title}\n\n{_markdown(head, cells)}"


def _cell(spread: Mapping[str, float], places: int) -> str:
    """`MEDIAN (MIN-MAX)`; slow ones need a decimal to say anything."""
    places = 1 if not places and spread["median"] < 100 else places
    middle, least, most = (f"{spread[name]:,.{places}f}" for name in ("median", "min", "max"))
    return f"{middle} ({least}-{most})"


def _ratio_table(told: Told) -> str:
    found = {(one["to"], one["processes"], one["work"]): one["ratio"] for one in told["ratios"]}
    keys = dict.fromkeys((name, processes) for name, processes, _ in found)
    cells = [(*key, *(_number(found.get((*key, work.value))) for work in Work)) for key in keys]
    title = "### Ours in the answers a second of another"
    return f"{title}\n\n{_markdown(('server', 'processes', *(work.value for work in Work)), cells)}"


def _scale_tables(told: Told) -> Iterator[str]:
    scaled = told["scale"]
    if scaled is None:
        return
    memory, flows = scaled["memory"], scaled["flows"]
    yield "### Start, memory, flows\n\n" + _markdown(
        ("what", "found"),
        [
            ("start to first answer", f"{scaled['start_seconds']:.2f} s"),
            ("memory of a process without pending codes", f"{memory['empty_mib']:.1f} MiB"),
            ("with 100,000", f"{memory['full_mib']:.1f} MiB"),
            ("Redis, for each of them", f"{memory['redis_bytes_per_code']:,.0f} bytes"),
            ("whole flows", f"{flows['per_second']:,.0f} a second"),
            ("a whole flow", f"{flows['whole_seconds'] * 1000:.2f} ms"),
            *((f"{name} alone", f"{seconds * 1000:.2f} ms") for name, seconds in flows["part_seconds"].items()),
        ],
    )
    yield "### Polls while more and more codes wait\n\n" + _markdown(
        ("pending codes", "p50 ms", "p99 ms"),
        [(f"{one['pending']:,}", f"{one['p50_ms']:.3f}", f"{one['p99_ms']:.3f}") for one in scaled["latency"]],
    )


def _target_table(told: Told) -> str:
    says = {True: "yes", False: "**no**", None: "not measured"}
    cells = [
        (
            one["target"],
            one["asked"],
            *(text for found in (one, two) for text in (_number(found["found"]), says[found["met"]])),
        )
        for one, two in zip(told["targets"], told["targets_with_two_threads"], strict=True)
    ]
    return f"### Targets\n\n{_markdown(('target', 'asked', 'found', 'met', 'two threads', 'met'), cells)}"


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}"


def _markdown(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    rule = ("---", *["---:"] * (len(head) - 1))
    return "\n".join(f"| {' | '.join(map(str, row))} |" for row in (head, rule, *rows))


def _summary(told: Told) -> str:
    """The chart in words, without what breaks a link in Markdown."""
    processes = _counts(told)[0]
    groups = []
    for work, title in TITLES.items():
        rates = [
            f"{one['contender']} {one['per_second']['median']:,.0f}"
            for one in told["loads"]
            if one["work"] == work.value and one["processes"] == processes
        ]
        if rates:
            groups.append(f"{title}: {', '.join(rates)}")
    return f"Answers a second with {processes} process(es). {'. '.join(groups)}."


BAR, GAP, LEFT, WIDTH, HEAD = 18, 6, 230, 760, 34
STYLE = """
  svg { font: 13px system-ui, sans-serif }
  .page { fill: #fff } text, .spread { fill: #1f2328 } .quiet { fill: #59636e }
  .other { fill: #a3adb8 } .ours { fill: #3b8eea } .title { font-weight: 600 }
  @media (prefers-color-scheme: dark) {
    .page { fill: #0d1117 } text, .spread { fill: #e6edf3 } .quiet { fill: #9198a1 } .other { fill: #59636e }
  }
"""


def chart(told: Told) -> str:
    """Bars of answers a second, with the fewest processes; a group for each work, each with a scale of its own."""
    processes = _counts(told)[0]
    shapes: list[str] = []
    top = HEAD
    for work, title in TITLES.items():
        loads = [one for one in told["loads"] if one["work"] == work.value and one["processes"] == processes]
        if not loads:
            continue
        shapes.append(f'<text class="title" x="12" y="{top + 13}">{escape(title)}</text>')
        top += BAR + GAP
        most = max(one["per_second"]["max"] for one in loads)
        for one in loads:
            shapes += _bar(one, top, (WIDTH - LEFT - 90) / most)
            top += BAR + GAP
        top += GAP * 2
    several = "process" if processes == 1 else "processes"
    head = f"Answers a second, {processes} {several}; the line is from the least to the most"
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top}" '
            'role="img" aria-labelledby="title desc">',
            '<title id="title">Answers a second of each server</title>',
            f'<desc id="desc">{escape(_summary(told))}</desc>',
            f"<style>{STYLE}</style>",
            f'<rect class="page" width="{WIDTH}" height="{top}"/>',
            f'<text class="quiet" x="12" y="20">{head}</text>',
            *shapes,
            "</svg>\n",
        ]
    )


def _bar(one: Told, top: int, scale: float) -> list[str]:
    rate, kind = one["per_second"], "ours" if one["contender"] == OURS else "other"
    long, least, most = (LEFT + rate[name] * scale for name in ("median", "min", "max"))
    middle, base = top + BAR // 2, top + 13
    figure = f"{rate['median']:,.0f}" if rate["median"] >= 100 else f"{rate['median']:.1f}"
    return [
        f'<text x="{LEFT - 8}" y="{base}" text-anchor="end">{escape(one["contender"])}</text>',
        f'<rect class="{kind}" x="{LEFT}" y="{top}" width="{max(long - LEFT, 1):.1f}" height="{BAR}" rx="2"/>',
        f'<rect class="spread" x="{least:.1f}" y="{middle - 1}" width="{most - least:.1f}" height="2"/>',
        f'<text x="{most + 8:.1f}" y="{base}">{figure}</text>',
    ]
