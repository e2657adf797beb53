"""Somebody with an account looks at the devices that were let in, names them and ends them."""

import re
import uuid

import pytest
from webtest import TestResponse

from oauthdevice.domain import sessions

from ..factories import Device, Person, World

HOME, AWAY = "192.0.2.7", "198.51.100.9"


def let_in(world: World, person: Person, address: str = HOME, **asked: str) -> Device:
    """A device that has its token."""
    device = world.device(address=address).ask(**asked)
    world.services.approvals.approve(device.user_code, person.account, HOME)
    assert device.poll().status_int == 200
    return device


def token_of(device: Device) -> str:
    """Given again, as to a device that lost the answer."""
    return str(device.poll().json["access_token"])


def text_of(page: TestResponse) -> str:
    """What a person reads in the main part, on one line."""
    main = page.text.partition("<main")[2].partition("</main>")[0]
    return " ".join(re.sub(r"<[^>]+>", " ", main.partition(">")[2]).split())


def names(page: TestResponse) -> list[str]:
    """Of the devices of a list, in its order."""
    found = re.findall(r"<h2><a [^>]*>(.*?)</a></h2>", page.text, re.DOTALL)
    return [" ".join(re.sub(r"<[^>]+>", " ", one).split()) for one in found]


def open_device(person: Person, number: int = 0) -> TestResponse:
    """From the list, by its link."""
    page = person.browser.get("/devices", status=200)
    return page.goto(re.findall(r'<h2><a href="([^"]+)"', page.text)[number], status=200)


def press(page: TestResponse, action: str, **fields: str) -> TestResponse:
    """A button of a device's page; any status."""
    form = next(one for one in page.forms.values() if action in one.text)
    for name, value in fields.items():
        form[name] = value
    return form.submit("action", value=action, status="*")


@pytest.fixture
def ada(world: World) -> Person:
    return world.person().sign_in()


class TestTheList:
    def test_tells_of_every_device_newest_first(self, world: World, ada: Person) -> None:
        stranger = world.person()
        let_in(world, stranger, device_label="not mine")
        let_in(world, ada, device_label="build server")
        world.clock.pass_seconds(3 * 86_400)
        used = let_in(world, ada, AWAY)
        used.account(token_of(used))
        world.clock.pass_seconds(7200)
        ada.sign_in()
        page = ada.browser.get("/devices", status=200)
        assert names(page) == ["A device without a name", "Calls itself build server"]
        assert text_of(page) == (
            "Your devices Each of them may use your account. If you do not know one, open it and end it. "
            "A device without a name App difyctl Allowed 2 hours ago Last used 2 hours ago From Address 198.51.100.9 "
            "Calls itself build server App difyctl Allowed 3 days ago Last used Never used "
            "From Address 192.0.2.7 Your network now"
        )
        assert "not mine" not in page.text

    def test_leads_on_where_there_is_none(self, ada: Person) -> None:
        page = ada.browser.get("/devices", status=200)
        assert text_of(page) == "Your devices No device is signed in with your account. Enter a code"

    def test_forgets_what_was_ended_or_has_expired(self, make) -> None:
        world: World = make(access_token_lifetime_seconds="60")
        ada = world.person().sign_in()
        let_in(world, ada, device_label="short")
        world.clock.pass_seconds(61)
        let_in(world, ada, device_label="fresh")
        assert names(ada.browser.get("/devices")) == ["Calls itself fresh"]

    def test_has_pages(self, make) -> None:
        world: World = make(**{"limit.decide": "off"})
        ada = world.person().sign_in()
        for number in range(21):
            world.clock.pass_seconds(1)
            let_in(world, ada, device_label=f"device {number}")
        first = ada.browser.get("/devices", status=200)
        assert (len(names(first)), names(first)[0]) == (20, "Calls itself device 20")
        assert "Page 1 of 2 Older" in text_of(first)
        second = first.click("Older")
        assert names(second) == ["Calls itself device 0"]
        assert "Newer Page 2 of 2" in text_of(second)
        assert names(second.click("Newer")) == names(first)

    def test_beyond_the_last_page_leads_to_the_last(self, world: World, ada: Person) -> None:
        let_in(world, ada, device_label="one")
        answer = ada.browser.get("/devices?page=7", status=303)
        assert answer.location == "http://localhost/devices?page=1"
        assert names(answer.follow()) == ["Calls itself one"]

    @pytest.mark.parametrize("query", ["page=0", "page=x", "page=1&page=2", "page=1.5"])
    def test_a_page_that_is_no_number_is_refused(self, ada: Person, query: str) -> None:
        assert "did not understand" in ada.browser.get(f"/devices?{query}", status=400).text

    def test_what_a_device_calls_itself_is_shown_and_not_obeyed(self, world: World, ada: Person) -> None:
        let_in(world, ada, device_label="<script>alert(1)</script>")
        for page in (ada.browser.get("/devices"), open_device(ada)):
            assert "<script>alert" not in page.text
            assert "&lt;script&gt;alert" in page.text

    def test_is_reached_from_every_page_and_after_an_approval(self, world: World, ada: Person) -> None:
        device = world.device().ask(device_label="laptop")
        page = ada.allow(device.user_code)
        device.poll()
        assert names(page.click("See your devices")) == ["Calls itself laptop"]
        assert names(ada.browser.get("/device").click("Your devices")) == ["Calls itself laptop"]


