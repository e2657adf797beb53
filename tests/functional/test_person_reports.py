"""A person says "this was not me": it is undone, what else came from there is stopped, their neighbours are not."""

from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from webtest import TestResponse

from ..conftest import WorldMaker
from ..factories import (
    API,
    APPROVE,
    APPROVE_EXTERNAL,
    CODE,
    DENY,
    LOOKUP,
    PASSWORD,
    SSO_INITIATE,
    Device,
    Person,
    Stranger,
    World,
    keys_in,
)
from ..scripted_providers import CLIENT_ID, CLIENT_SECRET, ScriptedProvider

# Where the attacker is, where the person is.
THERE, HERE = "203.0.113.9", "192.0.2.7"


def report(page: TestResponse) -> TestResponse:
    """Press the button that reports, on whatever page offers it; what is shown then."""
    form = page.form
    form.action = "/device/report"
    answer = form.submit(status="*")
    return answer.follow(status=200) if answer.status_int == 303 else answer


def text_of(page: TestResponse) -> str:
    return " ".join(page.html.main.get_text().split())


def told(device: Device) -> str:
    """What the device hears at its next poll."""
    answer = device.poll().json
    return str(answer.get("error", "token"))


def events(world: World, *names: str) -> list[dict[str, Any]]:
    return [one.members() for one in world.services.ledger.newest(1000) if one.event in names]


def signed_in(world: World, person: Person, address: str = THERE, label: str = "") -> tuple[Device, str]:
    """A device of this person, and its token."""
    device = world.device(address=address).ask(**({"device_label": label} if label else {}))
    person.allow(device.user_code)
    return device, device.poll().json["access_token"]


def works(device: Device, token: str) -> bool:
    return device.account(token).status_int == 200


class TestInsteadOfADecision:
    def test_the_request_is_denied(self, world: World) -> None:
        device, person = world.device(address=THERE).ask(device_label="laptop"), world.person()
        page = report(person.open(device.user_code))
        assert page.html.h1.get_text() == "Thank you, it is reported"
        assert "difyctl has no access" in text_of(page)
        assert device.user_code not in page.text
        assert told(device) == "access_denied"

    def test_it_stands_below_the_decision_and_is_never_the_first_button(self, world: World) -> None:
        page = world.person().open(world.device(address=THERE).ask().user_code)
        assert [one.get_text() for one in page.html.main.select("button")] == [
            "Deny",
            "Allow",
            "I did not start this: report it",
        ]
        button = page.html.main.select("button")[2]
        assert (button["form"], button["formaction"]) == ("decision", "/device/report")
        assert "formnovalidate" in button.attrs

    def test_it_is_audited_with_where_it_came_from(self, world: World) -> None:
        device, person = world.device(address=THERE).ask(device_label="laptop"), world.person()
        report(person.open(device.user_code))
        reported, denied = events(world, "reported"), events(world, "denied")
        facts = {"client_id": "difyctl", "device_label": "laptop", "subject": f"account:{person.account.id}"}
        assert [facts.items() <= one.items() for one in (*reported, *denied)] == [True, True]
        assert (reported[0]["address"], reported[0]["reason"]) == (THERE, "network burned")
        assert (denied[0]["address"], denied[0]["reason"]) == (HERE, "reported")
        assert reported[0]["token_id"] == denied[0]["token_id"]

    def test_it_is_counted_for_the_operator(self, world: World) -> None:
        counter = 'oauthdevice_events_total{client_id="difyctl",event="reported"}'

        def count() -> float:
            lines = world.browser().get("/metrics").text.splitlines()
            return next(float(line.split()[1]) for line in lines if line.startswith(counter))

        before = count()
        report(world.person().open(world.device(address=THERE).ask().user_code))
        assert count() == before + 1

    def test_twice_does_no_more_than_once(self, world: World) -> None:
        device, person = world.device(address=THERE).ask(), world.person()
        page = person.open(device.user_code)
        report(page)
        assert report(page).html.h1.get_text() == "Thank you, it is reported"
        assert len(events(world, "reported")) == len(events(world, "denied")) == 1

    def test_an_expired_code_can_still_be_reported(self, world: World) -> None:
        device, other, person = world.device(address=THERE).ask(), world.device(address=THERE), world.person()
        page = person.open(device.user_code)
        world.clock.pass_seconds(890)
        other.ask()
        world.clock.pass_seconds(20)
        report(page)
        assert len(events(world, "reported")) == 1
        assert other.http.get(LOOKUP, {"user_code": other.user_code}).json["valid"] is False

    def test_after_signing_out_elsewhere_nothing_is_reported(self, world: World) -> None:
        device, person = world.device(address=THERE).ask(), world.person()
        page = person.open(device.user_code)
        world.services.accounts.set_password(person.account.email, "another good password")
        page.form.action = "/device/report"
        assert page.form.submit(status=303).location.endswith("/login")
        assert events(world, "reported") == []
        assert told(device) == "authorization_pending"


