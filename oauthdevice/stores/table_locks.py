"""How migrations on PostgreSQL get the locks of their tables without stopping whoever uses them."""

import logging
import time
from collections.abc import Callable

from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError

from ..domain.errors import DomainError

log = logging.getLogger(__name__)

# Any number that no other program locks in our database.
LOCK = 86_28_2019
# Whoever waits for the lock of a table keeps everybody behind it waiting, and a server gives up after five seconds.
LOCK_SECONDS, PAUSE_SECONDS = 1, 3
PATIENCE_SECONDS = 300
# lock_not_available, deadlock_detected: what PostgreSQL says before anything of the migration holds.
_IN_USE = {"55P03", "40P01"}


class TablesInUse(DomainError):
    """Somebody else held the lock of a table all the time that a migration was tried."""

    error = "tables_in_use"
    description = (
        "A table is in use by a long transaction (a dump? pg_stat_activity knows), so a migration is missing still."
        " Nobody was kept waiting for it; run `upgrade` again."
    )


def run_patiently(connection: Connection, migrate: Callable[[], None], patience_seconds: float) -> None:
    """Run `migrate` alone, again and again until it gets its locks. Raises TablesInUse.

    A try waits for a second, and those who queued behind it are served in the pause before the next. `migrate` commits
    each migration by itself, so what was done is not done again.
    """
    deadline = time.monotonic() + patience_seconds
    # Of processes that start at once one migrates; the others wait here and find it done. It belongs to the session,
    # not to a transaction: it holds over all tries, so that those of ten processes do not follow upon each other.
    connection.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": LOCK})
    connection.execute(text(f"SET lock_timeout = '{LOCK_SECONDS}s'"))
    connection.commit()
    told = False
    while not _ran(connection, migrate):
        if time.monotonic() >= deadline:
            raise TablesInUse()
        if not told:
            log.warning("A table is in use by another transaction; trying for %d seconds.", patience_seconds)
            told = True
        time.sleep(PAUSE_SECONDS)


def _ran(connection: Connection, migrate: Callable[[], None]) -> bool:
    try:
        migrate()
    except OperationalError as error:
        if getattr(error.orig, "sqlstate", None) not in _IN_USE:
            raise
        connection.rollback()
        return False
    return True
