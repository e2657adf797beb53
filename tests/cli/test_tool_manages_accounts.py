"""What comes after the sign-in: logout, status, whoami, list, use, token."""

import json
import re
import stat
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from oauthdevice.domain.sessions import ALL, Selection

from ..conftest import WorldMaker
from ..factories import Person, World
from .conftest import Tool


def events(world: World, name: str) -> list[dict[str, Any]]:
    return [one.members() for one in world.services.ledger.newest(1000) if one.members()["event"] == name]


def signed_in(tool: Tool, world: World, *arguments: str, person: Person | None = None) -> Person:
    person = person or world.person()
    status, told, complained = tool.login(person.allow, *arguments)
    assert status == 0, (told, complained)
    return person


def outdate(tool: Tool) -> None:
    """The stored access token is one that expired."""
    path = tool.folder / "credentials.json"
    found = json.loads(path.read_text())
    for one in found.values():
        one["expires_at"] = datetime(2020, 1, 1, tzinfo=UTC).isoformat()
    path.write_text(json.dumps(found))


class TestNobody:
    def test_is_5(self, tool: Tool) -> None:
        for command in ("logout", "status", "whoami", "token", "devices list", "devices revoke --all"):
            done = tool.run(*command.split())
            assert (done.returncode, done.stdout) == (5, ""), command
            assert done.stderr == "oauthdevice: Nobody is signed in. Sign in with: oauthdevice login\n"

    def test_is_told_as_json_too(self, tool: Tool) -> None:
        done = tool.run("status", "--json")
        assert (done.returncode, done.stderr) == (5, "")
        assert json.loads(done.stdout)["error"] == "not_signed_in"

    def test_is_an_empty_list(self, tool: Tool) -> None:
        done = tool.run("list")
        assert (done.returncode, done.stdout) == (0, "Nobody is signed in.\n")
        assert tool.documents("list") == []


class TestOneAccount:
    def test_is_told_from_here_and_from_the_server(self, tool: Tool, world: World) -> None:
        person = signed_in(tool, world, "--device-label", "desk")
        email = person.account.email
        assert tool.run("whoami").stdout == f"{email} (Ada Person)\n"
        told = tool.run("status").stdout
        assert re.search(r"^session +valid$", told, re.MULTILINE)
        assert re.search(rf"^account +{email} \(Ada Person\)$", told, re.MULTILINE)
        assert re.search(r"^stored +keyring \(one of 1 accounts here\)$", told, re.MULTILINE)
        (document,) = tool.documents("status")
        assert (document["session"], document["account"], document["active"]) == ("valid", email, True)
        assert re.search(rf"^\* +{email} +Ada Person +{world.settings.public_url}$", tool.run("list").stdout, re.M)

    def test_whose_session_was_ended_elsewhere(self, tool: Tool, world: World) -> None:
        signed_in(tool, world)
        world.services.registry.end_all(ALL)
        done = tool.run("status")
        assert done.returncode == 5
        assert re.search(r"^session +ended$", done.stdout, re.MULTILINE)
        assert tool.run("status", "--offline").returncode == 0

    def test_signs_out_here_and_there(self, tool: Tool, world: World) -> None:
        person = signed_in(tool, world)
        token = tool.run("token").stdout.strip()
        assert world.device().account(token).status_int == 200
        done = tool.run("logout")
        assert done.stdout == f"Signed out of {tool.url} as {person.account.email}.\n"
        assert (done.returncode, done.stderr) == (0, "")
        assert world.device().account(token).status_int == 401
        assert json.loads((tool.home / "keyring.json").read_text()) == {}
        assert tool.run("whoami").returncode == 5

    def test_signs_out_here_where_the_server_is_gone(self, tool_without_keyring: Tool, world: World) -> None:
        tool = tool_without_keyring
        signed_in(tool, world)
        book = tool.folder / "accounts.json"
        book.write_text(book.read_text().replace(tool.url, "http://127.0.0.1:1"))
        path = tool.folder / "credentials.json"
        path.write_text(path.read_text().replace(tool.url, "http://127.0.0.1:1"))
        done = tool.run("status")
        assert done.returncode == 6
        assert re.search(r"^session +unknown: the server cannot be reached$", done.stdout, re.MULTILINE)
        done = tool.run("logout")
        assert done.returncode == 0
        assert "may still be valid" in done.stderr
        assert not path.exists()

    def test_of_no_clear_book_says_so(self, tool: Tool) -> None:
        tool.folder.mkdir(parents=True)
        (tool.folder / "accounts.json").write_text("[")
        done = tool.run("list")
        assert done.returncode == 1
        assert "accounts.json cannot be read" in done.stderr


