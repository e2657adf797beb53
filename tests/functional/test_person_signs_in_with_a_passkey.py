"""A person adds a passkey, signs in with it and removes it, with an authenticator in software."""

import json
import re
from typing import Any

import pytest
from webtest import TestApp, TestResponse

from oauthdevice.domain.errors import NoSuchAccount
from oauthdevice.domain.passkeys import PASSKEYS_MAX

from ..authenticators import Authenticator
from ..conftest import WorldMaker
from ..factories import PASSWORD, Person, World

SIGN_IN = "/webauthn/sign-in"
PASSKEYS = "/webauthn/passkeys"


def csrf_token(browser: TestApp) -> str:
    """That of this browser, which the forms of any page hold."""
    return str(browser.get("/logout").forms[0]["csrf_token"].value)


def send(browser: TestApp, path: str, **members: Any) -> TestResponse:
    """As the script of a page does; any status. A credential travels as text."""
    body = {name: one if isinstance(one, str) else json.dumps(one) for name, one in members.items()}
    return browser.post_json(path, body, headers={"X-CSRF-Token": csrf_token(browser)}, status="*")


def options_to_sign(browser: TestApp) -> dict[str, Any]:
    answer = send(browser, f"{SIGN_IN}/options")
    assert answer.status_int == 200
    return dict(answer.json)


def options_to_add(person: Person) -> dict[str, Any]:
    answer = send(person.browser, f"{PASSKEYS}/options", password=PASSWORD)
    assert answer.status_int == 200
    return dict(answer.json)


def add(person: Person, authenticator: Authenticator | None = None, name: str = "laptop") -> Authenticator:
    """Add a passkey to who is signed in; what keeps it."""
    one = authenticator or Authenticator()
    answer = send(person.browser, PASSKEYS, name=name, credential=one.create(options_to_add(person)))
    assert (answer.status_int, answer.json) == (200, {"location": "http://localhost/passkeys"})
    return one


def sign_in(browser: TestApp, authenticator: Authenticator) -> TestResponse:
    """Sign in with a passkey; any status."""
    return send(browser, SIGN_IN, credential=authenticator.get(options_to_sign(browser)))


def signed_in_as(browser: TestApp) -> str:
    """The e-mail that the pages show; "" where nobody is signed in."""
    page = browser.get("/device").html
    shown = page.select(".who bdi")
    return str(shown[1].text) if shown else ""


def names(person: Person) -> list[str]:
    """Of the passkeys that the page lists."""
    return [one.text for one in person.browser.get("/passkeys").html.select(".passkeys h3")]


def events(world: World) -> list[dict[str, Any]]:
    return [one.members() for one in world.services.ledger.newest(1000)]


