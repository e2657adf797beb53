"""The library and the program against a server that others wrote: oidc-provider."""

from pathlib import Path

import pytest

from oauthdevice.client import AccessDenied, DeviceLogin, InvalidClient, InvalidGrant, InvalidScope, Pending

from .conftest import DeviceProvider, Tool


def login(provider: DeviceProvider, client_id: str = "cli") -> DeviceLogin:
    return DeviceLogin(provider.issuer, client_id, sleep=lambda _: None)


class TestOidcProvider:
    def test_signs_in_refreshes_and_revokes(self, device_provider: DeviceProvider) -> None:
        told: list[Pending] = []
        with login(device_provider) as one:
            started = one.start(scope="openid offline_access")
            assert started.verification_uri == f"{device_provider.issuer}/device"

            def on_pending(pending: Pending) -> None:
                if not told:
                    device_provider.decide(started.user_code, True)
                told.append(pending)

            tokens = one.wait(started, on_pending)
            assert len(told) == 1
            assert tokens.access_token
            assert tokens.scope == "openid offline_access"
            assert tokens.answer["id_token"]

            refreshed = one.refresh(tokens)
            assert refreshed.access_token != tokens.access_token
            answer = one.call("GET", f"{device_provider.issuer}/me", refreshed.access_token)
            assert answer["sub"] == "ada"
            one.revoke(refreshed)
            with pytest.raises(InvalidGrant):
                one.refresh(refreshed)

    def test_learns_that_the_person_said_no(self, device_provider: DeviceProvider) -> None:
        with login(device_provider) as one:
            started = one.start()
            device_provider.decide(started.user_code, False)
            with pytest.raises(AccessDenied):
                one.wait(started)

    def test_learns_that_nobody_knows_the_client(self, device_provider: DeviceProvider) -> None:
        with login(device_provider, "nobody") as one, pytest.raises(InvalidClient):
            one.start()

    def test_learns_that_there_is_no_such_scope(self, device_provider: DeviceProvider) -> None:
        with login(device_provider) as one, pytest.raises(InvalidScope):
            one.start(scope="\u0022quoted\u0022")

    def test_takes_the_program_as_well(self, device_provider: DeviceProvider, tmp_path: Path) -> None:
        tool = Tool(tmp_path, device_provider.issuer)
        arguments = ("--client-id", "cli", "--scope", "openid offline_access")
        status, told, complained = tool.login(lambda code: device_provider.decide(code, True), *arguments)
        assert (status, complained) == (0, "")
        assert (told[1]["account"], told[1]["scope"]) == ("ada", "openid offline_access")
        (document,) = tool.documents("token")
        with login(device_provider) as one:
            assert one.call("GET", f"{device_provider.issuer}/me", document["access_token"])["sub"] == "ada"
        assert tool.run("status").returncode == 0
        assert "it has no such API" in tool.run("devices", "list").stderr
        (document,) = tool.documents("logout")
        assert document["revoked"] is True