class TestSeveralAccounts:
    def test_are_kept_apart(self, tool: Tool, world: World) -> None:
        ada, bob = signed_in(tool, world), signed_in(tool, world)
        listed = tool.documents("list")
        emails = [ada.account.email, bob.account.email]
        assert [(one["account"], one["active"]) for one in listed] == [(emails[0], False), (emails[1], True)]
        assert tool.run("use", emails[0]).stdout == f"Active now: {emails[0]} at {tool.url}.\n"
        (mine,), (theirs,) = tool.documents("token"), tool.documents("token", "--account", emails[1])
        assert world.device().account(mine["access_token"]).json["account"]["email"] == emails[0]
        assert world.device().account(theirs["access_token"]).json["account"]["email"] == emails[1]
        assert tool.run("logout").stdout.endswith(f"Active now: {emails[1]} at {tool.url}.\n")

    def test_of_several_servers_are_asked_for(
        self, tool: Tool, world: World, make_live: WorldMaker, tmp_path: Path
    ) -> None:
        other = make_live(ini_file=str(tmp_path / "clients.ini"))
        signed_in(tool, world, person=world.person("ada@example.com"))
        # Both are over one database.
        other.emails.append("ada@example.com")
        there = Tool(tool.home, other.settings.public_url)
        signed_in(there, other, person=other.person("ada@example.com"))
        tool.run("use", "ada@example.com", "--host", tool.url)
        (document,) = tool.documents("whoami", "--host", other.settings.public_url)
        assert document["host"] == other.settings.public_url
        assert tool.documents("whoami")[0]["host"] == tool.url

    def test_an_unknown_one_is_5(self, tool: Tool, world: World) -> None:
        signed_in(tool, world)
        assert tool.run("use", "nobody@example.com").returncode == 5


class TestTheToken:
    def test_is_all_that_is_printed(self, tool: Tool, world: World) -> None:
        signed_in(tool, world)
        done = tool.run("token")
        assert re.fullmatch(r"dfoa_\S+\n", done.stdout)
        assert done.stderr == ""

    def test_is_refreshed_when_it_has_expired(self, tool_without_keyring: Tool, world: World) -> None:
        tool = tool_without_keyring
        signed_in(tool, world, "--client-id", "cli")
        old = tool.run("token").stdout
        assert tool.run("token").stdout == old
        outdate(tool)
        new = tool.run("token").stdout
        assert new != old
        assert world.device().account(new.strip()).status_int == 200
        assert len(events(world, "refreshed")) == 1
        assert stat.S_IMODE((tool.folder / "credentials.json").stat().st_mode) == 0o600

    def test_that_expired_for_good_is_5(self, tool_without_keyring: Tool, world: World) -> None:
        signed_in(tool_without_keyring, world)
        outdate(tool_without_keyring)
        done = tool_without_keyring.run("token")
        assert (done.returncode, done.stdout) == (5, "")

    def test_that_the_server_refuses_is_refreshed_too(self, tool_without_keyring: Tool, world: World) -> None:
        """The clock of this machine is slow, or somebody restored an old key ring."""
        tool = tool_without_keyring
        person = signed_in(tool, world, "--client-id", "cli")
        world.clock.pass_seconds(3700)
        (document,) = tool.documents("status")
        assert (document["session"], document["account"]) == ("valid", person.account.email)

    def test_ten_processes_refresh_it_once(self, tool_without_keyring: Tool, world: World) -> None:
        tool = tool_without_keyring
        signed_in(tool, world, "--client-id", "cli")
        outdate(tool)

        with ExitStack() as stack:
            started = [stack.enter_context(tool.start("token")) for _ in range(10)]
            ended = [(*process.communicate(timeout=60), process.returncode) for process in started]
        assert {(complained, status) for _, complained, status in ended} == {("", 0)}
        (token,) = {printed for printed, _, _ in ended}
        assert world.device().account(token.strip()).status_int == 200
        assert len(events(world, "refreshed")) == 1
        assert tool.credentials()["access_token"] == token.strip()