class TestWhoMayReport:
    def test_not_who_has_not_opened_it(self, world: World) -> None:
        device, person = world.device(address=THERE).ask(), world.person().sign_in()
        form = {"csrf_token": person.csrf_token(), "user_code": device.user_code}
        assert person.browser.post("/device/report", form, status=303).location.endswith("/device")
        assert told(device) == "authorization_pending"

    def test_not_whoever_comes_second(self, world: World) -> None:
        device, first, second = world.device(address=THERE).ask(), world.person(), world.person().sign_in()
        first.open(device.user_code)
        form = {"csrf_token": second.csrf_token(), "user_code": device.user_code}
        assert "Another account" in second.browser.post("/device/report", form, status=409).text
        assert told(device) == "authorization_pending"
        assert events(world, "reported") == []

    def test_not_without_the_csrf_token(self, world: World) -> None:
        device, person = world.device(address=THERE).ask(), world.person()
        person.open(device.user_code)
        person.browser.post("/device/report", {"user_code": device.user_code}, status=403)
        assert told(device) == "authorization_pending"

    def test_nobody_who_is_not_signed_in(self, world: World) -> None:
        device, browser = world.device(address=THERE).ask(), world.browser()
        token = browser.get("/device").form["csrf_token"].value
        for form in ({"user_code": device.user_code}, {}):
            answer = browser.post("/device/report", {"csrf_token": token, **form}, status=303)
            assert answer.location.endswith(("/login", "/device"))
        assert told(device) == "authorization_pending"

    def test_and_guessing_codes_is_limited(self, make: WorldMaker) -> None:
        world = make(**{"limit.guesses": "3/hour"})
        person = world.person().sign_in()
        form = {"csrf_token": person.csrf_token(), "user_code": "BCDF-GHJK"}
        statuses = [person.browser.post("/device/report", form, status="*").status_int for _ in range(5)]
        assert statuses == [404, 404, 404, 429, 429]

    def test_a_report_counts_as_one_decision(self, make: WorldMaker) -> None:
        world = make(**{"limit.decide": "2/hour"})
        devices, person = [world.device(address=THERE).ask() for _ in range(3)], world.person()
        pages = [person.open(device.user_code) for device in devices]
        assert [report(page).status_int for page in pages] == [200, 200, 429]
        assert person.browser.get("/device/report", status=405).allow == ("POST",)


