"""`oauthdevice-conformance` as a program, against our server on a socket."""

import json
import os
import pty
import re
import select
import subprocess
import sys
import threading
from pathlib import Path

import jsonschema
import pytest

from oauthdevice.conformance import main
from oauthdevice.conformance.catalogue import REQUIREMENTS

from ..conftest import WorldMaker
from ..factories import PASSWORD, World
from ..ports import free_port
from ..servers import CHECKOUT
from .conftest import API, CLIENTS, SCOPE, UNLIMITED

PROGRAM = (sys.executable, "-m", "oauthdevice.conformance")
DECIDE = f"{sys.executable} {CHECKOUT / 'examples' / 'conformance' / 'decide.py'}"
PEOPLE = ("--approve-with", f"{DECIDE} approve", "--deny-with", f"{DECIDE} deny")
DOCS = (CHECKOUT / "docs" / "conformance.md").read_text("utf-8")


@pytest.fixture
def world(make_live: WorldMaker, tmp_path: Path) -> World:
    """Ada has an account here."""
    (tmp_path / "clients.ini").write_text(CLIENTS)
    one = make_live(ini_file=str(tmp_path / "clients.ini"), **UNLIMITED)
    one.person("ada@example.com")
    return one


def environ(**more: str) -> dict[str, str]:
    person = {"OAUTHDEVICE_EMAIL": "ada@example.com", "OAUTHDEVICE_PASSWORD": PASSWORD}
    return {"PATH": os.environ["PATH"], "PYTHONPATH": str(CHECKOUT), "PYTHONWARNINGS": "error", **person, **more}


