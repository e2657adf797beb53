"""A client with a secret signs somebody in: its codes are of no use to who does not have the secret too."""

import hashlib
from pathlib import Path

import pytest

from ..conftest import WorldMaker
from ..factories import CODE, TOKEN, World

SECRET = "a client's own long secret"


@pytest.fixture
def world(make: WorldMaker, tmp_path: Path) -> World:
    digest = hashlib.sha256(SECRET.encode()).hexdigest()
    ini = tmp_path / "clients.ini"
    ini.write_text(
        f"[client:cli]\nname = CLI\nscopes = full\nrefresh = on\nsecret_sha256 = {digest}\n"
        "[client:public]\nname = Public\nscopes = full\nrefresh = on\n",
        "utf-8",
    )
    return make(ini_file=str(ini))


WITHOUT = [{"client_id": "cli"}, {"client_id": "cli", "client_secret": "wrong"}]


@pytest.mark.parametrize("credentials", WITHOUT, ids=["no secret", "another one"])
def test_at_each_of_its_requests(world: World, credentials: dict[str, str]) -> None:
    """RFC 8628 §3.1, §3.4; RFC 6749 §6."""
    http = world.browser()
    assert http.post(CODE, credentials, status=401).json["error"] == "invalid_client"
    own = {"client_id": "cli", "client_secret": SECRET}
    device = world.device("cli").ask(client_secret=SECRET)
    world.person().allow(device.user_code)
    poll = {"grant_type": "urn:ietf:params:oauth:grant-type:device_code", "device_code": device.device_code}
    assert http.post(TOKEN, poll | credentials, status=401).json["error"] == "invalid_client"
    assert http.post(TOKEN, poll | {"client_id": "public"}, status=400).json["error"] == "invalid_grant"
    answer = http.post(TOKEN, poll | own, status=200).json
    # And not what is told again.
    assert http.post(TOKEN, poll | credentials, status=401).json["error"] == "invalid_client"
    refresh = {"grant_type": "refresh_token", "refresh_token": answer["refresh_token"]}
    assert http.post(TOKEN, refresh | credentials, status=401).json["error"] == "invalid_client"
    assert http.post(TOKEN, refresh | {"client_id": "public"}, status=400).json["error"] == "invalid_grant"
    assert http.post(TOKEN, refresh | own, status=200).json["access_token"]
