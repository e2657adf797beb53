"""The ini says in words what each scope allows; a person may leave out what is optional, and no more."""

import hashlib
from pathlib import Path
from typing import Any

import pytest
from pyramid.config import Configurator
from pyramid.paster import get_app
from webtest import TestApp, TestResponse

from oauthdevice.settings import SettingsError

from ..conftest import WorldMaker
from ..factories import API, APPROVE, Device, Person, World

API_SECRET = "the API's own long secret"
CLIENTS = f"""
[client:cli]
name = CLI
scopes = full apps:run apps:read mail:send beta:test
refresh = on
[client:api]
name = API
scopes = full
device_flow = off
secret_sha256 = {hashlib.sha256(API_SECRET.encode()).hexdigest()}
"""
SCOPES = """
[scope:full]
text = Do everything that you can do
[scope:apps:run]
text = Run apps in your name
subjects = account external_sso
[scope:apps:read]
text = See your apps & their "settings"
optional = on
[scope:mail:send]
text = Send mail in your name
optional = on
[scope:guests:only]
text = See what is shared with guests
subjects = external_sso
"""
ASKED = "apps:run apps:read mail:send"


@pytest.fixture
def ini(tmp_path: Path) -> Path:
    path = tmp_path / "server.ini"
    path.write_text(CLIENTS + SCOPES)
    return path


@pytest.fixture
def world(make: WorldMaker, ini: Path) -> World:
    return make(ini_file=str(ini))


@pytest.fixture
def device(world: World) -> Device:
    return world.device("cli").ask(scope=ASKED)


@pytest.fixture
def person(world: World) -> Person:
    return world.person()


def another_application(_global_config: dict[str, str], **settings: str) -> Any:
    """One that takes our tokens: each of its addresses needs a scope."""
    config = Configurator(settings=settings)
    config.include("oauthdevice.bearer")
    for scope in ("full", "apps:run", "apps:read", "mail:send", "guests:only", "beta:test"):
        config.add_route(scope, path_of(scope))
        config.add_view(lambda _: {}, route_name=scope, permission=scope, renderer="json")
    return config.make_wsgi_app()


def server_ini(world: World, sections: Path) -> Path:
    """The ini file of the server, with the sections of another file."""
    lines = "".join(f"{name} = {value}\n" for name, value in settings_of(world).items())
    path = sections.with_name("server.ini")
    path.write_text(f"[app:main]\nuse = egg:oauthdevice\n{lines}{sections.read_text()}")
    return path


def path_of(scope: str) -> str:
    # A colon would begin a variable part.
    return "/" + scope.replace(":", "-")


def settings_of(world: World) -> dict[str, str]:
    names = ("mode", "public_url", "database_url", "redis_url", "secret")
    return {f"oauthdevice.{name}": getattr(world.settings, name) for name in names}


def get(api: TestApp, scope: str, token: str) -> TestResponse:
    return api.get(path_of(scope), headers={"Authorization": f"Bearer {token}"}, status="*")


def boxes(page: TestResponse) -> dict[str, Any]:
    """The checkbox of each optional scope."""
    return {box._value: box for box in page.form.fields.get("scope", [])}


def send(page: TestResponse, browser: TestApp, *scopes: str) -> TestResponse:
    """The form of the page with just these scopes, whatever the page offered."""
    form = [(name, page.form[name].value) for name in ("csrf_token", "user_code")]
    pairs = [*form, ("decision", "approve"), *(("scope", scope) for scope in scopes)]
    return browser.post("/device/consent", pairs, status="*")


class TestTheConsentPage:
    def test_tells_every_scope_in_words(self, device: Device, person: Person) -> None:
        page = person.open(device.user_code)
        told = [" ".join(item.get_text().split()) for item in page.html.select("section[aria-labelledby=scopes] li")]
        assert told == ["Run apps in your name", 'See your apps & their "settings"', "Send mail in your name"]
        assert "apps:run" not in page.html.get_text()

    def test_offers_a_ticked_box_for_each_optional_one_and_for_no_other(self, device: Device, person: Person) -> None:
        page = person.open(device.user_code)
        assert {scope: box.checked for scope, box in boxes(page).items()} == {"apps:read": True, "mail:send": True}
        labels = {label.input["value"]: label.get_text().strip() for label in page.html.select("li label")}
        assert labels["mail:send"] == "Send mail in your name"

    def test_offers_no_box_where_nothing_is_optional(self, world: World, person: Person) -> None:
        page = person.open(world.device("cli").ask(scope="apps:run").user_code)
        assert boxes(page) == {}
        assert "Run apps in your name" in page

    def test_tells_the_name_of_a_scope_that_has_no_words(self, world: World, person: Person) -> None:
        page = person.open(world.device("cli").ask(scope="beta:test").user_code)
        assert [item.get_text() for item in page.html.select("section[aria-labelledby=scopes] code")] == ["beta:test"]


