"""Prometheus asks whichever process answers, and is told the same true numbers by each, with nothing to prepare."""

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from oauthdevice.gunicorn_server import VARIABLE
from oauthdevice.stores.migrate import upgrade

from ..factories import unique_name
from ..installations import ask
from ..servers import PostgreSQLServer, wait_until
from .production import ProductionServer

ASKED = 24
SCRAPES = 40


class HoldingServer(ProductionServer):
    """The server for clients that wait, as docs/operating.md starts it."""

    def start(self) -> None:
        options = ["--worker-class", "oauthdevice.gevent_worker.HoldingWorker", "--workers", "2"]
        options += ["--bind", f"127.0.0.1:{self.port}", "--worker-tmp-dir", "/dev/shm", "--no-control-socket"]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [self.programs / "gunicorn", "--paste", self.ini, *options], env=self.environ, stdout=log, stderr=log
            )
        self._wait_for_start()


@pytest.fixture(params=[ProductionServer, HoldingServer])
def server(
    request: pytest.FixtureRequest, tmp_path: Path, postgresql_server: PostgreSQLServer, redis_url: str
) -> Iterator[ProductionServer]:
    """Of two processes, as documented: nothing of /metrics is in its environment."""
    database_url = postgresql_server.create_database(unique_name("metrics"))
    upgrade(database_url)
    one = request.param(tmp_path, database_url, redis_url)
    one.environ.pop(VARIABLE, None)
    yield one
    one.stop()


def start(server: ProductionServer) -> None:
    """Until both processes are there."""
    server.start()
    wait_until(lambda: len(server.workers) == 2, "both processes")


def asked(url: str) -> float:
    """How many codes were given out, as one scrape tells."""
    # A connection of its own each time, so that either process may take it.
    told = requests.get(f"{url}/metrics", timeout=10).text
    found = re.findall(r'^oauthdevice_answers_total\{.*route="device_code".*\} (\S+)$', told, re.MULTILINE)
    return sum(map(float, found))


def folder_of(pid: int) -> Path:
    """Where the files of /metrics are that this process has open."""
    maps = Path(f"/proc/{pid}/maps").read_text()
    (folder,) = set(re.findall(r"(/\S+)/counter_\d+\.db", maps))
    return Path(folder)


def test_each_scrape_tells_the_same_and_all(server: ProductionServer) -> None:
    start(server)
    for _ in range(ASKED):
        ask(server.url)
    assert {asked(server.url) for _ in range(SCRAPES)} == {ASKED}


def test_what_a_process_counted_outlives_it(server: ProductionServer) -> None:
    start(server)
    for _ in range(ASKED):
        ask(server.url)
    killed, _ = server.workers
    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: len(server.workers) == 2 and killed not in server.workers, "another process")
    assert {asked(server.url) for _ in range(SCRAPES)} == {ASKED}


def test_each_start_begins_at_zero_and_a_stop_leaves_nothing(server: ProductionServer) -> None:
    server.start()
    ask(server.url)
    folder = folder_of(server.workers[0])
    assert folder.stat().st_mode & 0o777 == 0o700
    assert server.stop() == 0
    assert not folder.exists()
    server.start()
    assert asked(server.url) == 0


def test_a_folder_that_is_given_is_taken(server: ProductionServer, tmp_path: Path) -> None:
    given = tmp_path / "metrics"
    given.mkdir()
    server.environ[VARIABLE] = str(given)
    start(server)
    ask(server.url)
    assert {folder_of(pid) for pid in server.workers} == {given}
    assert server.stop() == 0
    assert list(given.iterdir())
