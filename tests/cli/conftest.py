"""What the programs of a signed-in person run against: ours, one that others wrote, and a bad network between."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from ..conftest import WorldMaker
from ..factories import World
from ..servers import CHECKOUT, serve_in_thread
from .faulty_proxy import BlippingProxy

API_SECRET = "a secret for tests alone"


class DeviceProvider:
    """`oidc-provider` from npm with its device flow, and a person who decides there.

    It knows the public client `cli`, and `api`, whose secret is API_SECRET.
    """

    def __init__(self, log: Path, code_seconds: int = 60) -> None:
        node = shutil.which("node")
        folder = CHECKOUT / "tests" / "oidc_provider"
        if node is None or not (folder / "node_modules").is_dir():
            raise RuntimeError("oidc-provider is not installed: run `make test`, which installs it")
        program = CHECKOUT / "tests" / "cli" / "device_provider.mjs"
        self._log = log
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                [node, "--import", "./older_node.mjs", program, str(code_seconds)],
                cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True,
            )  # fmt: skip
        self.issuer = f"http://localhost:{int(self._line())}"

    def decide(self, user_code: str, allow: bool) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"user_code": user_code, "allow": allow}) + "\n")
        self._process.stdin.flush()
        status = self._line().strip()
        assert status in ("200", "400"), self._log.read_text()

    def stop(self) -> None:
        self._process.kill()
        self._process.communicate()

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"oidc-provider has died: {self._log.read_text()}")
        return line


@pytest.fixture(scope="session")
def device_provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DeviceProvider]:
    one = DeviceProvider(tmp_path_factory.mktemp("device-provider") / "log")
    yield one
    one.stop()


class Tool:
    """The command `oauthdevice` as a process, in a home of its own."""

    def __init__(self, home: Path, url: str, keyring: str = "tests.cli.file_keyring.Keyring") -> None:
        self.home = home
        self.folder = home / "config" / "oauthdevice"
        self.url = url
        self.environ = {
            "HOME": str(home),
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(CHECKOUT),
            "PYTHONWARNINGS": "error",
            "PYTHON_KEYRING_BACKEND": keyring,
            "TEST_KEYRING": str(home / "keyring.json"),
            "XDG_CONFIG_HOME": str(home / "config"),
            "COLUMNS": "80",
        }

    def start(self, *arguments: str, **options: Any) -> "contextlib.AbstractContextManager[subprocess.Popen[str]]":
        """Not waited for; standard output and error are pipes."""
        return self._started([*PROGRAM, *arguments], **options)

    def shell(self, script: str) -> "contextlib.AbstractContextManager[subprocess.Popen[str]]":
        """A line of the shell, not waited for."""
        return self._started(["sh", "-c", script])

    @contextlib.contextmanager
    def _started(self, command: Sequence[str], **options: Any) -> Iterator[subprocess.Popen[str]]:
        """With all that it starts, it ends with the block and after a minute."""
        given = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        process = subprocess.Popen(command, cwd=self.home, env=self.environ, text=True, start_new_session=True, **given)

        def kill() -> None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)

        watchdog = threading.Timer(60, kill)
        watchdog.start()
        try:
            with process:
                try:
                    yield process
                finally:
                    if sys.exc_info()[0] is not None:
                        kill()
        finally:
            watchdog.cancel()

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Waited for; any exit status."""
        with self.start(*arguments) as process:
            printed, complained = process.communicate(timeout=60)
        assert "Traceback" not in complained, complained
        return subprocess.CompletedProcess(arguments, process.returncode, printed, complained)

    def documents(self, *arguments: str) -> list[dict[str, Any]]:
        """What a command that succeeds tells with --json."""
        done = self.run(*arguments, "--json")
        assert done.returncode == 0, done
        return [json.loads(line) for line in done.stdout.splitlines()]

    def login(self, decide: Callable[[str], object], *arguments: str) -> tuple[int, list[dict[str, Any]], str]:
        """Sign in: exit status, documents, standard error. `decide` is called with the user_code."""
        with self.start("login", "--host", self.url, "--json", *arguments) as process:
            assert process.stdout is not None
            told = [json.loads(line) for line in process.stdout.readline().splitlines()]
            if told and told[0]["event"] == "started":
                decide(told[0]["user_code"])
            printed, complained = process.communicate(timeout=60)
        assert "Traceback" not in complained, complained
        return process.returncode, told + [json.loads(line) for line in printed.splitlines()], complained

    def credentials(self) -> dict[str, Any]:
        """Those of the only account, from the file or the key ring."""
        path = self.folder / "credentials.json"
        if path.exists():
            (found,) = json.loads(path.read_text()).values()
            return dict(found)
        (text,) = json.loads((self.home / "keyring.json").read_text()).values()
        return dict(json.loads(text))


PROGRAM = (sys.executable, "-m", "oauthdevice.cli")
CLIENTS = """
[client:difyctl]
name = difyctl
scopes = full apps:run
interval_seconds = 1
[client:cli]
name = CLI
scopes = full
interval_seconds = 1
refresh = on
access_token_lifetime_seconds = 3600
"""


@pytest.fixture
def world(make_live: WorldMaker, tmp_path: Path) -> World:
    """A server whose clients poll every second."""
    (tmp_path / "clients.ini").write_text(CLIENTS)
    return make_live(ini_file=str(tmp_path / "clients.ini"), **{"limit.decide": "off"})


@pytest.fixture
def make_blipping(make: WorldMaker, tmp_path: Path) -> Iterator[Callable[..., World]]:
    """Makes a world as above, whose first requests that begin with `which` meet `faults`, and checks that they did."""
    with contextlib.ExitStack() as stack:

        def maker(which: str, *faults: str) -> World:
            listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=64))
            proxy = BlippingProxy(listener.getsockname()[1], which, faults)
            (tmp_path / "clients.ini").write_text(CLIENTS)
            one = make(public_url=proxy.url, ini_file=str(tmp_path / "clients.ini"), **{"limit.decide": "off"})
            proxies.append(proxy)
            stack.enter_context(serve_in_thread(one.app, listener))
            proxy.start()
            stack.callback(proxy.stop)
            return one

        proxies: list[BlippingProxy] = []
        yield maker
    assert not any(proxy.left for proxy in proxies)


@pytest.fixture
def tool(world: World, tmp_path: Path) -> Tool:
    """One whose key ring works."""
    return Tool(tmp_path, world.settings.public_url)


@pytest.fixture
def tool_without_keyring(world: World, tmp_path: Path) -> Tool:
    return Tool(tmp_path, world.settings.public_url, "keyring.backends.fail.Keyring")


@pytest.fixture(scope="session")
def openid_client() -> Path:
    """A node_modules with openid-client."""
    folder = CHECKOUT / "tests" / "oidc_provider" / "node_modules"
    if shutil.which("node") is None or not (folder / "openid-client").is_dir():
        raise RuntimeError("openid-client is not installed: run `make test`, which installs it")
    return folder