class TestUnticking:
    def test_nothing_grants_all(self, device: Device, person: Person) -> None:
        assert person.allow(device.user_code).request.path == "/device/approved"
        assert device.poll().json["scope"] == "apps:read apps:run mail:send"

    @pytest.mark.parametrize(
        ("unticked", "granted"),
        [
            ({"mail:send"}, "apps:read apps:run"),
            ({"apps:read"}, "apps:run mail:send"),
            ({"apps:read", "mail:send"}, "apps:run"),
        ],
    )
    def test_leaves_out_what_was_unticked(
        self, device: Device, person: Person, unticked: set[str], granted: str
    ) -> None:
        page = person.open(device.user_code)
        for scope in unticked:
            boxes(page)[scope].checked = False
        page.form.submit("decision", value="approve", status=303)
        answer = device.poll().json
        assert answer["scope"] == granted
        form = {"grant_type": "refresh_token", "client_id": "cli", "refresh_token": answer["refresh_token"]}
        assert device.http.post(f"{API}/oauth/device/token", form, status=200).json["scope"] == granted
        more = {**form, "refresh_token": answer["refresh_token"], "scope": ASKED}
        assert device.http.post(f"{API}/oauth/device/token", more, status=400).json["error"] == "invalid_scope"

    def test_is_audited(self, world: World, device: Device, person: Person) -> None:
        page = person.open(device.user_code)
        boxes(page)["mail:send"].checked = False
        page.form.submit("decision", value="approve", status=303)
        (approved,) = (one for one in world.services.ledger.newest(10) if one.event == "approved")
        assert approved.scopes == "apps:read apps:run"

    def test_does_not_matter_to_who_denies(self, device: Device, person: Person) -> None:
        page = person.open(device.user_code)
        boxes(page)["mail:send"].checked = False
        page.form.submit("decision", value="deny", status=303)
        assert device.poll().json["error"] == "access_denied"


class TestAForgedForm:
    def test_cannot_leave_out_what_is_not_optional(self, device: Device, person: Person) -> None:
        assert send(person.open(device.user_code), person.browser, "mail:send").status_int == 303
        assert device.poll().json["scope"] == "apps:run mail:send"

    @pytest.mark.parametrize("added", ["full", "beta:test", "guests:only", "nonsense", "apps:run", "", "x" * 2000])
    def test_cannot_add_what_was_not_asked(self, device: Device, person: Person, added: str) -> None:
        assert send(person.open(device.user_code), person.browser, added, "apps:read").status_int == 303
        assert device.poll().json["scope"] == "apps:read apps:run"

    def test_takes_a_repeated_scope_once(self, device: Device, person: Person) -> None:
        assert send(person.open(device.user_code), person.browser, "apps:read", "apps:read").status_int == 303
        assert device.poll().json["scope"] == "apps:read apps:run"

    def test_of_json_approves_all_that_was_asked(self, device: Device, person: Person) -> None:
        """The service for programs knows no boxes."""
        person.sign_in()
        assert person.post(APPROVE, device.user_code).status_int == 200
        assert device.poll().json["scope"] == "apps:read apps:run mail:send"


class TestUntickingAllThatWasAsked:
    def test_is_told_on_a_page_and_leaves_the_code_undecided(self, world: World, person: Person) -> None:
        device = world.device("cli").ask(scope="apps:read mail:send")
        page = person.open(device.user_code)
        for box in boxes(page).values():
            box.checked = False
        refused = page.form.submit("decision", value="approve", status=400)
        assert refused.content_type == "text/html"
        assert refused.html.h1.get_text().strip()
        assert device.poll().json["error"] == "authorization_pending"
        assert [one.event for one in world.services.ledger.newest(10)].count("approved") == 0

    def test_is_told_for_what_it_is_with_the_way_back(self, world: World, person: Person) -> None:
        device = world.device("cli").ask(scope="apps:read mail:send")
        refused = send(person.open(device.user_code), person.browser)
        assert "Your account cannot give" not in refused
        assert refused.html.select_one("a.button")["href"] == "/device/consent"

    def test_does_not_keep_anybody_from_deciding_again(self, world: World, person: Person) -> None:
        device = world.device("cli").ask(scope="apps:read mail:send")
        send(person.open(device.user_code), person.browser)
        page = person.open(device.user_code)
        boxes(page)["mail:send"].checked = False
        page.form.submit("decision", value="approve", status=303)
        assert device.poll().json["scope"] == "apps:read"


