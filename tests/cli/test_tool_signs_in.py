"""`oauthdevice login` as a process: what is printed and when, how it ends, with which exit status."""

import codecs
import fcntl
import json
import os
import re
import select
import signal
import socket
import stat
import termios
import time
from pathlib import Path

import pytest

from ..factories import World
from ..ports import free_port
from .conftest import PROGRAM, Tool


class TestTheCode:
    def test_is_there_at_once_when_somebody_else_reads(self, tool: Tool, world: World) -> None:
        """`oauthdevice login | cat`: nothing waits in a buffer, and nothing but text comes."""
        command = f"{' '.join(PROGRAM)} login --host {tool.url} | cat"
        with tool.shell(command) as process:
            assert process.stdout is not None
            lines = [process.stdout.readline(), process.stdout.readline()]
            assert lines[0] == f"Open this page:  {tool.url}/device\n"
            code = re.fullmatch(r"Enter this code: (\w{4}-\w{4})\n", lines[1])
            assert code is not None
            assert process.poll() is None
            world.person().allow(code[1])
            printed, complained = process.communicate(timeout=60)
        assert "Signed in at" in printed
        assert "\x1b" not in printed
        assert "No browser is opened: this is no terminal." in complained

    def test_is_told_as_json_before_the_wait(self, tool: Tool, world: World) -> None:
        person = world.person()
        status, told, _ = tool.login(person.allow, "--device-label", "build server", "--scope", "apps:run")
        assert status == 0
        started, signed_in = told
        assert started.keys() == {
            "event", "user_code", "verification_uri", "verification_uri_complete", "expires_in", "interval",
        }  # fmt: skip
        assert (started["expires_in"], started["interval"]) == (900, 1)
        token_id, expires_at = signed_in.pop("token_id"), signed_in.pop("expires_at")
        assert token_id
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", expires_at)
        assert signed_in == {
            "event": "signed_in",
            "host": tool.url,
            "client_id": "difyctl",
            "account": person.account.email,
            "name": "Ada Person",
            "subject_type": "account",
            "device_label": "build server",
            "scope": "apps:run",
            "storage": "keyring",
        }

    def test_comes_with_a_qr_code_on_demand(self, tool: Tool) -> None:
        with tool.start("login", "--host", tool.url, "--qr") as process:
            assert process.stdout is not None
            lines = [process.stdout.readline() for _ in range(20)]
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=60)
        assert lines[3].strip().startswith("█" * 20)
        assert all("\x1b" not in line for line in lines)

    def test_names_the_device_after_the_machine(self, tool: Tool, world: World) -> None:
        status, told, _ = tool.login(world.person().allow)
        assert (status, told[1]["device_label"]) == (0, f"oauthdevice on {socket.gethostname()}")


class TestTheEnd:
    def test_a_no_is_3(self, tool: Tool, world: World) -> None:
        status, told, complained = tool.login(world.person().deny)
        assert status == 3
        assert told[1] == {
            "event": "error",
            "error": "access_denied",
            "message": "The request was denied in the browser.",
            "exit_status": 3,
        }
        assert complained == ""

    def test_a_code_that_ran_out_is_4(self, tool: Tool, world: World) -> None:
        status, told, _ = tool.login(lambda _: world.clock.pass_seconds(900))
        assert (status, told[1]["error"]) == (4, "expired_token")

    def test_no_server_is_6(self, tool: Tool) -> None:
        done = tool.run("login", "--host", f"127.0.0.1:{free_port()}")
        assert done.returncode == 6
        assert done.stderr.splitlines()[0] == "oauthdevice: no connection to the server; trying again in 1 s"
        assert done.stderr.splitlines()[-1].startswith("oauthdevice: The server cannot be reached: no connection")

    def test_no_host_is_2(self, tool: Tool) -> None:
        done = tool.run("login")
        assert (done.returncode, done.stderr) == (
            2,
            "oauthdevice: Which server? Say it with --host or OAUTHDEVICE_HOST.\n",
        )

    def test_no_tls_is_2(self, tool: Tool) -> None:
        done = tool.run("login", "--host", "http://login.example.com")
        assert done.returncode == 2
        assert "--insecure" in done.stderr

    def test_an_unknown_client_is_1(self, tool: Tool) -> None:
        done = tool.run("login", "--host", tool.url, "--client-id", "nobody")
        assert done.returncode == 1
        assert "invalid_client" in done.stderr

    def test_the_environment_may_say_it_all(self, tool: Tool) -> None:
        tool.environ |= {"OAUTHDEVICE_HOST": tool.url, "OAUTHDEVICE_CLIENT_ID": "nobody"}
        assert "invalid_client" in tool.run("login").stderr

    def test_ctrl_c_is_130_without_a_traceback(self, tool: Tool) -> None:
        with tool.start("login", "--host", tool.url) as process:
            assert process.stdout is not None
            process.stdout.readline()
            process.send_signal(signal.SIGINT)
            _, complained = process.communicate(timeout=60)
        assert process.returncode == 130
        assert complained.endswith("\noauthdevice: Cancelled.\n")
        assert "Traceback" not in complained
        # The probe has left nothing behind.
        assert json.loads((tool.home / "keyring.json").read_text()) == {}

    def test_who_reads_no_further_ends_it_quietly(self, tool: Tool) -> None:
        command = f"{' '.join(PROGRAM)} completion bash | head -1"
        with tool.shell(command) as process:
            _, complained = process.communicate(timeout=60)
        assert complained == ""


