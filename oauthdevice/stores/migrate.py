"""Brings a database to the newest migration."""

from pathlib import Path

from alembic import command
from alembic.config import Config

from ..domain.errors import StoreUnavailable
from .sql import create_database, unavailable

MIGRATIONS = Path(__file__).parent / "migrations"


def alembic_config(database_url: str) -> Config:
    """What Alembic needs to know of our migrations."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["database_url"] = database_url
    return config


def upgrade(database_url: str) -> None:
    """Run what is missing. A second time does nothing. Raises StoreUnavailable."""
    _make_folder(database_url)
    with unavailable():
        command.upgrade(alembic_config(database_url), "head")


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
