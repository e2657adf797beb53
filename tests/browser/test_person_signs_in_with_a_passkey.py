"""A person adds a passkey and signs in with it in a real browser, with an authenticator that Chromium simulates."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import CDPSession, Page, Route, expect

from ..authenticators import Authenticator as SoftwareAuthenticator
from ..conftest import WorldMaker
from ..factories import PASSWORD, World
from .axe import problems_in_every_light
from .conftest import Visitor, Watch

VisitorMaker = Callable[..., Visitor]

ASKED = "/webauthn/sign-in/options"
CONSENT = "Allow difyctl to use your account?"
REFUSED = "The passkey was not accepted. Try again, or sign in with your password."
NOT_USED = "No passkey was used. Try again, or sign in with your password."


class Authenticator:
    """That of a laptop or phone, inside of one page's browser."""

    def __init__(self, page: Page) -> None:
        self._devtools: CDPSession = page.context.new_cdp_session(page)
        self._devtools.send("WebAuthn.enable")
        options = {
            "protocol": "ctap2",
            "transport": "internal",
            "hasResidentKey": True,
            "hasUserVerification": True,
            "isUserVerified": True,
            "automaticPresenceSimulation": True,
        }
        made = self._devtools.send("WebAuthn.addVirtualAuthenticator", {"options": options})
        self._id = str(made["authenticatorId"])

    @property
    def credentials(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._ask("getCredentials")["credentials"]
        return found

    def verifies(self, *, verified: bool) -> None:
        """Whether the fingerprint fits."""
        self._ask("setUserVerified", isUserVerified=verified)

    def waits(self, *, waits: bool) -> None:
        """Whether somebody must touch it, and nobody does."""
        self._ask("setAutomaticPresenceSimulation", enabled=not waits)

    def waits_until_asked_again(self, page: Page) -> None:
        """Somebody touches it for the next challenge, and for none before: by then the page has given those up."""

        def touch(route: Route) -> None:
            self.waits(waits=False)
            route.continue_()

        page.route(f"**{ASKED}", touch, times=1)

    def take_over(self, other: "Authenticator") -> None:
        """The passkeys of another one, as a cloud does it."""
        for one in other.credentials:
            self._ask("addCredential", credential=one)

    def _ask(self, method: str, **options: Any) -> dict[str, Any]:
        found: dict[str, Any] = self._devtools.send(f"WebAuthn.{method}", {"authenticatorId": self._id, **options})
        return found


@pytest.fixture
def live(make_live: WorldMaker) -> World:
    """By a name, which a passkey belongs to; an address it cannot."""
    return make_live(host="localhost")


@pytest.fixture
def visitor(visit: VisitorMaker) -> Visitor:
    return visit()


@pytest.fixture
def authenticator(visitor: Visitor) -> Authenticator:
    return Authenticator(visitor.page)


def add(visitor: Visitor, name: str = "work laptop", password: str = PASSWORD) -> None:
    """On the page of passkeys, signing in on the way."""
    visitor.page.goto("/passkeys")
    if visitor.page.url.endswith("/login"):
        visitor.sign_in()
    visitor.sees("Passkeys")
    visitor.page.get_by_label("Name").fill(name)
    visitor.page.get_by_label("Password").fill(password)
    visitor.button("Add a passkey").click()


def added(visitor: Visitor, name: str = "work laptop") -> None:
    add(visitor, name)
    expect(visitor.page.get_by_role("status")).to_have_text(f"You can now sign in with the passkey {name}.")


def leave(visitor: Visitor) -> None:
    visitor.page.goto("/logout")
    visitor.button("Sign out").click()


def sign_out(visitor: Visitor) -> None:
    leave(visitor)
    visitor.sees("Sign in")


def problem(visitor: Visitor) -> Any:
    """The one problem that the page tells, announced to who cannot see it."""
    return expect(visitor.page.get_by_role("alert").locator("p:visible"))


def no_offer(visitor: Visitor) -> None:
    """A browser that offers no passkey in the field for the e-mail; Chromium's simulation takes each offer at once."""
    visitor.page.add_init_script("PublicKeyCredential.isConditionalMediationAvailable = async () => false;")


@pytest.fixture
def button(visitor: Visitor, authenticator: Authenticator) -> Any:
    """The button, for a person who has a passkey and is not signed in."""
    added(visitor)
    no_offer(visitor)
    sign_out(visitor)
    return visitor.button("Sign in with a passkey")


@pytest.mark.usefixtures("authenticator")
class TestAPersonSignsIn:
    def test_with_a_passkey_and_allows_a_device(self, live: World, visitor: Visitor, watch: Watch) -> None:
        added(visitor)
        no_offer(visitor)
        sign_out(visitor)
        device = live.device().ask()
        visitor.enter(device.user_code)
        visitor.sees("Sign in")
        expect(visitor.page.get_by_text(device.user_code)).to_be_visible()
        watch.posts.clear()
        visitor.button("Sign in with a passkey").click()
        visitor.sees(CONSENT)
        visitor.button("Allow").click()
        visitor.sees("You are done")
        assert device.poll().json["account"]["email"] == visitor.email
        assert watch.posts == [ASKED, "/webauthn/sign-in", "/device/consent"]

    def test_with_what_the_browser_offers_in_the_field(self, visitor: Visitor) -> None:
        added(visitor)
        # Chromium's simulation takes the offer at once: the page that offers it may be gone before anybody sees it.
        leave(visitor)
        visitor.sees("Enter the code from your device")
        expect(visitor.page.get_by_text(visitor.email)).to_be_visible()

    def test_with_keys_alone(self, visitor: Visitor, button: Any) -> None:
        visitor.page.get_by_label("Password").focus()
        for _ in range(2):
            visitor.page.keyboard.press("Tab")
        expect(button).to_be_focused()
        visitor.page.keyboard.press("Enter")
        visitor.sees("Enter the code from your device")

    def test_with_the_password_as_before(self, visitor: Visitor, button: Any) -> None:
        expect(button).to_be_visible()
        visitor.sign_in()
        visitor.sees("Enter the code from your device")

    def test_and_comes_back_to_where_the_person_was_going(self, visitor: Visitor, button: Any) -> None:
        visitor.page.goto("/passkeys")
        button.click()
        visitor.sees("Passkeys")

    def test_at_another_device_with_a_passkey_from_the_cloud(
        self, visit: VisitorMaker, visitor: Visitor, authenticator: Authenticator
    ) -> None:
        added(visitor)
        other = visit()
        Authenticator(other.page).take_over(authenticator)
        no_offer(other)
        other.page.goto("/login")
        other.button("Sign in with a passkey").click()
        other.sees("Enter the code from your device")
        # It is the passkey that says who signs in.
        expect(other.page.get_by_text(visitor.email)).to_be_visible()


@pytest.mark.usefixtures("authenticator")
class TestAPersonIsNotSignedIn:
    def test_with_a_passkey_that_was_removed(self, visitor: Visitor, button: Any, watch: Watch) -> None:
        visitor.sign_in()
        visitor.page.goto("/passkeys")
        visitor.button("Remove work laptop").click()
        expect(visitor.page.get_by_role("status")).to_contain_text("The passkey work laptop no longer works here.")
        expect(visitor.page.get_by_text("You have none yet.")).to_be_visible()
        sign_out(visitor)
        watch.may_refuse.append("/webauthn/sign-in")
        button.click()
        problem(visitor).to_have_text(REFUSED)
        visitor.sees("Sign in")
        visitor.sign_in()
        visitor.sees("Enter the code from your device")

    def test_with_an_offered_passkey_that_was_removed(self, live: World, visitor: Visitor, watch: Watch) -> None:
        added(visitor)
        live.services.passkeys.remove_all(visitor.email)
        watch.may_refuse.append("/webauthn/sign-in")
        visitor.page.goto("/login")
        problem(visitor).to_have_text(REFUSED)

    def test_by_a_finger_that_does_not_fit(
        self, visitor: Visitor, button: Any, authenticator: Authenticator, watch: Watch
    ) -> None:
        watch.posts.clear()
        authenticator.verifies(verified=False)
        button.click()
        problem(visitor).to_have_text(NOT_USED)
        assert watch.posts == [ASKED]
        authenticator.verifies(verified=True)
        button.click()
        visitor.sees("Enter the code from your device")

    def test_without_a_passkey(self, visitor: Visitor) -> None:
        no_offer(visitor)
        visitor.page.goto("/login")
        visitor.button("Sign in with a passkey").click()
        problem(visitor).to_have_text(NOT_USED)

    def test_who_cancels(self, visitor: Visitor, button: Any) -> None:
        # Nobody can press "Cancel" without a window: the browser says the same where its user does.
        visitor.page.evaluate(
            "() => { navigator.credentials.get = async () => { throw new DOMException('', 'NotAllowedError'); }; }"
        )
        button.click()
        problem(visitor).to_have_text(NOT_USED)
        expect(button).to_be_focused()
        visitor.sign_in()
        visitor.sees("Enter the code from your device")

    def test_while_the_server_is_away(self, visitor: Visitor, button: Any, watch: Watch) -> None:
        visitor.page.route("**/webauthn/**", lambda route: route.abort())
        button.click()
        problem(visitor).to_have_text("That did not work. Try again, or sign in with your password.")
        watch.problems = [one for one in watch.problems if "net::ERR_FAILED" not in one]

    def test_once_the_page_is_too_old(self, visitor: Visitor, button: Any, watch: Watch) -> None:
        visitor.page.context.clear_cookies()
        watch.may_refuse.append(ASKED)
        button.click()
        problem(visitor).to_have_text("This page was open too long. Load it again.")

    def test_after_too_many_tries(self, live: World, visitor: Visitor, button: Any, watch: Watch) -> None:
        for number in range(20):
            form = live.browser("127.0.0.1").get("/login").form
            form["email"], form["password"] = f"nobody-{number}@example.com", "wrong"
            form.submit(status=401)
        watch.may_refuse.append("/webauthn/sign-in")
        button.click()
        problem(visitor).to_have_text("Too many tries. Try again later.")


class TestTheOffer:
    def test_is_renewed_before_its_challenge_expires(
        self, live: World, visitor: Visitor, authenticator: Authenticator, watch: Watch
    ) -> None:
        added(visitor)
        authenticator.waits(waits=True)
        visitor.page.clock.install()
        with visitor.page.expect_response(f"**{ASKED}"):
            sign_out(visitor)
        watch.posts.clear()
        with visitor.page.expect_response(f"**{ASKED}"):
            visitor.page.clock.fast_forward(4 * 60 * 1000)
        # The first two challenges are over.
        live.clock.pass_seconds(301)
        authenticator.waits_until_asked_again(visitor.page)
        visitor.page.clock.fast_forward(4 * 60 * 1000)
        visitor.sees("Enter the code from your device")
        assert watch.posts == [ASKED, ASKED, "/webauthn/sign-in"]

    def test_makes_way_for_the_button(self, visitor: Visitor, authenticator: Authenticator) -> None:
        added(visitor)
        authenticator.waits(waits=True)
        with visitor.page.expect_response(f"**{ASKED}"):
            sign_out(visitor)
        # The offer goes on waiting.
        authenticator.waits_until_asked_again(visitor.page)
        visitor.button("Sign in with a passkey").click()
        visitor.sees("Enter the code from your device")


@pytest.mark.usefixtures("authenticator")
class TestAPersonAddsAPasskey:
    def test_and_sees_it_in_the_list(self, visitor: Visitor, authenticator: Authenticator) -> None:
        added(visitor)
        entry = visitor.page.get_by_role("listitem").filter(has_text="work laptop")
        expect(entry).to_contain_text(re.compile(r"Added\s*(Just now|\d+ seconds? ago)"))
        expect(entry).to_contain_text(re.compile(r"Last used\s*Never"))
        (kept,) = authenticator.credentials
        assert (kept["rpId"], kept["userName"]) == ("localhost", visitor.email)

    def test_not_with_a_wrong_password(self, visitor: Visitor, authenticator: Authenticator, watch: Watch) -> None:
        watch.may_refuse.append("/webauthn/passkeys/options")
        add(visitor, password="not the password")
        problem(visitor).to_have_text("The password is wrong. Try again.")
        expect(visitor.page.get_by_label("Password")).to_be_focused()
        assert authenticator.credentials == []
        # What was typed is still there.
        expect(visitor.page.get_by_label("Name")).to_have_value("work laptop")
        visitor.page.get_by_label("Password").fill(PASSWORD)
        visitor.page.keyboard.press("Enter")
        expect(visitor.page.get_by_role("status")).to_contain_text("You can now sign in")

    def test_not_twice_in_one_place(self, visitor: Visitor, authenticator: Authenticator) -> None:
        added(visitor)
        add(visitor, "again")
        problem(visitor).to_have_text("There is a passkey of your account already, where this one was to be kept.")
        assert len(authenticator.credentials) == 1

    def test_not_with_a_finger_that_does_not_fit(self, visitor: Visitor, authenticator: Authenticator) -> None:
        authenticator.verifies(verified=False)
        add(visitor)
        problem(visitor).to_have_text("No passkey was made. Try again.")

    def test_not_once_signed_out_elsewhere(self, live: World, visitor: Visitor, watch: Watch) -> None:
        visitor.page.goto("/passkeys")
        visitor.sign_in()
        visitor.sees("Passkeys")
        live.services.accounts.set_password(visitor.email, PASSWORD)
        visitor.page.get_by_label("Name").fill("x")
        visitor.page.get_by_label("Password").fill(PASSWORD)
        watch.may_refuse.append("/webauthn/passkeys/options")
        visitor.button("Add a passkey").click()
        problem(visitor).to_have_text("You are no longer signed in. Load this page again.")

    def test_with_a_name_that_is_shown_as_it_is(self, visitor: Visitor) -> None:
        added(visitor, "<b>Ada's</b> \N{KEY} & co")


class TestWithoutWhatItNeeds:
    def test_no_script_no_button(self, visit: VisitorMaker) -> None:
        visitor = visit(scripts=False)
        visitor.page.goto("/passkeys")
        visitor.sees("Sign in")
        expect(visitor.button("Sign in with a passkey")).to_be_hidden()
        visitor.sign_in()
        visitor.sees("Passkeys")
        expect(visitor.button("Add a passkey")).to_be_hidden()
        expect(visitor.page.get_by_text("This browser cannot make one.")).to_be_visible()

    @pytest.mark.usefixtures("authenticator")
    def test_removing_needs_no_script(self, visit: VisitorMaker, visitor: Visitor) -> None:
        added(visitor)
        plain = visit(scripts=False, email=visitor.email)
        plain.page.goto("/passkeys")
        plain.sign_in()
        plain.button("Remove work laptop").click()
        expect(plain.page.get_by_text("You have none yet.")).to_be_visible()

    def test_a_browser_that_knows_no_passkeys_has_no_button(self, visitor: Visitor) -> None:
        visitor.page.add_init_script("delete window.PublicKeyCredential;")
        visitor.page.goto("/passkeys")
        expect(visitor.button("Sign in with a passkey")).to_be_hidden()
        visitor.sign_in()
        visitor.sees("Passkeys")
        expect(visitor.button("Add a passkey")).to_be_hidden()
        expect(visitor.page.get_by_text("This browser cannot make one.")).to_be_visible()


def sign_in_page(_: World, visitor: Visitor) -> None:
    visitor.page.goto("/login")
    expect(visitor.button("Sign in with a passkey")).to_be_visible()


def nothing_used(live: World, visitor: Visitor) -> None:
    sign_in_page(live, visitor)
    visitor.button("Sign in with a passkey").click()
    problem(visitor).to_have_text(NOT_USED)


def none_yet(_: World, visitor: Visitor) -> None:
    visitor.page.goto("/passkeys")
    visitor.sign_in()
    expect(visitor.button("Add a passkey")).to_be_visible()


def wrong_password(_: World, visitor: Visitor) -> None:
    add(visitor, password="not the password")
    problem(visitor).to_contain_text("The password is wrong.")


def just_removed(_: World, visitor: Visitor) -> None:
    added(visitor)
    visitor.button("Remove work laptop").click()
    expect(visitor.page.get_by_role("status")).to_contain_text("no longer works here")


def as_many_as_there_may_be(live: World, visitor: Visitor) -> None:
    account = live.services.accounts.named(visitor.email)
    for number in range(10):
        one = SoftwareAuthenticator(origin=live.settings.public_url)
        options = live.services.passkeys.begin_adding(account, PASSWORD, "x", "127.0.0.1")
        name = "W" * 128 if number else "short"
        live.services.passkeys.add(account, name, json.dumps(one.create(options)), "x", "127.0.0.1")
    visitor.page.goto("/passkeys")
    visitor.sign_in()
    expect(visitor.page.get_by_text("an account may have no more")).to_be_visible()


STATES: dict[str, tuple[Callable[[World, Visitor], object], str]] = {
    "sign in": (sign_in_page, "Sign in"),
    "no passkey used": (nothing_used, "Sign in"),
    "none yet": (none_yet, "Passkeys"),
    "just added": (lambda _, visitor: added(visitor), "Passkeys"),
    "wrong password": (wrong_password, "Passkeys"),
    "just removed": (just_removed, "Passkeys"),
    "ten": (as_many_as_there_may_be, "Passkeys"),
}


class TestEverybodyCanUseIt:
    @pytest.mark.parametrize("state", STATES)
    def test_axe_finds_nothing_and_nothing_scrolls_sideways(
        self, live: World, visit: VisitorMaker, watch: Watch, state: str
    ) -> None:
        visitor = visit(bypass_csp=True)
        Authenticator(visitor.page)
        no_offer(visitor)
        watch.may_refuse.append("/webauthn/passkeys/options")
        walk, heading = STATES[state]
        walk(live, visitor)
        visitor.sees(heading)
        assert problems_in_every_light(visitor.page) == {}
