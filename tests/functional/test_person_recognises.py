"""Before deciding, a person sees from where the request came, what it may do and for how long."""

from pathlib import Path

import pytest

from oauthdevice.settings import SettingsError

from ..conftest import WorldMaker
from ..factories import Person, Stranger, World
from ..place_databases import place_database
from ..scripted_providers import ScriptedProvider

CLIENT = "[client:difyctl]\nname = Dify\nscopes = full apps:run apps:read mail:send\n"
SAME = "This is the same network as this browser."
OTHER = "It comes from another network than this browser."


def words(page: object, term: str) -> str:
    """What stands beside a term of the consent page, as one line."""
    (row,) = [one for one in page.html.select("dl > div") if one.dt.get_text() == term]  # type: ignore[attr-defined]  # a TestResponse
    return " ".join(row.dd.get_text().split())


def may_do(page: object) -> list[str]:
    """The scopes as they are told, in their order."""
    return [" ".join(one.get_text().split()) for one in page.html.select("section ul li")]  # type: ignore[attr-defined]  # a TestResponse


def made(make: WorldMaker, tmp_path: Path, ini: str, **options: str) -> World:
    path = tmp_path / "server.ini"
    path.write_text(ini, "utf-8")
    return make(ini_file=str(path), **options)


def test_a_client_is_called_by_the_name_that_it_is_declared_with(make: WorldMaker, tmp_path: Path) -> None:
    """Not by one fixed name, nor by what it says of itself (RFC 8628 §5.6)."""
    world = made(make, tmp_path, "[client:cli]\nname = Company CLI\nscopes = full\n")
    device, person = world.device("cli").ask(device_label="Something Else"), world.person()
    assert words(person.open(device.user_code), "App") == "Company CLI"
    assert "Company CLI" in person.allow(device.user_code).text
    token = device.poll().json["access_token"]
    assert device.account(token).status_int == 200
    assert "Company CLI" in person.browser.get("/devices").text


class TestTheNetwork:
    @pytest.mark.parametrize(
        ("device", "browser", "told"),
        [
            ("192.0.2.7", "192.0.2.7", SAME),
            ("192.0.2.7", "192.0.2.8", OTHER),
            ("2001:db8:1:2::3", "2001:db8:1:2::4", SAME),
            ("2001:db8:1:2::3", "2001:db8:1:3::3", OTHER),
            ("192.0.2.7", "2001:db8:1:2::3", OTHER),
        ],
    )
    def test_is_that_of_this_browser_or_another(self, world: World, device: str, browser: str, told: str) -> None:
        page = world.person(address=browser).open(world.device(address=device).ask().user_code)
        assert device in words(page, "From")
        assert [one for one in (SAME, OTHER) if one in page.text] == [told]

    def test_is_told_where_it_is_more_than_the_address(self, world: World) -> None:
        page = world.person().open(world.device(address="2001:db8:1:2::3").ask().user_code)
        assert words(page, "From") == "Address 2001:db8:1:2::3, network 2001:db8:1:2::/64"
        page = world.person().open(world.device(address="203.0.113.9").ask().user_code)
        assert words(page, "From") == "Address 203.0.113.9"


