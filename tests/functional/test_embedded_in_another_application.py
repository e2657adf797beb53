"""The whole server inside the application of a company, as `examples/notes` shows it."""

import importlib
import re
import sys
from collections.abc import Iterator
from types import ModuleType

import pytest
from pyramid.config import Configurator
from webtest import TestApp, TestResponse

from oauthdevice.domain.token_endpoint import DEVICE_GRANT
from oauthdevice.settings import SettingsError

from ..conftest import WorldMaker
from ..factories import SECRET, World
from ..key_holders import KeyHolder, ath
from ..servers import CHECKOUT

PREFIX = "/sign-in"
API = f"{PREFIX}/openapi/v1"


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(str(CHECKOUT / "examples/notes"))
    yield importlib.import_module("notes")
    del sys.modules["notes"]


@pytest.fixture
def world(make: WorldMaker) -> World:
    """A server on the same database and Redis, through which the test makes accounts."""
    return make(public_url=f"http://localhost{PREFIX}")


@pytest.fixture
def options(world: World, example: ModuleType) -> dict[str, str]:
    return {
        "oauthdevice.mode": "development",
        "oauthdevice.public_url": world.settings.public_url,
        "oauthdevice.database_url": world.settings.database_url,
        "oauthdevice.redis_url": world.settings.redis_url,
        "oauthdevice.secret": SECRET,
        "oauthdevice.accounts": "notes:People",
    }


@pytest.fixture
def notes(example: ModuleType, options: dict[str, str]) -> TestApp:
    return TestApp(example.main({}, **options), extra_environ={"REMOTE_ADDR": "192.0.2.7", "HTTP_HOST": "localhost"})


def allow(notes: TestApp, user_code: str) -> TestResponse:
    """Somebody of the company goes through the pages below the prefix."""
    page = notes.get(f"{PREFIX}/device").form
    page["user_code"] = user_code
    login = page.submit(status=303).follow().form
    login["email"], login["password"] = "grace@example.com", "tulips and daffodils"
    consent = login.submit(status=303).follow(status=200)
    return consent.form.submit("decision", value="approve", status=303).follow(status=200)


def addresses(page: TestResponse) -> list[str]:
    """Whatever a page links to, loads or sends to; `?…` is itself in another language."""
    found = re.findall(r'(?:href|src|action)="([^"#?][^"]*)"', page.text)
    assert found
    return found


