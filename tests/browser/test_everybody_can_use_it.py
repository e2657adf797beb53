"""Every page and state: axe-core at WCAG 2.2 AA, light and dark, wide and narrow; the way past the header."""

from collections.abc import Callable

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from oauthdevice.domain.sessions import ALL
from oauthdevice.domain.undo import UndoSeal

from ..factories import PASSWORD, World
from .conftest import UNUSED_CODE, Visitor, too_many_tries

VisitorMaker = Callable[..., Visitor]

CONSENT = "Allow difyctl to use your account?"
APPROVED = "You are done"
DENIED = "You denied difyctl"


def prefilled(live: World, visitor: Visitor) -> None:
    visitor.page.goto(live.device().ask().answer["verification_uri_complete"])


def used_code(live: World, visitor: Visitor) -> None:
    device = live.device().ask()
    live.person().allow(device.user_code)
    visitor.enter(device.user_code)


def sign_in_with_a_code(live: World, visitor: Visitor) -> None:
    visitor.enter(live.device().ask().user_code)


def failed_sign_in(live: World, visitor: Visitor) -> None:
    visitor.page.goto("/login")
    visitor.sign_in("not the password")


def consent(live: World, visitor: Visitor) -> None:
    visitor.open(live.device(address="127.0.0.1").ask(device_label="build server").user_code)


def consent_of_a_long_name_elsewhere(live: World, visitor: Visitor) -> None:
    live.services.accounts.add(f"{'a' * 64}@example.com", "A" * 100, PASSWORD)
    visitor.email = f"{'a' * 64}@example.com"
    asked = live.device(address="2001:db8:1111:2222:3333:4444:5555:6666")
    visitor.open(asked.ask(device_label="W" * 128, scope="apps:run workspace:read workspace:write").user_code)


def approved(live: World, visitor: Visitor) -> None:
    consent(live, visitor)
    visitor.button("Allow").click()


def denied(live: World, visitor: Visitor) -> None:
    consent(live, visitor)
    visitor.button("Deny").click()


def expired_on_the_way(live: World, visitor: Visitor) -> None:
    consent(live, visitor)
    live.clock.pass_seconds(901)
    visitor.button("Allow").click()


def claimed(live: World, visitor: Visitor) -> None:
    device = live.device().ask()
    live.person().open(device.user_code)
    visitor.open(device.user_code)


def session_lost(live: World, visitor: Visitor) -> None:
    consent(live, visitor)
    visitor.page.context.clear_cookies()
    visitor.button("Allow").click()


def sign_out(live: World, visitor: Visitor) -> None:
    consent(live, visitor)
    visitor.link("Not you? Sign out").click()


def let_in(live: World, visitor: Visitor, **asked: str) -> None:
    """A device of the visitor's, which has its token."""
    device = live.device(address="127.0.0.1").ask(**asked)
    account = next(one for one in live.services.accounts.all() if one.email == visitor.email)
    live.services.approvals.approve(device.user_code, account, "127.0.0.1")
    device.poll()


def no_devices(_: World, visitor: Visitor) -> None:
    visitor.page.goto("/devices")
    visitor.sign_in()


def devices(live: World, visitor: Visitor) -> None:
    for label in ("laptop", "W" * 128, ""):
        let_in(live, visitor, **({"device_label": label} if label else {}))
    no_devices(live, visitor)


def device(live: World, visitor: Visitor) -> None:
    devices(live, visitor)
    visitor.page.get_by_role("link", name="laptop").click()


def device_of_a_long_name(live: World, visitor: Visitor) -> None:
    devices(live, visitor)
    visitor.page.get_by_role("link", name="WWWW").click()


def badly_named_device(live: World, visitor: Visitor) -> None:
    device(live, visitor)
    visitor.page.get_by_label("Your name for it").evaluate("one => { one.value = '\\u202e' }")
    visitor.button("Save the name").click()


