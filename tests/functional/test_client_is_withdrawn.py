"""The operator took a client out of the ini and restarted: what it had begun ends there."""

from pathlib import Path

import pytest

from ..conftest import WorldMaker
from ..factories import APPROVE, TOKEN, Device, World

pytestmark = pytest.mark.shared_redis


@pytest.fixture
def servers(make: WorldMaker, tmp_path: Path) -> tuple[World, World]:
    """The server before and after, over one database and one Redis."""
    kept = "[client:other]\nname = Other\nscopes = full\n"
    before, after = tmp_path / "before.ini", tmp_path / "after.ini"
    before.write_text(f"{kept}[client:cli]\nname = CLI\nscopes = full\nrefresh = on\n", "utf-8")
    after.write_text(kept, "utf-8")
    return make(ini_file=str(before)), make(ini_file=str(after))


def at(world: World, device: Device) -> Device:
    """The same program, at another server."""
    moved = world.device(device.client_id)
    moved.answer = device.answer
    return moved


def test_nobody_approves_it(servers: tuple[World, World]) -> None:
    before, after = servers
    device, person = before.device("cli").ask(), after.person().sign_in()
    answer = person.post(APPROVE, device.user_code)
    assert (answer.status_int, answer.json["error"]) == (404, "expired_or_unknown")
    assert device.poll().json["error"] == "authorization_pending"


def test_what_was_approved_gives_no_token(servers: tuple[World, World]) -> None:
    before, after = servers
    device = before.device("cli").ask()
    before.person().allow(device.user_code)
    answer = at(after, device).poll()
    assert (answer.status_int, answer.json["error"]) == (401, "invalid_client")
    # Nor to a client that is still there.
    foreign = at(after, device)
    foreign.client_id = "other"
    assert foreign.poll().json["error"] == "invalid_grant"


def test_nothing_is_refreshed(servers: tuple[World, World]) -> None:
    before, after = servers
    device = before.device("cli").ask()
    before.person().allow(device.user_code)
    form = {"grant_type": "refresh_token", "client_id": "cli", "refresh_token": device.poll().json["refresh_token"]}
    answer = after.browser().post(TOKEN, form, status=401)
    assert answer.json["error"] == "invalid_client"
