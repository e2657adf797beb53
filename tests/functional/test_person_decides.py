"""Approve and deny through the JSON services, and whose a code is once it was opened."""

import pytest

from ..conftest import WorldMaker
from ..factories import APPROVE, DENY, LOOKUP, PASSWORD, World


class TestAPersonDecides:
    @pytest.mark.parametrize(("path", "status", "poll"), [(APPROVE, "approved", 200), (DENY, "denied", 400)])
    def test_by_the_json_service(self, world: World, path: str, status: str, poll: int) -> None:
        device, person = world.device().ask(), world.person().sign_in()
        answer = person.post(path, device.user_code.lower().replace("-", " "))
        assert (answer.status_int, answer.json) == (200, {"status": status})
        assert device.poll().status_int == poll

    @pytest.mark.parametrize("path", [APPROVE, DENY])
    def test_only_who_is_signed_in(self, world: World, path: str) -> None:
        device = world.device().ask()
        answer = world.browser().post_json(path, {"user_code": device.user_code}, status=401)
        assert answer.json["error"] == "login_required"
        assert device.poll().json["error"] == "authorization_pending"

    @pytest.mark.parametrize("path", [APPROVE, DENY])
    @pytest.mark.parametrize("headers", [{}, {"X-CSRF-Token": "wrong"}])
    def test_only_with_the_csrf_token(self, world: World, path: str, headers: dict[str, str]) -> None:
        device, person = world.device().ask(), world.person().sign_in()
        answer = person.browser.post_json(path, {"user_code": device.user_code}, headers=headers, status=403)
        assert answer.json["error"] == "csrf_mismatch"
        assert device.poll().json["error"] == "authorization_pending"

    def test_not_from_another_origin(self, make) -> None:
        world = make(public_url="https://login.example.com")
        device, person = world.device().ask(), world.person().sign_in()
        headers = {"X-CSRF-Token": person.csrf_token(), "Origin": "https://evil.example"}
        answer = person.browser.post_json(APPROVE, {"user_code": device.user_code}, headers=headers, status=403)
        assert answer.json["error"] == "csrf_mismatch"

    @pytest.mark.parametrize("first", [APPROVE, DENY])
    @pytest.mark.parametrize("second", [APPROVE, DENY])
    def test_only_once(self, world: World, first: str, second: str) -> None:
        device, person = world.device().ask(), world.person().sign_in()
        person.post(first, device.user_code)
        answer = person.post(second, device.user_code)
        assert (answer.status_int, answer.json["error"]) == (409, "already_resolved")
        assert device.poll().status_int == (200 if first == APPROVE else 400)

    @pytest.mark.parametrize("path", [APPROVE, DENY])
    def test_not_an_unknown_code(self, world: World, path: str) -> None:
        person = world.person().sign_in()
        for code in ("BCDF-GHJK", "AAAA-AAAA", "x"):
            answer = person.post(path, code)
            assert (answer.status_int, answer.json["error"]) == (404, "expired_or_unknown")

    def test_forged_members_have_no_effect(self, world: World) -> None:
        device, person, other = world.device().ask(), world.person().sign_in(), world.person()
        body = {"user_code": device.user_code, "account_id": other.account.id, "workspace_id": "x"}
        person.browser.post_json(APPROVE, body, headers={"X-CSRF-Token": person.csrf_token()}, status=200)
        assert device.poll().json["account"]["id"] == person.account.id

    def test_a_resolved_code_is_no_longer_valid_at_lookup(self, world: World) -> None:
        device, person = world.device().ask(), world.person().sign_in()
        person.post(APPROVE, device.user_code)
        answer = device.http.get(LOOKUP, {"user_code": device.user_code}).json
        assert answer == {"valid": False, "expires_in_remaining": 0, "client_id": "difyctl"}


class TestACodeBelongsToWhoOpenedIt:
    @pytest.mark.parametrize("path", [APPROVE, DENY])
    def test_another_person_can_neither_approve_nor_deny(self, world: World, path: str) -> None:
        device, first, second = world.device().ask(), world.person(), world.person().sign_in()
        first.open(device.user_code)
        answer = second.post(path, device.user_code)
        assert (answer.status_int, answer.json["error"]) == (409, "already_claimed")
        assert device.poll().json["error"] == "authorization_pending"
        first.allow(device.user_code)
        assert device.poll().json["account"]["id"] == first.account.id

    def test_the_page_says_so(self, world: World) -> None:
        device, first, second = world.device().ask(), world.person(), world.person()
        first.open(device.user_code)
        page = second.open(device.user_code)
        assert page.status_int == 409
        assert "another account" in page.text.lower()
        assert page.html.select('main a[href="/logout"]')

    def test_looking_a_code_up_claims_nothing(self, world: World) -> None:
        device, person = world.device().ask(), world.person().sign_in()
        world.browser().get(LOOKUP, {"user_code": device.user_code})
        world.browser().get("/device", {"user_code": device.user_code})
        assert person.post(APPROVE, device.user_code).status_int == 200

    def test_a_link_only_fills_the_field(self, world: World) -> None:
        device, person = world.device().ask(), world.person().sign_in()
        page = person.browser.get(device.answer["verification_uri_complete"])
        assert page.form["user_code"].value == device.user_code
        assert "decision" not in page.form.fields
        assert device.poll().json["error"] == "authorization_pending"


