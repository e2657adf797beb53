"""Every page and state in every language: axe-core in light and dark, at 320 px and 400 % zoom; the walk in Arabic."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
from playwright.sync_api import Page, Response, Route, expect

from oauthdevice.languages import ALL, COOKIE, LANGUAGES, SOURCE

from ..conftest import WorldMaker
from ..factories import PASSWORD, World
from .axe import WCAG, problems
from .conftest import Visitor
from .states import STATES, options_of

VisitorMaker = Callable[..., Visitor]

# In the other theme, colours are all that differs.
SCHEMES: dict[Any, dict[str, Any]] = {
    "light": WCAG,
    "dark": {"resultTypes": ["violations"], "runOnly": {"type": "rule", "values": ["color-contrast"]}},
}
# What an answer may depend on, beside the cookies.
SAID_AGAIN = ("content-type", "origin", "referer", "sec-fetch-site")
# Sent again, the form would count one more wrong number.
COUNTED = {"wrong number"}
# A window of 1280 by 1024 at 400 %.
NARROW = {"width": 320, "height": 256}


class Again:
    """The last page that a browser was given, asked for once more in another language.

    With the cookies of the first time, so that the session says the same; what the page refused is refused again.
    """

    def __init__(self, page: Page) -> None:
        self._page = page
        self._answers: list[Response] = []
        page.on("response", lambda one: self._answers.append(one))  # noqa: PLW0108  Playwright marks what it calls

    def show(self, language: str) -> Response:
        """The answer of the first time. The page now shows that of the second."""
        first = [one for one in self._answers if one.request.is_navigation_request()][-1]
        sent = first.request.all_headers()
        cookies = [one for one in sent.get("cookie", "").split("; ") if one and not one.startswith(f"{COOKIE}=")]
        headers = {name: text for name, text in sent.items() if name in SAID_AGAIN}
        answer = requests.request(
            first.request.method,
            first.url,
            headers={**headers, "cookie": "; ".join([*cookies, f"{COOKIE}={language.partition('-')[0]}"])},
            data=first.request.post_data_buffer,
            allow_redirects=False,
            timeout=10,
        )
        assert answer.status_code == first.status

        def give(route: Route) -> None:
            route.fulfill(status=answer.status_code, body=answer.content, content_type=answer.headers["Content-Type"])

        self._page.route(first.url, give)
        self._page.goto(first.url)
        self._page.unroute(first.url)
        self._answers = [first]
        return first


def outline(page: Page) -> list[str]:
    """The elements of the page in their order: the same page has the same, whatever its language."""
    found: list[str] = page.locator("main").evaluate("one => [...one.querySelectorAll('*')].map(one => one.tagName)")
    return found


class TestEveryLanguage:
    # A failed sign-in is told once in each language.
    @pytest.fixture
    def live(self, make_live: WorldMaker, state: str, tmp_path: Path) -> World:
        return make_live(**options_of(state, tmp_path), **{"limit.login_account": "off"})

    @pytest.mark.parametrize("state", [state for state in STATES if state not in COUNTED])
    def test_axe_finds_nothing_and_nothing_scrolls_sideways(self, live: World, visit: VisitorMaker, state: str) -> None:
        visitor = visit(bypass_csp=True)
        page, again = visitor.page, Again(visitor.page)
        walk, heading = STATES[state]
        walk(live, visitor)
        visitor.sees(heading)
        page.set_viewport_size(NARROW)
        drawn, found = outline(page), {}
        for language in ALL.values():
            again.show(language.tag)
            expect(page.locator("html")).to_have_attribute("lang", language.tag)
            expect(page.locator("html")).to_have_attribute("dir", language.direction)
            assert outline(page) == drawn
            assert page.locator("html").evaluate("one => one.scrollWidth") <= NARROW["width"], language.tag
            for scheme, options in SCHEMES.items():
                page.emulate_media(color_scheme=scheme)
                if told := problems(page, options):
                    found[language.tag, scheme] = told
        assert found == {}


@pytest.mark.parametrize("tag", LANGUAGES)
def test_there_are_letters_for_it(tag: str) -> None:
    """Or its pages would be looked at as empty boxes."""
    assert subprocess.run(["fc-list", f":lang={tag}"], capture_output=True, check=True).stdout


class TestFromRightToLeft:
    @pytest.fixture
    def arab(self, visitor: Visitor) -> Visitor:
        visitor.page.goto("/device?ui_locales=ar")
        return visitor

    def test_the_whole_way_without_a_mouse(self, live: World, arab: Visitor) -> None:
        device = live.device().ask()
        page, keyboard = arab.page, arab.page.keyboard
        self.is_arabic(page)
        expect(page.locator("#user_code")).to_be_focused()
        keyboard.type(device.user_code)
        keyboard.press("Enter")
        expect(page.locator("#email")).to_be_focused()
        self.is_arabic(page)
        keyboard.type(arab.email)
        keyboard.press("Tab")
        keyboard.type(PASSWORD)
        keyboard.press("Enter")
        expect(page).to_have_url(re.compile("/device/consent$"))
        page.wait_for_load_state()
        self.is_arabic(page)
        allow = page.locator("button[value=approve]")
        for _ in range(20):
            keyboard.press("Tab")
            if allow.evaluate("one => one === document.activeElement"):
                break
        expect(allow).to_be_focused()
        keyboard.press("Space")
        expect(page).to_have_url(re.compile("/device/approved$"))
        self.is_arabic(page)
        assert device.poll().status_int == 200

    def is_arabic(self, page: Page) -> None:
        expect(page.locator("html")).to_have_attribute("dir", "rtl")
        expect(page.locator("html")).to_have_attribute("lang", "ar")

    def test_deny_stands_first_that_is_on_the_right(self, live: World, arab: Visitor) -> None:
        page = arab.page
        page.locator("#user_code").fill(live.device().ask().user_code)
        page.keyboard.press("Enter")
        page.locator("#email").fill(arab.email)
        page.locator("#password").fill(PASSWORD)
        page.keyboard.press("Enter")
        expect(page).to_have_url(re.compile("/device/consent$"))
        page.wait_for_load_state()
        deny, allow = (page.locator(f"button[value={name}]").bounding_box() for name in ("deny", "approve"))
        assert deny is not None
        assert allow is not None
        assert deny["x"] > allow["x"]
        assert deny["width"] == pytest.approx(allow["width"], abs=1)
        # The code itself is read from left to right, on the device as here.
        expect(page.locator(".shown")).to_have_css("direction", "ltr")

    def test_the_language_is_kept_and_can_be_changed(self, arab: Visitor) -> None:
        page = arab.page
        page.goto("/login")
        self.is_arabic(page)
        page.get_by_role("link", name="English").click()
        arab.sees("Sign in")
        expect(page.locator("html")).to_have_attribute("lang", SOURCE)
        page.goto("/device")
        expect(page.locator("html")).to_have_attribute("dir", "ltr")
