"""What a person or a disk can do to the program: one line tells it, and no traceback."""

import json
from pathlib import Path
from typing import Any

import pytest

from .conftest import PROGRAM, Tool

ACCOUNT = {"host": "http://127.0.0.1:1", "client_id": "c", "subject": "ada@example.com", "storage": "file"}
KEY = "ada@example.com c http://127.0.0.1:1"


@pytest.fixture
def tool(tmp_path: Path) -> Tool:
    one = Tool(tmp_path, "http://127.0.0.1:1")
    one.folder.mkdir(parents=True, mode=0o700)
    return one


def write(tool: Tool, *accounts: Any) -> None:
    (tool.folder / "accounts.json").write_text(json.dumps({"active": KEY, "accounts": accounts}))


@pytest.mark.parametrize("account", [None, "x", [], {}, {**ACCOUNT, "host": 1}, {**ACCOUNT, "insecure": "no"}])
def test_a_book_of_other_entries_is_named(tool: Tool, account: Any) -> None:
    write(tool, account)
    done = tool.run("list")
    assert done.returncode == 1
    assert done.stderr == f"oauthdevice: {tool.folder}/accounts.json cannot be read; delete it and sign in again.\n"


@pytest.mark.parametrize(
    "entry",
    [None, "x", [], {"access_token": 1}, *({"access_token": "x", "expires_at": at} for at in (1, "y", "2020-01-01"))],
)
def test_credentials_of_other_entries_are_named(tool: Tool, entry: Any) -> None:
    write(tool, ACCOUNT)
    path = tool.folder / "credentials.json"
    path.write_text(json.dumps({KEY: entry}))
    done = tool.run("token")
    assert done.returncode == 1
    assert done.stderr == f"oauthdevice: {path} cannot be read; delete it and sign in again.\n"


def test_a_name_that_the_terminal_does_not_know_is_escaped(tool: Tool) -> None:
    write(tool, {**ACCOUNT, "name": "Zoë"})
    tool.environ["PYTHONIOENCODING"] = "ascii"
    assert tool.run("whoami").stdout == "ada@example.com (Zo\\xeb)\n"


@pytest.mark.parametrize("option", ["--device-label", "--scope", "--host"])
def test_an_argument_that_is_no_text_is_2(tool: Tool, option: str) -> None:
    done = tool.run("login", option, "a\udcff")
    assert done.returncode == 2
    assert "an argument is no text" in done.stderr


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_make_no_traceback(tool: Tool, closed: str) -> None:
    with tool.shell(f"{' '.join(PROGRAM)} login {closed}") as process:
        _, complained = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "Traceback" not in complained