class TestCredentials:
    def test_go_into_the_key_ring(self, tool: Tool, world: World) -> None:
        _, told, complained = tool.login(world.person().allow)
        assert told[1]["storage"] == "keyring"
        assert complained == ""
        assert sorted(path.name for path in tool.folder.iterdir() if path.suffix != ".lock") == ["accounts.json"]
        # The probe has left nothing behind.
        assert len(json.loads((tool.home / "keyring.json").read_text())) == 1
        assert tool.credentials()["access_token"] not in (tool.folder / "accounts.json").read_text()

    @pytest.mark.parametrize("keyring", ["keyring.backends.fail.Keyring", "tests.cli.file_keyring.Broken"])
    def test_go_into_a_file_where_there_is_none(self, tool: Tool, world: World, keyring: str) -> None:
        tool.environ["PYTHON_KEYRING_BACKEND"] = keyring
        _, told, complained = tool.login(world.person().allow)
        path = tool.folder / "credentials.json"
        assert told[1]["storage"] == "file"
        assert complained == (
            f"oauthdevice: there is no key ring here: the credentials lie readable in {path} (mode 0600)\n"
        )
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(tool.folder.stat().st_mode) == 0o700

    def test_an_older_folder_is_closed_to_others(self, tool_without_keyring: Tool, world: World) -> None:
        tool_without_keyring.folder.mkdir(parents=True, mode=0o755)
        tool_without_keyring.login(world.person().allow)
        assert stat.S_IMODE(tool_without_keyring.folder.stat().st_mode) == 0o700

    def test_nobody_approves_where_nothing_can_be_stored(self, tool: Tool) -> None:
        (tool.home / "config").write_text("no folder")
        done = tool.run("login", "--host", tool.url)
        assert (done.returncode, done.stdout) == (1, "")
        assert "Not a directory" in done.stderr

    def test_an_earlier_session_of_the_same_account_is_ended(self, tool: Tool, world: World) -> None:
        person = world.person()
        tool.login(person.allow, "--device-label", "one")
        old = tool.credentials()["access_token"]
        tool.login(person.allow, "--device-label", "another")
        assert world.device().account(old).status_int == 401
        assert world.device().account(tool.credentials()["access_token"]).status_int == 200


class TestDebugging:
    def test_tells_request_ids_and_no_secret(self, tool: Tool, world: World) -> None:
        status, told, complained = tool.login(world.person().allow, "--debug")
        assert status == 0
        lines = [line for line in complained.splitlines() if line.startswith("debug: ")]
        assert len(lines) >= 3
        assert all(re.search(r"request id '[\w-]{8,}'", line) for line in lines)
        assert told[0]["user_code"] not in complained
        assert "dfoa_" not in complained
        assert tool.credentials()["access_token"] not in complained


class TestATerminal:
    """Through a pseudo-terminal, as a person sees it."""

    def test_counts_down_and_opens_the_page_on_enter(self, tool: Tool, world: World, tmp_path: Path) -> None:
        opened = tmp_path / "opened"
        browser = tmp_path / "browser.sh"
        browser.write_text(f'#!/bin/sh\necho "$1" > {opened}\n')
        browser.chmod(0o755)
        tool.environ |= {"BROWSER": f"{browser} %s", "TERM": "xterm-256color"}
        main, terminal = os.openpty()
        with tool.start(
            "login", "--host", tool.url, "--browser", stdin=terminal, stdout=terminal, stderr=terminal,
            preexec_fn=lambda: _own_terminal(terminal),
        ) as process:  # fmt: skip
            os.close(terminal)
            seen = _read_until(main, "Press Enter")
            code = re.search(r"Enter this code: (\w{4}-\w{4})", seen)
            assert code is not None
            seen += _read_until(main, "left")
            assert re.search(r"Waiting for the decision in the browser … 14:\d\d left", seen)
            os.write(main, b"\n")
            deadline = time.monotonic() + 20
            while not opened.exists() and time.monotonic() < deadline:
                time.sleep(0.05)
            # Not the complete one: whoever approves is to compare the code.
            assert opened.read_text() == f"{tool.url}/device\n"
            world.person().allow(code[1])
            seen = _read_until(main, "stored")
            assert "Signed in at" in seen
            assert process.wait(30) == 0
        os.close(main)


def _own_terminal(terminal: int) -> None:
    """In the new process: that terminal is its own, and it is in front."""
    fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)


def _read_until(main: int, text: str) -> str:
    seen, decoder = "", codecs.getincrementaldecoder("utf-8")()
    deadline = time.monotonic() + 60
    while text not in seen:
        readable, _, _ = select.select([main], [], [], max(0, deadline - time.monotonic()))
        assert readable, seen
        seen += decoder.decode(os.read(main, 4096))
    return seen