class TestAfterADecision:
    def test_what_was_denied_can_be_reported(self, world: World) -> None:
        device, other = world.device(address=THERE).ask(), world.device(address=THERE).ask()
        page = world.person().deny(device.user_code)
        assert "I did not start this: report it" in page.text
        assert report(page).html.h1.get_text() == "Thank you, it is reported"
        assert len(events(world, "reported")) == 1
        assert other.http.get(LOOKUP, {"user_code": other.user_code}).json["valid"] is False

    def test_what_was_allowed_is_undone_before_it_is_fetched(self, world: World) -> None:
        device = world.device(address=THERE).ask()
        page = world.person().allow(device.user_code)
        assert "This was not me" in page.text
        report(page)
        assert told(device) == "access_denied"
        assert [one["reason"] for one in events(world, "denied")] == ["reported"]

    def test_what_was_allowed_and_fetched_is_ended(self, world: World) -> None:
        device = world.device(address=THERE).ask()
        page = world.person().allow(device.user_code)
        token = device.poll().json["access_token"]
        assert works(device, token)
        assert "One device was signed out of your account." in text_of(report(page))
        assert not works(device, token)
        assert told(device) == "invalid_grant"
        assert [one["reason"] for one in events(world, "revoked")] == ["reported by its owner"]

    @pytest.mark.parametrize("fetched", [True, False])
    def test_a_day_later_it_can_still_be_ended(self, make: WorldMaker, fetched: bool) -> None:
        world = make(sign_in_lifetime_seconds="172800")
        device = world.device(address=THERE).ask()
        page = world.person().allow(device.user_code)
        token = device.poll().json["access_token"] if fetched else ""
        world.clock.pass_seconds(11 * 3600)
        answer = report(page)
        assert answer.status_int == (200 if fetched else 404)
        if fetched:
            assert not works(device, token)
            assert [one["address"] for one in events(world, "reported")] == [THERE]

    def test_it_is_offered_once(self, world: World) -> None:
        device, person = world.device(address=THERE).ask(), world.person()
        report(person.allow(device.user_code))
        assert person.browser.get("/device/approved", status=303).location.endswith("/device")
        page = person.browser.get("/device/reported", status=200)
        assert "This was not me" not in page.text
        token = person.csrf_token()
        assert person.browser.post("/device/report", {"csrf_token": token}, status=303).location.endswith("/device")

    def test_in_two_windows_never_the_wrong_one(self, world: World) -> None:
        first, second, person = world.device(address=THERE).ask(), world.device(address=THERE).ask(), world.person()
        page = person.allow(first.user_code)
        person.allow(second.user_code)
        assert report(page).status_int == 404
        assert [told(first), told(second)] == ["token", "token"]
        assert events(world, "reported") == []

    def test_somebody_else_in_this_browser_cannot(self, world: World) -> None:
        device, person, other = world.device(address=THERE).ask(), world.person(), world.person()
        person.allow(device.user_code)
        form = {"csrf_token": person.csrf_token(), "email": other.account.email, "password": PASSWORD}
        person.browser.post("/login", form, status=303)
        token = person.csrf_token()
        assert person.browser.post("/device/report", {"csrf_token": token}, status=303).location.endswith("/device")
        assert told(device) == "token"


class TestCodesOfTheSameNetwork:
    """They can no longer be entered, opened or decided about, by whatever way; their devices hear it."""

    @pytest.fixture
    def burned(self, world: World) -> Device:
        """A code of a stranger that waits where another was reported."""
        waiting = world.device(address=THERE).ask()
        report(world.person().open(world.device(address=THERE).ask().user_code))
        return waiting

    def test_a_poll_alone_does_not_ask(self, burned: Device) -> None:
        assert told(burned) == "authorization_pending"

    @pytest.mark.parametrize("path", [APPROVE, DENY])
    def test_the_json_services_do_not_know_them(self, world: World, burned: Device, path: str) -> None:
        answer = world.person().sign_in().post(path, burned.user_code)
        assert (answer.status_int, answer.json["error"]) == (404, "expired_or_unknown")
        assert told(burned) == "access_denied"

    def test_a_lookup_does_not_know_them(self, world: World, burned: Device) -> None:
        answer = world.browser().get(LOOKUP, {"user_code": burned.user_code}).json
        assert answer == {"valid": False, "expires_in_remaining": 0, "client_id": None}
        assert told(burned) == "access_denied"

    def test_the_page_tells_them_like_unknown_ones_each_time(self, world: World, burned: Device) -> None:
        person = world.person().sign_in()
        for _ in range(2):
            page = person.open(burned.user_code)
            assert page.status_int == 404
            assert "No device is waiting with this code." in page.text

    def test_whoever_has_one_open_cannot_allow_it(self, world: World) -> None:
        waiting, person = world.device(address=THERE).ask(), world.person()
        page = person.open(waiting.user_code)
        report(world.person().open(world.device(address=THERE).ask().user_code))
        refused = page.form.submit("decision", value="approve", status=404)
        assert "No device is waiting with this code" in refused.text
        assert told(waiting) == "access_denied"
        reasons = [one["reason"] for one in events(world, "denied")]
        assert sorted(reasons) == ["its network was reported", "reported"]

    def test_whoever_has_one_open_can_still_report_it(self, world: World) -> None:
        waiting, person = world.device(address=THERE).ask(), world.person()
        page = person.open(waiting.user_code)
        report(world.person().open(world.device(address=THERE).ask().user_code))
        assert report(page).html.h1.get_text() == "Thank you, it is reported"
        assert len(events(world, "reported")) == 2

    @pytest.mark.usefixtures("burned")
    def test_new_ones_work(self, world: World) -> None:
        world.clock.pass_seconds(1)
        fresh = world.device(address=THERE).ask()
        world.person().allow(fresh.user_code)
        assert told(fresh) == "token"

    @pytest.mark.parametrize("address", ["203.0.113.8", HERE, "2001:db8::1"])
    def test_those_of_other_networks_work(self, world: World, address: str) -> None:
        waiting = world.device(address=address).ask()
        report(world.person().open(world.device(address=THERE).ask().user_code))
        world.person().allow(waiting.user_code)
        assert told(waiting) == "token"

    def test_a_whole_ipv6_network_is_one(self, world: World) -> None:
        waiting = world.device(address="2001:db8:1:2::3").ask()
        report(world.person().open(world.device(address="2001:db8:1:2::4").ask().user_code))
        assert world.browser().get(LOOKUP, {"user_code": waiting.user_code}).json["valid"] is False

    def test_the_mark_lasts_as_long_as_the_longest_code(self, make: WorldMaker, tmp_path: Path) -> None:
        ini = tmp_path / "server.ini"
        ini.write_text(
            "[client:difyctl]\nname = A\nscopes = full\n"
            "[client:tv]\nname = B\nscopes = full\ndevice_code_lifetime_seconds = 3600\n"
        )
        world = make(ini_file=str(ini))
        waiting = world.device("tv", THERE).ask()
        report(world.person().open(world.device(address=THERE).ask().user_code))
        (mark,) = [key for key in keys_in(world.redis) if ":burned:" in key]
        assert 3590 <= world.redis.ttl(mark) <= 3600
        world.clock.pass_seconds(3500)
        assert world.browser().get(LOOKUP, {"user_code": waiting.user_code}).json["valid"] is False

    def test_the_source_is_slowed_down_and_not_locked_out(self, world: World) -> None:
        report(world.person().open(world.device(address=THERE).ask().user_code))
        asked = Counter(
            world.browser(THERE).post(CODE, {"client_id": "difyctl"}, status="*").status_int for _ in range(10)
        )
        assert asked == {200: 6, 429: 4}
        assert world.browser(HERE).post(CODE, {"client_id": "difyctl"}).status_int == 200


