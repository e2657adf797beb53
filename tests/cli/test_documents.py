"""docs/your-cli.md and docs/cli.md: every example that can be run signs somebody in; every table is whole."""

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from oauthdevice import client
from oauthdevice.cli.exits import Exit
from oauthdevice.cli.parser import build_parser

from ..factories import World
from ..servers import CHECKOUT
from .conftest import Tool
from .walk import TARGET, record

YOURS = (CHECKOUT / "docs" / "your-cli.md").read_text("utf-8")
README = (CHECKOUT / "README.md").read_text("utf-8")
OURS = (CHECKOUT / "docs" / "cli.md").read_text("utf-8")


def examples(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", YOURS, re.DOTALL)


def signs_in(world: World, *command: str | Path, **environ: str) -> None:
    """An example prints where to go; once somebody allows it, it shows who that was."""
    person = world.person()
    given = {**os.environ, "PYTHONPATH": str(CHECKOUT), "OAUTHDEVICE_HOST": world.settings.public_url, **environ}
    with subprocess.Popen(command, env=given, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        watchdog = threading.Timer(60, process.kill)
        watchdog.start()
        assert process.stdout is not None
        line = process.stdout.readline()
        told = re.fullmatch(r"Open (\S+/device) and enter (\S+)\n", line)
        if told:
            person.allow(told[2])
        printed, complained = process.communicate()
        watchdog.cancel()
    assert told, (line, complained)
    assert process.returncode == 0, complained
    assert person.account.email in printed


class TestYourCLI:
    @pytest.fixture
    def world(self, make_blipping: Callable[..., World]) -> World:
        """A server that every example here reaches, but for one 502 and one broken connection while it polls."""
        return make_blipping("POST /openapi/v1/oauth/device/token ", "502", "reset")

    @pytest.mark.parametrize("example", examples("python"))
    def test_in_python(self, world: World, tmp_path: Path, example: str) -> None:
        (tmp_path / "example.py").write_text(example)
        signs_in(world, sys.executable, tmp_path / "example.py")

    def test_in_python_with_types(self, tmp_path: Path) -> None:
        """As a reader's mypy sees it: strict, and without the settings of ours."""
        for number, example in enumerate(examples("python")):
            (tmp_path / f"example_{number}.py").write_text(example)
        command = [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", "--config-file=", "."]
        environ = {**os.environ, "MYPYPATH": str(CHECKOUT)}
        done = subprocess.run(command, env=environ, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    def test_in_the_shell(self, world: World, tmp_path: Path) -> None:
        if shutil.which("curl") is None:
            pytest.skip("there is no curl here")
        (example,) = examples("sh")
        (tmp_path / "example.sh").write_text(example)
        signs_in(world, "sh", tmp_path / "example.sh")

    def test_in_node(self, world: World, tmp_path: Path, openid_client: Path) -> None:
        (example,) = examples("js")
        (tmp_path / "node_modules").symlink_to(openid_client)
        (tmp_path / "example.mjs").write_text(example)
        older = CHECKOUT / "tests" / "oidc_provider" / "older_node.mjs"
        signs_in(world, "node", "--import", older, tmp_path / "example.mjs")

    def test_in_go(self, in_go: Path, world: World) -> None:
        signs_in(world, in_go)

    @pytest.fixture
    def in_go(self, tmp_path: Path) -> Path:
        """The program that the example makes."""
        if shutil.which("go") is None:
            pytest.skip("Go is not installed")
        (example,) = examples("go")
        (tmp_path / "example.go").write_text(example)
        subprocess.run(["go", "mod", "init", "example"], cwd=tmp_path, check=True, timeout=120)
        if subprocess.run(["go", "get", "golang.org/x/oauth2"], cwd=tmp_path, timeout=120, check=False).returncode:
            pytest.skip("golang.org/x/oauth2 cannot be had here")
        subprocess.run(["go", "build", "-o", "example", "."], cwd=tmp_path, check=True, timeout=300)
        return tmp_path / "example"

    def test_as_the_readme_says(self, world: World, tmp_path: Path) -> None:
        (example,) = re.findall(r"```python\n(import time.*?)```", README, re.DOTALL)
        (tmp_path / "example.py").write_text(example.replace("http://localhost:6543", world.settings.public_url))
        signs_in(world, sys.executable, "-u", tmp_path / "example.py")

    def test_is_in_no_other_language(self) -> None:
        assert {*re.findall(r"^```(\w+)$", YOURS, re.MULTILINE)} == {"python", "sh", "js", "go"}

    def test_every_error_is_named(self) -> None:
        errors = {
            name
            for name in client.__all__
            if isinstance(kind := getattr(client, name), type) and issubclass(kind, Exception)
        }
        assert errors - {"Refused"} <= set(re.findall(r"`(\w+)`", YOURS))


class TestOurs:
    def test_every_exit_status_is_told(self) -> None:
        told = re.findall(r"^\| (\d+) \|", OURS, re.MULTILINE)
        assert sorted(map(int, told)) == sorted(Exit)

    def test_every_variable_is_told(self) -> None:
        source = "".join(path.read_text() for path in (CHECKOUT / "oauthdevice" / "cli").glob("*.py"))
        assert set(re.findall(r'"(OAUTHDEVICE_[A-Z_]+)"', source)) <= set(re.findall(r"`(OAUTHDEVICE_[A-Z_]+)`", OURS))

    def test_every_command_is_told(self) -> None:
        usage = build_parser().format_help()
        commands = re.findall(r"^    (\w+)", usage[: usage.index("exit status")], re.MULTILINE)
        assert len(commands) == 9
        told = re.findall(r"^\| `(\w+)", OURS, re.MULTILINE)
        assert {*commands} <= {*told}

    def test_every_document_has_the_members_that_are_told(self, tool: Tool, world: World) -> None:
        told = dict(re.findall(r"^\| `(\w+)` \| `.*?\| (.*) \|$", OURS, re.MULTILINE))
        status, documents, _ = tool.login(world.person().allow)
        assert status == 0
        for command in ("whoami", "status", "list", "token", "devices list", "logout"):
            documents += tool.documents(*command.split())
        assert {one["event"] for one in documents} == {
            "started", "signed_in", "account", "status", "token", "device", "signed_out",
        }  # fmt: skip
        for one in documents:
            row = told[one["event"]].replace("as `account`", told["account"])
            if one["event"] != "device":
                assert one.keys() - {"event"} == set(re.findall(r"`(\w+)`", row)) - {"valid", "ended"}, one["event"]
            assert json.dumps(one)


class TestTheWalk:
    """docs/cli-walk.txt, which `python -m tests.cli.walk` records."""

    @pytest.fixture
    def tmux(self) -> None:
        if shutil.which("tmux") is None:
            raise RuntimeError("tmux is not installed: run `make test`, which installs it")

    @pytest.mark.usefixtures("tmux")
    def test_looks_as_the_program_looks_now(self) -> None:
        assert self.lasting(record()) == self.lasting(TARGET.read_text("utf-8"))

    def lasting(self, text: str) -> list[str]:
        """Without what is another at each recording: codes, times, the turning of the spinner."""
        for pattern in (
            r"\b[0-9A-Z]{4}-[0-9A-Z]{4}\b",
            r"\d{4}-\d\d-\d\d \d\d:\d\d",
            r"^\S(?= Waiting)",
            r"\d+:\d\d left",
        ):
            text = re.sub(pattern, "*", text, flags=re.MULTILINE)
        return [line for line in text.splitlines() if not re.match("[█▀]", line)]