class TestADevice:
    def test_tells_all_that_is_known(self, world: World, ada: Person) -> None:
        let_in(world, ada, device_label="laptop", scope="apps:run workspace:read")
        world.clock.pass_seconds(120)
        told = text_of(open_device(ada))
        assert told.startswith("Calls itself laptop App difyctl Device Calls itself laptop Allowed 2 minutes ago (")
        assert "Last used Never used From Address 192.0.2.7 Your network now" in told
        assert "What it may do Run apps See your workspaces Signed in until" in told
        assert re.search(
            r'<time datetime="\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ">\w+ \d{1,2}, \d{4}</time>', open_device(ada).text
        )

    def test_of_a_client_that_is_no_longer_declared_is_shown_by_its_id(self, make, tmp_path) -> None:
        before: World = make()
        let_in(before, before.person("ada@example.com"), device_label="old")
        ini = tmp_path / "clients.ini"
        ini.write_text("[client:another]\nname = Another\nscopes = full\n")
        after: World = make(ini_file=str(ini))
        after.emails.append("ada@example.com")
        page = open_device(after.person("ada@example.com").sign_in())
        assert "App difyctl" in text_of(page)

    def test_foreign_unknown_ended_and_malformed_ids_are_one_and_the_same_page(self, world: World, ada: Person) -> None:
        stranger = world.person().sign_in()
        let_in(world, stranger, device_label="not mine")
        foreign = open_device(stranger).request.path
        let_in(world, ada, device_label="ended")
        page = open_device(ada)
        press(page, "end")
        paths = (foreign, page.request.path, f"/devices/{uuid.uuid4()}", f"/devices/{'-' * 36}", "/devices/x")
        told = {ada.browser.get(path, status=404).text.replace(path, "") for path in paths}
        assert len({re.sub(r"\?v=[^\"]*", "", one) for one in told}) == 1
        form = {"csrf_token": ada.csrf_token(), "action": "end"}
        for path in paths[:4]:
            assert "There is no such page" in ada.browser.post(path, form, status=404).text
        assert names(stranger.browser.get("/devices")) == ["Calls itself not mine"]


