"""The wait on a terminal: what goes where, and what ends it."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import PROGRAM, Tool
from .test_tool_signs_in import _read_until

# A wait whose page asks for a number at once, without a server.
NUMBER = """
import time
from oauthdevice.cli.output import Output
from oauthdevice.cli.waiting import Waiting
from oauthdevice.client import Pending, StartedLogin
started = StartedLogin("WDJB-MJHT", "https://x/device", None, 60, 5, "device code", time.monotonic() + 60)
with Waiting(Output(False), started, None) as waiting:
    waiting.pending(Pending(60, 5, confirmation_number="42"))
    waiting.sleep(1)
"""


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    """Our end of a terminal, and the program's."""
    ends = os.openpty()
    yield ends
    for end in ends:
        os.close(end)


def test_the_number_goes_where_the_answers_go(terminal: tuple[int, int], tmp_path: Path) -> None:
    answers = tmp_path / "answers"
    environ = Tool(tmp_path, "http://127.0.0.1:1").environ | {"TERM": "xterm-256color"}
    command = [sys.executable, "-c", NUMBER]
    with (
        answers.open("w") as file,
        subprocess.Popen(command, env=environ, stdin=subprocess.DEVNULL, stdout=file, stderr=terminal[1]) as process,
    ):
        seen = _read_until(terminal[0], "left")
        assert process.wait(30) == 0
    assert answers.read_text() == "The page asks for a number. It is: 42\n"
    assert "42" not in seen


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_gives_the_cursor_back(tool: Tool, terminal: tuple[int, int], number: signal.Signals) -> None:
    tool.environ["TERM"] = "xterm-256color"
    with tool.start("login", "--host", tool.url, stderr=terminal[1]) as process:
        seen = _read_until(terminal[0], "left")
        assert "\x1b[?25l" in seen
        process.send_signal(number)
        seen = _read_until(terminal[0], "Ended by a signal.")
        assert process.wait(30) == 128 + number
    assert "\x1b[?25h" in seen
    assert "Traceback" not in seen


def test_a_hang_up_that_is_ignored_stays_so(tool: Tool) -> None:
    with tool.shell(f"trap '' HUP; exec {' '.join(PROGRAM)} login --host {tool.url}") as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    assert process.returncode == 143