class TestAPersonAddsAPasskey:
    def test_and_is_signed_in_with_it_elsewhere(self, world: World) -> None:
        person = world.person().sign_in()
        passkey = add(person)
        browser = world.browser()
        answer = sign_in(browser, passkey)
        assert (answer.status_int, answer.json) == (200, {"location": "http://localhost/device"})
        assert signed_in_as(browser) == person.account.email

    @pytest.mark.parametrize("algorithm", [-7, -8, -257], ids=["ES256", "EdDSA", "RS256"])
    def test_of_each_algorithm(self, world: World, algorithm: int) -> None:
        passkey = add(world.person().sign_in(), Authenticator(algorithm=algorithm))
        assert sign_in(world.browser(), passkey).status_int == 200

    def test_that_does_not_count(self, world: World) -> None:
        passkey = add(world.person().sign_in(), Authenticator(counts=False))
        assert [sign_in(world.browser(), passkey).status_int for _ in range(2)] == [200, 200]

    def test_with_a_count_of_32_bits(self, world: World) -> None:
        passkey = add(world.person().sign_in(), Authenticator(sign_count=2**32 - 2))
        assert sign_in(world.browser(), passkey).status_int == 200

    def test_and_the_browser_is_told_what_it_needs(self, world: World) -> None:
        person = world.person().sign_in()
        first = add(person).create(options_to_add(person))["id"]
        options = options_to_add(person)
        assert options["rp"] == {"id": "localhost", "name": "oauthdevice"}
        assert options["user"]["name"] == person.account.email
        assert [one["alg"] for one in options["pubKeyCredParams"]] == [-7, -8, -257]
        assert [one["id"] for one in options["excludeCredentials"]] == [first]
        assert (options["attestation"], options["timeout"]) == ("none", 300_000)
        assert options["authenticatorSelection"]["residentKey"] == "required"
        assert options["authenticatorSelection"]["userVerification"] == "required"

    def test_and_the_page_lists_it(self, world: World) -> None:
        person = world.person().sign_in()
        assert "You have none yet." in person.browser.get("/passkeys").text
        passkey = add(person, name="work <laptop>")
        page = person.browser.get("/passkeys")
        assert "You can now sign in with the passkey" in page.text
        added, last_used = (one.text for one in page.html.select(".passkeys dd"))
        assert re.fullmatch(r"Just now|\d+ seconds? ago", added)
        assert last_used == "Never"
        sign_in(world.browser(), passkey)
        page = person.browser.get("/passkeys")
        assert "You can now" not in page.text
        assert re.fullmatch(r"Just now|\d+ seconds? ago", page.html.select(".passkeys dd")[1].text)
        assert names(person) == ["work <laptop>"]

    def test_only_with_the_password(self, world: World) -> None:
        person = world.person().sign_in()
        for password in ("", "wrong password", "x" * 1024):
            answer = send(person.browser, f"{PASSKEYS}/options", password=password)
            assert (answer.status_int, answer.json["error"]) == (401, "login_failed")

    def test_guessing_the_password_there_is_limited_as_at_the_sign_in(self, world: World) -> None:
        person = world.person().sign_in()
        for _ in range(5):
            send(person.browser, f"{PASSKEYS}/options", password="wrong password")
        answer = send(person.browser, f"{PASSKEYS}/options", password=PASSWORD)
        assert (answer.status_int, answer.json["error"]) == (429, "rate_limited")
        assert int(answer.headers["Retry-After"]) > 0

    def test_ten_at_most(self, world: World) -> None:
        person = world.person().sign_in()
        waiting = options_to_add(person)
        for number in range(PASSKEYS_MAX):
            add(person, name=f"number {number}")
        assert names(person) == [f"number {number}" for number in range(10)]
        page = person.browser.get("/passkeys")
        assert "You have 10 passkeys, and an account may have no more." in page.text
        assert page.html.find(id="add-passkey") is None
        refused = send(person.browser, f"{PASSKEYS}/options", password=PASSWORD)
        assert (refused.status_int, refused.json["error"]) == (409, "too_many_passkeys")
        refused = send(person.browser, PASSKEYS, name="more", credential=Authenticator().create(waiting))
        assert (refused.status_int, refused.json["error"]) == (409, "too_many_passkeys")

    @pytest.mark.parametrize("name", ["", "x" * 129, "a\nb", "\u202eevil", "\x00"])
    def test_with_a_name_that_a_person_can_read(self, world: World, name: str) -> None:
        person = world.person().sign_in()
        credential = Authenticator().create(options_to_add(person))
        answer = send(person.browser, PASSKEYS, name=name, credential=credential)
        assert (answer.status_int, answer.json["error"]) == (400, "invalid_request")
        assert names(person) == []


class TestAPersonSignsIn:
    def test_and_decides_about_the_code_that_was_entered(self, world: World) -> None:
        person, device = world.person().sign_in(), world.device().ask()
        passkey = add(person)
        browser = world.browser()
        form = browser.get("/device").form
        form["user_code"] = device.user_code
        form.submit(status=303)
        assert sign_in(browser, passkey).json == {"location": "http://localhost/device/consent"}
        browser.get("/device/consent").form.submit("decision", value="approve", status=303)
        assert device.poll().json["account"]["id"] == person.account.id

    def test_and_comes_back_to_the_page_that_asked_for_it(self, world: World) -> None:
        passkey = add(world.person().sign_in())
        browser = world.browser()
        assert browser.get("/passkeys", status=303).location == "http://localhost/login"
        assert sign_in(browser, passkey).json == {"location": "http://localhost/passkeys"}

    def test_and_is_so_with_a_password_too(self, world: World) -> None:
        person = world.person()
        form = person.browser.get("/passkeys").follow().form
        form["email"], form["password"] = person.account.email, PASSWORD
        assert form.submit(status=303).location == "http://localhost/passkeys"

    def test_in_a_new_browser_session(self, world: World) -> None:
        passkey = add(world.person().sign_in())
        browser = world.browser()
        token, cookies = csrf_token(browser), dict(browser.cookies)
        sign_in(browser, passkey)
        assert csrf_token(browser) != token
        assert dict(browser.cookies) != cookies

    def test_in_place_of_another(self, world: World) -> None:
        first, second = world.person().sign_in(), world.person().sign_in()
        sign_in(second.browser, add(first))
        assert signed_in_as(second.browser) == first.account.email

    def test_and_whatever_ends_a_sign_in_ends_this_one(self, world: World) -> None:
        person = world.person().sign_in()
        passkey = add(person)
        browser = world.browser()
        sign_in(browser, passkey)
        world.services.accounts.set_password(person.account.email, "another good password")
        assert signed_in_as(browser) == ""
        sign_in(browser, passkey)
        world.services.accounts.set_active(person.account.email, False)
        assert signed_in_as(browser) == ""

    def test_and_the_audit_says_how(self, world: World) -> None:
        person = world.person().sign_in()
        sign_in(world.browser("203.0.113.9"), add(person, name="laptop"))
        person.browser.get("/passkeys").forms[0].submit(status=303)
        subject = f"account:{person.account.id}"
        _, added, login, removed = events(world)
        added_there = {"event": "passkey_added", "subject": subject, "device_label": "laptop", "address": "192.0.2.7"}
        assert added_there.items() <= added.items()
        there = {"event": "login", "subject": subject, "reason": "passkey", "address": "203.0.113.9"}
        assert there.items() <= login.items()
        gone = {"event": "passkey_removed", "subject": subject, "device_label": "laptop", "reason": "by its owner"}
        assert gone.items() <= removed.items()

    def test_with_an_earlier_secret_of_the_server(self, make: WorldMaker) -> None:
        earlier, now = "an earlier secret, long enough, too", "the secret in force now, long enough"
        world = make(secret=earlier)
        passkey = add(world.person().sign_in())
        browser = world.browser()
        options = options_to_sign(browser)
        # The same database; the challenge went out before the change.
        rotated = make(secret=now, previous_secrets=earlier)
        browser.app = rotated.app
        assert send(browser, SIGN_IN, credential=passkey.get(options)).status_int == 200


