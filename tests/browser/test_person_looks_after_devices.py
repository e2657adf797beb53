"""A person looks after their devices in a real browser, with scripts and without, by keyboard too."""

from playwright.sync_api import expect

from ..factories import Device, World
from .conftest import Visitor


def let_in(live: World, visitor: Visitor, label: str) -> Device:
    """A device of the visitor's, which has its token."""
    device = live.device(address="127.0.0.1").ask(device_label=label)
    account = next(one for one in live.services.accounts.all() if one.email == visitor.email)
    live.services.approvals.approve(device.user_code, account, "127.0.0.1")
    device.poll()
    return device


class TestAPersonLooksAfterDevices:
    def test_names_one_and_ends_all_others(self, live: World, visitor: Visitor) -> None:
        devices = [let_in(live, visitor, label) for label in ("laptop", "printer", "stranger's")]
        visitor.page.goto("/devices")
        visitor.sign_in()
        visitor.sees("Your devices")
        expect(visitor.page.get_by_text("Your network now")).to_have_count(3)
        visitor.link("Calls itself printer").click()
        visitor.page.get_by_label("Your name for it").fill("Office printer")
        visitor.button("Save the name").click()
        visitor.sees("Office printer")
        expect(visitor.page.get_by_role("status")).to_have_text("The name is saved.")
        visitor.button("End all others (2)").click()
        visitor.sees("Your devices")
        expect(visitor.page.get_by_role("status")).to_have_text(
            "2 devices are signed out. Their apps must ask you again."
        )
        expect(visitor.page.get_by_role("heading", level=2)).to_have_text(["Office printer"])
        assert [device.account(device.poll().json.get("access_token", "")).status_int for device in devices] == [
            401,
            200,
            401,
        ]

    def test_enter_in_the_field_saves_the_name_and_ends_nothing(self, live: World, visitor: Visitor) -> None:
        let_in(live, visitor, "laptop")
        visitor.page.goto("/devices")
        visitor.sign_in()
        visitor.link("Calls itself laptop").click()
        visitor.page.get_by_label("Your name for it").fill("mine")
        visitor.page.keyboard.press("Enter")
        visitor.sees("mine")

    def test_reading_it_in_another_language_stays_on_the_page(self, live: World, visitor: Visitor) -> None:
        let_in(live, visitor, "laptop")
        visitor.page.goto("/devices")
        visitor.sign_in()
        visitor.link("Calls itself laptop").click()
        visitor.page.get_by_role("link", name="Deutsch").click()
        expect(visitor.page.locator("html")).to_have_attribute("lang", "de")
        expect(visitor.page.get_by_role("heading", level=1)).to_contain_text("laptop")
