"""`make figures`: requests, bytes and time to paint of the pages, written to docs/page-figures.md.

Each page is opened in a fresh browser context, so that nothing is cached, over loopback from a server in this
process. A state of `test_everybody_can_use_it` is measured where it can be opened by its address; the others are the
same pages, drawn in answer to a form.
"""

import os
import sys
from dataclasses import dataclass
from statistics import median
from typing import Any

from playwright.sync_api import Browser, Response

from ..servers import CHECKOUT
from .conftest import Visitor, open_chromium
from .screenshots import looking, serving
from .states import STATES

TARGET = CHECKOUT / "docs" / "page-figures.md"
RUNS = 10
FIGURES = """() => new Promise(resolve => new PerformanceObserver(list => {
    const page = performance.getEntriesByType('navigation')[0];
    const paint = list.getEntriesByName('first-contentful-paint')[0];
    if (paint) resolve({first_byte: page.responseStart, painted: paint.startTime});
}).observe({type: 'paint', buffered: true}))"""
HEAD = """# What a page costs

Measured by `make figures`: every page that has an address of its own, opened {runs} times in Chromium {version} with an
empty cache, over loopback from a server in one process on SQLite and the embedded Redis, on {processors} processors.
Bytes are uncompressed, with stylesheet, script and icon. Times are medians in milliseconds since the address was
opened; on another machine they differ, the rest does not. The icon is counted twice: in the header and for the tab.

| page | requests | bytes of the page | bytes in all | first byte | first paint |
| --- | ---: | ---: | ---: | ---: | ---: |
"""


@dataclass(frozen=True)
class Figures:
    """Of one page. Times in milliseconds, the medians of all runs."""

    state: str
    requests: int
    page_bytes: int
    all_bytes: int
    first_byte: float
    painted: float

    def row(self) -> str:
        times = f"{self.first_byte:.0f} | {self.painted:.0f}"
        return f"| {self.state} | {self.requests} | {self.page_bytes:,} | {self.all_bytes:,} | {times} |\n"


def measure(browser: Browser, state: str) -> Figures | None:
    """None where the page was the answer to a form."""
    walk, heading = STATES[state]
    with serving(state) as world:
        with looking(browser, world) as page:
            answers: list[Response] = []
            page.on("response", lambda one: answers.append(one))  # noqa: PLW0108  Playwright marks what it calls
            visitor = Visitor(page, world.person().account.email)
            walk(world, visitor)
            visitor.sees(heading)
            last = [one for one in answers if one.request.is_navigation_request()][-1]
            if last.request.method != "GET":
                return None
            # Those that it was sent with: the page of an error may have forgotten the code.
            cookies = last.request.all_headers().get("cookie", "")
        runs = [_open(browser, world, last, cookies) for _ in range(RUNS)]
    sizes = runs[0][0]
    return Figures(
        state=state,
        requests=len(sizes),
        page_bytes=sizes[0],
        all_bytes=sum(sizes),
        first_byte=median([times["first_byte"] for _, times in runs]),
        painted=median([times["painted"] for _, times in runs]),
    )


def _open(browser: Browser, world: Any, last: Response, cookies: str) -> tuple[list[int], dict[str, float]]:
    """The sizes of what was loaded, the page first, and the times of one run."""
    with looking(browser, world) as page:
        given = [one.partition("=") for one in cookies.split("; ") if one]
        page.context.add_cookies(
            [{"name": name, "value": value, "url": world.settings.public_url} for name, _, value in given]
        )
        answers: list[Response] = []
        page.on("response", lambda one: answers.append(one))  # noqa: PLW0108  Playwright marks what it calls
        page.goto(last.url, wait_until="networkidle")
        if answers[0].status != last.status:
            raise RuntimeError(f"{last.url} answered {answers[0].status}, and {last.status} before")
        return [len(one.body()) for one in answers], page.evaluate(FIGURES)


def main(states: list[str]) -> None:
    with open_chromium() as browser:
        found = [measure(browser, state) for state in states or STATES]
        head = HEAD.format(runs=RUNS, version=browser.version.partition(".")[0], processors=os.cpu_count())
    table = head + "".join(one.row() for one in found if one is not None)
    if states:
        print(table)
    else:
        TARGET.write_text(table, "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
