"""No statement of the session store reads a whole table: PostgreSQL takes an index for each, unasked."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from oauthdevice.stores.migrate import upgrade
from oauthdevice.stores.sql import Database, create_database

from ..factories import unique_name
from ..servers import PostgreSQLServer
from .query_plans import SESSIONS_OF_AN_ACCOUNT, TABLES, count, fill, plans

ROWS = 20_000
# As few of so many rows as 500 are of a full table.
BATCH = 50
NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.fixture
def database(postgresql_server: PostgreSQLServer) -> Iterator[Database]:
    """One of its own: nobody has to wait until so many rows are gone."""
    url = postgresql_server.create_database(unique_name("plans"))
    upgrade(url)
    one = create_database(url)
    fill(one, ROWS, NOW)
    yield one
    one.engine.dispose()


def test_every_statement_uses_an_index(database: Database) -> None:
    assert count(database, "sessions") == count(database, "access_tokens") == ROWS
    made = plans(database, NOW, BATCH)
    assert all(made.values())
    scans = {
        f"{name}: {plan.statement}": "\n".join(plan.lines)
        for name, found in made.items()
        for plan in found
        if plan.scans_all_of(*TABLES)
    }
    assert scans == {}
    statements = [plan.statement for found in made.values() for plan in found]
    for table in TABLES:
        assert any(table in statement for statement in statements)


def test_the_statements_find_what_they_are_explained_for(database: Database) -> None:
    """A plan for no rows would prove nothing."""
    made = plans(database, NOW, BATCH)
    page, total, *_ = made["Sessions, page 1 and their number"]
    assert 0 < page.rows <= SESSIONS_OF_AN_ACCOUNT
    assert "count(*)" in total.statement
    _, chosen, forgotten, *_ = made["A batch of a purge"]
    assert chosen.rows == BATCH
    assert forgotten.statement.startswith("DELETE FROM sessions")
    for name in ("Introspection and every request with an access token", "Introspection of a refresh token"):
        assert made[name][0].rows == 1
