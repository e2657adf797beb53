"""`python draw.py PROMETHEUS FILE.svg [MINUTES]`: oauthdevice.json as a picture, of what a Prometheus knows.

It stands in where there is no Grafana: it asks Prometheus each query of each panel, with the steps that Grafana
would take, and draws the lines where the dashboard places them. PROMETHEUS is an address such as
http://127.0.0.1:9090; MINUTES are the last ones, or what the dashboard shows at first. Needs Python alone.
"""

import json
import math
import re
import sys
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any

DASHBOARD = Path(__file__).with_name("oauthdevice.json")
WIDTH, COLUMNS, ROW, HEADER, GAP = 1400, 24, 27, 44, 8
# Inside a panel: what the title and the numbers at the axes need, and a line of the legend.
TOP, LEFT, RIGHT, TIMES, LEGEND = 34, 74, 14, 24, 18
# So wide is a letter of the legend at most, on the average of a word.
LETTER = 7.2
COLOURS = ("#1f77b4", "#e8710a", "#2a9d3a", "#d62728", "#8c5fbf", "#8c564b", "#d452a8", "#5f6b7a", "#a8a018", "#17a5b8")
MINUTE = {"m": 1, "h": 60, "d": 24 * 60}


@dataclass(frozen=True)
class Span:
    """What is shown: from `start` to `end`, seconds since 1970, a value every `step` seconds."""

    start: float
    end: float
    step: float
    rate_interval: int


@dataclass(frozen=True)
class Series:
    """One line: its name in the legend, its values by time. A value that is none, as of 0/0, is left out."""

    name: str
    points: list[tuple[float, float]]


class Prometheus:
    """The HTTP API of one."""

    def __init__(self, address: str) -> None:
        if not address.startswith(("http://", "https://")):
            raise SystemExit(f"not an http address: {address}")
        self._address = address.rstrip("/")

    def scrape_seconds(self) -> int:
        """Between two looks at our server; Grafana is told it where its data source is set up."""
        targets = self._ask("targets", state="active")["activeTargets"]
        return max(int(re.sub(r"\D", "", one["scrapeInterval"])) for one in targets)

    def series(self, query: str, legend: str, span: Span) -> list[Series]:
        found = self._ask("query_range", query=query, start=span.start, end=span.end, step=span.step)["result"]
        return [
            Series(
                re.sub(r"{{\s*(\w+)\s*}}", lambda name, one=one: one["metric"].get(name[1], ""), legend),
                [(at, float(value)) for at, value in one["values"] if math.isfinite(float(value))],
            )
            for one in found
        ]

    def _ask(self, what: str, **parameters: Any) -> Any:
        address = f"{self._address}/api/v1/{what}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(address, timeout=60) as answer:  # noqa: S310  # checked above
            return json.load(answer)["data"]


def resolved(query: str, span: Span) -> str:
    """The query with what Grafana puts in for its variables."""
    query = query.replace("$__rate_interval", f"{span.rate_interval}s")
    if "$" in query:
        raise SystemExit(f"a variable that this script does not know: {query}")
    return query


def shown(value: float, unit: str) -> str:
    """A number at the axis, in a unit of Grafana's."""
    if unit == "s" and value:
        for factor, name in ((60, "min"), (1, "s"), (1e-3, "ms")):
            if value >= factor:
                return f"{value / factor:.4g} {name}"
        return f"{value / 1e-6:.4g} µs"
    return f"{value:.4g}" + {"s": " s", "ops": " ops/s", "reqps": " req/s", "short": ""}[unit]


def ticks(highest: float) -> list[float]:
    """Round numbers from 0 to beyond `highest`."""
    rough = (highest or 1) / 4
    size = 10 ** math.floor(math.log10(rough))
    step = next(size * factor for factor in (1, 2, 2.5, 5, 10) if size * factor >= rough * 0.999)
    return [step * number for number in range(math.ceil((highest or 1) / step * 0.999) + 1)]


def text(x: float, y: float, what: str, kind: str = "", anchor: str = "start") -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" class="{kind}" text-anchor="{anchor}">{escape(what)}</text>'


def runs(points: list[tuple[float, float]], step: float) -> Iterator[list[tuple[float, float]]]:
    """Points that follow each other without a gap."""
    run: list[tuple[float, float]] = []
    for point in points:
        if run and point[0] - run[-1][0] > step * 1.5:
            yield run
            run = []
        run.append(point)
    if run:
        yield run


