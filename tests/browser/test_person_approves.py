"""A person decides in a real browser: with scripts and without, by mouse and by keyboard, wide and narrow."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import ConsoleMessage, Page, Route, expect

from ..factories import PASSWORD, World
from .conftest import UNUSED_CODE, Visitor, Watch, too_many_tries

VisitorMaker = Callable[..., Visitor]

CONSENT = "Allow difyctl to use your account?"
APPROVED = "You are done"
DENIED = "You denied difyctl"
USED = "This code was used already. Start again on your device to get a new one."
# WDJBMJHT as an input method for Chinese or Japanese writes it.
FULL_WIDTH = "".join(chr(ord(letter) + 0xFEE0) for letter in "wdjbmjht")


def bare(user_code: str) -> str:
    """As somebody types it who has read that it does not matter."""
    return user_code.replace("-", "").lower()


def row(page: Page, term: str) -> str:
    """What stands beside a term on the consent page."""
    return page.locator("dl > div").filter(has=page.get_by_text(term, exact=True)).locator("dd").inner_text()


class TestAPersonDecides:
    def test_allow_gives_the_device_its_token(self, live: World, visitor: Visitor, watch: Watch) -> None:
        device = live.device().ask(device_label="build server")
        visitor.enter(bare(device.user_code))
        visitor.sees("Sign in")
        expect(visitor.page.get_by_text(device.user_code)).to_be_visible()
        visitor.sign_in()
        visitor.sees(CONSENT)
        assert device.poll().json["error"] == "authorization_pending"
        visitor.button("Allow").click()
        visitor.sees(APPROVED)
        answer = device.poll()
        assert answer.status_int == 200
        assert answer.json["account"]["email"] == visitor.email
        assert device.account(answer.json["access_token"]).status_int == 200
        assert watch.posts == ["/device", "/login", "/device/consent"]

    def test_deny_tells_the_device(self, live: World, visitor: Visitor) -> None:
        device = live.device().ask()
        visitor.open(bare(device.user_code))
        visitor.button("Deny").click()
        visitor.sees(DENIED)
        assert device.poll().json["error"] == "access_denied"
        visitor.link("Enter another code").click()
        visitor.sees("Enter the code from your device")

    def test_the_consent_page_says_who_asks_for_what(self, live: World, visitor: Visitor) -> None:
        device = live.device(address="203.0.113.9").ask(device_label="build server", scope="apps:run workspace:read")
        visitor.open(device.user_code)
        visitor.sees(CONSENT)
        page = visitor.page
        expect(page.get_by_role("heading", name="Does your device show this code?")).to_be_visible()
        expect(page.get_by_text(device.user_code, exact=True)).to_be_visible()
        assert row(page, "App") == "difyctl"
        assert re.search("device calls itself.*build server", row(page, "Device"))
        assert "203.0.113.9" in row(page, "From")
        assert visitor.email in row(page, "Your account")
        assert re.match(r"Just now|\d+ seconds? ago", row(page, "When"))
        assert re.search(r"expires in 1[45] minutes", row(page, "Time left"))
        assert page.locator("main li").all_inner_texts() == ["Run apps", "See your workspaces"]
        expect(page.get_by_text("It comes from another network than this browser.")).to_be_visible()

    def test_a_device_in_the_same_network_is_said_to_be_there(self, live: World, visitor: Visitor) -> None:
        visitor.open(live.device(address="127.0.0.1").ask().user_code)
        visitor.sees(CONSENT)
        assert "the same network as this browser" in row(visitor.page, "From")
        assert row(visitor.page, "Device") == "It gave no name"
        expect(visitor.page.get_by_text("another network")).to_have_count(0)

    def test_who_is_signed_in_already_is_not_asked_again(self, live: World, visitor: Visitor) -> None:
        visitor.open(live.device().ask().user_code)
        visitor.button("Allow").click()
        visitor.sees(APPROVED)
        second = live.device().ask()
        visitor.enter(second.user_code)
        visitor.sees(CONSENT)
        visitor.button("Allow").click()
        visitor.sees(APPROVED)
        assert second.poll().status_int == 200

    def test_a_wrong_password_keeps_the_e_mail(self, live: World, visitor: Visitor) -> None:
        device = live.device().ask()
        visitor.enter(device.user_code)
        visitor.sign_in("not the password")
        page = visitor.page
        expect(page.get_by_role("alert")).to_have_text("E-mail or password is wrong. Check both and try again.")
        expect(page.get_by_label("E-mail")).to_have_value(visitor.email)
        expect(page.get_by_label("Password")).to_have_value("")
        expect(page.get_by_label("Password")).to_be_focused()
        expect(page.get_by_label("Password")).to_have_accessible_description(re.compile("password is wrong"))
        visitor.sign_in()
        visitor.sees(CONSENT)

    def test_sign_out_ends_the_sign_in(self, live: World, visitor: Visitor) -> None:
        visitor.open(live.device().ask().user_code)
        visitor.link("Not you? Sign out").click()
        visitor.sees("Sign out?")
        visitor.button("Sign out").click()
        visitor.sees("Sign in")
        visitor.page.goto("/device/consent")
        visitor.sees("Enter the code from your device")
        expect(visitor.page.get_by_text(visitor.email)).to_have_count(0)


class TestALinkWithTheCode:
    def test_it_fills_the_field_and_needs_the_same_clicks(self, live: World, visitor: Visitor, scripts: bool) -> None:
        device = live.device().ask()
        page = visitor.page
        page.goto(device.answer["verification_uri_complete"])
        visitor.sees("Enter the code from your device")
        expect(visitor.code_field).to_have_value(device.user_code)
        expect(page.get_by_text("This code came with a link.")).to_be_visible()
        if scripts:
            expect(page).to_have_url(f"{live.settings.public_url}/device")
        visitor.button("Continue").click()
        visitor.sign_in()
        visitor.sees(CONSENT)
        expect(page.get_by_text(device.user_code, exact=True)).to_be_visible()
        expect(page).to_have_url(f"{live.settings.public_url}/device/consent")
        assert device.poll().json["error"] == "authorization_pending"
        visitor.button("Allow").click()
        visitor.sees(APPROVED)
        assert device.poll().status_int == 200

    def test_markup_in_it_is_text(self, visitor: Visitor) -> None:
        visitor.page.goto('/device?user_code="><script>alert(1)</script>')
        visitor.sees("Enter the code from your device")
        expect(visitor.code_field).to_have_count(1)
        expect(visitor.page.locator("main script")).to_have_count(0)


class TestACodeThatDoesNotWork:
    def problem(self, visitor: Visitor, text: str) -> None:
        """The problem stands below the field, is tied to it, and the field has the focus."""
        expect(visitor.page.get_by_role("alert")).to_contain_text(text)
        field = visitor.code_field
        expect(field).to_be_focused()
        expect(field).to_have_attribute("aria-invalid", "true")
        expect(field).to_have_accessible_description(re.compile(re.escape(text)))
        expect(visitor.page).to_have_title(re.compile("^Error: "))

    def test_a_wrong_code_is_kept_to_be_mended(self, live: World, visitor: Visitor, scripts: bool) -> None:
        device = live.device().ask()
        visitor.enter("bcdfghjk")
        self.problem(visitor, "No device is waiting with this code.")
        expect(visitor.code_field).to_have_value(UNUSED_CODE if scripts else "bcdfghjk")
        visitor.code_field.fill(device.user_code)
        visitor.button("Continue").click()
        visitor.sees("Sign in")

    @pytest.mark.parametrize("misread", ["WDJB-MJH0", "IOUA-EY12", "wdjbmj5t"])
    def test_misread_letters_get_a_hint(self, visitor: Visitor, misread: str) -> None:
        visitor.enter(misread)
        self.problem(visitor, "One of these characters is in no code.")
        assert "B C D F G H J K L M N P Q R S T V W X Z 3 4 7 9" in visitor.page.get_by_role("alert").inner_text()
        assert bare(visitor.code_field.input_value()) == bare(misread)

    def test_no_code_at_all_asks_for_one(self, visitor: Visitor) -> None:
        visitor.page.goto("/device")
        visitor.button("Continue").click()
        self.problem(visitor, "Type the code that your device shows.")

    def test_an_expired_code_says_how_to_go_on(self, live: World, visitor: Visitor) -> None:
        device = live.device().ask()
        live.clock.pass_seconds(901)
        visitor.enter(device.user_code)
        self.problem(visitor, "it has expired")

    def test_a_code_that_expires_on_the_consent_page(self, live: World, visitor: Visitor) -> None:
        device = live.device().ask()
        visitor.open(device.user_code)
        visitor.sees(CONSENT)
        live.clock.pass_seconds(901)
        visitor.button("Allow").click()
        visitor.sees("No device is waiting with this code")
        visitor.link("Enter a code").click()
        visitor.sees("Enter the code from your device")
        assert device.poll().json["error"] == "expired_token"

    @pytest.mark.parametrize("decision", ["Allow", "Deny"])
    def test_a_decided_code_was_used_already(self, live: World, visitor: Visitor, decision: str) -> None:
        device = live.device().ask()
        visitor.open(device.user_code)
        visitor.button(decision).click()
        visitor.sees(APPROVED if decision == "Allow" else DENIED)
        visitor.enter(device.user_code)
        self.problem(visitor, USED)

    def test_the_back_button_decides_nothing_again(self, live: World, visitor: Visitor) -> None:
        device = live.device().ask()
        visitor.open(device.user_code)
        visitor.button("Deny").click()
        visitor.sees(DENIED)
        visitor.page.go_back()
        expect(visitor.page.get_by_role("heading", level=1)).not_to_have_text(APPROVED)
        if visitor.button("Allow").count():
            visitor.button("Allow").click()
            visitor.sees("This code was used already")
        assert device.poll().json["error"] == "access_denied"

    def test_a_code_that_another_person_opened(
        self, live: World, visitor: Visitor, visit: VisitorMaker, scripts: bool
    ) -> None:
        device = live.device().ask()
        visitor.open(device.user_code)
        visitor.sees(CONSENT)
        other = visit(scripts)
        other.open(device.user_code)
        other.sees("Another account has opened this code")
        other.link("Enter a code").click()
        other.sees("Enter the code from your device")
        visitor.button("Allow").click()
        visitor.sees(APPROVED)
        assert device.poll().json["account"]["email"] == visitor.email

    def test_too_many_wrong_codes_say_when_to_come_back(self, live: World, visitor: Visitor) -> None:
        too_many_tries(live, visitor)
        visitor.sees("Too many tries")
        expect(visitor.page.get_by_role("alert")).to_contain_text(
            re.compile(r"Try again in (\d+ seconds?|\d+ minutes?)")
        )


class TestASessionIsLost:
    def test_cookies_gone_before_the_decision(self, live: World, visitor: Visitor) -> None:
        device = live.device().ask()
        visitor.open(device.user_code)
        visitor.sees(CONSENT)
        visitor.page.context.clear_cookies()
        visitor.button("Allow").click()
        visitor.sees("This page was open too long")
        assert device.poll().json["error"] == "authorization_pending"
        visitor.link("Start again").click()
        visitor.open(device.user_code)
        visitor.button("Allow").click()
        visitor.sees(APPROVED)
        assert device.poll().status_int == 200

    def test_cookies_gone_before_the_sign_in(self, live: World, visitor: Visitor) -> None:
        device = live.device().ask()
        visitor.enter(device.user_code)
        visitor.sees("Sign in")
        visitor.page.context.clear_cookies()
        visitor.sign_in()
        visitor.sees("This page was open too long")
        visitor.link("Start again").click()
        visitor.open(device.user_code)
        visitor.sees(CONSENT)

    def test_signed_out_elsewhere_leads_over_the_sign_in_back(self, live: World, visitor: Visitor) -> None:
        device = live.device().ask()
        visitor.open(device.user_code)
        visitor.sees(CONSENT)
        live.services.accounts.set_password(visitor.email, PASSWORD)
        visitor.button("Allow").click()
        visitor.sees("Sign in")
        assert device.poll().json["error"] == "authorization_pending"
        visitor.sign_in()
        visitor.sees(CONSENT)
        visitor.button("Allow").click()
        visitor.sees(APPROVED)
        assert device.poll().status_int == 200


class TestHandsOnTheKeyboard:
    def test_the_whole_way_without_a_mouse(self, live: World, visitor: Visitor) -> None:
        device = live.device().ask()
        page, keyboard = visitor.page, visitor.page.keyboard
        page.goto("/device")
        expect(visitor.code_field).to_be_focused()
        keyboard.type(bare(device.user_code))
        keyboard.press("Enter")
        visitor.sees("Sign in")
        expect(page.get_by_label("E-mail")).to_be_focused()
        keyboard.type(visitor.email)
        keyboard.press("Tab")
        keyboard.type(PASSWORD)
        keyboard.press("Enter")
        visitor.sees(CONSENT)
        way = self.tab_to(page, "Allow")
        assert way[0] == "Skip to the content"
        assert way[-2:] == ["Deny", "Allow"]
        keyboard.press("Space")
        visitor.sees(APPROVED)
        assert device.poll().status_int == 200

    def test_deny_by_keyboard(self, live: World, visitor: Visitor) -> None:
        device = live.device().ask()
        visitor.open(device.user_code)
        visitor.sees(CONSENT)
        self.tab_to(visitor.page, "Deny")
        visitor.page.keyboard.press("Enter")
        visitor.sees(DENIED)
        assert device.poll().json["error"] == "access_denied"

    def tab_to(self, page: Page, name: str) -> list[str]:
        """Press Tab until `name` has the focus; the names of all that had it, each with a visible outline."""
        focused, names = page.locator(":focus"), [""]
        while names[-1] != name:
            assert len(names) < 20, names
            page.keyboard.press("Tab")
            names.append(focused.inner_text())
            expect(focused).not_to_have_css("outline-style", "none")
        return names[1:]

    def test_enter_approves_nothing(self, live: World, visitor: Visitor, watch: Watch) -> None:
        device = live.device().ask()
        visitor.open(device.user_code)
        visitor.sees(CONSENT)
        visitor.page.keyboard.press("Enter")
        visitor.page.keyboard.press("Space")
        visitor.sees(CONSENT)
        expect(visitor.page.locator("form").get_by_role("button").first).to_have_text("Deny")
        visitor.button("Deny").click()
        visitor.sees(DENIED)
        assert watch.posts.count("/device/consent") == 1
        assert device.poll().json["error"] == "access_denied"

    def test_a_form_sent_without_a_button_approves_nothing(self, live: World, visit: VisitorMaker) -> None:
        visitor, device = visit(), live.device().ask()
        visitor.open(device.user_code)
        visitor.sees(CONSENT)
        visitor.page.evaluate("document.forms[0].submit()")
        visitor.sees("The server did not understand")
        assert device.poll().json["error"] == "authorization_pending"


class TestScriptsAddComfort:
    @pytest.mark.parametrize("typed", ["wdjbmjht", "wdjb mjht", "WDJB-MJHT", " wdjb.mjht", FULL_WIDTH])
    def test_the_code_is_drawn_as_the_device_shows_it(self, visit: VisitorMaker, typed: str) -> None:
        visitor = visit()
        visitor.page.goto("/device")
        visitor.code_field.press_sequentially(typed)
        expect(visitor.code_field).to_have_value("WDJB-MJHT")

    def test_a_letter_can_be_mended_in_the_middle(self, visit: VisitorMaker) -> None:
        visitor = visit()
        visitor.page.goto("/device")
        expect(visitor.code_field).to_be_focused()
        keyboard = visitor.page.keyboard
        keyboard.type("wdxbmjht")
        for key in ["Home", "ArrowRight", "ArrowRight", "Delete", "j"]:
            keyboard.press(key)
        expect(visitor.code_field).to_have_value("WDJB-MJHT")
        keyboard.press("Backspace")
        keyboard.type("jk")
        expect(visitor.code_field).to_have_value("WDJK-BMJH-T")

    def test_a_pasted_link_becomes_its_code(self, live: World, visit: VisitorMaker) -> None:
        visitor, device = visit(), live.device().ask()
        visitor.page.goto("/device")
        visitor.code_field.fill(device.answer["verification_uri_complete"])
        expect(visitor.code_field).to_have_value(device.user_code)

    def test_a_whole_link_is_as_good_as_its_code(self, live: World, visitor: Visitor) -> None:
        visitor.page.goto("/device")
        device = live.device().ask()
        visitor.code_field.fill(device.answer["verification_uri_complete"])
        visitor.button("Continue").click()
        visitor.sees("Sign in")
        expect(visitor.page.get_by_text(device.user_code)).to_be_visible()

    def test_a_link_is_read_in_another_language(self, live: World, visitor: Visitor) -> None:
        device = live.device().ask()
        visitor.page.goto(device.answer["verification_uri_complete"])
        visitor.link("Deutsch").click()
        visitor.sees("Geben Sie den Code von Ihrem Gerät ein")
        expect(visitor.page.locator("#user_code")).to_have_value(device.user_code)
        assert device.user_code not in visitor.page.url

    def test_no_other_site_shows_it_in_a_frame(self, live: World, visit: VisitorMaker, watch: Watch) -> None:
        page = visit().page
        with page.expect_console_message(lambda told: "frame-ancestors" in told.text):
            page.set_content(f'<iframe src="{live.settings.public_url}/device"></iframe>')
        expect(page.frame_locator("iframe").get_by_role("heading")).to_have_count(0)
        assert [one.url for one in page.frames[1:]] == ["chrome-error://chromewebdata/"]
        watch.problems.clear()

    def test_a_double_click_on_allow_approves_once(self, live: World, visit: VisitorMaker, watch: Watch) -> None:
        visitor, device = visit(), live.device().ask()
        visitor.open(device.user_code)
        visitor.sees(CONSENT)
        visitor.button("Allow").dblclick()
        visitor.sees(APPROVED)
        assert watch.posts.count("/device/consent") == 1
        assert device.poll().status_int == 200

    def test_no_button_can_be_pressed_while_the_decision_is_on_its_way(self, live: World, visit: VisitorMaker) -> None:
        visitor, device = visit(), live.device().ask()
        held: list[Route] = []
        told: list[str] = []

        def hold(route: Route) -> None:
            held.append(route)
            go_on_after_both()

        def tell(message: ConsoleMessage) -> None:
            told.append(message.text)
            go_on_after_both()

        def go_on_after_both() -> None:
            if held and told:
                assert device.poll().json["error"] == "authorization_pending"
                held.pop().continue_()

        visitor.open(device.user_code)
        visitor.sees(CONSENT)
        visitor.page.evaluate(
            "addEventListener('submit', () => setTimeout(() => console.log("
            "document.querySelectorAll('button').length, document.querySelectorAll('button:enabled').length)))"
        )
        visitor.page.on("console", tell)
        visitor.page.route(lambda url: url.endswith("/device/consent"), hold, times=1)
        visitor.button("Allow").click(no_wait_after=True)
        visitor.sees(APPROVED)
        assert told == ["3 0"]
        assert device.poll().status_int == 200

    def test_the_code_leaves_the_history_too(self, live: World, visit: VisitorMaker) -> None:
        visitor, device = visit(), live.device().ask()
        visitor.page.goto(device.answer["verification_uri_complete"])
        visitor.button("Continue").click()
        visitor.sees("Sign in")
        visitor.page.go_back()
        expect(visitor.page).to_have_url(f"{live.settings.public_url}/device")


class TestNothingForeignRuns:
    @pytest.mark.parametrize(
        "label", ["<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "</dd><h1>Safe</h1>"]
    )
    def test_a_label_is_text(self, live: World, visitor: Visitor, label: str) -> None:
        visitor.open(live.device().ask(device_label=label).user_code)
        visitor.sees(CONSENT)
        assert label in row(visitor.page, "Device")
        expect(visitor.page.locator("main script, main img")).to_have_count(0)

    def test_the_watch_sees_what_the_policy_blocks(self, visit: VisitorMaker, watch: Watch) -> None:
        visitor = visit()
        visitor.page.goto("/device")
        with visitor.page.expect_console_message(lambda message: "Content Security Policy" in message.text):
            visitor.page.evaluate("document.body.insertAdjacentHTML('beforeend', '<p style=\"color: red\">x</p>')")
        assert len(watch.problems) == 1
        watch.problems.clear()
