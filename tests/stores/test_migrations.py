"""Migrations on SQLite and on PostgreSQL: from nothing to the newest, and back."""

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, inspect, text

from oauthdevice.domain.errors import StoreUnavailable
from oauthdevice.domain.subjects import Account
from oauthdevice.stores.accounts import SQLAccountStore
from oauthdevice.stores.migrate import alembic_config, upgrade
from oauthdevice.stores.models import Base, UTCDateTime
from oauthdevice.stores.sql import create_database
from oauthdevice.stores.token_cache import NoTokenCache

from ..factories import unique_name

TABLES = {
    "notices",
    "accounts",
    "workspaces",
    "memberships",
    "sign_ins",
    "passkeys",
    "sessions",
    "access_tokens",
    "refresh_tokens",
    "audit_events",
}
NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'empty.sqlite'}"
    server = request.getfixturevalue("postgresql_server")
    return str(server.create_database(unique_name("empty")))


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    """A look at the database from outside."""
    one = create_database(url).engine
    yield one
    one.dispose()


def tables(engine: Engine) -> set[str]:
    return set(inspect(engine).get_table_names()) - {"alembic_version"}


def same_type(
    context: MigrationContext, inspected: object, declared: object, inspected_type: object, declared_type: object
) -> bool | None:
    """Alembic's hook: False where two types are the same. UTCDateTime is what its `impl` is."""
    return False if isinstance(declared_type, UTCDateTime) and "TIME" in repr(inspected_type).upper() else None


def differences(connection: Connection) -> list[object]:
    context = MigrationContext.configure(
        connection, opts={"compare_type": same_type, "compare_server_default": True, "target_metadata": Base.metadata}
    )
    return list(compare_metadata(context, Base.metadata))


class TestUpgrade:
    def test_an_empty_database_gets_every_table(self, url: str, engine: Engine) -> None:
        upgrade(url)
        assert tables(engine) == TABLES

    def test_models_and_migrations_agree(self, url: str, engine: Engine) -> None:
        upgrade(url)
        with engine.connect() as connection:
            assert differences(connection) == []

    def test_constraints_have_the_names_of_the_models(self, url: str, engine: Engine) -> None:
        upgrade(url)
        found = inspect(engine)
        for table in Base.metadata.sorted_tables:
            declared = {one.name for one in table.constraints if one.name is not None}
            named = {found.get_pk_constraint(table.name)["name"]}
            named |= {one["name"] for one in found.get_unique_constraints(table.name)}
            named |= {one["name"] for one in found.get_foreign_keys(table.name)}
            assert {str(name) for name in declared} == {str(name) for name in named}

    def test_a_second_time_is_harmless_and_keeps_the_content(self, url: str, engine: Engine) -> None:
        upgrade(url)
        database = create_database(url)
        store = SQLAccountStore(database, NoTokenCache())
        ada = Account("ada", "ada@example.com", "Ada", active=True)
        store.add(ada, "a hash", NOW)
        upgrade(url)
        assert store.all() == [ada]
        assert tables(engine) == TABLES
        database.engine.dispose()

    def test_ten_processes_that_start_at_once_all_come_up_and_one_migrates(self, url: str, engine: Engine) -> None:
        program = f"from oauthdevice.stores.migrate import upgrade; upgrade({url!r})"
        started = [subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE) for _ in range(10)]
        ended = [(process.communicate()[1], process.returncode) for process in started]
        assert [told for told in ended if told[1]] == []
        assert tables(engine) == TABLES

    def test_the_database_says_which_migration_it_is_at(self, url: str, engine: Engine) -> None:
        upgrade(url)
        with engine.connect() as connection:
            version = connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one()
        assert version == ScriptDirectory.from_config(alembic_config(url)).get_current_head()

    def test_there_is_one_newest_migration(self) -> None:
        assert len(ScriptDirectory.from_config(alembic_config("sqlite://")).get_heads()) == 1

    def test_the_folder_of_a_database_file_is_made(self, tmp_path: Path) -> None:
        path = tmp_path / "not" / "yet" / "there.sqlite"
        upgrade(f"sqlite:///{path}")
        assert path.is_file()

    @pytest.mark.parametrize(
        "address", ["postgresql+psycopg://nobody@/nothing?host=/nowhere", "sqlite:////proc/nowhere.sqlite"]
    )
    def test_a_database_that_is_away_is_store_unavailable(self, address: str) -> None:
        with pytest.raises(StoreUnavailable):
            upgrade(address)


class TestDowngrade:
    def test_the_way_back_leaves_nothing(self, url: str, engine: Engine) -> None:
        upgrade(url)
        command.downgrade(alembic_config(url), "base")
        assert tables(engine) == set()

    def test_and_up_again(self, url: str, engine: Engine) -> None:
        upgrade(url)
        command.downgrade(alembic_config(url), "base")
        upgrade(url)
        with engine.connect() as connection:
            assert differences(connection) == []