class TestThePlace:
    @pytest.fixture
    def world(self, make: WorldMaker, tmp_path: Path) -> World:
        return make(place_database=place_database(tmp_path / "places.mmdb"))

    @pytest.mark.parametrize(
        ("device", "browser", "told"),
        [
            ("192.0.2.7", "192.0.2.7", "Near Berlin, Germany (by its address; may be wrong)"),
            (
                "192.0.2.7",
                "198.51.100.1",
                "Near Berlin, Germany (by its address; may be wrong) This browser is in the same country.",
            ),
            (
                "203.0.113.9",
                "192.0.2.7",
                "Near Lyon, France (by its address; may be wrong) This browser is in another country.",
            ),
            ("2001:db8:1::5", "127.0.0.1", "Near France (by its address; may be wrong)"),
        ],
    )
    def test_is_told_as_a_guess(self, world: World, device: str, browser: str, told: str) -> None:
        page = world.person(address=browser).open(world.device(address=device).ask().user_code)
        assert words(page, "Place") == told

    def test_is_told_in_the_language_of_the_reader(self, world: World) -> None:
        device, person = world.device().ask(), world.person()
        person.open(device.user_code)
        assert "Berlin, Deutschland" in person.browser.get("/device/consent?ui_locales=de").text
        assert "ベルリン, Germany" in person.browser.get("/device/consent?ui_locales=ja").text

    def test_is_not_told_of_an_address_that_the_database_does_not_have(self, world: World) -> None:
        page = world.person().open(world.device(address="10.0.0.1").ask().user_code)
        assert "may be wrong" not in page.text
        assert "country" not in page.text

    def test_is_told_of_a_device_that_was_let_in(self, world: World) -> None:
        person, device = world.person(), world.device(address="203.0.113.9").ask(device_label="laptop")
        person.allow(device.user_code)
        assert device.poll().status_int == 200
        for page in (person.browser.get("/devices"), person.browser.get("/devices").click("laptop")):
            assert words(page, "From") == "Address 203.0.113.9 Near Lyon, France (by its address; may be wrong)"

    def test_is_not_told_without_a_database(self, make: WorldMaker) -> None:
        world = make()
        assert "may be wrong" not in world.person().open(world.device().ask().user_code).text

    def test_stops_the_start_where_the_database_is_bad(self, make: WorldMaker, tmp_path: Path) -> None:
        for path, told in ((tmp_path / "missing.mmdb", "cannot be read: No such file"), (tmp_path, "is no database")):
            with pytest.raises(SettingsError, match=rf"oauthdevice\.place_database: {told}"):
                make(place_database=str(path))


class TestHowLong:
    @pytest.mark.parametrize(
        ("options", "told"),
        [
            ("", "Access lasts 14 days."),
            ("refresh = on\n", "Access lasts 14 days; the app can renew it for 90 days."),
            ("access_token_lifetime_seconds = 3600\n", "Access lasts 60 minutes."),
            (
                "access_token_lifetime_seconds = 90000\nrefresh = on\nrefresh_token_lifetime_seconds = 31536000\n",
                "Access lasts 25 hours; the app can renew it for 365 days.",
            ),
            ("refresh = on\nrefresh_token_lifetime_seconds = 3600\n", "Access lasts 14 days."),
        ],
    )
    def test_access_lasts_and_can_be_renewed(self, make: WorldMaker, tmp_path: Path, options: str, told: str) -> None:
        world = made(make, tmp_path, CLIENT + options)
        page = world.person().open(world.device().ask().user_code)
        assert told in [one.get_text() for one in page.html.select("section > p")]

    def test_is_told_in_the_language_of_the_reader(self, world: World) -> None:
        device, person = world.device().ask(), world.person()
        person.open(device.user_code)
        assert "14 Tage" in person.browser.get("/device/consent?ui_locales=de").text
        assert "14 días" in person.browser.get("/device/consent?ui_locales=es").text


class TestWhatItMayDo:
    SCOPES = """
[scope:apps:run]
text = Run apps
[scope:apps:read]
text = See your apps
text.de = Deine Apps sehen
[scope:mail:send]
text = Send mail in your name
text.de = In deinem Namen <Mails> senden
sensitive = on
optional = on
"""

    def test_begins_with_what_is_sensitive_and_says_so(self, make: WorldMaker, tmp_path: Path) -> None:
        world = made(make, tmp_path, CLIENT + self.SCOPES)
        page = world.person().open(world.device().ask(scope="apps:run mail:send apps:read").user_code)
        assert may_do(page) == ["Sensitive Send mail in your name", "Run apps", "See your apps"]

    def test_full_is_sensitive_unless_the_operator_says_no(self, make: WorldMaker, tmp_path: Path) -> None:
        for number, (ini, told) in enumerate(
            (
                (CLIENT, "Sensitive Act as you, with everything your account may do"),
                (CLIENT + self.SCOPES, "Sensitive Act as you, with everything your account may do"),
                (f"{CLIENT}[scope:full]\ntext = Do it all\n", "Sensitive Do it all"),
                (f"{CLIENT}[scope:full]\ntext = Do it all\nsensitive = off\n", "Do it all"),
            )
        ):
            world = made(make, tmp_path, ini)
            assert may_do(world.person(f"ada-{number}@example.com").open(world.device().ask().user_code)) == [told]

    def test_is_told_in_the_operators_own_words_for_each_language(self, make: WorldMaker, tmp_path: Path) -> None:
        world = made(make, tmp_path, CLIENT + self.SCOPES)
        device, person = world.device().ask(scope="apps:run mail:send apps:read"), world.person()
        person.open(device.user_code)
        told = may_do(person.browser.get("/device/consent?ui_locales=de"))
        assert told[0].endswith("In deinem Namen <Mails> senden")
        assert told[2] == "Deine Apps sehen"
        assert may_do(person.browser.get("/device/consent?ui_locales=fr"))[2] == "Voir vos applications"

    @pytest.mark.parametrize(
        ("line", "named"),
        [
            ("text.xx = X", r"\[scope:x\] text\.xx: there is no such language; there are: ar, de, en"),
            ("text. = X", r"\[scope:x\] text\.: there is no such language"),
            ("text.de =", r"\[scope:x\] text\.de: must be 1 to 300 printable characters"),
            ("sensitive = maybe", r"\[scope:x\] sensitive: must be on or off"),
        ],
    )
    def test_a_bad_option_stops_the_start(self, make: WorldMaker, tmp_path: Path, line: str, named: str) -> None:
        with pytest.raises(SettingsError, match=named):
            made(make, tmp_path, f"{CLIENT}[scope:x]\ntext = X\n{line}\n")


