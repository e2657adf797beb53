"""One server for all inputs, without limits, so that each is looked at; and the number of inputs at the end."""

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from oauthdevice.stores.connections import EMBEDDED

from ..conftest import close
from ..factories import World, make_world
from .inputs import DRAWN

LIMITS = (
    "code", "token_unknown", "lookup", "guesses", "decide", "bearer", "sso_initiate", "approve_external",
    "login_account", "login_address",
)  # fmt: skip
NO_LIMITS = {f"limit.{name}": "off" for name in LIMITS}
API_SECRET = "the API's own long secret"
INI = f"""
[client:difyctl]
name = difyctl
scopes = full apps:run
refresh = on
[client:api]
name = API
scopes = full
device_flow = off
secret_sha256 = {hashlib.sha256(API_SECRET.encode()).hexdigest()}
"""


@pytest.fixture(scope="module")
def fuzzed_world(migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("fuzz")
    (folder / "server.ini").write_text(INI)
    database = shutil.copy(migrated_sqlite, folder / "fuzz.sqlite")
    world = make_world(f"sqlite:///{database}", EMBEDDED, ini_file=str(folder / "server.ini"), **NO_LIMITS)
    yield world
    close(world)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    # With several processes each counts for itself, and nobody adds them up.
    if DRAWN:
        for name, count in sorted(DRAWN.items()):
            terminalreporter.write_line(f"{count:>8,} {name}")
        terminalreporter.write_line(f"{DRAWN.total():>8,} inputs in all")
