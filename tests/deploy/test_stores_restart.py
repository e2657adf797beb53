"""PostgreSQL and Redis stop and start under the server of production.ini, which nobody restarts."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from ..factories import PASSWORD, unique_name
from ..servers import PostgreSQLServer, RedisServer, running_postgresql, wait_until
from .flows import FLOWS, OPTIONS, Balancer, Flows
from .production import ProductionServer
from .proxies import Browser

EMAIL = "ada@example.com"


@pytest.fixture
def own_postgresql_server() -> Iterator[PostgreSQLServer]:
    with running_postgresql() as server:
        yield server


@pytest.fixture
def own_redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    """One that keeps what it was told, as docs/operating.md advises."""
    server = RedisServer(tmp_path, keeps=True)
    server.start()
    yield server
    server.stop()


def ready(server: ProductionServer) -> httpx.Response:
    return httpx.get(f"{server.url}/readyz", timeout=30)


def test_everybody_in_mid_flow_gets_one_token(
    tmp_path: Path, own_postgresql_server: PostgreSQLServer, own_redis_server: RedisServer
) -> None:
    """First PostgreSQL, then Redis, then both at once; a 503 with Retry-After is all that a device is told."""
    database_url = own_postgresql_server.create_database(unique_name("restarts"))
    server = ProductionServer(tmp_path, database_url, own_redis_server.url, options=OPTIONS)
    for arguments in (["upgrade"], ["account", "add", EMAIL, "--name", "Ada", "--password-stdin"]):
        done = server.admin(*arguments, typed=PASSWORD)
        assert done.returncode == 0, done.stderr
    server.start()
    transport = Balancer(server.port)
    try:
        with Browser(transport=transport, base_url=server.url, timeout=30, trust_env=False) as person:
            wait_until(lambda: len(server.workers) == 2, "both processes")
            workers = server.workers
            person.sign_in(EMAIL, PASSWORD)
            flows = Flows(person)
            with flows.at_work():
                flows.wait_for_more()
                for stores in ([own_postgresql_server], [own_redis_server], [own_postgresql_server, own_redis_server]):
                    for one in stores:
                        one.stop()
                    flows.wait_for("unavailable")
                    assert ready(server).status_code == 503
                    for one in stores:
                        one.restart()
                    wait_until(lambda: ready(server).status_code == 200, "both to be back")
                    flows.wait_for_more()
            print(f"{len(flows.tokens)} flows, {dict(flows.told)}")
            flows.check(database_url)
            assert len(flows.tokens) >= 4 * FLOWS
            # Nobody was cut off either.
            assert set(flows.told) == {"unavailable"}
            assert server.workers == workers
    finally:
        assert server.stop() == 0
