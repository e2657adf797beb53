"""Every page and state: axe-core at WCAG 2.2 AA, light and dark, wide and narrow; the way past the header."""

from collections.abc import Callable
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from ..conftest import WorldMaker
from ..factories import World
from .axe import WCAG, problems_in_every_light
from .conftest import Visitor
from .screenshots import SCHEMES, SCREENS, SIZES, file_of
from .states import CONSENT, STATES, consent, options_of

VisitorMaker = Callable[..., Visitor]


class TestEveryState:
    @pytest.fixture
    def live(self, make_live: WorldMaker, state: str, tmp_path: Path) -> World:
        return make_live(**options_of(state, tmp_path))

    @pytest.mark.parametrize("state", STATES)
    def test_axe_finds_nothing_at_wcag_2_2_aa_and_nothing_scrolls_sideways(
        self, live: World, visit: VisitorMaker, state: str
    ) -> None:
        visitor = visit(bypass_csp=True)
        walk, heading = STATES[state]
        walk(live, visitor)
        visitor.sees(heading)
        assert problems_in_every_light(visitor.page) == {}


def test_every_state_is_among_the_pictures_of_the_documents() -> None:
    pictures = {file_of(state, size, scheme) for state in STATES for size in SIZES for scheme in SCHEMES}
    assert {one.name for one in SCREENS.iterdir()} == {*pictures, "contact-sheet.webp"}


class TestEverybodyCanUseIt:
    def test_axe_sees_what_it_is_asked_about(self, visit: VisitorMaker) -> None:
        page = visit(bypass_csp=True).page
        page.goto("/device")
        small = '<button style="all: unset; width: 9px; height: 9px; display: inline-block" aria-label="x"></button>'
        page.locator("main").evaluate(f"one => one.insertAdjacentHTML('beforeend', '<div>{small * 3}</div>')")
        page.locator("label").evaluate("one => one.remove()")
        page.locator(".hint").evaluate("one => one.style.color = '#ccc'")
        found = {violation["id"] for violation in Axe().run(page, options=WCAG).response["violations"]}
        assert found == {"color-contrast", "label", "target-size"}

    def test_dark_and_light_differ(self, visit: VisitorMaker) -> None:
        page = visit(color_scheme="dark").page
        page.goto("/device")
        dark = page.locator("body").evaluate("one => getComputedStyle(one).backgroundColor")
        page.emulate_media(color_scheme="light")
        expect(page.locator("body")).not_to_have_css("background-color", dark)

    def test_the_skip_link_leads_past_the_header(self, live: World, visit: VisitorMaker) -> None:
        visitor = visit()
        consent(live, visitor)
        visitor.sees(CONSENT)
        visitor.page.keyboard.press("Tab")
        expect(visitor.link("Skip to the content")).to_be_in_viewport()
        visitor.page.keyboard.press("Enter")
        expect(visitor.page.get_by_role("main")).to_be_focused()
