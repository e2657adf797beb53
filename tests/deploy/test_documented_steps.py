"""What docs/operating.md tells an operator to type, typed: from a checkout to a token, and to the end."""

import contextlib
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis
import requests

from ..factories import API, PASSWORD, unique_name
from ..installations import BIN, copy_checkout
from ..ports import free_port
from ..servers import CHECKOUT, PostgreSQLServer, RedisServer, wait_until
from .proxies import BROWSER, DEVICE, Caller, make_certificate, nginx_command, running, sign_in_a_device

OPERATING = (CHECKOUT / "docs" / "operating.md").read_text("utf-8")
EMAIL = "ada@example.com"


def steps(section: str) -> list[str]:
    """The commands of one section, a block each."""
    (text,) = re.findall(rf"^## {section}\n(.*?)(?=^## |\Z)", OPERATING, re.DOTALL | re.MULTILINE)
    return re.findall(r"```sh\n(.*?)```", text, re.DOTALL)


*_, ENVIRONMENT, FIRST_USE, _ = steps("Install")
(CHECK,) = [line for line in FIRST_USE.splitlines() if line.endswith(" check")]


@dataclass(frozen=True)
class Machine:
    """Where the documented folders, names and addresses are in this test."""

    folder: Path
    changes: dict[str, str]

    def here(self, commands: str) -> str:
        for documented, ours in self.changes.items():
            commands = commands.replace(documented, ours)
        return commands

    @property
    def url(self) -> str:
        return self.here("https://login.example.com")

    @property
    def environ(self) -> dict[str, str]:
        """Nothing of the checkout, and none of our variables but those that are documented."""
        ours = {"PYTHONPATH", "VIRTUAL_ENV"}
        return {name: value for name, value in os.environ.items() if name not in ours and "OAUTHDEVICE" not in name}


@pytest.fixture(scope="module")
def machine(
    tmp_path_factory: pytest.TempPathFactory, postgresql_server: PostgreSQLServer, redis_server: RedisServer
) -> Iterator[Machine]:
    folder = tmp_path_factory.mktemp("machine")
    copy_checkout(folder / "checkout")
    make_certificate(folder)
    https_port, port = free_port(), free_port()
    changes = {
        "/opt/oauthdevice": str(folder / "opt"),
        "/etc/oauthdevice": str(folder / "etc"),
        "https://login.example.com": f"https://localhost:{https_port}",
        "postgresql+psycopg://oauthdevice:PASSWORD@db.example.com/oauthdevice": postgresql_server.create_database(
            unique_name("steps")
        ),
        "rediss://:PASSWORD@redis.example.com:6379/0": redis_server.url,
    }
    # The port of the server is the one thing that is not in the document.
    ini = folder / "checkout" / "production.ini"
    ini.write_text(ini.read_text().replace("bind = 127.0.0.1:6543\n", f"bind = 127.0.0.1:{port}\n"))
    with running(nginx_command(folder, free_port(), https_port, port), https_port, folder):
        yield Machine(folder, changes)