class TestAName:
    def test_takes_the_place_of_the_label(self, world: World, ada: Person) -> None:
        device = let_in(world, ada, device_label="ip-10-0-0-7")
        page = press(open_device(ada), "rename", name="  Büro: Drucker \N{WHITE HEAVY CHECK MARK} ").follow()
        assert text_of(page).startswith(
            "Büro: Drucker ✅ The name is saved. App difyctl Device Calls itself ip-10-0-0-7"
        )
        assert names(ada.browser.get("/devices")) == ["Büro: Drucker ✅"]
        headers = {"Authorization": f"Bearer {token_of(device)}"}
        [told] = device.http.get("/openapi/v1/account/sessions", headers=headers).json["data"]
        assert (told["name"], told["device_label"]) == ("Büro: Drucker ✅", "ip-10-0-0-7")

    @pytest.mark.parametrize("nothing", ["", "   "])
    def test_can_be_taken_back(self, world: World, ada: Person, nothing: str) -> None:
        let_in(world, ada, device_label="laptop")
        press(open_device(ada), "rename", name="mine")
        press(open_device(ada), "rename", name=nothing)
        assert names(ada.browser.get("/devices")) == ["Calls itself laptop"]

    @pytest.mark.parametrize("name", ["x" * 129, "two\nlines", "\N{RIGHT-TO-LEFT OVERRIDE}evil", "\x00"])
    def test_is_one_line_of_visible_characters(self, world: World, ada: Person, name: str) -> None:
        let_in(world, ada, device_label="laptop")
        page = open_device(ada)
        form = {"csrf_token": page.forms[0]["csrf_token"].value, "action": "rename", "name": name}
        answer = ada.browser.post(page.request.path, form, status=400)
        assert "at most 128 characters, all of them visible" in answer.text
        assert names(ada.browser.get("/devices")) == ["Calls itself laptop"]

    def test_of_the_greatest_length_is_taken(self, world: World, ada: Person) -> None:
        let_in(world, ada)
        press(open_device(ada), "rename", name="W" * 128)
        assert names(ada.browser.get("/devices")) == ["W" * 128]

    def test_survives_a_new_login_of_the_device(self, world: World, ada: Person) -> None:
        let_in(world, ada, device_label="laptop")
        press(open_device(ada), "rename", name="mine")
        let_in(world, ada, device_label="laptop")
        let_in(world, ada, device_label="laptop")
        assert names(ada.browser.get("/devices")) == ["mine"]

    def test_does_not_go_to_another_device(self, world: World, ada: Person) -> None:
        let_in(world, ada, device_label="laptop")
        press(open_device(ada), "rename", name="mine")
        let_in(world, ada, device_label="desktop")
        assert sorted(names(ada.browser.get("/devices"))) == ["Calls itself desktop", "mine"]

    def test_survives_a_refresh(self, make, tmp_path) -> None:
        ini = tmp_path / "clients.ini"
        ini.write_text("[client:difyctl]\nname = difyctl\nscopes = full\nrefresh = on\n")
        world: World = make(ini_file=str(ini))
        ada = world.person().sign_in()
        device = let_in(world, ada, device_label="laptop")
        press(open_device(ada), "rename", name="mine")
        form = {"grant_type": "refresh_token", "client_id": "difyctl"}
        form["refresh_token"] = device.poll().json["refresh_token"]
        device.http.post("/openapi/v1/oauth/device/token", form, status=200)
        assert names(ada.browser.get("/devices")) == ["mine"]


