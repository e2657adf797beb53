"""Throwaway servers for the tests: a Redis, a PostgreSQL, ours in a thread, ours as a process.

None listens on a fixed port, and each ends with the tests.
"""

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import redis
from waitress import wasyncore
from waitress.server import create_server

CHECKOUT = Path(__file__).parent.parent


class RedisServer:
    """A redis-server on a unix socket in `folder`, and on 6379 of `address` where there is one.

    It can be stopped and started again in mid-test. It forgets everything then, or, where `keeps`, nothing
    that it answered: `appendonly`, as docs/operating.md says.
    """

    def __init__(self, folder: Path, address: str = "", *, keeps: bool = False) -> None:
        self.socket = folder / "redis.sock"
        self._keeps = ["--appendonly", "yes"] if keeps else []
        self._folder = folder
        self._listen = ["--bind", address, "--protected-mode", "no"] if address else ["--port", "0"]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"unix://{self.socket}"

    def start(self) -> None:
        options = [*self._listen, "--unixsocket", str(self.socket), "--save", "", "--dir", str(self._folder)]
        options += self._keeps
        with (self._folder / "redis.log").open("ab") as log:
            self._process = subprocess.Popen(["redis-server", *options], stdout=log, stderr=log)
        client = redis.Redis.from_url(self.url)
        wait_until(lambda: _answers(client), "redis-server to answer")
        client.close()

    def restart(self) -> None:
        """After `stop`."""
        self.start()

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@contextlib.contextmanager
def running_postgresql(address: str = "") -> Iterator["PostgreSQLServer"]:
    """One in a folder of its own: its user could not reach the folders of pytest."""
    with tempfile.TemporaryDirectory(prefix="postgresql-", ignore_cleanup_errors=True) as folder:
        server = PostgreSQLServer(Path(folder), address)
        server.start()
        try:
            yield server
        finally:
            server.stop()


def _answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False


class PostgreSQLServer:
    """A PostgreSQL on a unix socket in `folder`, run by the user `postgres` where we are root.

    With an `address` it listens on 5432 of that too, and trusts whoever is in the same network.
    """

    def __init__(self, folder: Path, address: str = "") -> None:
        self._folder, self._address = folder, address
        self._data = folder / "data"
        newest = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[4]))
        found = shutil.which("initdb") or (str(newest[-1]) if newest else None)
        if found is None:
            raise RuntimeError("PostgreSQL is not installed: run `make test`, which installs it")
        # What is on the path may be a link to where all the programs are.
        self._bin = Path(found).resolve().parent

    @property
    def socket(self) -> Path:
        return self._folder / ".s.PGSQL.5432"

    def start(self) -> None:
        if os.geteuid() == 0:
            shutil.chown(self._folder, "postgres")
        self._run("initdb", "-D", str(self._data), "-U", "postgres", "-A", "trust", "--no-sync")
        with (self._data / "pg_hba.conf").open("a") as trusted:
            trusted.write("host all all samenet trust\n")
        self._start()

    def _start(self) -> None:
        listen = f"-c listen_addresses='{self._address}' -k {self._folder} -c fsync=off"
        self._run("pg_ctl", "-D", str(self._data), "-l", str(self._folder / "log"), "-w", "-o", listen, "start")

    def stop(self) -> None:
        self._run("pg_ctl", "-D", str(self._data), "-m", "immediate", "stop")

    def restart(self) -> None:
        self._start()

    def create_database(self, name: str) -> str:
        """The address of a new, empty database."""
        self._run("createdb", "-h", str(self._folder), "-U", "postgres", name)
        return f"postgresql+psycopg://postgres@/{name}?host={self._folder}"

    def _run(self, program: str, *arguments: str) -> None:
        user = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
        done = subprocess.run(
            [self._bin / program, *arguments],
            user=user if os.geteuid() == 0 else None,
            cwd=self._folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{program}: {done.stderr.decode()}")


@contextlib.contextmanager
def serve_in_thread(application: object, listener: socket.socket) -> Iterator[None]:
    """Our WSGI application behind waitress in a thread of this process."""
    server = create_server(application, sockets=[listener], threads=8)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        # Closed in the thread of its own loop: closed from here, the loop would meet dead sockets. A loop
        # that is awake already may do so, and close the trigger, before it is pulled.
        with contextlib.suppress(OSError):
            server.trigger.pull_trigger(lambda: wasyncore.close_all(server._map))
        thread.join(5)
        server.task_dispatcher.shutdown()


class ServerProcess:
    """`pserve INI` as a process of its own, which a test may kill."""

    def __init__(self, ini: Path, port: int, environ: dict[str, str] | None = None) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._ini = ini
        self._environ = {**os.environ, "PYTHONWARNINGS": "ignore", **(environ or {})}
        self.log = ini.with_suffix(".log")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        pserve = Path(sys.executable).parent / "pserve"
        with self.log.open("ab") as log:
            self._process = subprocess.Popen([pserve, self._ini], stdout=log, stderr=log, env=self._environ)
        wait_until(self._is_up, f"the server to answer; its log: {self.log}", self._is_dead)

    def kill(self) -> None:
        """SIGKILL: nothing of it runs any more."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def wait_for_death(self) -> None:
        """Until the process, which kills itself, is gone."""
        assert self._process is not None
        self._process.wait(30)
        self._process = None

    def _is_dead(self) -> bool:
        return self._process is None or self._process.poll() is not None

    def _is_up(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/.well-known/oauth-authorization-server", timeout=2):
                return True
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False


def wait_until(condition, what: str, hopeless=lambda: False, seconds: float = 30) -> None:
    """Return once `condition()` holds. Another process has to come up: there is no clock to move."""
    deadline = time.monotonic() + seconds
    while not condition():
        if hopeless() or time.monotonic() > deadline:
            raise TimeoutError(f"waited for {what}")
        threading.Event().wait(0.02)
