"""A real browser says itself whether another site sent it here; a person who sees that it was not theirs reports it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect
from webob import Request, Response

from ..conftest import WorldMaker
from ..factories import World
from ..place_databases import BERLIN, WORLD, place_database
from ..scripted_providers import Scripted, running
from .axe import problems_in_every_light
from .conftest import Visitor, Watch
from .test_person_approves import CONSENT, DENIED, bare, row

WARNING = "You came here by a link on another site."
REPORTED = "Thank you, it is reported"
THERE = "203.0.113.9"


class Site(Scripted):
    """A page with a link to ours, as a chat or a web mail shows it."""

    def __init__(self) -> None:
        super().__init__()
        self.link = ""
        self.policy = "strict-origin-when-cross-origin"

    def answer(self, _: Request) -> Response:
        return Response(
            f'<!doctype html><html lang="en"><title>Chat</title><link rel="icon" href="data:,">'
            f'<a href="{self.link}">Your colleague needs you</a></html>',
            headers={"Referrer-Policy": self.policy},
        )


@pytest.fixture
def site() -> Iterator[Site]:
    with running(Site()) as one:
        yield one


def go_there(visitor: Visitor, watch: Watch, site: Site, link: str, host: str = "127.0.0.1") -> None:
    """To the page of the other site, and by its link to ours."""
    site.link = link
    address = site.url.replace("127.0.0.1", host)
    watch.elsewhere.append(address)
    visitor.page.goto(f"{address}/chat")
    visitor.link("Your colleague needs you").click()
    visitor.sees("Enter the code from your device")


class TestALinkOfAnotherSite:
    @pytest.mark.parametrize("host", ["127.0.0.1", "localhost"], ids=["same site", "cross site"])
    @pytest.mark.parametrize("policy", ["strict-origin-when-cross-origin", "no-referrer"])
    def test_is_warned_about_to_the_end(
        self, live: World, visitor: Visitor, watch: Watch, site: Site, host: str, policy: str
    ) -> None:
        device, site.policy = live.device().ask(), policy
        go_there(visitor, watch, site, device.answer["verification_uri_complete"], host)
        expect(visitor.page.get_by_text(WARNING)).to_be_visible()
        visitor.button("Continue").click()
        visitor.sign_in()
        visitor.sees(CONSENT)
        expect(visitor.page.get_by_text(WARNING)).to_be_visible()
        visitor.button("Deny").click()
        visitor.sees(DENIED)
        (told,) = [one for one in live.services.ledger.newest(10) if one.event == "denied"]
        assert told.reason == "opened by a link on another site"

    def test_and_an_address_that_was_typed_is_not(self, live: World, visitor: Visitor) -> None:
        visitor.page.goto(live.device().ask().answer["verification_uri_complete"])
        visitor.sees("Enter the code from your device")
        expect(visitor.page.get_by_text("This code came with a link.")).to_be_visible()
        expect(visitor.page.get_by_text(WARNING)).to_have_count(0)
        visitor.button("Continue").click()
        visitor.sign_in()
        visitor.sees(CONSENT)
        expect(visitor.page.get_by_text(WARNING)).to_have_count(0)


class TestThisWasNotMe:
    def test_instead_of_a_decision(self, live: World, visitor: Visitor, watch: Watch) -> None:
        device = live.device(address=THERE).ask()
        visitor.open(bare(device.user_code))
        visitor.button("I did not start this: report it").click()
        visitor.sees(REPORTED)
        assert watch.posts == ["/device", "/login", "/device/report"]
        assert device.poll().json["error"] == "access_denied"
        visitor.link("Enter another code").click()
        visitor.sees("Enter the code from your device")

    def test_after_allowing(self, live: World, visitor: Visitor) -> None:
        device = live.device(address=THERE).ask()
        visitor.open(device.user_code)
        visitor.button("Allow").click()
        visitor.sees("You are done")
        token = device.poll().json["access_token"]
        visitor.button("This was not me").click()
        visitor.sees(REPORTED)
        expect(visitor.page.get_by_text("One device was signed out of your account.")).to_be_visible()
        assert device.account(token).status_int == 401

    def test_after_denying(self, live: World, visitor: Visitor) -> None:
        device = live.device(address=THERE).ask()
        visitor.open(device.user_code)
        visitor.button("Deny").click()
        visitor.sees(DENIED)
        visitor.button("I did not start this: report it").click()
        visitor.sees(REPORTED)
        assert [one.event for one in live.services.ledger.newest(10)].count("reported") == 1

    def test_is_the_last_thing_that_the_keyboard_reaches(self, live: World, visitor: Visitor) -> None:
        device = live.device(address=THERE).ask()
        visitor.open(device.user_code)
        visitor.sees(CONSENT)
        buttons = visitor.page.get_by_role("main").get_by_role("button")
        assert buttons.all_inner_texts() == ["Deny", "Allow", "I did not start this: report it"]
        buttons.last.focus()
        visitor.page.keyboard.press("Enter")
        visitor.sees(REPORTED)
        assert device.poll().json["error"] == "access_denied"

    def test_the_back_button_decides_nothing(self, live: World, visitor: Visitor) -> None:
        device = live.device(address=THERE).ask()
        visitor.open(device.user_code)
        visitor.button("I did not start this: report it").click()
        visitor.sees(REPORTED)
        visitor.page.go_back()
        if visitor.button("Allow").count():
            visitor.button("Allow").click()
            visitor.sees("This code was used already")
        assert device.poll().json["error"] == "access_denied"


class TestEverybodyCanReadIt:
    @pytest.fixture
    def live(self, make_live: WorldMaker, tmp_path: Path) -> World:
        """A server that knows where its addresses are."""
        return make_live(place_database=place_database(tmp_path / "places.mmdb", {"127.0.0.0/8": BERLIN, **WORLD}))

    def test_axe_finds_nothing_and_nothing_scrolls_sideways(
        self, live: World, visit: Callable[..., Visitor], watch: Watch, site: Site
    ) -> None:
        visitor, device = visit(bypass_csp=True), live.device(address=THERE).ask(device_label="W" * 64)
        go_there(visitor, watch, site, device.answer["verification_uri_complete"])
        assert problems_in_every_light(visitor.page) == {}
        visitor.button("Continue").click()
        visitor.sign_in()
        visitor.sees(CONSENT)
        expect(visitor.page.get_by_text(WARNING)).to_be_visible()
        assert "Near Lyon, France" in row(visitor.page, "Place")
        assert "This browser is in another country." in row(visitor.page, "Place")
        expect(visitor.page.get_by_text("Sensitive", exact=True)).to_be_visible()
        assert problems_in_every_light(visitor.page) == {}
        visitor.button("I did not start this: report it").click()
        visitor.sees(REPORTED)
        assert problems_in_every_light(visitor.page) == {}
