"""Migrations on SQLite and on PostgreSQL: from nothing to the newest, and back."""

import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
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
from oauthdevice.stores.migrate import UnknownMigration, alembic_config, upgrade
from oauthdevice.stores.migration_numbers import newest_migration
from oauthdevice.stores.models import Base, UTCDateTime
from oauthdevice.stores.sql import create_database
from oauthdevice.stores.table_locks import TablesInUse
from oauthdevice.stores.token_cache import NoTokenCache

from ..factories import unique_name
from ..servers import PostgreSQLServer, wait_until

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
    "audit_head",
    "webhook_deliveries",
}
VERSION = text("SELECT version_num FROM alembic_version")
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


def put(engine: Engine, migration: str) -> None:
    """The database says that it is at another migration."""
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :at"), {"at": migration})


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
        ended = [(process.communicate()[1], process.returncode) for process in start_upgrades(url, 10)]
        assert [told for told in ended if told[1]] == []
        assert tables(engine) == TABLES

    def test_the_database_says_which_migration_it_is_at(self, url: str, engine: Engine) -> None:
        upgrade(url)
        with engine.connect() as connection:
            assert connection.execute(VERSION).scalar_one() == newest_migration()

    def test_there_is_one_newest_migration_and_they_are_numbered(self) -> None:
        """So that a release can tell that a newer one was here."""
        scripts = ScriptDirectory.from_config(alembic_config("sqlite://"))
        numbers = sorted(script.revision for script in scripts.walk_revisions())
        assert numbers == [f"{number:04}" for number in range(1, len(numbers) + 1)]
        assert scripts.get_heads() == [newest_migration()] == numbers[-1:]

    def test_where_a_newer_release_was_nothing_is_done(self, url: str, engine: Engine) -> None:
        upgrade(url)
        put(engine, "9999")
        assert upgrade(url) == "9999"
        with engine.connect() as connection:
            assert connection.execute(VERSION).scalars().all() == ["9999"]
            assert differences(connection) == []

    @pytest.mark.parametrize("migration", ["0000", "1975ea83b712"])
    def test_what_is_no_migration_of_ours_is_named_and_left_alone(
        self, url: str, engine: Engine, migration: str
    ) -> None:
        upgrade(url)
        put(engine, migration)
        with pytest.raises(UnknownMigration, match=f"at the migration {migration}, which is none of ours"):
            upgrade(url)
        with engine.connect() as connection:
            assert connection.execute(VERSION).scalars().all() == [migration]

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


class TestATableInUse:
    """On PostgreSQL, where whoever waits for a table keeps everybody behind them waiting."""

    @pytest.fixture
    def url(self, postgresql_server: PostgreSQLServer) -> str:
        """The address of a database at an older migration."""
        one = postgresql_server.create_database(unique_name("older"))
        command.upgrade(alembic_config(one), "0002")
        return one

    def test_keeps_nobody_waiting_and_is_migrated_once_it_is_free(self, url: str, engine: Engine) -> None:
        with ThreadPoolExecutor() as threads:
            with reading(url, "sessions"):
                upgrading = threads.submit(upgrade, url)
                for _ in range(2):
                    wait_until(lambda: is_queued_for(engine, "sessions"), "the migration to want its table")
                    begun = time.monotonic()
                    with engine.begin() as connection:
                        connection.execute(text("UPDATE sessions SET name = 'x'"))
                        connection.execute(text("SELECT count(*) FROM sessions"))
                    assert time.monotonic() - begun < 3
                assert not upgrading.done()
            assert upgrading.result(30) == newest_migration()
        with engine.connect() as connection:
            assert differences(connection) == []

    def test_holds_up_no_migration_of_the_others(self, url: str, engine: Engine) -> None:
        """Each is a transaction of its own: what was done stays, and no lock of it is held."""
        with reading(url, "audit_events"), pytest.raises(TablesInUse, match="run `upgrade` again"):
            upgrade(url, patience_seconds=0)
        with engine.connect() as connection:
            assert connection.execute(VERSION).scalar_one() == "0004"
        assert upgrade(url) == newest_migration()

    def test_is_tried_by_one_process_while_the_others_wait(self, url: str, engine: Engine) -> None:
        """Else the tries of ten would follow upon each other, and nobody came in between."""
        with reading(url, "sessions"):
            upgrading = start_upgrades(url, 3)
            wait_until(lambda: waiting(engine, "locktype = 'advisory'") == 2, "two to wait for the third")
            wait_until(lambda: is_queued_for(engine, "sessions"), "the migration to want its table")
            assert waiting(engine, "locktype = 'relation'") == 1
        told = [one.communicate(timeout=30)[1] for one in upgrading]
        assert [one.returncode for one in upgrading] == [0, 0, 0], told


def start_upgrades(url: str, count: int) -> list[subprocess.Popen[bytes]]:
    program = f"from oauthdevice.stores.migrate import upgrade; upgrade({url!r})"
    return [subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE) for _ in range(count)]


@contextmanager
def reading(url: str, table: str) -> Iterator[None]:
    """Somebody has looked at the table in a transaction that goes on, as a dump does."""
    database = create_database(url, statement_timeout_seconds=0)
    with database.read() as sql:
        sql.execute(text(f"SELECT count(*) FROM {table}"))
        yield
    database.engine.dispose()


def is_queued_for(engine: Engine, table: str) -> bool:
    return waiting(engine, f"relation = '{table}'::regclass") > 0


def waiting(engine: Engine, which: str) -> int:
    """How many locks of this kind somebody waits for."""
    with engine.connect() as connection:
        asked = f"SELECT count(*) FROM pg_locks JOIN pg_database d ON d.oid = database WHERE NOT granted AND {which}"
        return int(connection.execute(text(f"{asked} AND datname = current_database()")).scalar_one())


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
