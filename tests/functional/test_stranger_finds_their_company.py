"""Somebody types a work e-mail instead of choosing among companies, and need not type it again there."""

from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from ..conftest import WorldMaker
from ..factories import World
from ..scripted_providers import CLIENT_ID, CLIENT_SECRET, ScriptedProvider

DOMAIN = "corp.example"


@pytest.fixture
def corp(make: WorldMaker, tmp_path: Path, provider: ScriptedProvider) -> World:
    ini = tmp_path / "corp.ini"
    client = f"client_id = {CLIENT_ID}\nclient_secret = {CLIENT_SECRET}"
    ini.write_text(f"[sso:corp]\nissuer = {provider.url}\n{client}\nemail_domains = {DOMAIN}\n", "utf-8")
    return make(edition="enterprise", ini_file=str(ini))


# The longest that RFC 5321 §4.5.3.1.3 knows has 254 letters.
@pytest.mark.parametrize("name", ["ada", "a" * 241, "\U0001f4bb" * 16])
def test_and_is_known_there(corp: World, name: str) -> None:
    assert hint_of(corp, f"{name}@{DOMAIN}") == [f"{name}@{DOMAIN}"]


@pytest.mark.parametrize("letter", ["\U0001f4bb", "é", '"'])
def test_one_that_no_cookie_holds_is_typed_again(corp: World, letter: str) -> None:
    assert hint_of(corp, f"{letter * 300}@{DOMAIN}") == []


def hint_of(corp: World, email: str) -> list[str]:
    """What the provider is told of who comes."""
    browser = corp.browser()
    field = browser.get("/device").form
    field["user_code"] = corp.device().ask().user_code
    token = field.submit(status=303).follow().html.find("input", {"name": "csrf_token"})["value"]
    on = browser.post("/login/sso", {"csrf_token": token, "email": email}, status=200)
    there = browser.get(on.html.select_one("main a.main")["href"], status=[302, 303])
    return parse_qs(urlsplit(there.headers["Location"]).query).get("login_hint", [])
