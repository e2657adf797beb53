"""Ten servers are started at once on an empty database: all come up, and it is migrated once."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import inspect, text

from oauthdevice.stores.migration_numbers import newest_migration
from oauthdevice.stores.models import Base
from oauthdevice.stores.sql import create_database

from ..factories import unique_name
from ..installations import ask, poll
from ..servers import PostgreSQLServer, RedisServer
from .production import ProductionServer

TEN = 10


@pytest.fixture
def database_url(postgresql_server: PostgreSQLServer) -> str:
    """Of an empty database."""
    return postgresql_server.create_database(unique_name("empty"))


@pytest.fixture
def servers(tmp_path: Path, database_url: str, redis_server: RedisServer) -> Iterator[list[ProductionServer]]:
    """On ten machines, as yet only installed."""
    prefix, made = unique_name("ten"), []
    for number in range(TEN):
        machine = tmp_path / str(number)
        machine.mkdir()
        options = f"oauthdevice.redis_prefix = {prefix}"
        made.append(ProductionServer(machine, database_url, redis_server.url, options=options, workers="1"))
    yield made
    at_once(ProductionServer.stop, made)


def at_once(act: Callable[[ProductionServer], object], servers: list[ProductionServer]) -> None:
    with ThreadPoolExecutor(TEN) as threads:
        list(threads.map(act, servers))


def check(servers: list[ProductionServer], database_url: str) -> None:
    """Each serves, and what one gave out the next one knows."""
    for one, other in zip(servers, servers[1:] + servers[:1], strict=True):
        assert poll(other.url, ask(one.url)).json()["error"] == "authorization_pending"
        assert "Traceback" not in one.printed
    database = create_database(database_url)
    assert set(inspect(database.engine).get_table_names()) == {*Base.metadata.tables, "alembic_version"}
    with database.read() as sql:
        assert sql.scalars(text("SELECT version_num FROM alembic_version")).all() == [newest_migration()]
    database.engine.dispose()


def test_where_each_is_upgraded_before_its_start(servers: list[ProductionServer], database_url: str) -> None:
    """In production, where no server migrates by itself: deploy/docker says so before each start."""

    def upgrade_and_start(server: ProductionServer) -> None:
        done = server.admin("upgrade")
        assert (done.returncode, done.stdout) == (0, "the database is at the newest migration\n"), done.stderr
        server.start()

    at_once(upgrade_and_start, servers)
    check(servers, database_url)


def test_where_each_migrates_at_its_start(servers: list[ProductionServer], database_url: str) -> None:
    """In development, where each wants to make the demo account, too."""
    for server in servers:
        mode = "oauthdevice.mode = development\noauthdevice.demo_email = demo@example.com\n"
        server.ini.write_text(server.ini.read_text().replace("oauthdevice.mode = production\n", mode))
    at_once(ProductionServer.start, servers)
    check(servers, database_url)
    printed = "".join(server.printed for server in servers)
    assert printed.count("(shown this once)") == 1
    assert printed.count("password forgotten?") == TEN - 1
