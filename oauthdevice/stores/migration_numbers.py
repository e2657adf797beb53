"""Which migration this release needs: by number, and without Alembic, of which a server that runs has no use."""

from functools import cache
from pathlib import Path

_VERSIONS = Path(__file__).parent / "migrations" / "versions"


@cache
def newest_migration() -> str:
    """The last that this release knows. Each file begins with its number."""
    return max(path.name.partition("_")[0] for path in _VERSIONS.glob("[0-9]*.py"))


def is_newer(migration: str) -> bool:
    """Whether it is of a newer release."""
    return migration.isdecimal() and int(migration) > int(newest_migration())


def suffices(migration: str | None) -> bool:
    """Whether this release finds its tables there: at its newest migration, or at one of a newer release."""
    return migration is not None and (migration == newest_migration() or is_newer(migration))
