"""Instead of typing a number, a person signs in again: for this code, after having opened it, within five minutes."""

import re

import pytest
from webtest import TestResponse

from ..conftest import WorldMaker
from ..factories import APPROVE, PASSWORD, Person, World
from .test_person_confirms_a_number import ELSEWHERE, FIELD, send, wrong

AGAIN = "/login?again=1"
DONE = "You have signed in again. Now decide."


@pytest.fixture
def confirming(make: WorldMaker) -> World:
    return make(other_network="confirm", **{"limit.decide": "off"})


def sign_in_again(page: TestResponse, person: Person, password: str = PASSWORD) -> TestResponse:
    """By the link of the consent page."""
    form = page.click(href=re.escape(AGAIN)).form
    assert form["email"].value == person.account.email
    form["password"] = password
    return form.submit(status="*")


def approval(person: Person, user_code: str) -> TestResponse:
    return person.post(APPROVE, user_code)


class TestSigningInAgain:
    def test_confirms_the_code(self, confirming: World) -> None:
        device, person = confirming.device().ask(), confirming.person(address=ELSEWHERE)
        page = sign_in_again(person.open(device.user_code), person).follow()
        assert page.request.path == "/device/consent"
        assert DONE in page
        assert FIELD not in page
        assert "It comes from another network" in page
        assert send(page, "approve").follow().request.path == "/device/approved"
        assert device.poll().json["account"]["id"] == person.account.id

    def test_confirms_it_for_a_program_in_the_same_browser(self, confirming: World) -> None:
        device, person = confirming.device().ask(), confirming.person(address=ELSEWHERE)
        sign_in_again(person.open(device.user_code), person)
        assert approval(person, device.user_code).json == {"status": "approved"}

    def test_names_the_code_and_the_way_back(self, confirming: World) -> None:
        device, person = confirming.device().ask(), confirming.person(address=ELSEWHERE)
        page = person.open(device.user_code).click(href=re.escape(AGAIN))
        assert device.user_code in page
        assert page.click("Back to the request").request.path == "/device/consent"

    def test_signs_nobody_out_and_survives_a_wrong_password(self, confirming: World) -> None:
        device, person = confirming.device().ask(), confirming.person(address=ELSEWHERE)
        page = person.open(device.user_code)
        failed = sign_in_again(page, person, "not the password")
        assert failed.status_int == 401
        assert "Sign in again" in failed
        assert device.user_code in failed
        assert person.account.email in person.browser.get("/device")
        assert FIELD in person.browser.get("/device/consent")
        failed.form["password"] = PASSWORD
        assert DONE in failed.form.submit(status=303).follow()

    def test_is_limited_as_any_sign_in(self, confirming: World) -> None:
        device, person = confirming.device().ask(), confirming.person(address=ELSEWHERE)
        page = person.open(device.user_code)
        assert [sign_in_again(page, person, "wrong password").status_int for _ in range(6)] == [401] * 5 + [429]
        assert approval(person, device.user_code).json["error"] == "confirmation_required"

    def test_after_wrong_numbers_confirms_too(self, confirming: World) -> None:
        device, person = confirming.device().ask(), confirming.person(address=ELSEWHERE)
        page = send(person.open(device.user_code), "approve", wrong(device.number))
        assert send(sign_in_again(page, person).follow(), "approve").follow().request.path == "/device/approved"

    def test_any_sign_in_after_the_code_was_opened_counts(self, confirming: World) -> None:
        device, person = confirming.device().ask(), confirming.person(address=ELSEWHERE)
        person.open(device.user_code)
        person.browser.get("/logout").form.submit(status=303)
        assert DONE in person.open(device.user_code)

    def test_is_not_offered_to_who_has_nothing_to_decide(self, confirming: World) -> None:
        person = confirming.person(address=ELSEWHERE).sign_in()
        assert person.browser.get(AGAIN, status=303).location == "http://localhost/device"