def panel_of(panel: dict[str, Any], series: list[Series], span: Span) -> Iterator[str]:
    """One panel, as Grafana's time series look by default: lines that begin at 0, a legend below."""
    if panel["type"] != "timeseries":
        raise SystemExit(f"a kind of panel that this script cannot draw: {panel['type']}")
    unit, grid = panel["fieldConfig"]["defaults"]["unit"], panel["gridPos"]
    x, y = grid["x"] * WIDTH / COLUMNS + GAP / 2, grid["y"] * ROW + HEADER
    width, height = grid["w"] * WIDTH / COLUMNS - GAP, grid["h"] * ROW - GAP
    yield f'<rect x="{x:.0f}" y="{y}" width="{width:.0f}" height="{height}" rx="3" class="panel"/>'
    yield text(x + 12, y + 21, panel["title"], "title")
    named = [one for one in series if one.points]
    if not named:
        yield text(x + width / 2, y + height / 2, "no data", "none", "middle")
        return
    lines: list[list[tuple[float, int, str]]] = [[]]
    used = 0.0
    for number, one in enumerate(named):
        needed = len(one.name) * LETTER + 34
        if used + needed > width - 24 and lines[-1]:
            lines.append([])
            used = 0.0
        lines[-1].append((used, number, one.name))
        used += needed
    left, right, top = x + LEFT, x + width - RIGHT, y + TOP
    bottom = y + height - TIMES - LEGEND * len(lines)
    marks = ticks(max(value for one in named for _, value in one.points))

    def across(at: float) -> float:
        return left + (at - span.start) / (span.end - span.start) * (right - left)

    def up(value: float) -> float:
        return bottom - value / marks[-1] * (bottom - top)

    for mark in marks:
        yield f'<path d="M{left:.0f} {up(mark):.1f}H{right:.0f}" class="grid"/>'
        yield text(left - 8, up(mark) + 4, shown(mark, unit), "mark", "end")
    minutes = math.ceil((span.end - span.start) / 60 / 8)
    for at in range(math.ceil(span.start / 60) * 60, math.floor(span.end) + 1, 60 * minutes):
        yield f'<path d="M{across(at):.1f} {top}V{bottom}" class="grid"/>'
        yield text(across(at), bottom + 16, f"{datetime.fromtimestamp(at, UTC):%H:%M}", "mark", "middle")
    for number, one in enumerate(named):
        colour = COLOURS[number % len(COLOURS)]
        for run in runs(one.points, span.step):
            if len(run) == 1:
                yield f'<circle cx="{across(run[0][0]):.1f}" cy="{up(run[0][1]):.1f}" r="2.5" fill="{colour}"/>'
            else:
                path = "L".join(f"{across(at):.1f} {up(value):.1f}" for at, value in run)
                yield f'<path d="M{path}" stroke="{colour}" class="line"/>'
    for row, line in enumerate(lines):
        at = bottom + TIMES + LEGEND * row + 10
        for offset, number, name in line:
            colour = COLOURS[number % len(COLOURS)]
            yield f'<path d="M{x + 12 + offset:.0f} {at - 4}h14" stroke="{colour}" class="key"/>'
            yield text(x + 31 + offset, at, name, "legend")


STYLE = """
text { font: 12px "DejaVu Sans", Verdana, sans-serif; fill: #24292f }
.title { font-weight: bold; font-size: 13px } .head { font-weight: bold; font-size: 17px }
.mark { font-size: 11px; fill: #57606a } .none { font-size: 15px; fill: #6e7781 }
.panel { fill: #fff; stroke: #d0d7de } .grid { stroke: #e6eaee; fill: none }
.line { fill: none; stroke-width: 1.6; stroke-linejoin: round } .key { stroke-width: 4 }
"""


def picture(prometheus: Prometheus, minutes: float | None = None) -> str:
    """The dashboard as SVG."""
    dashboard = json.loads(DASHBOARD.read_text("utf-8"))
    if minutes is None:
        count, unit = re.fullmatch(r"now-(\d+)([mhd])", dashboard["time"]["from"]).groups()
        minutes = int(count) * MINUTE[unit]
    scrape = prometheus.scrape_seconds()
    # As Grafana does (its pkg/promlib/models/query.go): a value for each pixel or so, none between two scrapes;
    # rates over four of them at least.
    step = max(scrape, math.ceil(minutes * 60 / (WIDTH / 2)))
    end = datetime.now(UTC).timestamp() // step * step
    span = Span(end - minutes * 60, end, step, max(step + scrape, 4 * scrape))
    parts: list[str] = []
    for panel in dashboard["panels"]:
        series = [
            one
            for target in panel["targets"]
            for one in prometheus.series(resolved(target["expr"], span), target["legendFormat"], span)
        ]
        parts += panel_of(panel, series, span)
    height = HEADER + max(one["gridPos"]["y"] + one["gridPos"]["h"] for one in dashboard["panels"]) * ROW
    when = f"{datetime.fromtimestamp(span.start, UTC):%Y-%m-%d %H:%M} to {datetime.fromtimestamp(end, UTC):%H:%M} UTC"
    told = f"{when}, rates over {span.rate_interval} s; drawn by deploy/grafana/draw.py, not by Grafana"
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}">',
            f'<style>{STYLE}</style><rect width="{WIDTH}" height="{height}" fill="#f4f5f5"/>',
            text(16, 28, dashboard["title"], "head"),
            text(WIDTH - 16, 28, told, "mark", "end"),
            *parts,
            "</svg>\n",
        ]
    )


if __name__ == "__main__":
    address, target, *rest = sys.argv[1:]
    Path(target).write_text(picture(Prometheus(address), *map(float, rest)), "utf-8")