class TestTheEnd:
    def test_of_one_device_is_at_once(self, world: World, ada: Person) -> None:
        gone, stays = (let_in(world, ada, device_label=label) for label in ("gone", "stays"))
        tokens = token_of(gone), token_of(stays)
        assert gone.account(tokens[0]).status_int == 200
        number = names(ada.browser.get("/devices")).index("Calls itself gone")
        page = press(open_device(ada, number), "end").follow()
        assert "One device is signed out. Its app must ask you again." in text_of(page)
        assert names(page) == ["Calls itself stays"]
        assert "signed out" not in ada.browser.get("/devices").text
        assert (gone.account(tokens[0]).status_int, stays.account(tokens[1]).status_int) == (401, 200)
        [event] = world.services.ledger.newest(1)
        assert (event.event, event.reason, event.address) == ("revoked", "by its owner", HOME)

    def test_of_all_others_leaves_this_one_and_those_of_other_people(self, world: World, ada: Person) -> None:
        devices = [let_in(world, ada, device_label=label) for label in ("a", "b", "c")]
        tokens = [token_of(one) for one in devices]
        stranger = world.person()
        foreign = let_in(world, stranger, device_label="not mine")
        number = names(ada.browser.get("/devices")).index("Calls itself b")
        page = open_device(ada, number)
        assert "This signs out the 2 other devices of your account. End all others (2)" in text_of(page)
        page = press(page, "end_others").follow()
        assert "2 devices are signed out. Their apps must ask you again." in text_of(page)
        assert names(page) == ["Calls itself b"]
        assert [device.account(token).status_int for device, token in zip(devices, tokens, strict=True)] == [
            401,
            200,
            401,
        ]
        assert foreign.account(token_of(foreign)).status_int == 200
        assert "End all others" not in open_device(ada).text

    def test_of_all_others_is_of_any_number(self, world: World, ada: Person, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sessions, "_BATCH", 2)
        for number in range(6):
            let_in(world, ada, device_label=f"device {number}")
        page = press(open_device(ada, 3), "end_others").follow()
        assert "5 devices are signed out" in page.text
        assert len(names(page)) == 1

    def test_a_second_time_there_is_no_such_page(self, world: World, ada: Person) -> None:
        let_in(world, ada)
        let_in(world, ada)
        page = open_device(ada)
        assert [press(page, "end").status_int for _ in range(2)] == [303, 404]
        assert [press(page, action).status_int for action in ("rename", "end_others")] == [404, 404]
        assert len(names(ada.browser.get("/devices"))) == 1

    @pytest.mark.parametrize("form", [{}, {"action": "delete"}, {"action": ["end", "rename"]}])
    def test_nothing_else_is_an_action(self, world: World, ada: Person, form: dict[str, object]) -> None:
        let_in(world, ada)
        page = open_device(ada)
        ada.browser.post(page.request.path, {"csrf_token": ada.csrf_token(), **form}, status=400)
        assert len(names(ada.browser.get("/devices"))) == 1

    def test_needs_the_csrf_token(self, world: World, ada: Person) -> None:
        let_in(world, ada)
        path = open_device(ada).request.path
        for action in ("rename", "end", "end_others"):
            ada.browser.post(path, {"action": action}, status=403)
            ada.browser.get(f"{path}?action={action}", status=200)
        assert names(ada.browser.get("/devices")) == ["A device without a name"]


class TestTheSignIn:
    def test_leads_back_to_the_list(self, world: World) -> None:
        person = world.person()
        page = person.browser.get("/devices", status=303).follow()
        assert page.request.path == "/login"
        assert person._sign_in_on(page).request.path == "/devices"

    def test_leads_back_to_the_device(self, world: World, ada: Person) -> None:
        let_in(world, ada, device_label="laptop")
        path = open_device(ada).request.path
        again = Person(world, ada.account, HOME)
        assert again._sign_in_on(again.browser.get(path, status=303).follow()).request.path == path

    def test_leads_where_the_person_went_last(self, world: World) -> None:
        device, person = world.device().ask(), world.person()
        person.browser.get("/devices", status=303)
        assert person.open(device.user_code).request.path == "/device/consent"
        person = world.person()
        form = person.browser.get("/device").form
        form["user_code"] = device.user_code
        form.submit(status=303)
        page = person.browser.get("/devices", status=303).follow()
        assert device.user_code not in page.text
        assert person._sign_in_on(page).request.path == "/devices"

    def test_takes_no_address_from_a_link(self, world: World) -> None:
        person = world.person()
        page = person.browser.get("/login?going_to=//evil.example&next=//evil.example", status=200)
        assert person._sign_in_on(page).request.path == "/device"
        page = person.browser.get("/devices?next=https://evil.example", status=200)
        assert "evil" not in page.text

    def test_that_has_ended_meanwhile_is_told_and_nothing_is_done(self, world: World, ada: Person) -> None:
        let_in(world, ada, device_label="laptop")
        page = open_device(ada)
        world.services.accounts.set_password(ada.account.email, "another good password")
        answer = press(page, "end")
        assert answer.status_int == 401
        assert "You are not signed in" in answer.text
        login = answer.click("^Sign in$")
        assert ada._sign_in_on(login, "another good password").request.path == page.request.path
        assert names(ada.browser.get("/devices")) == ["Calls itself laptop"]

    def test_of_another_account_shows_its_own_devices(self, world: World, ada: Person) -> None:
        let_in(world, ada, device_label="laptop")
        assert names(world.person().sign_in().browser.get("/devices")) == []
