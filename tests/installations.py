"""A server as its operator runs it, a process of an installation, and those who call it from outside."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import requests

from .factories import API, APPROVE, CODE, TOKEN
from .servers import CHECKOUT, wait_until

BIN = Path(sys.executable).parent
# As in the Makefile.
WARNINGS = "ignore:pkg_resources is deprecated as an API:UserWarning"


def copy_checkout(target: Path) -> Path:
    """What a commit of everything would hold, in a folder of its own."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=CHECKOUT, stdout=subprocess.PIPE, check=True
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (CHECKOUT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(CHECKOUT / name, target / name)
    return target


class Server:
    """`pserve INI` of one installation, from the start to SIGTERM. What it prints is in `printed`."""

    def __init__(self, ini: Path, url: str, programs: Path = BIN, **environ: str) -> None:
        self.ini, self.url, self.programs = ini, url, programs
        self.environ = {**os.environ, "PYTHONWARNINGS": WARNINGS, **environ}
        for name in ("OAUTHDEVICE_SECRET", "OAUTHDEVICE_DATABASE_URL", "OAUTHDEVICE_REDIS_URL"):
            self.environ.pop(name, None)
        self._log = ini.with_suffix(".log")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("wb") as log:
            command = [self.programs / "pserve", self.ini.name]
            self._process = subprocess.Popen(
                command, cwd=self.ini.parent, stdout=log, stderr=subprocess.STDOUT, env=self.environ
            )
        self._wait_for_start()

    def _wait_for_start(self) -> None:
        # Several may be started at once, on few cores.
        wait_until(self._is_up, f"the server to answer; its log: {self._log}", self._is_dead, seconds=90)

    def stop(self) -> int | None:
        """SIGTERM; the exit status."""
        if self._process is None:
            return None
        process, self._process = self._process, None
        process.terminate()
        return process.wait(10)

    def admin(self, *arguments: str, typed: str = "") -> subprocess.CompletedProcess[str]:
        """One run of `oauthdevice-admin` beside the server."""
        return self.run(self.programs / "oauthdevice-admin", "-c", self.ini.name, *arguments, typed=typed)

    def run(self, *command: str | Path, typed: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, cwd=self.ini.parent, env=self.environ, input=typed, capture_output=True, text=True, check=False
        )

    @property
    def printed(self) -> str:
        return self._log.read_text()

    def _is_up(self) -> bool:
        # Where the socket is there before the program, whoever comes waits.
        try:
            return requests.get(f"{self.url}/.well-known/oauth-authorization-server", timeout=5).ok
        except (requests.ConnectionError, requests.Timeout):
            return False

    def _is_dead(self) -> bool:
        return self._process is None or self._process.poll() is not None


class Visitor:
    """Somebody with a browser, as far as the forms of the pages go."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.http = requests.Session()

    def sign_in(self, email: str, password: str) -> requests.Response:
        return self.http.post(
            f"{self.url}/login", {"csrf_token": self.csrf_token(), "email": email, "password": password}, timeout=10
        )

    def approve(self, user_code: str) -> requests.Response:
        headers = {"X-CSRF-Token": self.csrf_token()}
        return self.http.post(f"{self.url}{APPROVE}", json={"user_code": user_code}, headers=headers, timeout=10)

    def csrf_token(self) -> str:
        page = self.http.get(f"{self.url}/logout", timeout=10)
        found = re.search(r'name="csrf_token" value="([^"]+)"', page.text)
        assert found is not None, page.text
        return found[1]


def ask(url: str) -> dict[str, str]:
    """The two codes of a new device authorization."""
    answer = requests.post(f"{url}{CODE}", {"client_id": "difyctl"}, timeout=10)
    assert answer.status_code == 200, answer.text
    return answer.json()


def poll(url: str, asked: dict[str, str]) -> requests.Response:
    form = {
        "grant_type": "urn:ietf:params:oauth:grant-type:device_code",
        "client_id": "difyctl",
        "device_code": asked["device_code"],
    }
    return requests.post(f"{url}{TOKEN}", form, timeout=10)


def account(url: str, token: str) -> requests.Response:
    return requests.get(f"{url}{API}/account", headers={"Authorization": f"Bearer {token}"}, timeout=10)