class TestAWholeLinkInTheField:
    """As somebody pastes it whose browser runs no script."""

    @pytest.mark.parametrize("path", ["", "/" + "x" * 200])
    def test_is_as_good_as_its_code(self, world: World, path: str) -> None:
        person, device = world.person(), world.device().ask()
        person.allow(device.answer["verification_uri_complete"].replace("/device?", f"/device{path}?"))
        assert device.poll().status_int == 200

    def test_is_told_by_its_code_where_nobody_waits(self, world: World) -> None:
        answer = world.person().open("http://localhost:6543/device?user_code=BCDF-GHJK")
        assert answer.status_int == 404
        assert answer.form["user_code"].value == "BCDF-GHJK"


class TestNothingIsApprovedUnseen:
    @pytest.mark.parametrize("path", ["/device/consent", "/device", "/device/approved"])
    def test_an_address_decides_nothing(self, world: World, path: str) -> None:
        person, device = world.person(), world.device().ask()
        person.open(device.user_code)
        person.browser.get(path, {"decision": "approve", "user_code": device.user_code}, status="*")
        assert device.poll().json["error"] == "authorization_pending"

    def test_a_forged_form_leads_to_the_consent_page(self, world: World) -> None:
        device, person = world.device().ask(), world.person().sign_in()
        form = {"csrf_token": person.csrf_token(), "user_code": device.user_code, "decision": "approve"}
        answer = person.browser.post("/device/consent", form, status=303)
        assert answer.location == "http://localhost/device/consent"
        assert device.poll().json["error"] == "authorization_pending"
        page = answer.follow()
        assert device.user_code in page.text
        page.form.submit("decision", value="approve", status=303)
        assert device.poll().status_int == 200


class TestTheSignInEndsOnTheWay:
    def test_and_leads_back_to_the_same_code(self, make: WorldMaker) -> None:
        world = make(sign_in_lifetime_seconds="300")
        person, device = world.person(), world.device().ask()
        consent = person.open(device.user_code)
        world.clock.pass_seconds(301)
        sign_in = consent.form.submit("decision", value="approve", status=303).follow()
        assert (sign_in.request.path, device.poll().json["error"]) == ("/login", "authorization_pending")
        again = person._sign_in_on(sign_in)
        assert device.user_code in again.text
        again.form.submit("decision", value="approve", status=303)
        world.clock.pass_seconds(10)
        assert device.poll().status_int == 200

    def test_in_the_enterprise_edition_too(self, corp: World) -> None:
        person, device = corp.person(), corp.device().ask()
        consent = person.open(device.user_code)
        corp.services.accounts.set_password(person.account.email, "another password of mine")
        answer = consent.form.submit("decision", value="approve", status=303)
        assert answer.headers["Location"].endswith("/login")


class TestSigningIn:
    def test_again_ends_the_sign_in_before(self, world: World) -> None:
        person = world.person().sign_in()
        cookies = {name: value.strip('"') for name, value in person.browser.cookies.items()}
        form = {"csrf_token": person.csrf_token(), "email": person.account.email, "password": PASSWORD}
        person.browser.post("/login", form, status=303)
        old = world.browser()
        for name, value in cookies.items():
            old.set_cookie(name, value)
        assert person.account.email not in old.get("/device").text
        assert person.account.email in person.browser.get("/device").text

    def test_the_session_is_replaced(self, world: World) -> None:
        person = world.person()
        page = person.browser.get("/login")
        before = dict(person.browser.cookies), page.form["csrf_token"].value
        person.sign_in()
        assert dict(person.browser.cookies) != before[0]
        assert person.csrf_token() != before[1]

    def test_signing_out_ends_it_at_the_server(self, world: World) -> None:
        device, person = world.device().ask(), world.person().sign_in()
        cookies, token = dict(person.browser.cookies), person.csrf_token()
        person.browser.get("/logout").form.submit(status=303)
        for name, value in cookies.items():
            person.browser.set_cookie(name, value.strip('"'))
        answer = person.browser.post_json(
            APPROVE, {"user_code": device.user_code}, headers={"X-CSRF-Token": token}, status=401
        )
        assert answer.json["error"] == "login_required"

    def test_a_wrong_password_tells_no_more_than_an_unknown_account(self, world: World) -> None:
        person = world.person()
        answers = []
        for email in (person.account.email, "nobody@example.com"):
            form = person.browser.get("/login").form
            form["email"], form["password"] = email, "wrong password"
            answers.append(form.submit(status=401).text.replace(email, ""))
        assert answers[0].partition("csrf_token")[0] == answers[1].partition("csrf_token")[0]

    def test_a_new_password_signs_out_everywhere(self, world: World) -> None:
        device, person = world.device().ask(), world.person().sign_in()
        world.services.accounts.set_password(person.account.email, "another good password")
        answer = person.browser.post_json(APPROVE, {"user_code": device.user_code}, status=401)
        assert answer.json["error"] == "login_required"
        person.sign_in("another good password")
        assert person.post(APPROVE, device.user_code).status_int == 200

    def test_without_a_csrf_token_the_form_is_refused(self, world: World) -> None:
        person = world.person()
        form = {"email": person.account.email, "password": "correct horse battery staple"}
        page = person.browser.post("/login", form, status=403)
        assert page.content_type == "text/html"
        assert "/device" in page.text


def test_the_field_asks_for_no_corrections(world: World) -> None:
    """A keyboard of a telephone writes capitals there, and nobody's browser mends or remembers a code."""
    field = world.browser().get("/device").html.find(id="user_code")
    wanted = {"autocapitalize": "characters", "autocomplete": "off", "autocorrect": "off", "spellcheck": "false"}
    assert {name: field[name] for name in wanted} == wanted
    assert world.browser().get("/device").html.find("label", attrs={"for": "user_code"}).get_text() == "Code"