class TestFull:
    """`full` stands for all that an account can grant."""

    def test_covers_every_scope_of_an_account_where_a_permission_is_asked(
        self, world: World, person: Person, ini: Path
    ) -> None:
        api = TestApp(another_application({}, **{"oauthdevice.ini_file": str(server_ini(world, ini))}))
        full, narrow = (self.token(world, person, scope) for scope in ("full", "apps:run"))
        for scope in ("full", "apps:run", "apps:read", "mail:send"):
            assert get(api, scope, full).status_int == 200
            assert get(api, scope, narrow).status_int == (200 if scope == "apps:run" else 403)
        for scope in ("guests:only", "beta:test"):
            refused = get(api, scope, full)
            assert (refused.status_int, refused.json["error"]) == (403, "insufficient_scope")
            assert f'scope="{scope}"' in refused.headers["WWW-Authenticate"]

    def test_covers_them_in_an_application_with_an_ini_file_of_its_own(
        self, world: World, person: Person, ini: Path
    ) -> None:
        own, server = ini.with_name("application.ini"), server_ini(world, ini)
        own.write_text(
            f"[app:main]\npaste.app_factory = {__name__}:another_application\noauthdevice.ini_file = {server}\n"
        )
        token = self.token(world, person, "full")
        assert get(TestApp(get_app(str(own))), "mail:send", token).status_int == 200

    def test_is_told_as_itself_at_introspection(self, world: World, person: Person) -> None:
        form = {"client_id": "api", "client_secret": API_SECRET, "token": self.token(world, person, "full")}
        told = world.browser().post(f"{API}/oauth/introspect", form, status=200).json
        assert (told["active"], told["scope"]) == (True, "full")

    def test_lets_a_refresh_ask_for_any_of_them(self, world: World, person: Person) -> None:
        device = world.device("cli").ask(scope="full")
        person.allow(device.user_code)
        first = device.poll().json
        form = {"grant_type": "refresh_token", "client_id": "cli", "refresh_token": first["refresh_token"]}
        assert device.http.post(f"{API}/oauth/device/token", {**form, "scope": "guests:only"}, status=400)
        narrowed = device.http.post(f"{API}/oauth/device/token", {**form, "scope": "mail:send"}, status=200).json
        assert narrowed["scope"] == "mail:send"

    def test_of_the_client_lets_it_ask_for_any_of_them(self, make: WorldMaker, tmp_path: Path) -> None:
        ini = tmp_path / "full.ini"
        ini.write_text(f"[client:cli]\nname = CLI\nscopes = full\n{SCOPES}")
        world = make(ini_file=str(ini))
        device = world.device("cli").ask(scope="mail:send")
        world.person().allow(device.user_code)
        assert device.poll().json["scope"] == "mail:send"
        answer = device.http.post(f"{API}/oauth/device/code", {"client_id": "cli", "scope": "guests:only"}, status=400)
        assert answer.json["error"] == "invalid_scope"

    @staticmethod
    def token(world: World, person: Person, scope: str) -> str:
        device = world.device("cli").ask(scope=scope)
        person.allow(device.user_code)
        return str(device.poll().json["access_token"])


class TestScopesOfAnotherSubject:
    def test_are_neither_shown_nor_granted(self, make: WorldMaker, tmp_path: Path) -> None:
        ini = tmp_path / "guests.ini"
        ini.write_text(f"[client:cli]\nname = CLI\nscopes = apps:run guests:only\n{SCOPES}")
        world = make(ini_file=str(ini))
        device, person = world.device("cli").ask(scope="apps:run guests:only"), world.person()
        page = person.open(device.user_code)
        assert "Run apps in your name" in page
        assert "shared with guests" not in page
        page.form.submit("decision", value="approve", status=303)
        assert device.poll().json["scope"] == "apps:run"


class TestABadSection:
    @pytest.mark.parametrize(
        ("section", "named"),
        [
            ("[scope:x]\ntext = X\ncolour = red\n", r"\[scope:x\] colour: there is no such setting"),
            ("[scope:x]\n", r"\[scope:x\] text: must be set"),
            ("[scope:x]\ntext =\n", r"\[scope:x\] text: must be set"),
            (f"[scope:x]\ntext = {'x' * 301}\n", r"\[scope:x\] text: must be 1 to 300 printable characters"),
            ("[scope:x]\ntext = a\x07b\n", r"\[scope:x\] text: must be 1 to 300 printable characters"),
            ("[scope:x]\ntext = X\noptional = maybe\n", r"\[scope:x\] optional: must be on or off"),
            ("[scope:x]\ntext = X\nsubjects = everybody\n", r"\[scope:x\] subjects: must be account, external_sso"),
            ("[scope:x]\ntext = X\nsubjects =\n", r"\[scope:x\] subjects: must be account, external_sso"),
            ("[scope:a b]\ntext = X\n", r"\[scope:a b\]: a scope is printable ASCII"),
            ("[scope:]\ntext = X\n", r"\[scope:\]: a scope is printable ASCII"),
            ("[scope:x]\ntext = 100% sure\n", r"\[scope:x\] text: holds a %"),
        ],
    )
    def test_stops_the_start_and_is_named(self, make: WorldMaker, ini: Path, section: str, named: str) -> None:
        ini.write_text(CLIENTS + SCOPES + section)
        with pytest.raises(SettingsError, match=named):
            make(ini_file=str(ini))
