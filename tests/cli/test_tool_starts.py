"""The program before it does anything: its help, how soon it is there, and how shells complete it."""

import configparser
import importlib
import json
import re
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ..servers import CHECKOUT
from .conftest import PROGRAM, Tool

COMMANDS = ["", "login", "logout", "status", "whoami", "list", "use", "token", "devices", "devices list",
            "devices revoke", "completion"]  # fmt: skip
RUNS = 11
# The promise is 150 ms on a machine that does nothing else. Tests share theirs, so the bare interpreter, which
# suffers as well, is the measure.
START_SECONDS = 0.150


@pytest.fixture
def tool(tmp_path: Path) -> Tool:
    return Tool(tmp_path, "http://127.0.0.1:1")


def seconds(*command: str) -> float:
    began = time.perf_counter()
    subprocess.run(command, cwd=CHECKOUT, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - began


class TestTheHelp:
    @pytest.mark.parametrize("command", COMMANDS)
    def test_reads_well_at_80_columns(self, tool: Tool, command: str) -> None:
        done = tool.run(*command.split(), "--help")
        assert done.returncode == 0
        assert done.stdout.startswith("usage: oauthdevice")
        assert all(len(line) <= 80 for line in done.stdout.splitlines())

    def test_names_every_command_and_exit_status(self, tool: Tool) -> None:
        told = tool.run("--help").stdout
        assert set(re.findall(r"^    (\w+)", told, re.MULTILINE)) >= {name.split()[0] for name in COMMANDS if name}
        assert set(re.findall(r"(\d+) [a-z]", told[told.index("exit status") :])) >= {*"0123456", "130"}

    def test_comes_at_once(self) -> None:
        """The median of some runs, each beside one of the bare interpreter."""
        bare = [sys.executable, "-c", "pass"]
        helps = [*PROGRAM, "--help"]
        seconds(*helps)
        extra = [seconds(*helps) - seconds(*bare) for _ in range(RUNS)]
        assert statistics.median(extra) < max(START_SECONDS, 3 * seconds(*bare))

    def test_imports_nothing_heavy(self) -> None:
        asked = (
            "import sys\nfrom oauthdevice.cli import main\n"
            "try:\n    main(['--help'])\nexcept SystemExit:\n    print(*sys.modules, file=sys.stderr)"
        )
        done = subprocess.run([sys.executable, "-c", asked], cwd=CHECKOUT, capture_output=True, text=True, check=True)
        loaded = set(done.stderr.split())
        assert not loaded & {"httpx", "rich", "keyring", "segno", "filelock", "argcomplete", "asyncio", "ssl"}

    def test_without_a_command_it_says_what_there_is(self, tool: Tool) -> None:
        done = tool.run()
        assert done.returncode == 2
        assert "COMMAND" in done.stderr

    def test_knows_its_version(self, tool: Tool) -> None:
        assert re.fullmatch(r"oauthdevice \d+\.\d+\.\d+\n", tool.run("--version").stdout)

    def test_is_what_the_package_installs(self) -> None:
        setup = configparser.ConfigParser()
        setup.read(CHECKOUT / "setup.cfg")
        scripts = dict(
            line.split(" = ") for line in setup["options.entry_points"]["console_scripts"].split("\n") if line
        )
        module, _, name = scripts["oauthdevice"].partition(":")
        assert callable(getattr(importlib.import_module(module), name))


@pytest.mark.usefixtures("_programs")
class TestCompletion:
    """In a shell that has loaded the script, with the program on its path."""

    @pytest.fixture
    def _programs(self, tool: Tool) -> None:
        folder = tool.home / "bin"
        folder.mkdir()
        program = folder / "oauthdevice"
        program.write_text(f'#!/bin/sh\nexec {" ".join(PROGRAM)} "$@"\n')
        program.chmod(0o755)
        tool.environ["PATH"] = f"{folder}:{tool.environ['PATH']}"

    def script(self, tool: Tool, shell: str) -> Path:
        path = tool.home / f"completion.{shell}"
        path.write_text(tool.run("completion", shell).stdout)
        return path

    def asked(self, tool: Tool, *command: str) -> str:
        done = subprocess.run(
            command, env=tool.environ, cwd=tool.home, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done
        assert done.stderr == ""
        return done.stdout

    def test_in_bash(self, tool: Tool) -> None:
        path = self.script(tool, "bash")
        complete = (
            f"source {path}; COMP_WORDS=(oauthdevice log); COMP_CWORD=1; COMP_LINE='oauthdevice log'; "
            "COMP_POINT=15; COMP_TYPE=9; _python_argcomplete oauthdevice; echo ${COMPREPLY[*]}"
        )
        assert self.asked(tool, "bash", "--norc", "-c", complete).split() == ["login", "logout"]

    def test_in_bash_of_an_account(self, tool: Tool) -> None:
        tool.folder.mkdir(parents=True)
        account = {"host": "https://x", "client_id": "c", "subject": "ada@example.com", "storage": "file"}
        (tool.folder / "accounts.json").write_text(json.dumps({"active": None, "accounts": [account]}))
        path = self.script(tool, "bash")
        complete = (
            f"source {path}; COMP_WORDS=(oauthdevice use a); COMP_CWORD=2; COMP_LINE='oauthdevice use a'; "
            "COMP_POINT=17; COMP_TYPE=9; _python_argcomplete oauthdevice; echo ${COMPREPLY[*]}"
        )
        assert self.asked(tool, "bash", "--norc", "-c", complete).split() == ["ada@example.com"]

    @pytest.mark.skipif(shutil.which("fish") is None, reason="there is no fish here")
    def test_in_fish(self, tool: Tool) -> None:
        path = self.script(tool, "fish")
        told = self.asked(tool, "fish", "--no-config", "-c", f"source {path}; complete -C 'oauthdevice log'")
        assert [line.split("\t")[0].strip() for line in told.splitlines()] == ["login", "logout"]

    @pytest.mark.skipif(shutil.which("zsh") is None, reason="there is no zsh here")
    def test_in_zsh(self, tool: Tool) -> None:
        path = self.script(tool, "zsh")
        # zsh completes only at a prompt: that the function is there, and bound to the program, is what can be asked.
        told = self.asked(
            tool, "zsh", "-f", "-c", f"autoload -U compinit; compinit -u -D; source {path}; echo $_comps[oauthdevice]"
        )
        assert told.strip().startswith("_python_argcomplete")

    def test_of_another_shell_is_2(self, tool: Tool) -> None:
        assert tool.run("completion", "powershell").returncode == 2