class TestAPersonOfTheIdentityProvider:
    def test_sees_the_same(self, corp: World, provider: ScriptedProvider) -> None:
        device = corp.device(address="2001:db8:1:2::3").ask(device_label="laptop")
        ada = Stranger(corp).sign_in(provider, device.user_code)
        page = ada.browser.get("/device?sso_verified=1", status=303).follow(status=200)
        assert "ada@corp.example" in words(page, "Your account")
        assert words(page, "Device") == "The device calls itself laptop"
        assert words(page, "From") == "Address 2001:db8:1:2::3, network 2001:db8:1:2::/64"
        assert OTHER in page.text
        assert "Access lasts 14 days." in page.text

    @pytest.mark.usefixtures("corp")
    def test_and_so_does_a_page_of_the_operators_own(
        self, make: WorldMaker, provider: ScriptedProvider, tmp_path: Path
    ) -> None:
        world = make(
            edition="enterprise",
            ini_file=str(tmp_path / "corp.ini"),
            place_database=place_database(tmp_path / "places.mmdb"),
        )
        told = Stranger(world, "203.0.113.9").sign_in(provider, world.device().ask().user_code).context()
        assert told["access_expires_in"] == 14 * 86400
        assert told["access_renewable_for"] is None
        assert (told["address"], told["network"], told["same_network"]) == ("192.0.2.7", "192.0.2.7", False)
        assert (told["place"], told["same_country"]) == ("Berlin, Germany", False)
        assert [one["sensitive"] for one in told["scopes"]] == [False, False]


def test_a_person_sees_whose_account_decides(world: World) -> None:
    person: Person = world.person("ada@example.com")
    page = person.open(world.device().ask().user_code)
    assert words(page, "Your account").startswith("Ada Person <ada@example.com> Not you? Sign out")


class TestTheEnd:
    def test_names_the_device_once_more(self, world: World) -> None:
        page = world.person().allow(world.device().ask(device_label="<i>Ada's</i> laptop").user_code)
        assert "The device calls itself <i>Ada's</i> laptop" in " ".join(page.html.main.get_text().split())
        assert "calls itself" not in world.person().allow(world.device().ask().user_code).text

    def test_does_not_name_the_device_of_an_earlier_decision(self, world: World) -> None:
        person = world.person()
        person.allow(world.device().ask(device_label="laptop").user_code)
        assert "laptop" not in person.allow(world.device().ask().user_code).text

    @pytest.mark.parametrize("label", ["\U0001f4bb" * 128, "é" * 128])
    def test_of_a_device_with_a_very_long_name_is_there_all_the_same(self, world: World, label: str) -> None:
        """The browser keeps it in a cookie, which must not grow without end."""
        page = world.person().allow(world.device().ask(device_label=label).user_code)
        assert page.html.h1.get_text() == "You are done"

    def test_is_the_same_for_a_person_of_the_identity_provider(self, corp: World, provider: ScriptedProvider) -> None:
        device = corp.device().ask(device_label="laptop")
        ada = Stranger(corp).sign_in(provider, device.user_code)
        consent = ada.browser.get("/device?sso_verified=1", status=303).follow()
        assert "laptop" in consent.form.submit("decision", value="approve").follow().text
