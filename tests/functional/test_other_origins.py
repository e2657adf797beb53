"""CORS: off unless an origin is listed."""

from typing import Any

import pytest

from oauthdevice.settings import SettingsError

from ..factories import CODE, World

CONSOLE, EVIL = "https://console.example.com", "https://evil.example"
PREFLIGHT = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}


@pytest.fixture
def world(make: Any) -> World:
    return make(cors_allow_origins=f"{CONSOLE} http://localhost:3000")


def allowed(answer: Any) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name.startswith("Access-Control-")}


class TestAListedOrigin:
    def test_may_ask_before(self, world: World) -> None:
        answer = world.browser().options(CODE, headers={"Origin": CONSOLE, **PREFLIGHT}, status=204)
        assert allowed(answer) == {
            "Access-Control-Allow-Origin": CONSOLE,
            "Access-Control-Allow-Credentials": "true",
            "Access-Control-Allow-Methods": "GET, POST, DELETE, OPTIONS",
            "Access-Control-Allow-Headers": "Authorization, Content-Type, DPoP, X-CSRF-Token",
            "Access-Control-Expose-Headers": "DPoP-Nonce, Retry-After, WWW-Authenticate",
            "Access-Control-Max-Age": "600",
        }

    @pytest.mark.parametrize("form", [{"client_id": "difyctl"}, {}])
    def test_may_read_answers_and_errors(self, world: World, form: dict[str, str]) -> None:
        answer = world.browser().post(CODE, form, headers={"Origin": CONSOLE}, status="*")
        assert allowed(answer)["Access-Control-Allow-Origin"] == CONSOLE
        assert "Origin" in answer.headers["Vary"]


class TestAnyOtherOrigin:
    @pytest.mark.parametrize("origin", [EVIL, "null", f"{CONSOLE}.evil.example", CONSOLE.upper()])
    def test_may_read_nothing(self, world: World, origin: str) -> None:
        assert not allowed(world.browser().options(CODE, headers={"Origin": origin, **PREFLIGHT}, status=405))
        assert not allowed(world.browser().post(CODE, {"client_id": "difyctl"}, headers={"Origin": origin}))

    def test_nobody_is_listed_by_default(self, make: Any) -> None:
        world: World = make()
        assert not allowed(world.browser().options(CODE, headers={"Origin": CONSOLE, **PREFLIGHT}, status=405))

    def test_no_origin_works(self, world: World) -> None:
        assert not allowed(world.browser().post(CODE, {"client_id": "difyctl"}))

    def test_pages_are_for_nobody_else(self, world: World) -> None:
        assert not allowed(world.browser().get("/device", headers={"Origin": CONSOLE}))


@pytest.mark.parametrize("origins", ["*", "https://a.example/path", "a.example", "https://*.example"])
def test_a_bad_origin_stops_the_start(make: Any, origins: str) -> None:
    with pytest.raises(SettingsError, match=r"oauthdevice\.cors_allow_origins"):
        make(cors_allow_origins=origins)
