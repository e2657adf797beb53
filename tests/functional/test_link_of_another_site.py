"""A link with a code that a page of another site had the browser follow: warned about until it is decided."""

from typing import Any

import pytest
from webtest import TestResponse

from ..conftest import WorldMaker
from ..factories import APPROVE_EXTERNAL, PASSWORD, SSO_INITIATE, Person, Stranger, World
from ..scripted_providers import ScriptedProvider

WARNING = "You came here by a link on another site."
PREFILLED = "This code came with a link."
# What a browser says of whence it came: that it came from another site, or not.
ELSEWHERE: list[dict[str, str]] = [
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "cross-site", "Referer": "http://localhost/"},
    {"Sec-Fetch-Site": "something new"},
    {"Sec-Fetch-Site": ""},
    {"Referer": "https://evil.example/"},
    {"Referer": "http://localhost:81/device"},
    {"Referer": "https://localhost/device"},
    {"Referer": "http://localhost.evil.example/"},
    {"Referer": "http://[broken"},
    {"Referer": "android-app://com.example.mail/"},
]
HERE: list[dict[str, str]] = [
    {},
    {"Sec-Fetch-Site": "none"},
    {"Sec-Fetch-Site": "same-origin"},
    {"Sec-Fetch-Site": "none", "Referer": "https://evil.example/"},
    {"Referer": ""},
    {"Referer": "http://localhost/device"},
    {"Referer": "http://localhost:80/device"},
]
CROSS_SITE = {"Sec-Fetch-Site": "cross-site"}


def follow(person: Person | Stranger, user_code: str, headers: dict[str, str]) -> TestResponse:
    return person.browser.get("/device", {"user_code": user_code}, headers=headers, status=200)


def go_on(person: Person, page: TestResponse) -> TestResponse:
    """From the prefilled field to the consent page."""
    answer = page.form.submit(status=303).follow()
    if answer.request.path == "/login":
        form = answer.form
        form["email"], form["password"] = person.account.email, PASSWORD
        answer = form.submit(status=303).follow()
    return answer


def decisions(world: World) -> list[dict[str, Any]]:
    return [one.members() for one in world.services.ledger.newest(100) if one.event in ("approved", "denied")]


class TestALinkOfAnotherSite:
    @pytest.mark.parametrize("headers", ELSEWHERE, ids=str)
    def test_is_warned_about(self, world: World, headers: dict[str, str]) -> None:
        page = follow(world.person(), world.device().ask().user_code, headers)
        assert WARNING in page.text
        assert PREFILLED in page.text

    @pytest.mark.parametrize("headers", HERE, ids=str)
    def test_and_any_other_as_before(self, world: World, headers: dict[str, str]) -> None:
        person = world.person()
        page = follow(person, world.device().ask().user_code, headers)
        assert WARNING not in page.text
        assert PREFILLED in page.text
        assert WARNING not in go_on(person, page).text

    def test_without_a_code_is_only_a_link(self, world: World) -> None:
        person, device = world.person(), world.device().ask()
        assert WARNING not in person.browser.get("/device", headers=CROSS_SITE).text
        assert WARNING not in person.open(device.user_code).text

    @pytest.mark.parametrize("signed_in", [True, False])
    def test_shortens_nothing_and_is_warned_about_to_the_end(self, world: World, signed_in: bool) -> None:
        person, device = world.person(), world.device().ask()
        if signed_in:
            person.sign_in()
        consent = go_on(person, follow(person, device.user_code, CROSS_SITE))
        assert consent.request.path == "/device/consent"
        assert WARNING in consent.text
        assert WARNING in person.browser.get("/device/consent").text
        assert device.poll().json["error"] == "authorization_pending"

    @pytest.mark.parametrize(("decision", "event"), [("approve", "approved"), ("deny", "denied")])
    def test_is_audited_with_the_decision(self, world: World, decision: str, event: str) -> None:
        person, device = world.person(), world.device().ask()
        go_on(person, follow(person, device.user_code, CROSS_SITE)).form.submit("decision", value=decision, status=303)
        told = [(one["event"], one.get("reason")) for one in decisions(world)]
        assert told == [(event, "opened by a link on another site")]

    def test_is_warned_about_where_the_code_is_then_typed(self, world: World) -> None:
        person, device = world.person(), world.device().ask()
        follow(person, device.user_code, CROSS_SITE)
        assert WARNING in person.open(device.user_code.lower().replace("-", " ")).text

    def test_says_nothing_of_another_code(self, world: World) -> None:
        person, linked, own = world.person(), world.device().ask(), world.device().ask()
        follow(person, linked.user_code, CROSS_SITE)
        assert WARNING not in person.open(own.user_code).text
        person.decide(own.user_code, "approve")
        assert "reason" not in decisions(world)[0]

    def test_says_nothing_of_another_browser(self, world: World) -> None:
        person, other, device = world.person(), world.person(), world.device().ask()
        follow(other, device.user_code, CROSS_SITE)
        assert WARNING not in person.open(device.user_code).text

    def test_is_not_forgotten_for_many_others(self, make: WorldMaker) -> None:
        world = make(**{"limit.code": "off"})
        person, device = world.person(), world.device().ask()
        follow(person, device.user_code, CROSS_SITE)
        for _ in range(30):
            follow(person, world.device().ask().user_code, CROSS_SITE)
        assert WARNING in person.open(device.user_code).text
        assert len(str(person.browser.cookies)) < 4000

    def test_decided_ones_make_room(self, make: WorldMaker) -> None:
        world = make(**{"limit.code": "off", "limit.decide": "off"})
        person = world.person()
        for _ in range(12):
            go_on(person, follow(person, world.device().ask().user_code, CROSS_SITE)).form.submit(
                "decision", value="deny", status=303
            )
        assert WARNING not in person.open(world.device().ask().user_code).text

    @pytest.mark.parametrize("user_code", ["x", "BCDF-GHJ0", '"><b>', "\u2603" * 70])
    def test_with_what_is_no_code_harms_nothing(self, world: World, user_code: str) -> None:
        assert WARNING not in follow(world.person(), user_code, CROSS_SITE).text


