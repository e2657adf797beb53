"""`oauthdevice.accounts`: the people of a company sign in with the accounts that the company has."""

import sys
from dataclasses import replace
from types import ModuleType

import pytest
from webtest import TestApp, TestResponse

from oauthdevice.domain.errors import InvalidRequest, StoreUnavailable
from oauthdevice.domain.subjects import Account
from oauthdevice.settings import SettingsError

from ..conftest import WorldMaker
from ..factories import API, TOKEN, Device, World
from ..mail_servers import running_mail_server

GRACE = Account("7", "grace@example.com", "Grace", active=True)
PASSWORD = "tulips"


class Directory:
    """The user table of the company, as far as a test goes."""

    def __init__(self) -> None:
        self.people = {GRACE.id: GRACE}
        self.away = False

    def authenticate(self, email: str, password: str) -> Account | None:
        account = self.by_email(email)
        return account if account is not None and password == PASSWORD else None

    def get(self, account_id: str) -> Account | None:
        if self.away:
            raise StoreUnavailable(detail="the directory is away")
        return self.people.get(account_id)

    def by_email(self, email: str) -> Account | None:
        if self.away:
            raise StoreUnavailable(detail="the directory is away")
        return next((one for one in self.people.values() if one.email.casefold() == email.casefold()), None)


@pytest.fixture
def directory(monkeypatch: pytest.MonkeyPatch) -> Directory:
    one, module = Directory(), ModuleType("a_company")
    module.directory = lambda: one  # type: ignore[attr-defined]  # what the setting names
    monkeypatch.setitem(sys.modules, "a_company", module)
    return one


@pytest.fixture
def company(make: WorldMaker, directory: Directory) -> World:
    return make(accounts="a_company.directory")


def sign_in(browser: TestApp, email: str = GRACE.email, password: str = PASSWORD) -> TestResponse:
    form = browser.get("/login").form
    form["email"], form["password"] = email, password
    return form.submit(status="*")


def allow(world: World, device: Device) -> TestApp:
    """Grace enters the code and allows."""
    browser = world.browser()
    assert sign_in(browser).status_int == 303
    form = browser.get("/device").form
    form["user_code"] = device.user_code
    consent = form.submit(status=303).follow(status=200)
    consent.form.submit("decision", value="approve", status=303)
    return browser


class TestSomebodyOfTheCompany:
    def test_lets_a_device_in_with_the_account_of_the_company(self, company: World) -> None:
        device = company.device().ask()
        allow(company, device)
        told = device.poll().json
        assert told["account"] == {"id": "7", "email": "grace@example.com", "name": "Grace"}
        assert device.account(told["access_token"]).json["account"]["name"] == "Grace"

    def test_is_not_let_in_with_another_password(self, company: World) -> None:
        assert sign_in(company.browser(), password="daisies").status_int == 401
        assert sign_in(company.browser(), email="nobody@example.com").status_int == 401

    def test_has_no_passkeys_here(self, company: World) -> None:
        browser = company.browser()
        assert "passkey" not in browser.get("/login").text
        sign_in(browser)
        browser.get("/passkeys", status=404)

    def test_is_told_as_the_company_knows_them_now(self, company: World, directory: Directory) -> None:
        device = company.device().ask()
        allow(company, device)
        directory.people["7"] = replace(GRACE, name="Grace Hopper", email="hopper@example.com")
        told = device.poll().json
        assert told["account"] == {"id": "7", "email": "hopper@example.com", "name": "Grace Hopper"}
        assert device.account(told["access_token"]).json["account"]["email"] == "hopper@example.com"

    def test_may_take_over_the_address_of_somebody_who_left(self, company: World, directory: Directory) -> None:
        assert sign_in(company.browser()).status_int == 303
        directory.people = {"8": Account("8", GRACE.email, "Another Grace", active=True)}
        browser = company.browser()
        assert sign_in(browser).status_int == 303
        assert "Another Grace" in browser.get("/logout").text

    def test_looks_after_devices_and_is_told_of_a_new_one_where_mail_goes_now(
        self, make: WorldMaker, directory: Directory
    ) -> None:
        with running_mail_server() as server:
            world = make(accounts="a_company.directory", mail_server=server.url, mail_from="us@example.com")
            assert world.services.sender is not None
            assert world.services.notices is not None
            world.services.sender.stop()
            device = world.device().ask(device_label="laptop")
            browser = allow(world, device)
            token = device.poll().json["access_token"]
            directory.people["7"] = replace(GRACE, email="grace@new.example.com")
            assert world.services.notices.send_due() == 1
            assert server.mailbox.messages[0]["To"] == "grace@new.example.com"
            page = browser.get("/devices", status=200).click("laptop")
            page.forms[1].submit("action", value="end", status=303)
            assert device.account(token).status_int == 401
            directory.people["7"] = GRACE
            allow(world, device.ask(device_label="desktop"))
            device.poll()
            directory.away = True
            assert world.services.notices.send_due() == 0
            directory.away = False
            world.clock.pass_seconds(61)
            assert world.services.notices.send_due() == 1


