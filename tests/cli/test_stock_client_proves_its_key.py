"""PKCE and DPoP as others wrote them: `openid-client` from npm, with keys of each kind, and docs/dpop.md."""

import json
import os
import re
import subprocess
import threading
from pathlib import Path

import pytest

from ..conftest import WorldMaker
from ..factories import World
from ..servers import CHECKOUT
from .test_documents import signs_in

OLDER = CHECKOUT / "tests" / "oidc_provider" / "older_node.mjs"
DOCUMENT = (CHECKOUT / "docs" / "dpop.md").read_text("utf-8")
INI = """
[client:difyctl]
name = difyctl
scopes = full
refresh = on
interval_seconds = 1
dpop = required
pkce = required
"""


@pytest.fixture
def world(make_live: WorldMaker, tmp_path: Path) -> World:
    (tmp_path / "clients.ini").write_text(INI)
    return make_live(ini_file=str(tmp_path / "clients.ini"), dpop_nonce_required="on")


@pytest.mark.parametrize("algorithm", ["ES256", "Ed25519"])
def test_a_stock_client_signs_in_with_its_key_alone(
    world: World, tmp_path: Path, openid_client: Path, algorithm: str
) -> None:
    person = world.person()
    (tmp_path / "node_modules").symlink_to(openid_client)
    program = tmp_path / "key_holder.mjs"
    program.write_bytes((CHECKOUT / "tests" / "cli" / "key_holder.mjs").read_bytes())
    command = ["node", "--import", OLDER, program, world.settings.public_url, "difyctl", algorithm]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, env=os.environ, text=True, **pipes) as process:
        watchdog = threading.Timer(60, process.kill)
        watchdog.start()
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.fullmatch(r"Open \S+/device and enter (\S+)\n", line)
        if found:
            person.allow(found[1])
        printed, complained = process.communicate()
        watchdog.cancel()
    assert found, (line, complained)
    assert process.returncode == 0, complained
    email = person.account.email
    assert json.loads(printed) == {
        "withoutKey": "invalid_request",
        "pollWithAnotherKey": "invalid_grant",
        "pollWithoutKey": "invalid_grant",
        "pollWithoutVerifier": "invalid_grant",
        "tokenType": "dpop",
        "account": email,
        "useWithAnotherKey": "invalid_token",
        "useAsBearer": 401,
        "refreshWithAnotherKey": "invalid_grant",
        "refreshWithoutKey": "invalid_grant",
        "refreshed": "dpop",
        "accountAgain": email,
    }


def test_the_example_of_the_document_signs_in(world: World, tmp_path: Path, openid_client: Path) -> None:
    (example,) = re.findall(r"```js\n(.*?)```", DOCUMENT, re.DOTALL)
    (tmp_path / "node_modules").symlink_to(openid_client)
    (tmp_path / "example.mjs").write_text(example)
    signs_in(world, "node", "--import", OLDER, tmp_path / "example.mjs")
