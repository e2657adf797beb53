"""What somebody meets who has just cloned the repository and says `make serve-sso`."""

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from .installations import BIN, Server, account, ask, copy_checkout, poll
from .ports import free_port
from .servers import wait_until


def recipe(server: Server) -> str:
    """What `make serve-sso` runs once everything is installed."""
    done = server.run("make", "--no-print-directory", "-n", "serve-sso")
    assert done.returncode == 0, done.stderr
    installed, _, command = done.stdout.partition("touch .venv/.demo .venv/.serve\n")
    assert "--editable '.[demo]'" in installed
    return command


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Both servers of the recipe, on ports that are free."""
    checkout = copy_checkout(tmp_path_factory.mktemp("first") / "my checkout")
    ours, theirs = free_port(), free_port()
    for name in ("development.ini", "sso-demo.ini", "Makefile"):
        path = checkout / name
        text = path.read_text("utf-8").replace("localhost:6543", f"localhost:{ours}")
        path.write_text(
            text.replace("localhost:9400", f"localhost:{theirs}").replace("--port 9400", f"--port {theirs}")
        )
    server = Server(checkout / "sso-demo.ini", f"http://localhost:{ours}", PYTHONPATH=str(checkout))
    command = recipe(server).replace(".venv/bin", str(BIN))
    with (checkout / "printed.log").open("wb") as log:
        process = subprocess.Popen(
            ["sh", "-c", command], cwd=checkout, env=server.environ, stdout=log, stderr=log, start_new_session=True
        )
    try:
        wait_until(
            lambda: answers(f"{server.url}/login") and answers(f"http://localhost:{theirs}/jwks"),
            "both servers to answer",
            lambda: process.poll() is not None,
        )
        yield server
    finally:
        os.killpg(process.pid, signal.SIGINT)
        process.wait(10)
    # Ctrl-C leaves nothing behind that would hold the port.
    wait_until(lambda: not answers(f"http://localhost:{theirs}/jwks"), "the provider to end")


def answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=5).ok
    except (requests.ConnectionError, requests.Timeout):
        return False


def enter(server: Server, browser: requests.Session, user_code: str) -> str:
    """From the page for the code to the provider's sign-in, whose address is returned."""
    page = browser.get(f"{server.url}/device", timeout=10)
    form = {"csrf_token": csrf_token(page), "user_code": user_code}
    login = browser.post(f"{server.url}/device", form, timeout=10)
    (link,) = re.findall(r'href="(/login/sso\?provider=demo)"', login.text)
    return browser.get(server.url + link, timeout=10).url


def csrf_token(page: requests.Response) -> str:
    return re.findall(r'name="csrf_token" value="([^"]+)"', page.text)[0]


class TestTheFirstStartWithSSO:
    def test_somebody_without_an_account_lets_a_device_in(self, served: Server) -> None:
        asked, browser = ask(served.url), requests.Session()
        there = enter(served, browser, asked["user_code"])
        consent = browser.post(there, {"sub": "ada"}, timeout=10)
        assert consent.url == f"{served.url}/device/consent"
        assert "ada@corp.example" in consent.text
        form = {"csrf_token": csrf_token(consent), "user_code": asked["user_code"], "decision": "approve"}
        assert browser.post(consent.url, form, timeout=10).url == f"{served.url}/device/approved"
        told = poll(served.url, asked).json()
        assert (told["subject_type"], told["subject_email"]) == ("external_sso", "ada@corp.example")
        assert account(served.url, told["access_token"]).json()["subject_email"] == "ada@corp.example"

    def test_somebody_with_an_account_is_sent_to_it(self, served: Server) -> None:
        asked, browser = ask(served.url), requests.Session()
        there = enter(served, browser, asked["user_code"])
        told = browser.post(there, {"sub": "demo"}, timeout=10)
        assert told.url == f"{served.url}/device?sso_error=email_belongs_to_account"
        assert "Sign in with your account here" in told.text
        assert poll(served.url, asked).json()["error"] == "authorization_pending"

    def test_it_tells_who_can_sign_in_where(self, served: Server) -> None:
        printed = Path(served.ini.parent / "printed.log").read_text("utf-8")
        assert f"oauthdevice is at {served.url}/device\n" in printed
        assert re.search(r"Or with the demo provider \(http://localhost:\d+\)\n", printed)
