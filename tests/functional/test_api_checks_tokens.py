"""An API asks what a token is worth (RFC 7662), a client gives one back (RFC 7009)."""

import hashlib
from pathlib import Path
from typing import Any

import pytest
from argon2 import PasswordHasher

from ..conftest import WorldMaker
from ..factories import API, Device, World

SECRET = "the API's own long secret"
INTROSPECT, REVOKE = f"{API}/oauth/introspect", f"{API}/oauth/revoke"


@pytest.fixture
def world(make: WorldMaker, tmp_path: Path) -> World:
    ini = tmp_path / "clients.ini"
    argon2 = PasswordHasher(1, 32, 1).hash(SECRET)
    ini.write_text(
        f"[client:api]\nname = API\nscopes = full\ndevice_flow = off\n"
        f"secret_sha256 = {hashlib.sha256(SECRET.encode()).hexdigest()}\n"
        f"[client:api2]\nname = API\nscopes = full\nsecret_argon2 = {argon2}\n"
        f"[client:cli]\nname = CLI\nscopes = full\nrefresh = on\n[client:tv]\nname = TV\nscopes = full\n"
    )
    return make(ini_file=str(ini))


def signed_in(world: World) -> tuple[Device, dict[str, Any]]:
    device = world.device("cli").ask(device_label="laptop")
    world.person().allow(device.user_code)
    return device, device.poll().json


def introspect(world: World, token: str, **parameters: str) -> Any:
    form = {"client_id": "api", "client_secret": SECRET, "token": token, **parameters}
    return world.browser().post(INTROSPECT, form, status="*")


class TestAnAPIAsks:
    def test_of_a_live_access_token(self, world: World) -> None:
        _, answer = signed_in(world)
        told = introspect(world, answer["access_token"])
        assert told.status_int == 200
        assert told.headers["Cache-Control"] == "no-store"
        assert told.json == {
            "active": True,
            "client_id": "cli",
            "iss": "http://localhost",
            "sub": answer["account"]["id"],
            "username": answer["account"]["email"],
            "scope": "full",
            "token_type": "Bearer",
            "iat": told.json["iat"],
            "exp": told.json["iat"] + 14 * 86400,
            "token_id": answer["token_id"],
            "device_label": "laptop",
            "subject_type": "account",
            "account": answer["account"],
            "workspaces": [],
            "default_workspace_id": None,
        }

    def test_of_a_refresh_token(self, world: World) -> None:
        device, answer = signed_in(world)
        assert introspect(world, answer["refresh_token"], token_type_hint="refresh_token").json["active"] is True
        form = {"grant_type": "refresh_token", "client_id": "cli", "refresh_token": answer["refresh_token"]}
        device.http.post(f"{API}/oauth/device/token", form)
        assert introspect(world, answer["refresh_token"]).json == {"active": False}

    @pytest.mark.parametrize("client", ["api", "api2"])
    @pytest.mark.parametrize("by_header", [True, False])
    def test_by_either_way_to_authenticate(self, world: World, client: str, by_header: bool) -> None:
        _, answer = signed_in(world)
        http = world.browser()
        form = {"token": answer["access_token"]}
        for secret, status in ((SECRET, 200), ("wrong", 401), (SECRET, 200)):
            if by_header:
                http.authorization = ("Basic", (client, secret))
                told = http.post(INTROSPECT, form, status=status)
            else:
                told = http.post(INTROSPECT, {**form, "client_id": client, "client_secret": secret}, status=status)
            assert told.json.get("error") == (None if status == 200 else "invalid_client")

    @pytest.mark.parametrize("token", ["x", "dfoa_" + "A" * 49, "dfor_" + "A" * 49])
    def test_whatever_is_no_live_token_is_inactive_and_no_more(self, world: World, token: str) -> None:
        assert introspect(world, token).json == {"active": False}

    def test_an_expired_or_revoked_token_is_inactive(self, world: World) -> None:
        device, answer = signed_in(world)
        headers = {"Authorization": f"Bearer {answer['access_token']}"}
        device.http.delete(f"{API}/account/sessions/self", headers=headers)
        assert introspect(world, answer["access_token"]).json == {"active": False}
        _, answer = signed_in(world)
        world.clock.pass_seconds(14 * 86400)
        assert introspect(world, answer["access_token"]).json == {"active": False}

    def test_public_and_unknown_clients_are_refused(self, world: World) -> None:
        _, answer = signed_in(world)
        for client in ("cli", "nobody"):
            form = {"client_id": client, "token": answer["access_token"]}
            told = world.browser().post(INTROSPECT, form, status=401)
            assert told.json["error"] == "invalid_client"
            assert told.headers["WWW-Authenticate"].startswith("Basic")

    def test_a_client_that_only_asks_cannot_sign_in(self, world: World) -> None:
        form = {"client_id": "api", "client_secret": SECRET}
        answer = world.browser().post(f"{API}/oauth/device/code", form, status=400)
        assert answer.json["error"] == "unauthorized_client"

    @pytest.mark.parametrize("client", ["api", "api2"])
    def test_secrets_cannot_be_guessed_without_end(self, world: World, client: str) -> None:
        _, answer = signed_in(world)

        def ask(secret: str, address: str) -> int:
            form = {"client_id": client, "client_secret": secret, "token": answer["access_token"]}
            return int(world.browser(address).post(INTROSPECT, form, status="*").status_int)

        assert [ask(f"guess {number}", "198.51.100.1") for number in range(22)] == [401] * 20 + [429] * 2
        assert ask(SECRET, "192.0.2.7") == 200

    @pytest.mark.parametrize("client", ["api", "api2"])
    def test_a_right_secret_costs_no_guess(self, world: World, client: str) -> None:
        _, answer = signed_in(world)
        for _ in range(30):
            assert introspect(world, answer["access_token"], client_id=client).status_int == 200


class TestAClientGivesATokenBack:
    @pytest.mark.parametrize("kind", ["access_token", "refresh_token"])
    def test_and_the_session_ends(self, world: World, kind: str) -> None:
        device, answer = signed_in(world)
        told = device.http.post(REVOKE, {"client_id": "cli", "token": answer[kind]})
        assert (told.status_int, told.json) == (200, {})
        assert device.account(answer["access_token"]).status_int == 401
        assert introspect(world, answer["refresh_token"]).json == {"active": False}
        assert device.http.post(REVOKE, {"client_id": "cli", "token": answer[kind]}).status_int == 200
        assert world.services.ledger.newest(1)[0].reason == "by its client"

    def test_a_foreign_token_is_200_and_untouched(self, world: World) -> None:
        device, answer = signed_in(world)
        for kind in ("access_token", "refresh_token"):
            assert device.http.post(REVOKE, {"client_id": "tv", "token": answer[kind]}).status_int == 200
        assert device.account(answer["access_token"]).status_int == 200

    def test_an_unknown_token_is_200(self, world: World) -> None:
        for token in ("x", "dfoa_" + "A" * 49):
            assert world.browser().post(REVOKE, {"client_id": "cli", "token": token}).status_int == 200

    def test_an_unknown_client_is_401(self, world: World) -> None:
        _, answer = signed_in(world)
        told = world.browser().post(REVOKE, {"client_id": "nobody", "token": answer["access_token"]}, status=401)
        assert told.json["error"] == "invalid_client"

    def test_a_missing_token_is_400(self, world: World) -> None:
        assert world.browser().post(REVOKE, {"client_id": "cli"}, status=400).json["error"] == "invalid_request"