class TestWhatItGotInTheLastHour:
    def test_is_ended_where_it_is_of_this_person(self, world: World) -> None:
        person = world.person()
        near, there = signed_in(world, person, HERE, "laptop"), signed_in(world, person, THERE, "strange")
        other = signed_in(world, world.person(), THERE, "of another person")
        answer = report(person.open(world.device(address=THERE).ask().user_code))
        assert "One device was signed out of your account." in text_of(answer)
        assert [works(*near), works(*there), works(*other)] == [True, False, True]

    def test_is_not_ended_where_it_is_older(self, world: World) -> None:
        person = world.person()
        old = signed_in(world, person, THERE, "old")
        world.clock.pass_seconds(3601)
        new = signed_in(world, person, THERE, "new")
        report(person.open(world.device(address=THERE).ask().user_code))
        assert [works(*old), works(*new)] == [True, False]

    def test_several_are_counted(self, world: World) -> None:
        person = world.person()
        for label in ("a", "b", "c"):
            signed_in(world, person, THERE, label)
        page = report(person.open(world.device(address=THERE).ask().user_code))
        assert "3 devices were signed out of your account." in text_of(page)
        assert len(events(world, "revoked")) == 3


class TestTheNetworkOfThePerson:
    """Who shares it, as a whole office may, must not suffer from one word."""

    @pytest.mark.parametrize(
        ("device", "browser"), [(HERE, HERE), ("2001:db8:1:2::3", "2001:db8:1:2::4"), ("::ffff:192.0.2.7", HERE)]
    )
    def test_only_this_request_is_stopped(self, world: World, device: str, browser: str) -> None:
        colleague, mine = world.device(address=device).ask(), world.device(address=device).ask()
        page = report(world.person(address=browser).open(mine.user_code))
        assert "the codes of others there go on working" in text_of(page)
        assert told(mine) == "access_denied"
        world.person(address=browser).allow(colleague.user_code)
        assert told(colleague) == "token"
        assert [one["reason"] for one in events(world, "reported")] == ["network spared"]
        assert not [key for key in keys_in(world.redis) if ":burned:" in key]

    def test_nobody_there_is_slowed_down(self, world: World) -> None:
        report(world.person().open(world.device().ask().user_code))
        for _ in range(20):
            world.device().ask()

    def test_the_sessions_of_this_person_alone_are_ended(self, world: World) -> None:
        person, other = world.person(), world.person()
        mine, others = signed_in(world, person, HERE, "a"), signed_in(world, other, HERE, "b")
        report(person.open(world.device().ask().user_code))
        assert [works(*mine), works(*others)] == [False, True]

    def test_an_unknown_address_is_no_network(self, world: World) -> None:
        one, other = world.device(address="").ask(), world.device(address="").ask()
        report(world.person().open(one.user_code))
        assert told(one) == "access_denied"
        world.person().allow(other.user_code)
        assert told(other) == "token"


