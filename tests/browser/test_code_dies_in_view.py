"""The consent page counts down, tells of it politely, and says when its code has died; it decides nothing by itself."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, Request, expect

from oauthdevice.languages import ALL

from ..factories import LOOKUP, Person, World
from .axe import SCHEMES, problems
from .conftest import Visitor, Watch

VisitorMaker = Callable[..., Visitor]

CONSENT = "Allow difyctl to use your account?"
EXPIRED = "The code has expired"
DECIDED = "This code was used already"


@pytest.fixture
def visitor(visit: VisitorMaker) -> Visitor:
    """With scripts, and a clock in the browser that the test moves."""
    one = visit()
    one.page.clock.install()
    return one


@pytest.fixture
def other_window(live: World, visitor: Visitor) -> Person:
    """The same person elsewhere."""
    return live.person(visitor.email).sign_in()


def open_consent(live: World, visitor: Visitor, **options: str) -> str:
    user_code = live.device(address="127.0.0.1").ask(**options).user_code
    visitor.open(user_code)
    visitor.sees(CONSENT)
    return user_code


def time_passes(live: World, page: Page, seconds: int) -> None:
    """For the server and for the browser, every timer of which fires when it is due."""
    for step in [5] * (seconds // 5) + [seconds % 5]:
        live.clock.pass_seconds(step)
        page.clock.run_for(step * 1000)


def say_nothing(page: Page) -> None:
    """Every lookup of the page fails."""
    page.route(f"**{LOOKUP}", lambda route: route.fulfill(status=503, body="{}"))


def left(page: Page) -> str:
    return page.get_by_role("timer").inner_text()


def spoken(page: Page) -> str:
    """What a screen reader was told last."""
    return page.get_by_role("status").inner_text()


def lookups(watch: Watch) -> int:
    return watch.posts.count(LOOKUP)


class TestTheTimeThatIsLeft:
    def test_goes_down_in_minutes_and_at_last_in_seconds(self, live: World, visitor: Visitor) -> None:
        open_consent(live, visitor)
        page = visitor.page
        for seconds, told in ((60, "1[34] minutes"), (300, "[89] minutes"), (425, "1 minute, [3-5][0-9] seconds")):
            time_passes(live, page, seconds)
            assert re.fullmatch(f"The code expires in {told}", left(page))
        time_passes(live, page, 65)
        assert re.fullmatch("The code expires in [1-5]?[0-9] seconds?", left(page))

    def test_is_spoken_of_at_five_minutes_and_at_one_and_not_between(
        self, live: World, visitor: Visitor, watch: Watch
    ) -> None:
        open_consent(live, visitor)
        page = visitor.page
        say_nothing(page)
        page.evaluate("""() => {
            window.heard = [];
            const note = (records) => records.forEach((one) => heard.push(one.target.textContent));
            new MutationObserver(note).observe(document.querySelector('[role=status]'), {childList: true});
        }""")
        assert spoken(page) == ""
        time_passes(live, page, 880)
        assert page.evaluate("heard") == ["The code expires in 5 minutes", "The code expires in 1 minute"]
        expect(page.get_by_role("timer")).not_to_have_attribute("aria-live", re.compile(".*"))
        watch.problems.clear()

    @pytest.mark.parametrize("language", [one.tag for one in ALL.values()])
    def test_is_told_in_the_language_of_the_page(self, live: World, visitor: Visitor, language: str) -> None:
        """As the server told it, whose words are those of the same locale data."""
        open_consent(live, visitor)
        page = visitor.page
        page.goto(f"/device/consent?ui_locales={language}")
        server = page.evaluate("document.getElementById('left').dataset.text.replace('{}', '')").strip()
        assert server
        time_passes(live, page, 2)
        text = left(page).replace(server, "")
        assert "14" in text
        assert not re.search("minutes", text) or language in ("en", "fr")

    def test_is_the_servers_where_the_clocks_differ(self, live: World, visitor: Visitor, watch: Watch) -> None:
        open_consent(live, visitor)
        live.clock.pass_seconds(400)
        with visitor.page.expect_response(f"**{LOOKUP}"):
            visitor.page.clock.run_for(31_000)
        assert lookups(watch) == 1
        expect(visitor.page.get_by_role("timer")).to_have_text(re.compile("in 8 minutes"))

    def test_stands_still_without_scripts(self, live: World, visit: VisitorMaker) -> None:
        visitor = visit(scripts=False)
        open_consent(live, visitor)
        assert re.fullmatch("The code expires in 1[45] minutes", left(visitor.page))
        expect(visitor.page.get_by_text(EXPIRED)).to_have_count(0)


class TestACodeThatDies:
    def is_dead(self, visitor: Visitor, told: str) -> None:
        page = visitor.page
        expect(page.get_by_role("alert")).to_contain_text(told)
        expect(page.get_by_role("timer")).to_have_text(told)
        for name in ("Allow", "Deny"):
            expect(visitor.button(name)).to_be_disabled()
        visitor.link("Enter another code").click()
        visitor.sees("Enter the code from your device")

    def test_by_the_clock(self, live: World, visitor: Visitor, watch: Watch) -> None:
        open_consent(live, visitor)
        time_passes(live, visitor.page, 901)
        self.is_dead(visitor, EXPIRED)
        assert "/device/consent" not in watch.posts

    def test_says_so_to_everybody(self, live: World, visit: VisitorMaker) -> None:
        visitor = visit(bypass_csp=True)
        page = visitor.page
        page.clock.install()
        open_consent(live, visitor)
        page.clock.fast_forward(901_000)
        expect(page.get_by_role("alert")).to_contain_text(EXPIRED)
        page.set_viewport_size({"width": 320, "height": 256})
        assert page.locator("html").evaluate("one => one.scrollWidth") <= 320
        for scheme in SCHEMES:
            page.emulate_media(color_scheme=scheme)
            assert problems(page) == ""

    @pytest.mark.parametrize("decision", ["approve", "deny"])
    def test_in_another_window(
        self, live: World, visitor: Visitor, other_window: Person, watch: Watch, decision: str
    ) -> None:
        user_code = open_consent(live, visitor)
        other_window.decide(user_code, decision)
        visitor.page.clock.run_for(31_000)
        self.is_dead(visitor, DECIDED)
        assert watch.posts.count("/device/consent") == 0

    def test_while_nobody_looked(self, live: World, visitor: Visitor, other_window: Person, watch: Watch) -> None:
        user_code = open_consent(live, visitor)
        page = visitor.page
        self.hide(page, True)
        other_window.decide(user_code, "deny")
        page.clock.run_for(600_000)
        assert lookups(watch) == 0
        self.hide(page, False)
        self.is_dead(visitor, DECIDED)

    def hide(self, page: Page, hidden: bool) -> None:
        page.evaluate(
            "hidden => { Object.defineProperty(document, 'hidden', {value: hidden, configurable: true});"
            "document.dispatchEvent(new Event('visibilitychange')); }",
            hidden,
        )

    def test_is_asked_about_seldom_without_a_cookie_and_not_in_an_address(
        self, live: World, visitor: Visitor, watch: Watch
    ) -> None:
        user_code = open_consent(live, visitor)
        sent: list[Request] = []
        # Not what the browser itself loads.
        visitor.page.on("request", lambda one: sent.append(one) if one.resource_type == "fetch" else None)
        time_passes(live, visitor.page, 300)
        assert [one.post_data for one in sent] == [f"user_code={user_code}"] * 3
        assert [one.header_value("cookie") for one in sent] == [None] * 3
        time_passes(live, visitor.page, 590)
        assert lookups(watch) == 8
        time_passes(live, visitor.page, 600)
        assert lookups(watch) == 8

    def test_is_no_alarm_where_the_server_cannot_tell(self, live: World, visitor: Visitor, watch: Watch) -> None:
        open_consent(live, visitor)
        visitor.page.route(f"**{LOOKUP}", lambda route: route.abort())
        with visitor.page.expect_event("requestfailed", lambda one: one.url.endswith(LOOKUP)):
            visitor.page.clock.run_for(31_000)
        visitor.page.unroute(f"**{LOOKUP}")
        say_nothing(visitor.page)
        with visitor.page.expect_event("requestfinished", lambda one: one.url.endswith(LOOKUP)):
            visitor.page.clock.run_for(61_000)
        expect(visitor.page.get_by_role("alert")).to_have_count(0)
        expect(visitor.button("Allow")).to_be_enabled()
        assert lookups(watch) == 2
        watch.problems.clear()


class TestAllowWaitsAMoment:
    """The second click of a double click that was begun on another page lands on nothing."""

    def test_after_the_page_has_come(self, live: World, visitor: Visitor) -> None:
        device = live.device(address="127.0.0.1").ask()
        visitor.page.clock.pause_at("2040-01-01")
        visitor.open(device.user_code)
        visitor.sees(CONSENT)
        self.takes_no_click(visitor)
        assert device.poll().json["error"] == "authorization_pending"
        visitor.button("Allow").click()
        visitor.sees("You are done")

    def test_after_another_window_has_gone(self, live: World, visitor: Visitor) -> None:
        open_consent(live, visitor)
        page = visitor.page
        page.clock.pause_at("2040-01-01")
        page.reload()
        page.clock.run_for(500)
        expect(visitor.button("Allow")).to_have_css("pointer-events", "auto")
        page.evaluate("dispatchEvent(new Event('focus'))")
        self.takes_no_click(visitor)

    def takes_no_click(self, visitor: Visitor) -> None:
        page, allow = visitor.page, visitor.button("Allow")
        allow.scroll_into_view_if_needed()
        box = allow.bounding_box()
        assert box is not None
        page.clock.run_for(499)
        page.mouse.click(box["x"] + 9, box["y"] + 9)
        expect(allow).to_have_css("pointer-events", "none")
        visitor.sees(CONSENT)
        page.clock.run_for(1)
        expect(allow).to_have_css("pointer-events", "auto")

    def test_but_not_for_a_key(self, live: World, visitor: Visitor) -> None:
        user_code = live.device(address="127.0.0.1").ask().user_code
        visitor.page.clock.pause_at("2040-01-01")
        visitor.open(user_code)
        visitor.sees(CONSENT)
        visitor.button("Allow").press("Enter")
        visitor.sees("You are done")

    def test_not_without_scripts(self, live: World, visit: VisitorMaker) -> None:
        visitor = visit(scripts=False)
        open_consent(live, visitor)
        expect(visitor.button("Allow")).to_have_css("pointer-events", "auto")
