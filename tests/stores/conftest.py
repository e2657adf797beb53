"""Databases for the stores: SQLite and PostgreSQL, migrated and empty."""

from collections.abc import Iterator

import pytest
from sqlalchemy import delete

from oauthdevice.stores.migrate import upgrade
from oauthdevice.stores.models import Base
from oauthdevice.stores.sql import Database, create_database

from ..factories import unique_name
from ..servers import PostgreSQLServer


@pytest.fixture(scope="module")
def shared_postgresql_url(postgresql_server: PostgreSQLServer) -> str:
    """One migrated database for all tests of a file; `database` empties it."""
    url = postgresql_server.create_database(unique_name("stores"))
    upgrade(url)
    return url


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> Iterator[Database]:
    shared = request.param == "postgresql"
    one = create_database(request.getfixturevalue("shared_postgresql_url" if shared else "sqlite_url"))
    with one.write() as sql:
        for table in reversed(Base.metadata.sorted_tables):
            sql.execute(delete(table))
    yield one
    one.engine.dispose()
