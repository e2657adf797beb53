"""Where credentials cannot be stored, it is known before anybody approves; what was approved is not lost."""

import json
from pathlib import Path

import pytest

from ..factories import World
from .conftest import Tool
from .test_tool_manages_accounts import events, signed_in

GONE = "keyring.backends.fail.Keyring"
SMALL = "tests.cli.file_keyring.Small"


def refused_at_once(tool: Tool) -> tuple[int, str]:
    """Status and complaint of a sign-in that asks for no code."""
    done = tool.run("login", "--host", tool.url)
    assert done.stdout == ""
    return done.returncode, done.stderr


class TestBeforeACodeIsAskedFor:
    def test_an_unknown_storage_is_2(self, tool: Tool) -> None:
        tool.environ["OAUTHDEVICE_STORAGE"] = "bogus"
        assert refused_at_once(tool) == (2, "oauthdevice: OAUTHDEVICE_STORAGE is keyring or file.\n")

    def test_a_key_ring_may_be_insisted_on(self, tool_without_keyring: Tool) -> None:
        tool_without_keyring.environ["OAUTHDEVICE_STORAGE"] = "keyring"
        told = refused_at_once(tool_without_keyring)
        assert told == (1, "oauthdevice: There is no key ring that works here.\n")

    @pytest.mark.parametrize("name", ["accounts.json", "credentials.json"])
    @pytest.mark.parametrize("content", [b"[", b"\xff", b"[]"])
    def test_a_file_that_cannot_be_read_is_named(self, tool: Tool, name: str, content: bytes) -> None:
        tool.folder.mkdir(parents=True)
        path = tool.folder / name
        path.write_bytes(content)
        told = refused_at_once(tool)
        assert told == (1, f"oauthdevice: {path} cannot be read; delete it and sign in again.\n")


class TestAKeyRingThatIsGone:
    @pytest.fixture
    def tool(self, tool: Tool, world: World) -> Tool:
        signed_in(tool, world, person=world.person("ada@example.com"))
        tool.environ["PYTHON_KEYRING_BACKEND"] = GONE
        return tool

    def test_stops_no_new_sign_in(self, tool: Tool, world: World) -> None:
        signed_in(tool, world, person=world.person("ada@example.com"))
        (account,) = tool.documents("list")
        assert account["storage"] == "file"
        assert tool.run("status").returncode == 0

    def test_is_told_with_the_account(self, tool: Tool) -> None:
        done = tool.run("status")
        assert done.returncode == 1
        assert "ada@example.com" in done.stdout
        assert done.stderr.startswith("oauthdevice: The key ring fails: ")

    def test_keeps_no_account(self, tool: Tool) -> None:
        done = tool.run("logout")
        assert (done.returncode, done.stdout) == (0, f"Signed out of {tool.url} as ada@example.com.\n")
        assert "may still be valid" in done.stderr
        assert "could not be deleted. The key ring fails: " in done.stderr
        assert tool.documents("list") == []


class TestAKeyRingThatRefusesTheEntry:
    @pytest.fixture
    def tool(self, tool: Tool) -> Tool:
        tool.environ["PYTHON_KEYRING_BACKEND"] = SMALL
        return tool

    def test_gives_way_to_the_file(self, tool: Tool, world: World) -> None:
        status, told, complained = tool.login(world.person().allow)
        path = tool.folder / "credentials.json"
        assert (status, told[1]["storage"]) == (0, "file")
        assert complained == (
            f"oauthdevice: the key ring refused them: the credentials lie readable in {path} (mode 0600)\n"
        )
        assert tool.run("status").returncode == 0

    def test_that_is_insisted_on_ends_the_session(self, tool: Tool, world: World) -> None:
        tool.environ["OAUTHDEVICE_STORAGE"] = "keyring"
        status, told, _ = tool.login(world.person().allow)
        assert (status, told[1]["error"]) == (1, "keyring")
        assert len(events(world, "revoked")) == 1
        assert tool.documents("list") == []

    def test_and_no_file_end_the_session(self, tool: Tool, world: World) -> None:
        person = world.person()

        def allow(user_code: str) -> None:
            (tool.folder / "credentials.json").mkdir()
            person.allow(user_code)

        status, told, _ = tool.login(allow)
        assert (status, told[1]["error"]) == (1, "file")
        assert len(events(world, "revoked")) == 1
        assert tool.documents("list") == []


def test_logout_forgets_an_account_whose_file_is_spoilt(tool_without_keyring: Tool, world: World) -> None:
    signed_in(tool_without_keyring, world)
    path: Path = tool_without_keyring.folder / "credentials.json"
    path.write_text("{")
    done = tool_without_keyring.run("logout")
    assert done.returncode == 0
    assert f"{path} cannot be read" in done.stderr
    assert json.loads((tool_without_keyring.folder / "accounts.json").read_text())["accounts"] == []
