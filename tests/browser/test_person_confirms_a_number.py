"""Approval from another network in a real browser: the number, the keyboard, the sign-in instead.

The browser is at 127.0.0.1; a device of the tests is at 192.0.2.7 unless it says otherwise.
"""

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import expect

from ..conftest import WorldMaker
from ..factories import World
from .conftest import Visitor, Watch
from .states import APPROVED, CONSENT, DENIED, number_field, wrong

VisitorMaker = Callable[..., Visitor]

WRONG = "This is not the number that your device shows."
MISSING = "Type the two-digit number that your device shows."


@pytest.fixture
def live(make_live: WorldMaker) -> Iterator[World]:
    """A server whose clients demand a number of who approves from another network."""
    return make_live(other_network="confirm")


def problem(visitor: Visitor, text: str) -> None:
    """It stands below the field, is tied to it; the field is empty and has the focus."""
    expect(visitor.page.get_by_role("alert")).to_contain_text(text)
    field = number_field(visitor)
    expect(field).to_be_focused()
    expect(field).to_have_value("")
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(field).to_have_accessible_description(re.compile(re.escape(text)))
    expect(visitor.page).to_have_title(re.compile("^Error: "))


class TestThePersonTypesTheNumber:
    def test_and_presses_allow(self, live: World, visitor: Visitor, watch: Watch) -> None:
        device = live.device().ask()
        visitor.open(device.user_code)
        visitor.sees(CONSENT)
        number_field(visitor).fill(device.number)
        visitor.button("Allow").click()
        visitor.sees(APPROVED)
        assert device.poll().status_int == 200
        assert watch.posts == ["/device", "/login", "/device/consent"]

    def test_and_presses_enter_which_does_not_deny(self, live: World, visitor: Visitor) -> None:
        device = live.device().ask()
        visitor.open(device.user_code)
        visitor.sees(CONSENT)
        number_field(visitor).press_sequentially(device.number)
        visitor.page.keyboard.press("Enter")
        visitor.sees(APPROVED)
        assert device.poll().status_int == 200

    def test_enter_in_the_empty_field_neither_allows_nor_denies(self, live: World, visitor: Visitor) -> None:
        device = live.device().ask()
        visitor.open(device.user_code)
        visitor.sees(CONSENT)
        number_field(visitor).focus()
        visitor.page.keyboard.press("Enter")
        problem(visitor, MISSING)
        assert device.poll().json["error"] == "authorization_pending"

    def test_by_keyboard_alone_deny_comes_before_allow(self, live: World, visitor: Visitor) -> None:
        device = live.device().ask()
        visitor.open(device.user_code)
        visitor.sees(CONSENT)
        number_field(visitor).focus()
        visitor.page.keyboard.type(device.number)
        visitor.page.keyboard.press("Tab")
        expect(visitor.link("Sign in again instead")).to_be_focused()
        visitor.page.keyboard.press("Tab")
        expect(visitor.button("Deny")).to_be_focused()
        visitor.page.keyboard.press("Tab")
        expect(visitor.button("Allow")).to_be_focused()
        visitor.page.keyboard.press("Enter")
        visitor.sees(APPROVED)

    def test_both_buttons_are_of_one_size_on_one_line(self, live: World, visit: VisitorMaker) -> None:
        visitor = visit()
        visitor.open(live.device().ask().user_code)
        visitor.sees(CONSENT)
        deny, allow = visitor.button("Deny").bounding_box(), visitor.button("Allow").bounding_box()
        assert deny is not None
        assert allow is not None
        assert (deny["y"], deny["width"], deny["height"]) == (allow["y"], allow["width"], allow["height"])

    def test_deny_needs_no_number(self, live: World, visitor: Visitor) -> None:
        device = live.device().ask()
        visitor.open(device.user_code)
        visitor.button("Deny").click()
        visitor.sees(DENIED)
        assert device.poll().json["error"] == "access_denied"

    def test_a_wrong_one_is_told_below_the_field_and_the_third_denies(self, live: World, visitor: Visitor) -> None:
        device = live.device().ask()
        visitor.open(device.user_code)
        visitor.sees(CONSENT)
        for left in ("2 more times", "once more"):
            number_field(visitor).fill(wrong(device))
            visitor.page.keyboard.press("Enter")
            problem(visitor, WRONG)
            expect(visitor.page.get_by_role("alert")).to_contain_text(left)
        number_field(visitor).fill(wrong(device))
        visitor.page.keyboard.press("Enter")
        visitor.sees("difyctl was denied")
        expect(visitor.page.get_by_role("alert")).to_contain_text("The number was wrong three times.")
        assert device.poll().json["error"] == "access_denied"

    def test_in_the_same_network_nobody_asks_for_one(self, live: World, visitor: Visitor) -> None:
        visitor.open(live.device(address="127.0.0.1").ask().user_code)
        visitor.sees(CONSENT)
        expect(number_field(visitor)).to_have_count(0)
        visitor.button("Allow").click()
        visitor.sees(APPROVED)


class TestThePersonSignsInAgain:
    def test_instead_of_typing_a_number(self, live: World, visitor: Visitor) -> None:
        device, page = live.device().ask(), visitor.page
        visitor.open(device.user_code)
        visitor.link("Sign in again instead").click()
        visitor.sees("Sign in again")
        expect(page.get_by_text(device.user_code)).to_be_visible()
        expect(page.get_by_label("E-mail")).to_have_value(visitor.email)
        expect(page.get_by_label("Password")).to_be_focused()
        visitor.sign_in("not the password")
        visitor.sees("Sign in again")
        visitor.sign_in()
        visitor.sees(CONSENT)
        expect(page.get_by_text("You have signed in again. Now decide.")).to_be_visible()
        expect(number_field(visitor)).to_have_count(0)
        visitor.button("Allow").click()
        visitor.sees(APPROVED)
        assert device.poll().status_int == 200


class TestWhereItIsBlocked:
    @pytest.fixture
    def live(self, make_live: WorldMaker) -> World:
        return make_live(other_network="block")

    def test_the_page_says_so_and_can_deny(self, live: World, visitor: Visitor) -> None:
        device = live.device().ask()
        visitor.open(device.user_code)
        visitor.sees(CONSENT)
        expect(visitor.page.get_by_text("It can be allowed only from the network of your device")).to_be_visible()
        expect(visitor.button("Allow")).to_have_count(0)
        visitor.button("Deny").click()
        visitor.sees(DENIED)
