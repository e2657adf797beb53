"""How the pages look where it matters to somebody: small, forced colours, no motion, right to left, on paper."""

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, Response, expect

from ..conftest import WorldMaker
from ..factories import World
from .conftest import Visitor
from .states import CONSENT, STATES, consent, options_of, prefilled, sign_in_with_a_code

VisitorMaker = Callable[..., Visitor]

PAGE_MAX_BYTES = 40_000
# The page, its stylesheet, its script, its icon; the script of passkeys where there are some.
REQUESTS_MAX = 5


def arrive(live: World, visitor: Visitor, state: str) -> None:
    walk, heading = STATES[state]
    walk(live, visitor)
    visitor.sees(heading)


class TestSize:
    @pytest.fixture
    def live(self, make_live: WorldMaker, state: str, tmp_path: Path) -> World:
        return make_live(**options_of(state, tmp_path))

    @pytest.mark.parametrize("state", STATES)
    def test_a_page_with_all_it_loads_is_small(self, live: World, visit: VisitorMaker, state: str) -> None:
        """Uncompressed. That nothing comes from elsewhere, `watch` sees."""
        visitor, answers = visit(), list[Response]()
        visitor.page.on("response", lambda one: answers.append(one))  # noqa: PLW0108  Playwright marks what it calls
        arrive(live, visitor, state)
        visitor.page.wait_for_load_state()
        pages = [one for one in answers if one.request.is_navigation_request()]
        # What the pages on the way have loaded is not loaded again.
        files = {one.url: one for one in answers if one.request.resource_type in ("stylesheet", "script", "image")}
        assert {one.partition("?")[0].rpartition("/")[2] for one in files} >= {"device.css", "device.js", "icon.svg"}
        sizes = {one.url: len(one.body()) for one in [pages[-1], *files.values()]}
        assert sum(sizes.values()) < PAGE_MAX_BYTES, sizes
        assert len(sizes) <= REQUESTS_MAX


class TestForcedColours:
    @pytest.mark.parametrize("state", ["enter code", "wrong code", "consent, long and from elsewhere", "approved"])
    def test_what_a_ground_set_apart_has_an_edge(self, live: World, visit: VisitorMaker, state: str) -> None:
        visitor = visit(forced_colors="active")
        arrive(live, visitor, state)
        for one in visitor.page.locator(
            "main, main .shown, main .note, main button, main .button, main input:visible"
        ).all():
            told = one.evaluate("""one => {
                const {borderTopColor: edge, borderTopStyle: style, borderTopWidth: width} = getComputedStyle(one);
                return [edge !== getComputedStyle(document.body).backgroundColor, style, parseFloat(width) >= 1];
            }""")
            assert told == [True, "solid", True], one.inner_text()

    def test_the_language_in_force_is_marked(self, visit: VisitorMaker) -> None:
        page = visit(forced_colors="active").page
        page.goto("/device")
        expect(page.locator(".languages [aria-current]")).to_have_css("text-decoration-line", "underline")


class TestMotion:
    def test_there_is_none_for_who_wants_none(self, live: World, visit: VisitorMaker) -> None:
        visitor = visit()
        arrive(live, visitor, "consent")
        still = "[...document.querySelectorAll('*')].every(one => getComputedStyle(one).transitionDuration === '0s')"
        assert visitor.page.evaluate(still)
        visitor.page.emulate_media(reduced_motion="no-preference")
        assert not visitor.page.evaluate(still)
        assert visitor.page.evaluate("document.getAnimations().length") == 0


class TestPaper:
    """Nothing secret and nobody's name lies about in a printer."""

    def shows(self, page: Page, text: str) -> bool:
        return text in page.locator("body").inner_text()

    def test_of_the_consent_page(self, live: World, visit: VisitorMaker) -> None:
        visitor = visit()
        consent(live, visitor)
        visitor.sees(CONSENT)
        code = visitor.page.locator(".shown").inner_text()
        assert self.shows(visitor.page, code)
        assert self.shows(visitor.page, visitor.email)
        visitor.page.emulate_media(media="print")
        assert not self.shows(visitor.page, code)
        assert not self.shows(visitor.page, visitor.email)
        visitor.sees(CONSENT)

    def test_of_a_page_with_a_form(self, live: World, visit: VisitorMaker) -> None:
        visitor = visit()
        for walk in (prefilled, sign_in_with_a_code):
            visitor.page.emulate_media(media="screen")
            walk(live, visitor)
            expect(visitor.page.locator(".letters").first).to_be_visible()
            visitor.page.emulate_media(media="print")
            expect(visitor.page.get_by_role("heading", level=1)).to_be_visible()
            for one in visitor.page.locator("input, button").all():
                expect(one).not_to_be_visible()
            expect(visitor.page.locator(".letters").first).not_to_be_visible()

    @pytest.mark.parametrize("state", ["approved", "denied", "sign out"])
    def test_of_a_page_of_somebody(self, live: World, visit: VisitorMaker, state: str) -> None:
        visitor = visit()
        arrive(live, visitor, state)
        assert self.shows(visitor.page, visitor.email)
        visitor.page.emulate_media(media="print")
        assert not self.shows(visitor.page, visitor.email)
