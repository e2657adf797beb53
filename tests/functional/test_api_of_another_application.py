"""`config.include("oauthdevice.bearer")`: the documented example, run as it stands."""

import importlib
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from webtest import TestApp

from oauthdevice.settings import SettingsError

from ..factories import SECRET, World
from ..key_holders import KeyHolder, ath
from ..servers import CHECKOUT
from .test_owner_ends_sessions import signed_in


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    (source,) = re.findall(r"```python\n(.*?)```", (CHECKOUT / "docs/bearer.md").read_text("utf-8"), re.DOTALL)
    (tmp_path / "documented_example.py").write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield importlib.import_module("documented_example")
    del sys.modules["documented_example"]


@pytest.fixture
def world(make: Any) -> World:
    return make(**{"limit.bearer": "3/minute"})


@pytest.fixture
def options(world: World) -> dict[str, str]:
    return {
        "oauthdevice.mode": "development",
        "oauthdevice.public_url": world.settings.public_url,
        "oauthdevice.database_url": world.settings.database_url,
        "oauthdevice.redis_url": world.settings.redis_url,
        "oauthdevice.secret": SECRET,
        "oauthdevice.limit.bearer": "3/minute",
    }


@pytest.fixture
def api(example: ModuleType, options: dict[str, str]) -> TestApp:
    return TestApp(example.main({}, **options), extra_environ={"REMOTE_ADDR": "192.0.2.9"})


@pytest.mark.parametrize("content", [None, "", "[app:other]\nuse = egg:oauthdevice\n", "no ini"])
def test_a_bad_ini_file_stops_the_start(example: ModuleType, tmp_path: Path, content: str | None) -> None:
    ini = tmp_path / "server.ini"
    if content is not None:
        ini.write_text(content)
    with pytest.raises(SettingsError, match=r"oauthdevice\.ini_file"):
        example.main({}, **{"oauthdevice.ini_file": str(ini)})


def get(api: TestApp, token: str | None = None) -> Any:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    return api.get("/apps", headers=headers, status="*")


class TestAnotherApplication:
    def test_takes_a_token_with_the_scope(self, api: TestApp, world: World) -> None:
        person = world.person()
        _, token = signed_in(world, person)
        assert get(api, token).json == {"apps": [], "of": person.account.email}

    def test_tells_who_brings_no_token(self, api: TestApp) -> None:
        answer = get(api)
        assert answer.status_int == 401
        assert answer.headers["WWW-Authenticate"] == 'Bearer realm="oauthdevice"'

    def test_tells_who_brings_a_bad_one(self, api: TestApp) -> None:
        answer = get(api, "nonsense")
        assert (answer.status_int, answer.json["error"]) == (401, "invalid_token")
        assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]
        assert api.get("/apps?access_token=nonsense", status=401).json["error"] == "invalid_token"

    def test_tells_who_lacks_the_scope(self, api: TestApp, world: World) -> None:
        device = world.device().ask(scope="workspace:read")
        world.services.approvals.approve(device.user_code, world.person().account, "192.0.2.7")
        answer = get(api, device.poll().json["access_token"])
        assert (answer.status_int, answer.json["error"]) == (403, "insufficient_scope")
        assert 'scope="apps:run"' in answer.headers["WWW-Authenticate"]

    def test_refuses_a_token_that_was_ended_at_the_server(self, api: TestApp, world: World) -> None:
        person = world.person()
        _, token = signed_in(world, person)
        assert get(api, token).status_int == 200
        world.services.accounts.set_active(person.account.email, False)
        assert get(api, token).status_int == 401

    def test_limits_each_token(self, api: TestApp, world: World) -> None:
        _, token = signed_in(world, world.person())
        assert [get(api, token).status_int for _ in range(4)] == [200, 200, 200, 429]
        answer = get(api, token)
        assert answer.json["error"] == "rate_limited"
        assert 1 <= int(answer.headers["Retry-After"]) <= 60


class TestATokenThatIsBoundToAKey:
    """RFC 9449, at an application that has an address of its own."""

    ADDRESS = "https://api.example.com"

    @pytest.fixture
    def api(self, example: ModuleType, options: dict[str, str]) -> TestApp:
        options = {**options, "oauthdevice.resource_url": self.ADDRESS}
        return TestApp(example.main({}, **options), extra_environ={"REMOTE_ADDR": "192.0.2.9"})

    @pytest.fixture
    def tool(self, world: World) -> KeyHolder:
        return KeyHolder(world)

    def get(self, api: TestApp, token: str, proof: str, scheme: str = "DPoP") -> Any:
        headers = {"Authorization": f"{scheme} {token}"} | ({"DPoP": proof} if proof else {})
        return api.get("/apps?page=1", headers=headers, status="*")

    def test_is_taken_with_a_proof_for_this_address(self, api: TestApp, tool: KeyHolder) -> None:
        token = tool.signed_in()["access_token"]
        proof = tool.proof("GET", "", htu=f"{self.ADDRESS}/apps", ath=ath(token))
        assert self.get(api, token, proof).json["apps"] == []
        # Once.
        assert self.get(api, token, proof).json["error"] == "invalid_dpop_proof"

    def test_is_refused_without_one(self, api: TestApp, tool: KeyHolder) -> None:
        token = tool.signed_in()["access_token"]
        for proof, scheme, error in (
            ("", "DPoP", "invalid_dpop_proof"),
            ("", "Bearer", "invalid_token"),
            (tool.proof("GET", "/apps", ath=ath(token)), "DPoP", "invalid_dpop_proof"),
        ):
            answer = self.get(api, token, proof, scheme)
            assert (answer.status_int, answer.json["error"]) == (401, error)
            assert answer.headers["WWW-Authenticate"].startswith('DPoP realm="oauthdevice", algs="')

    def test_takes_the_nonce_that_it_is_told(self, api: TestApp, tool: KeyHolder) -> None:
        token = tool.signed_in()["access_token"]
        claims = {"htu": f"{self.ADDRESS}/apps", "ath": ath(token), "iat": 0}
        answer = self.get(api, token, tool.proof("GET", "", **claims))
        assert (answer.status_int, answer.json["error"]) == (401, "use_dpop_nonce")
        proof = tool.proof("GET", "", nonce=answer.headers["DPoP-Nonce"], **claims)
        assert self.get(api, token, proof).status_int == 200

    def test_without_the_scope_is_told_so_in_its_own_scheme(self, api: TestApp, world: World, tool: KeyHolder) -> None:
        tool.ask(scope="workspace:read")
        world.services.approvals.approve(tool.device.user_code, world.person().account, "192.0.2.7")
        token = tool.poll().json["access_token"]
        answer = self.get(api, token, tool.proof("GET", "", htu=f"{self.ADDRESS}/apps", ath=ath(token)))
        assert (answer.status_int, answer.json["error"]) == (403, "insufficient_scope")
        assert answer.headers["WWW-Authenticate"].startswith("DPoP ")
        assert 'scope="apps:run"' in answer.headers["WWW-Authenticate"]