class TestItDoesNotCount:
    def test_before_the_code_was_opened(self, confirming: World) -> None:
        device, person = confirming.device().ask(), confirming.person(address=ELSEWHERE)
        # On the way to the consent page, which has told nothing by then.
        assert FIELD in person.open(device.user_code)
        assert approval(person, device.user_code).json["error"] == "confirmation_required"

    def test_without_a_code_in_this_browser(self, confirming: World) -> None:
        device, person = confirming.device().ask(), confirming.person(address=ELSEWHERE)
        person.open(device.user_code)
        other = confirming.person(person.account.email, address=ELSEWHERE).sign_in()
        assert approval(other, device.user_code).json["error"] == "confirmation_required"
        assert approval(person, device.user_code).json["error"] == "confirmation_required"

    def test_for_another_code(self, confirming: World) -> None:
        one, other, person = confirming.device().ask(), confirming.device().ask(), confirming.person(address=ELSEWHERE)
        sign_in_again(person.open(one.user_code), person)
        assert FIELD in person.open(other.user_code)
        assert approval(person, other.user_code).json["error"] == "confirmation_required"
        assert approval(person, one.user_code).status_int == 200

    def test_after_five_minutes(self, confirming: World) -> None:
        device, person = confirming.device().ask(), confirming.person(address=ELSEWHERE)
        page = sign_in_again(person.open(device.user_code), person).follow()
        confirming.clock.pass_seconds(299)
        assert DONE in person.browser.get("/device/consent")
        confirming.clock.pass_seconds(1)
        late = send(page, "approve")
        assert (late.status_int, FIELD in late) == (403, True)
        assert approval(person, device.user_code).json["error"] == "confirmation_required"
        assert DONE in sign_in_again(late, person).follow()

    def test_of_another_account(self, confirming: World) -> None:
        device, person, other = confirming.device().ask(), confirming.person(address=ELSEWHERE), confirming.person()
        form = person.open(device.user_code).click(href=re.escape(AGAIN)).form
        form["email"], form["password"] = other.account.email, PASSWORD
        refused = form.submit(status=303).follow(status=409)
        assert "Another account has opened this code" in refused
        assert approval(person, device.user_code).json["error"] == "already_claimed"
        person.browser.get("/logout").form.submit(status=303)
        person.sign_in()
        assert approval(person, device.user_code).json["error"] == "confirmation_required"

    def test_of_the_same_person_once_another_account_is_signed_in(self, confirming: World) -> None:
        device, person, other = confirming.device().ask(), confirming.person(address=ELSEWHERE), confirming.person()
        sign_in_again(person.open(device.user_code), person)
        form = {"csrf_token": person.csrf_token(), "email": other.account.email, "password": PASSWORD}
        person.browser.post("/login", form, status=303)
        assert approval(person, device.user_code).json["error"] == "already_claimed"

    def test_without_the_csrf_token(self, confirming: World) -> None:
        device, person = confirming.device().ask(), confirming.person(address=ELSEWHERE)
        person.open(device.user_code)
        form = {"email": person.account.email, "password": PASSWORD, "again": "1"}
        person.browser.post("/login", form, status=403)
        assert approval(person, device.user_code).json["error"] == "confirmation_required"

    def test_of_an_attacker_who_opened_the_code_elsewhere(self, confirming: World) -> None:
        """Signed in again there, as himself: it is worth nothing in the browser of his victim."""
        device, attacker, victim = (
            confirming.device(address=ELSEWHERE).ask(),
            confirming.person(address=ELSEWHERE),
            confirming.person(),
        )
        page = attacker.open(device.user_code)
        assert page.form.submit("decision", value="approve", status=303)
        second = confirming.device(address=ELSEWHERE).ask()
        assert FIELD in victim.open(second.user_code)
        for name, value in attacker.browser.cookies.items():
            victim.browser.set_cookie(name, value.strip('"'))
        # With the attacker's whole session in it, the browser is the attacker's: not the one who opened the code.
        assert approval(victim, second.user_code).json["error"] == "already_claimed"

    def test_a_second_time(self, confirming: World) -> None:
        """The cookie of before is sent again after the decision: it was for that one code."""
        one, person = confirming.device().ask(), confirming.person(address=ELSEWHERE)
        page = sign_in_again(person.open(one.user_code), person).follow()
        cookies = {name: value.strip('"') for name, value in person.browser.cookies.items()}
        send(page, "approve")
        for name, value in cookies.items():
            person.browser.set_cookie(name, value)
        assert approval(person, one.user_code).json["error"] == "already_resolved"
        assert FIELD in person.open(confirming.device().ask().user_code)

    def test_in_a_session_that_somebody_made_up(self, confirming: World) -> None:
        device, person = confirming.device().ask(), confirming.person(address=ELSEWHERE)
        sign_in_again(person.open(device.user_code), person)
        (name,) = [one for one in person.browser.cookies if one.endswith("oauthdevice_session")]
        value = person.browser.cookies[name].strip('"')
        person.browser.set_cookie(name, value[:-6] + ("AAAAAA" if not value.endswith("AAAAAA") else "BBBBBB"))
        assert person.browser.get("/device/consent", status=303).location == "http://localhost/device"


class TestWhereNothingIsToBeConfirmed:
    @pytest.mark.parametrize("policy", ["warn", "block"])
    def test_it_changes_nothing(self, make: WorldMaker, policy: str) -> None:
        world = make(other_network=policy)
        device, person = world.device().ask(), world.person(address=ELSEWHERE)
        person.open(device.user_code)
        page = person.browser.get(AGAIN).form
        page["password"] = PASSWORD
        opened = page.submit(status=303).follow()
        assert ('value="approve"' in opened) is (policy == "warn")
        assert approval(person, device.user_code).status_int == (200 if policy == "warn" else 403)