def run(machine: Machine, commands: str, typed: str = "") -> str:
    """What a shell printed that stops at the first failure."""
    done = subprocess.run(
        ["sh", "-eu", "-c", machine.here(commands)],
        cwd=machine.folder / "checkout",
        env=machine.environ,
        input=typed,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def installed(machine: Machine) -> Machine:
    """The machine after "Install", but for the start."""
    *install, _, _, _ = steps("Install")
    for step in install:
        run(machine, step)
    printed = run(machine, ENVIRONMENT + FIRST_USE, typed=PASSWORD)
    assert "the database is at the newest migration" in printed
    assert "BAD" not in printed
    return machine


@contextlib.contextmanager
def served(machine: Machine) -> Iterator[tuple[Caller, Caller]]:
    """While the server runs: a device, and a browser whose person is signed in. It ends as it should."""
    *_, start = steps("Install")
    url, certificate = machine.url, machine.folder / "fullchain.pem"
    with (machine.folder / "server.log").open("ab") as log:
        # The shell makes room for the server: the signal below is to reach that.
        command = machine.here(f"{ENVIRONMENT}exec {start}")
        process = subprocess.Popen(["sh", "-c", command], env=machine.environ, stdout=log, stderr=log)
    try:
        wait_until(lambda: is_ready(url, certificate), "the server", lambda: process.poll() is not None)
        with Caller(DEVICE, certificate, url) as device, Caller(BROWSER, certificate, url) as browser:
            browser.sign_in(EMAIL, PASSWORD)
            yield device, browser
    finally:
        process.send_signal(signal.SIGTERM)
        status = process.wait(60)
    assert status == 0


def opens(device: Caller, token: str) -> bool:
    """Whether the API lets it in; else it says that the token is none."""
    answer = device.get(f"{API}/account", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code in {200, 401}
    return answer.status_code == 200


def test_each_step_does_what_it_says(installed: Machine) -> None:
    (purge,) = steps("Every day")
    with served(installed) as (device, browser):
        page, token = sign_in_a_device(device, browser, installed.url)
        assert f"Address <bdi>{DEVICE}</bdi>" in page
        assert device.account(token)["email"] == EMAIL
        assert run(installed, ENVIRONMENT + purge) == "forgot 0 sessions that ended more than 30 days ago\n"
        assert device.account(token)["email"] == EMAIL


def a_minute_passes(redis_server: RedisServer) -> None:
    """Redis forgets what tokens opened."""
    with redis.Redis.from_url(redis_server.url) as client:
        kept = client.keys("oauthdevice:token:*")
        assert kept
        client.delete(*kept)


def test_a_restore_brings_back_what_was_dumped(installed: Machine, redis_server: RedisServer) -> None:
    dump, restore, end_all = steps("Back up and restore")
    with served(installed) as (device, browser):
        _, ended_later = sign_in_a_device(device, browser, installed.url)
        run(installed, dump)
        assert opens(device, ended_later)
        run(installed, ENVIRONMENT + end_all)
        assert not opens(device, ended_later)
        _, given_later = sign_in_a_device(device, browser, installed.url)
        assert opens(device, given_later)
    run(installed, restore)
    with served(installed) as (device, browser):
        assert opens(device, ended_later)
        a_minute_passes(redis_server)
        assert not opens(device, given_later)
        run(installed, ENVIRONMENT + end_all)
        assert not opens(device, ended_later)
        _, token = sign_in_a_device(device, browser, installed.url)
        assert opens(device, token)
    assert "BAD" not in run(installed, ENVIRONMENT + CHECK)
    assert "there and unchanged" in run(installed, ENVIRONMENT + CHECK.replace("check", "audit verify"))


def is_ready(url: str, certificate: Path) -> bool:
    try:
        return requests.get(f"{url}/readyz", verify=str(certificate), timeout=10).ok
    except requests.RequestException:
        return False


def test_the_secrets_are_for_the_owner_alone_and_the_settings_hold_none(installed: Machine) -> None:
    folder = installed.folder / "etc"
    assert (folder / "secrets").stat().st_mode & 0o777 == 0o700
    for path in (folder / "secrets").iterdir():
        assert path.stat().st_mode & 0o777 == 0o600
        assert path.read_text().strip() not in (folder / "production.ini").read_text()


def test_it_says_which_commands_are_run_here() -> None:
    told = re.findall(r'"([^"]+)"', OPERATING[: OPERATING.index("`tests/deploy/test_documented_steps.py`")])
    sections = re.findall(r"^## (.+)$", OPERATING, re.MULTILINE)
    assert [one for one in sections if steps(one)] == [one for one in sections if one in told]
    assert len(told) == 3


def test_the_commands_in_the_text_are_those_of_the_program() -> None:
    for command in re.findall(r"`oauthdevice-admin -c … ([a-z]+ [a-z]+)", OPERATING):
        done = subprocess.run(
            [BIN / "oauthdevice-admin", "-c", "x", *command.split(), "--help"], capture_output=True, check=False
        )
        assert done.returncode == 0, command


def test_every_file_that_it_links_to_is_there() -> None:
    for name in re.findall(r"\]\(([\w./-]+)\)", OPERATING):
        assert (CHECKOUT / "docs" / name).exists(), name
