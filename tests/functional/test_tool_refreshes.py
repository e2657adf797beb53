"""A client keeps its session alive without asking the person again (RFC 6749 §6, RFC 9700 §4.14)."""

from pathlib import Path
from typing import Any

import pytest

from ..conftest import WorldMaker
from ..factories import API, TOKEN, Device, World
from .test_many_at_once import at_once, live_tokens

INI = """
[client:cli]
name = CLI
scopes = full
refresh = on
access_token_lifetime_seconds = 3600
refresh_token_lifetime_seconds = 86400
[client:other]
name = Other
scopes = full
refresh = on
[client:plain]
name = Plain
scopes = full
"""


@pytest.fixture
def world(make: WorldMaker, tmp_path: Path) -> World:
    ini = tmp_path / "clients.ini"
    ini.write_text(INI)
    return make(ini_file=str(ini), **{"limit.bearer": "off"})


def signed_in(world: World, **parameters: str) -> tuple[Device, dict[str, Any]]:
    device = world.device("cli").ask(**parameters)
    world.person().allow(device.user_code)
    return device, device.poll().json


def refresh(device: Device, token: str, **parameters: str) -> Any:
    form = {"grant_type": "refresh_token", "client_id": device.client_id, "refresh_token": token}
    return device.http.post(TOKEN, {**form, **parameters}, status="*")


class TestAToolRefreshes:
    def test_it_gets_a_new_pair(self, world: World) -> None:
        device, first = signed_in(world)
        assert first["expires_in"] == 3600
        assert first["refresh_token"].startswith("dfor_")
        world.clock.pass_seconds(3600)
        assert device.account(first["access_token"]).status_int == 401
        answer = refresh(device, first["refresh_token"])
        assert answer.status_int == 200
        assert answer.headers["Cache-Control"] == "no-store"
        second = answer.json
        assert second.keys() == first.keys()
        assert second["token_id"] == first["token_id"]
        assert second["refresh_token"] != first["refresh_token"]
        assert device.account(second["access_token"]).json["account"] == first["account"]

    def test_a_client_without_refresh_gets_none(self, world: World) -> None:
        device = world.device("plain").ask()
        world.person().allow(device.user_code)
        assert "refresh_token" not in device.poll().json
        _, first = signed_in(world)
        answer = refresh(device, first["refresh_token"])
        assert (answer.status_int, answer.json["error"]) == (400, "unauthorized_client")

    def test_a_lost_answer_can_be_fetched_again(self, world: World) -> None:
        device, first = signed_in(world)
        second = refresh(device, first["refresh_token"]).json
        world.clock.pass_seconds(29)
        assert refresh(device, first["refresh_token"]).json == second
        third = refresh(device, second["refresh_token"]).json
        assert third["refresh_token"] not in (first["refresh_token"], second["refresh_token"])

    def test_reuse_of_a_spent_token_ends_the_family(self, world: World) -> None:
        device, first = signed_in(world)
        second = refresh(device, first["refresh_token"]).json
        world.clock.pass_seconds(30)
        answer = refresh(device, first["refresh_token"])
        assert (answer.status_int, answer.json["error"]) == (400, "invalid_grant")
        assert device.account(second["access_token"]).status_int == 401
        assert refresh(device, second["refresh_token"]).json["error"] == "invalid_grant"
        assert [one.event for one in world.services.ledger.newest(1)] == ["reuse_detected"]

    def test_another_client_cannot_use_it_and_ends_nothing(self, world: World) -> None:
        device, first = signed_in(world)
        answer = refresh(device, first["refresh_token"], client_id="other")
        assert (answer.status_int, answer.json["error"]) == (400, "invalid_grant")
        assert refresh(device, first["refresh_token"]).status_int == 200

    def test_no_refresh_moves_the_end_of_the_session(self, world: World) -> None:
        device, held = signed_in(world)
        for _ in range(23):
            world.clock.pass_seconds(3600)
            held = refresh(device, held["refresh_token"]).json
        world.clock.pass_seconds(1800)
        held = refresh(device, held["refresh_token"]).json
        assert held["expires_in"] <= 1800
        world.clock.pass_seconds(1801)
        assert refresh(device, held["refresh_token"]).json["error"] == "invalid_grant"
        assert device.account(held["access_token"]).status_int == 401

    def test_a_refresh_may_ask_for_less_and_never_for_more(self, world: World) -> None:
        device, first = signed_in(world, scope="apps:run workspace:read")
        answer = refresh(device, first["refresh_token"], scope="full")
        assert (answer.status_int, answer.json["error"]) == (400, "invalid_scope")
        second = refresh(device, first["refresh_token"], scope="apps:run").json
        assert second["scope"] == "apps:run"
        third = refresh(device, second["refresh_token"]).json
        assert third["scope"] == "apps:run workspace:read"

    def test_a_disabled_account_refreshes_nothing(self, world: World) -> None:
        device = world.device("cli").ask()
        person = world.person()
        person.allow(device.user_code)
        first = device.poll().json
        world.services.accounts.set_active(person.account.email, False)
        assert refresh(device, first["refresh_token"]).json["error"] == "invalid_grant"

    def test_fifty_at_once_get_one_new_pair(self, world: World) -> None:
        device, first = signed_in(world)
        tools = [world.device("cli") for _ in range(50)]
        answers = at_once(*[lambda tool=tool: refresh(tool, first["refresh_token"]) for tool in tools])
        assert {answer.status_int for answer in answers} == {200}
        assert len({answer.json["refresh_token"] for answer in answers}) == 1
        assert len({answer.json["access_token"] for answer in answers}) == 1
        assert live_tokens(world) == 2
        assert refresh(device, answers[0].json["refresh_token"]).status_int == 200

    def test_however_often_only_two_access_tokens_live(self, world: World) -> None:
        device, held = signed_in(world)
        tokens = [held["access_token"]]
        for _ in range(5):
            world.clock.pass_seconds(1)
            held = refresh(device, held["refresh_token"]).json
            tokens.append(held["access_token"])
        assert [device.account(token).status_int for token in tokens] == [401] * 4 + [200] * 2
        assert live_tokens(world) == 2

    @pytest.mark.parametrize("token", ["x", "dfor_" + "A" * 49, "dfoa_", ""])
    def test_garbage_is_refused(self, world: World, token: str) -> None:
        answer = refresh(world.device("cli"), token)
        assert answer.status_int == 400
        assert answer.json["error"] == ("invalid_grant" if token else "invalid_request")

    def test_an_access_token_is_no_refresh_token(self, world: World) -> None:
        device, first = signed_in(world)
        assert refresh(device, first["access_token"]).json["error"] == "invalid_grant"
        headers = {"Authorization": f"Bearer {first['refresh_token']}"}
        assert device.http.get(f"{API}/account", headers=headers, status=401).json["error"] == "invalid_token"

    def test_the_metadata_tells_of_it(self, world: World) -> None:
        document = world.device().http.get("/.well-known/oauth-authorization-server").json
        assert "refresh_token" in document["grant_types_supported"]