class TestSomebodyWhoLeft:
    @pytest.mark.parametrize("gone", [None, replace(GRACE, active=False)])
    def test_can_do_nothing_any_more(self, company: World, directory: Directory, gone: Account | None) -> None:
        done, waiting = company.device().ask(), company.device().ask()
        allow(company, done)
        token = done.poll().json["access_token"]
        assert done.account(token).status_int == 200
        browser = allow(company, waiting)
        directory.people = {"7": gone} if gone else {}
        assert "Grace" not in browser.get("/logout").text
        assert sign_in(company.browser()).status_int == 401
        assert waiting.poll().json["error"] == "access_denied"
        # Known from a minute ago at most.
        company.clock.pass_seconds(61)
        assert done.account(token).status_int == 401

    def test_gets_no_new_tokens(self, make: WorldMaker, directory: Directory, tmp_path) -> None:
        ini = tmp_path / "clients.ini"
        ini.write_text("[client:tool]\nname = Tool\nscopes = full\nrefresh = on\n")
        world = make(accounts="a_company.directory", ini_file=str(ini))
        device = world.device("tool").ask()
        allow(world, device)
        form = {
            "grant_type": "refresh_token",
            "client_id": "tool",
            "refresh_token": device.poll().json["refresh_token"],
        }
        directory.people = {}
        assert device.http.post(TOKEN, form, status=400).json["error"] == "invalid_grant"

    def test_is_disabled_by_an_administrator_too(self, company: World) -> None:
        device = company.device().ask()
        allow(company, device)
        token = device.poll().json["access_token"]
        company.services.accounts.set_active(GRACE.email, False)
        assert device.account(token).status_int == 401
        # Whether they may come back is for the company to say.
        assert sign_in(company.browser()).status_int == 303


class TestTheDirectory:
    def test_that_is_away_is_a_503_and_heals(self, company: World, directory: Directory) -> None:
        device, browser = company.device().ask(), company.browser()
        directory.away = True
        assert sign_in(browser).status_int == 503
        directory.away = False
        allow(company, device)
        directory.away = True
        assert device.poll().status_int == 503
        directory.away = False
        assert "access_token" in device.poll().json

    def test_is_the_one_place_where_accounts_are_made(self, company: World) -> None:
        accounts = company.services.accounts
        for change in (
            lambda: accounts.add("new@example.com", "New", "a long password"),
            lambda: accounts.set_password(GRACE.email, "a long password"),
            lambda: accounts.join_workspace("w", GRACE.email, "owner"),
        ):
            with pytest.raises(InvalidRequest, match="kept elsewhere"):
                change()

    @pytest.mark.usefixtures("directory")
    @pytest.mark.parametrize("name", ["no_such_module.directory", "a_company.nothing"])
    def test_that_cannot_be_imported_stops_the_start(self, make: WorldMaker, name: str) -> None:
        with pytest.raises(SettingsError, match=r"oauthdevice\.accounts"):
            make(accounts=name)

    @pytest.mark.usefixtures("directory")
    def test_does_not_know_the_password_of_an_earlier_account_of_ours(self, make: WorldMaker) -> None:
        make().person("ada@example.com")
        world = make(accounts="a_company.directory")
        assert sign_in(world.browser(), "ada@example.com", "correct horse battery staple").status_int == 401


def test_the_limit_on_wrong_passwords_holds_for_them_too(company: World) -> None:
    for _ in range(5):
        assert sign_in(company.browser(), password="wrong").status_int == 401
    assert sign_in(company.browser()).status_int == 429
    assert company.browser().get(f"{API}/account", status=401)