class TestTheExample:
    def test_a_tool_signs_in_and_uses_the_api_of_the_company(self, notes: TestApp) -> None:
        told = notes.post(f"{API}/oauth/device/code", {"client_id": "difyctl"}).json
        assert told["verification_uri"] == f"http://localhost{PREFIX}/device"
        allow(notes, told["user_code"])
        form = {"grant_type": DEVICE_GRANT, "client_id": "difyctl", "device_code": told["device_code"]}
        given = notes.post(f"{API}/oauth/device/token", form).json
        assert given["workspaces"] == [{"id": "w1", "name": "Garden", "role": "owner"}]
        headers = {"Authorization": f"Bearer {given['access_token']}"}
        assert notes.get("/api/notes", headers=headers).json["of"] == "grace@example.com"
        assert notes.get(f"{API}/account", headers=headers).json["workspaces"] == given["workspaces"]

    def test_a_tool_proves_its_key_to_both(self, world: World, example: ModuleType, options: dict[str, str]) -> None:
        """RFC 9449: to us below the prefix, and to the API of the company, which says where it is."""
        options = {**options, "oauthdevice.resource_url": "http://localhost"}
        notes = TestApp(example.main({}, **options), extra_environ={"HTTP_HOST": "localhost"})
        tool, code, token = KeyHolder(world), "/openapi/v1/oauth/device/code", "/openapi/v1/oauth/device/token"
        headers = {"DPoP": tool.proof("POST", code)}
        told = notes.post(f"{PREFIX}{code}", {"client_id": "difyctl"}, headers=headers).json
        allow(notes, told["user_code"])
        form = {"grant_type": DEVICE_GRANT, "client_id": "difyctl", "device_code": told["device_code"]}
        given = notes.post(f"{PREFIX}{token}", form, headers={"DPoP": tool.proof("POST", token)}).json
        assert given["token_type"] == "DPoP"
        for path, htu in (
            ("/api/notes", "http://localhost/api/notes"),
            (f"{API}/account", f"http://localhost{API}/account"),
        ):
            proof = tool.proof("GET", "", htu=htu, ath=ath(given["access_token"]))
            headers = {"Authorization": f"DPoP {given['access_token']}", "DPoP": proof}
            assert notes.get(path, headers=headers).status_int == 200
            notes.get(path, headers={"Authorization": f"Bearer {given['access_token']}"}, status=401)

    def test_every_address_of_a_page_is_below_the_prefix(self, notes: TestApp) -> None:
        page = notes.get(f"{PREFIX}/device")
        assert all(address.startswith((f"{PREFIX}/", "?")) for address in addresses(page))
        notes.get(next(address for address in addresses(page) if "device.css" in address), status=200)

    def test_so_it_is_of_the_pages_of_devices(self, notes: TestApp) -> None:
        told = notes.post(f"{API}/oauth/device/code", {"client_id": "difyctl", "device_label": "laptop"}).json
        done = allow(notes, told["user_code"])
        form = {"grant_type": DEVICE_GRANT, "client_id": "difyctl", "device_code": told["device_code"]}
        token = notes.post(f"{API}/oauth/device/token", form).json["access_token"]
        devices = done.click("See your devices")
        device = devices.click("laptop")
        for page in (devices, device):
            assert all(address.startswith((f"{PREFIX}/", "?")) for address in addresses(page))
        ended = device.forms[1].submit("action", value="end", status=303)
        assert ended.location == f"http://localhost{PREFIX}/devices"
        assert "One device is signed out" in ended.follow().text
        notes.get("/api/notes", headers={"Authorization": f"Bearer {token}"}, status=401)

    def test_the_sign_in_leads_back_to_them(self, notes: TestApp) -> None:
        login = notes.get(f"{PREFIX}/devices", status=303).follow().form
        login["email"], login["password"] = "grace@example.com", "tulips and daffodils"
        assert login.submit(status=303).location == f"http://localhost{PREFIX}/devices"

    def test_its_metadata_is_where_the_rfc_puts_it(self, notes: TestApp) -> None:
        for path in (
            f"/.well-known/oauth-authorization-server{PREFIX}",
            f"{PREFIX}/.well-known/openid-configuration",
        ):
            assert notes.get(path).json["issuer"] == f"http://localhost{PREFIX}"

    def test_the_application_keeps_its_own_pages_and_errors(self, notes: TestApp) -> None:
        assert "<h1>Notes</h1>" in notes.get("/").text
        assert "oauthdevice" not in notes.get("/nothing", status=404).text
        assert notes.get("/api/notes", status=401).headers["WWW-Authenticate"].startswith("Bearer")
        assert notes.get(f"{API}/nothing", status=404).json["error"] == "not_found"
        assert notes.post(f"{PREFIX}/logout", status=403).content_type == "text/html"

    def test_the_policies_of_the_application_do_not_reach_us(self, options: dict[str, str]) -> None:
        config = Configurator(settings=options)
        config.set_default_csrf_options(require_csrf=True)
        config.include("oauthdevice", route_prefix=PREFIX)
        strict = TestApp(config.make_wsgi_app(), extra_environ={"HTTP_HOST": "localhost"})
        assert strict.post(f"{API}/oauth/device/code", {"client_id": "difyctl"}, status=200).json["user_code"]


class TestABadInclude:
    @pytest.mark.parametrize("prefix", [None, "/", "/elsewhere"])
    def test_a_prefix_that_is_not_that_of_the_address(self, options: dict[str, str], prefix: str | None) -> None:
        with pytest.raises(SettingsError, match="must end with the route_prefix"):
            Configurator(settings=options).include("oauthdevice", route_prefix=prefix)
