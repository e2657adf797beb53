"""axe-core on a page, at WCAG 2.2 A and AA."""

from collections.abc import Mapping
from itertools import product
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

WCAG = {
    "resultTypes": ["violations"],
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22a", "wcag22aa"],
    "rules": {"target-size": {"enabled": True}},
}
SCHEMES: tuple[Any, ...] = ("light", "dark")
WIDTHS = (1280, 320)


def problems(page: Page, options: Mapping[str, Any] = WCAG) -> str:
    """What it finds on the page as it is, in words; "" for nothing."""
    results = Axe().run(page, options=dict(options))
    return str(results.generate_report()) if results.violations_count else ""


def problems_in_every_light(page: Page) -> dict[tuple[int, str], str]:
    """What it finds wide and narrow, light and dark, where it finds something; sideways nothing may scroll."""
    found = {}
    for width, scheme in product(WIDTHS, SCHEMES):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.locator("html").evaluate("one => one.scrollWidth") <= width
        page.emulate_media(color_scheme=scheme)
        if told := problems(page):
            found[width, scheme] = told
    return found