class TestAPersonRemovesAPasskey:
    def test_and_nobody_signs_in_with_it_any_more(self, world: World) -> None:
        person = world.person().sign_in()
        lost, kept = add(person, name="lost"), add(person, name="kept")
        page = person.browser.get("/passkeys").forms[0].submit(status=303).follow()
        assert "no longer works here" in page.text
        assert names(person) == ["kept"]
        assert sign_in(world.browser(), lost).status_int == 403
        assert sign_in(world.browser(), kept).status_int == 200

    def test_the_last_too_as_the_password_stays(self, world: World) -> None:
        person = world.person().sign_in()
        add(person)
        person.browser.get("/passkeys").forms[0].submit(status=303)
        assert names(person) == []
        person.browser.get("/logout").form.submit(status=303)
        person.sign_in()
        assert signed_in_as(person.browser) == person.account.email

    def test_only_of_her_own(self, world: World) -> None:
        person, other = world.person().sign_in(), world.person().sign_in()
        add(person)
        form = person.browser.get("/passkeys").forms[0]
        forged = {"csrf_token": csrf_token(other.browser), "passkey": form["passkey"].value}
        other.browser.post("/passkeys", forged, status=404)
        assert names(person) == ["laptop"]

    def test_only_while_signed_in(self, world: World) -> None:
        person = world.person().sign_in()
        add(person)
        form = person.browser.get("/passkeys").forms[0]
        browser = world.browser()
        forged = {"csrf_token": csrf_token(browser), "passkey": form["passkey"].value}
        assert "You are not signed in" in browser.post("/passkeys", forged, status=401).text
        assert names(person) == ["laptop"]


class TestAnAdministrator:
    def test_removes_all_of_an_account_and_signs_it_out(self, world: World) -> None:
        person, other = world.person().sign_in(), world.person().sign_in()
        first, second, kept = add(person, name="one"), add(person, name="two"), add(other)
        assert world.services.passkeys.remove_all(person.account.email) == 2
        assert signed_in_as(person.browser) == ""
        assert [sign_in(world.browser(), one).status_int for one in (first, second, kept)] == [403, 403, 200]
        told = [(one["event"], one.get("device_label"), one.get("reason")) for one in events(world)]
        for name in ("one", "two"):
            assert ("passkey_removed", name, "by an administrator") in told
        with pytest.raises(NoSuchAccount):
            world.services.passkeys.remove_all("nobody@example.com")


class TestWhereThereAreNone:
    @pytest.mark.parametrize(
        "options",
        [{"passkeys": "off"}, {"public_url": "http://login.example.com"}, {"public_url": "https://192.0.2.1"}],
        ids=["switched off", "http", "an address without a name"],
    )
    def test_there_is_no_button_and_no_page(self, make: WorldMaker, options: dict[str, str]) -> None:
        world = make(**options)
        person = world.person().sign_in()
        assert "passkey" not in world.browser().get("/login").text
        assert "asskey" not in person.browser.get("/device").text
        person.browser.get("/passkeys", status=404)
        for path in (SIGN_IN, f"{SIGN_IN}/options", PASSKEYS, f"{PASSKEYS}/options"):
            assert send(person.browser, path).json["error"] == "not_found"

    def test_without_script_the_button_stays_hidden(self, world: World) -> None:
        person = world.person().sign_in()
        assert "hidden" in world.browser().get("/login").html.find(id="sign-in-with-passkey").attrs
        page = person.browser.get("/passkeys").html
        assert "hidden" in page.find(id="add-passkey").attrs
        assert "hidden" not in page.find(id="no-passkeys").attrs