def ended_device(live: World, visitor: Visitor) -> None:
    device(live, visitor)
    visitor.button("End this device").click()


def undo(live: World, visitor: Visitor) -> None:
    let_in(live, visitor, device_label="laptop")
    seal = UndoSeal(live.settings.secrets, live.clock)
    visitor.page.goto(f"/devices/undo?token={seal.seal(live.services.registry.live(email=visitor.email)[0])}")


def undone(live: World, visitor: Visitor) -> None:
    undo(live, visitor)
    visitor.button("End this device").click()


def undone_before(live: World, visitor: Visitor) -> None:
    undo(live, visitor)
    live.services.registry.end_all(ALL)
    visitor.button("End this device").click()


# How to get to every page and state, and the heading that it has.
STATES: dict[str, tuple[Callable[[World, Visitor], object], str]] = {
    "enter code": (lambda _, visitor: visitor.page.goto("/device"), "Enter the code from your device"),
    "prefilled": (prefilled, "Enter the code from your device"),
    "no code": (lambda _, visitor: visitor.enter(""), "Enter the code from your device"),
    "wrong code": (lambda _, visitor: visitor.enter(UNUSED_CODE), "Enter the code from your device"),
    "misread code": (lambda _, visitor: visitor.enter("WDJB-MJH0"), "Enter the code from your device"),
    "used code": (used_code, "Enter the code from your device"),
    "sign in": (lambda _, visitor: visitor.page.goto("/login"), "Sign in"),
    "sign in with a code": (sign_in_with_a_code, "Sign in"),
    "failed sign-in": (failed_sign_in, "Sign in"),
    "consent": (consent, CONSENT),
    "consent, long and from elsewhere": (consent_of_a_long_name_elsewhere, CONSENT),
    "approved": (approved, APPROVED),
    "denied": (denied, DENIED),
    "expired on the way": (expired_on_the_way, "No device is waiting with this code"),
    "claimed": (claimed, "Another account has opened this code"),
    "session lost": (session_lost, "This page was open too long"),
    "too many tries": (too_many_tries, "Too many tries"),
    "sign out": (sign_out, "Sign out?"),
    "sign out, nobody signed in": (lambda _, visitor: visitor.page.goto("/logout"), "You are not signed in"),
    "no devices": (no_devices, "Your devices"),
    "devices": (devices, "Your devices"),
    "device": (device, "Calls itself laptop"),
    "device of a long name": (device_of_a_long_name, f"Calls itself {'W' * 128}"),
    "badly named device": (badly_named_device, "Calls itself laptop"),
    "ended device": (ended_device, "Your devices"),
    "undo": (undo, "End this device?"),
    "undone": (undone, "The device is signed out"),
    "undone before": (undone_before, "This device was ended already"),
    "no such page": (lambda _, visitor: visitor.page.goto("/nowhere"), "There is no such page"),
}
WCAG = {
    "resultTypes": ["violations"],
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22a", "wcag22aa"],
    "rules": {"target-size": {"enabled": True}},
}


class TestEverybodyCanUseIt:
    @pytest.mark.parametrize("state", STATES)
    def test_axe_finds_nothing_at_wcag_2_2_aa_and_nothing_scrolls_sideways(
        self, live: World, visit: VisitorMaker, state: str
    ) -> None:
        visitor = visit(bypass_csp=True)
        walk, heading = STATES[state]
        walk(live, visitor)
        visitor.sees(heading)
        found = {}
        for width in (1280, 320):
            visitor.page.set_viewport_size({"width": width, "height": 800})
            assert visitor.page.locator("html").evaluate("one => one.scrollWidth") <= width
            for scheme in ("light", "dark"):
                visitor.page.emulate_media(color_scheme=scheme)
                results = Axe().run(visitor.page, options=WCAG)
                if results.violations_count:
                    found[width, scheme] = results.generate_report()
        assert found == {}

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