class TestOnTheWayToTheIdentityProvider:
    @pytest.mark.parametrize(("headers", "warned"), [(CROSS_SITE, True), ({"Sec-Fetch-Site": "same-origin"}, False)])
    @pytest.mark.parametrize("decision", ["approve", "deny"])
    def test_a_link_is_warned_about_after_it(
        self, corp: World, provider: ScriptedProvider, headers: dict[str, str], warned: bool, decision: str
    ) -> None:
        device, ada = corp.device().ask(), Stranger(corp)
        there = ada.browser.get(SSO_INITIATE, {"user_code": device.user_code}, headers=headers, status=302)
        back = ada.come_back(provider.sign_in(there.headers["Location"]))
        consent = back.follow(status=303).follow(status=200)
        assert (WARNING in consent.text) is warned
        consent.form.submit("decision", value=decision, status=303)
        assert ("reason" in decisions(corp)[0]) is warned

    def test_the_page_and_then_the_provider(self, corp: World, provider: ScriptedProvider) -> None:
        device, ada = corp.device().ask(), Stranger(corp)
        login = follow(ada, device.user_code, CROSS_SITE).form.submit(status=303).follow()
        there = login.click(href="provider=corp").headers["Location"]
        assert WARNING in ada.come_back(provider.sign_in(there)).follow(status=303).follow(status=200).text

    def test_a_form_is_as_good_as_a_link_and_signs_nobody_out(self, corp: World, provider: ScriptedProvider) -> None:
        device, ada = corp.device().ask(), Stranger(corp)
        there = ada.browser.post(SSO_INITIATE, {"user_code": device.user_code}, headers=CROSS_SITE, status=302)
        assert not any("oauthdevice_session" in one for one in there.headers.getall("Set-Cookie"))
        back = ada.come_back(provider.sign_in(there.headers["Location"]))
        assert WARNING in back.follow(status=303).follow(status=200).text

    def test_a_page_of_the_operators_own_is_told(self, corp: World, provider: ScriptedProvider) -> None:
        for headers, linked in ((CROSS_SITE, True), ({}, False)):
            device, ada = corp.device().ask(), Stranger(corp)
            there = ada.browser.get(SSO_INITIATE, {"user_code": device.user_code}, headers=headers, status=302)
            ada.come_back(provider.sign_in(there.headers["Location"]))
            assert ada.context()["linked"] is linked
            ada.decide(APPROVE_EXTERNAL, device.user_code)
            assert ("reason" in decisions(corp)[-1]) is linked