def run(*arguments: str, told: str = "", **more: str) -> "subprocess.CompletedProcess[str]":
    """Waited for; any exit status."""
    done = subprocess.run(
        [*PROGRAM, *arguments], input=told, capture_output=True, text=True, env=environ(**more), timeout=60, check=False
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done


def on_terminal(*arguments: str, **more: str) -> str:
    """What it prints on a terminal of 80 columns."""
    leader, follower = pty.openpty()
    with subprocess.Popen(
        [*PROGRAM, *arguments], stdin=follower, stdout=follower, stderr=subprocess.DEVNULL,
        env=environ(COLUMNS="80", TERM="xterm-256color", **more),
    ) as process:  # fmt: skip
        os.close(follower)
        watchdog = threading.Timer(60, process.kill)
        watchdog.start()
        printed = b""
        while select.select([leader], [], [], 60)[0]:
            try:
                printed += os.read(leader, 65536)
            except OSError:
                break
        watchdog.cancel()
    os.close(leader)
    return printed.decode()


def common(world: World) -> tuple[str, ...]:
    return (world.settings.public_url, "--client-id", "cli", "--scope", SCOPE)


def test_it_examines_ours_from_end_to_end(world: World) -> None:
    done = run(*common(world), *PEOPLE, "--introspection-client", f"{API.client_id}:{API.secret}", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    (schema,) = re.findall(r"```json\n(\{\n  \"\$schema\".*?)```", DOCS, re.DOTALL)
    jsonschema.validate(found, json.loads(schema))
    assert found["issuer"] == world.settings.public_url
    assert [one["id"] for one in found["requirements"]] == [one.id for one in REQUIREMENTS]
    assert found["score"]["MUST"]["passed"] == found["score"]["MUST"]["tried"] >= 60
    not_tried = {one["id"]: one["seen"] for one in found["requirements"] if one["outcome"] == "not tried"}
    assert not_tried.keys() == {"rfc8628-guesses-are-limited", "rfc8628-expired"}
    assert re.fullmatch(r"a code to expire takes \d+ s, and --max-wait is 60", not_tried["rfc8628-expired"])
    assert re.search(r"\d+ requirements, about \d+ seconds of waiting", done.stderr)
    assert_nothing_secret(done.stdout + done.stderr)


def assert_nothing_secret(printed: str) -> None:
    """Neither what the program was told, nor what the server gave."""
    assert API.secret is not None
    for secret in (API.secret, PASSWORD, "dfoa_", "dfor_"):
        assert secret not in printed
    # As long as a device code or a proof, and none of the names of members and requirements.
    assert not re.search(r"(?<![\w-])(?![a-z_]+\b)(?!rfc\d+-)[\w-]{40,}", printed)


def test_a_pipe_gets_one_line_for_each(world: World) -> None:
    done = run(*common(world), "--only", "RFC8414", "--only", "rfc8628-pending")
    lines = done.stdout.splitlines()
    assert done.returncode == 0
    assert "pass       MUST    RFC 8628 §3.5       rfc8628-pending: 400 authorization_pending" in lines
    assert lines[-1] == "MUST 8 of 8 tried, SHOULD 1 of 1 tried; 5 n/a, 0 not tried"
    assert "\x1b" not in done.stdout


def test_a_terminal_gets_a_table_that_fits(world: World) -> None:
    printed = on_terminal(*common(world), "--only", "RFC8414")
    plain = re.sub(r"\x1b\[[0-9;]*m", "", printed).replace("\r", "")
    assert "\x1b[32mpass" in printed
    assert max(map(len, plain.splitlines())) <= 80
    assert re.search("^Authorization Server Metadata *$", plain, re.MULTILINE)
    assert re.search(r"^pass +MUST +RFC 8414 +The document is at the well-known path", plain, re.MULTILINE)


def test_no_color_is_heard(world: World) -> None:
    printed = on_terminal(*common(world), "--only", "rfc8414-location", NO_COLOR="1")
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]", printed)


def test_a_person_at_the_terminal_decides(world: World) -> None:
    """Here one who presses Enter too early, and one who skips."""
    only = ("--only", "rfc6749-token-members", "--interactive", "--max-wait", "3")
    done = run(*common(world), *only, told="\n")
    assert f"Open {world.settings.public_url}/device" in done.stderr
    assert re.search(r"^enter [A-Z0-9]{4}-[A-Z0-9]{4}$", done.stderr, re.MULTILINE)
    assert "not tried  MUST    RFC 6749 §5.1       rfc6749-token-members: nobody decided" in done.stdout
    assert "skipped by the person" in run(*common(world), *only, told="s\n").stdout


@pytest.mark.parametrize(
    ("command", "why"),
    [
        ("false", "the command of --approve-with ended with 1"),
        ("/no/such/program", "the command of --approve-with does not run: No such file or directory"),
    ],
)
def test_a_command_that_fails_is_told(world: World, command: str, why: str) -> None:
    done = run(*common(world), "--only", "rfc6749-token-members", "--approve-with", command)
    assert done.returncode == 0
    assert why in done.stdout


def test_a_must_that_is_not_met_ends_with_1(world: World) -> None:
    done = run(world.settings.public_url, "--client-id", "nobody", "--only", "rfc8628-form-starts")
    assert (done.returncode, done.stdout.split()[0]) == (1, "fail")
    assert "401 invalid_client" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ((), "the following arguments are required: ISSUER, --client-id"),
        (("http://login.example.com", "--client-id", "x"), "ISSUER: login.example.com is to be asked without TLS"),
        (("nonsense", "--client-id", "x"), "ISSUER: not an address"),
        (("https://a.example", "--client-id", "x", "--only", "RFC1"), "--only RFC1: no such document or id"),
        (("https://a.example", "--client-id", "x", "--introspection-client", "api"), "takes ID:SECRET"),
        (("https://a.example", "--client-id", "x", "--interactive", "--deny-with", "x"), "--interactive stands alone"),
        (("https://a.example", "--client-id", "x", "--guesses", "many"), "argument --guesses"),
        (("https://a.example", "--client-id", "x", "--max-wait", "0"), "above 0 and up to 3600"),
        (("https://a.example", "--client-id", "x", "--resource", "ftp://x"), "--resource: not an address"),
    ],
)
def test_wrong_usage_ends_with_2(
    arguments: tuple[str, ...], why: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # argparse breaks lines.
    monkeypatch.setenv("COLUMNS", "200")
    try:
        status = main([*arguments])
    except SystemExit as end:
        status = int(str(end.code))
    assert status == 2
    assert why in capsys.readouterr().err


def test_a_server_that_is_not_there_ends_with_3(world: World) -> None:
    done = run(f"http://127.0.0.1:{free_port()}", "--client-id", "cli")
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == "oauthdevice-conformance: the server cannot be reached: no connection\n"
    done = run(f"{world.settings.public_url}/elsewhere", "--client-id", "cli")
    assert done.returncode == 3
    assert "no metadata: 404" in done.stderr


def test_who_reads_may_have_enough(world: World) -> None:
    command = " ".join([*PROGRAM, *common(world)[:3], "--only", "RFC8414", "|", "head", "-1"])
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, env=environ(), timeout=60, check=True)
    assert done.stdout.startswith("pass ")
    assert "Traceback" not in done.stderr


def test_it_lists_what_it_tries_without_a_server() -> None:
    done = run("--list")
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) == len(REQUIREMENTS)
    assert re.fullmatch(r"oauthdevice-conformance \S+\n", run("--version").stdout)
