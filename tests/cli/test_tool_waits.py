"""The wait on a terminal: what goes where, and what ends it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import Tool
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
