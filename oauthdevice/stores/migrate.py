"""Brings a database to the newest migration."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script.revision import ResolutionError
from alembic.util import CommandError

from ..domain.errors import DomainError, StoreUnavailable
from .migration_numbers import is_newer, newest_migration, suffices
from .sql import create_database, unavailable
from .table_locks import PATIENCE_SECONDS

__all__ = ["UnknownMigration", "alembic_config", "is_newer", "newest_migration", "suffices", "upgrade"]

MIGRATIONS = Path(__file__).parent / "migrations"


class UnknownMigration(DomainError):
    """The database is at a migration that is none of ours, nor of a newer release."""

    error = "unknown_migration"


def alembic_config(database_url: str) -> Config:
    """What Alembic needs to know of our migrations."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["database_url"] = database_url
    return config


def upgrade(database_url: str, *, patience_seconds: float = PATIENCE_SECONDS) -> str:
    """Run what is missing; the migration that the database is at then. A second time does nothing.

    Nor is anything done where a newer release has migrated: during an upgrade, or after a step back from it,
    this one works on its tables (docs/operating.md). A table of PostgreSQL that others use is tried for so long.
    Raises StoreUnavailable, TablesInUse, UnknownMigration.
    """
    _make_folder(database_url)
    config = alembic_config(database_url)
    config.attributes["patience_seconds"] = patience_seconds
    try:
        with unavailable():
            command.upgrade(config, "head")
    except CommandError as error:
        if not isinstance(error.__cause__, ResolutionError):
            raise
        found = error.__cause__.argument
        if not is_newer(found):
            raise UnknownMigration(f"The database is at the migration {found}, which is none of ours.") from error
        return found
    return newest_migration()


def _make_folder(database_url: str) -> None:
    engine = create_database(database_url).engine
    if engine.url.get_backend_name() == "sqlite" and engine.url.database not in (None, "", ":memory:"):
        path = Path(str(engine.url.database))
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # Password hashes and e-mails lie in it: for its owner alone, as SQLite's journals then are.
            path.touch(mode=0o600)
        except OSError as error:
            raise StoreUnavailable(detail=f"database: {error.strerror}") from error