class TestDevices:
    def test_are_listed_and_ended(self, tool: Tool, world: World) -> None:
        person = signed_in(tool, world, "--device-label", "desk")
        for label in ("build server 1", "build server 2", "phone", "old phone"):
            device = world.device().ask(device_label=label)
            person.allow(device.user_code)
            assert device.poll().status_int == 200
        told = tool.documents("devices", "list")
        others = {"build server 1", "build server 2", "phone", "old phone"}
        assert {(one["device_label"], one["current"]) for one in told} == {
            ("desk", True),
            *((x, False) for x in others),
        }
        lines = tool.run("devices", "list").stdout.splitlines()
        assert re.match(r"DEVICE +SIGNED IN +LAST USED +THIS ONE", lines[0])
        assert any(re.match(r"desk +\d{4}-\d\d-\d\d \d\d:\d\d UTC +.* +\*$", line) for line in lines)
        assert len(tool.run("devices", "list", "--limit", "2").stdout.splitlines()) == 4
        assert tool.run("devices", "list", "--limit", "201").returncode == 2

        several = tool.run("devices", "revoke", "SERVER")
        assert several.returncode == 1
        assert "Which one? Say its id:" in several.stderr
        # A whole name wins over a part of another.
        assert tool.run("devices", "revoke", "phone").stdout == "Ended: phone\n"
        assert tool.run("devices", "revoke", "server 2").stdout == "Ended: build server 2\n"
        by_id = next(one["id"] for one in told if one["device_label"] == "build server 1")
        assert tool.run("devices", "revoke", by_id).stdout == "Ended: build server 1\n"
        assert tool.run("devices", "revoke", "nothing").returncode == 1
        assert [one["device_label"] for one in tool.documents("devices", "revoke", "--all")] == ["old phone"]
        assert tool.run("devices", "revoke", "--all").stdout == "There is no other device.\n"
        assert tool.run("devices", "revoke", "desk").stdout == "Ended: desk (this device: you are signed out)\n"
        assert tool.run("whoami").returncode == 5

    def test_of_which_one_page_is_told_say_so(self, tool: Tool, world: World) -> None:
        person = signed_in(tool, world, "--device-label", "desk")
        other = world.device().ask(device_label="phone")
        person.allow(other.user_code)
        other.poll()
        first, more = tool.documents("devices", "list", "--limit", "1")
        assert (first["device_label"], more) == ("phone", {"event": "more", "next_page": 2})
        (last,) = tool.documents("devices", "list", "--limit", "1", "--page", "2")
        assert last["device_label"] == "desk"

    def test_are_called_what_their_owner_calls_them(self, tool: Tool, world: World) -> None:
        person = signed_in(tool, world, "--device-label", "desk")
        for label in ("build server", "phone"):
            device = world.device().ask(device_label=label)
            person.allow(device.user_code)
            device.poll()
        for session in world.services.registry.live(Selection(email=person.account.email)):
            if session.label == "build server":
                world.services.sessions.rename(session.id, session.subject, "the old tin")
        assert re.search(r"^the old tin  ", tool.run("devices", "list").stdout, re.MULTILINE)
        assert tool.run("devices", "revoke", "the old tin").stdout == "Ended: the old tin\n"

    @pytest.mark.parametrize("device", ["phone", "desk", "--all"])
    def test_whose_end_was_not_acknowledged_are_ended(
        self, make_blipping: Callable[..., World], tmp_path: Path, device: str
    ) -> None:
        world = make_blipping("DELETE ", "reset")
        tool = Tool(tmp_path, world.settings.public_url)
        person = signed_in(tool, world, "--device-label", "desk")
        other = world.device().ask(device_label="phone")
        person.allow(other.user_code)
        other.poll()
        done = tool.run("devices", "revoke", device)
        assert (done.returncode, done.stdout.split()[0]) == (0, "Ended:")
        assert len(world.services.registry.live(Selection(email=person.account.email))) == 1

    def test_need_a_choice(self, tool: Tool) -> None:
        assert tool.run("devices", "revoke").returncode == 2