class TestAPersonOfTheIdentityProvider:
    @pytest.fixture
    def make_corp(self, make: WorldMaker, tmp_path: Path, provider: ScriptedProvider) -> WorldMaker:
        ini = tmp_path / "corp.ini"
        ini.write_text(
            f"[sso:corp]\nissuer = {provider.url}\nclient_id = {CLIENT_ID}\nclient_secret = {CLIENT_SECRET}\n"
        )
        return partial(make, edition="enterprise", ini_file=str(ini))

    def consent(self, ada: Stranger) -> TestResponse:
        return ada.browser.get("/device?sso_verified=1", status=303).follow(status=200)

    def test_reports_instead_of_deciding(self, corp: World, provider: ScriptedProvider) -> None:
        device, waiting = corp.device(address=THERE).ask(), corp.device(address=THERE).ask()
        ada = Stranger(corp).sign_in(provider, device.user_code)
        assert report(self.consent(ada)).html.h1.get_text() == "Thank you, it is reported"
        assert told(device) == "access_denied"
        assert ada.approval == ""
        (reported,) = events(corp, "reported")
        assert reported["subject"].startswith("external:")
        answer = corp.browser().get(SSO_INITIATE, {"user_code": waiting.user_code}, status=400)
        assert answer.json["error"] == "invalid_user_code"
        assert told(waiting) == "access_denied"

    @pytest.mark.parametrize("fetched", [True, False])
    def test_reports_what_was_allowed(self, corp: World, provider: ScriptedProvider, fetched: bool) -> None:
        device = corp.device(address=THERE).ask()
        ada = Stranger(corp).sign_in(provider, device.user_code)
        page = self.consent(ada).form.submit("decision", value="approve", status=303).follow(status=200)
        token = device.poll().json["access_token"] if fetched else ""
        report(page)
        assert told(device) == ("invalid_grant" if fetched else "access_denied")
        if fetched:
            assert not works(device, token)

    def test_with_a_very_long_name_can_still_decide(self, corp: World, provider: ScriptedProvider) -> None:
        provider.person = {**provider.person, "sub": "\u2603" * 255}
        device = corp.device(address=THERE).ask()
        ada = Stranger(corp).sign_in(provider, device.user_code)
        page = self.consent(ada).form.submit("decision", value="approve", status=303).follow(status=200)
        assert "This was not me" not in page.text
        assert told(device) == "token"

    def test_cannot_allow_what_was_burned_meanwhile(self, corp: World, provider: ScriptedProvider) -> None:
        device = corp.device(address=THERE).ask()
        ada = Stranger(corp).sign_in(provider, device.user_code)
        csrf_token = ada.context()["csrf_token"]
        report(corp.person("bob@example.com").open(corp.device(address=THERE).ask().user_code))
        answer = ada.decide(APPROVE_EXTERNAL, device.user_code, csrf_token)
        assert (answer.status_int, answer.json["error"]) == (404, "user_code_not_pending")
        assert told(device) == "access_denied"

    def test_whose_approval_is_over_is_told_that_nothing_was_reported(
        self, corp: World, provider: ScriptedProvider
    ) -> None:
        device = corp.device(address=THERE).ask()
        page = self.consent(Stranger(corp).sign_in(provider, device.user_code))
        corp.clock.pass_seconds(301)
        page.form.action = "/device/report"
        assert "Nothing was allowed or denied" in page.form.submit(status=401).text
        assert told(device) == "authorization_pending"

    def test_counts_as_one_decision(self, make_corp: WorldMaker, provider: ScriptedProvider) -> None:
        limited = make_corp(**{"limit.approve_external": "1/hour"})
        statuses = []
        for _ in range(2):
            ada = Stranger(limited).sign_in(provider, limited.device(address=THERE).ask().user_code)
            statuses.append(report(self.consent(ada)).status_int)
        assert statuses == [200, 429]


def test_the_api_offers_no_report(world: World) -> None:
    for path in ("/oauth/device/report", "/oauth/report"):
        world.browser().post(API + path, {"user_code": "BCDF-GHJK"}, status=404)
