"""The engine, and how a store method becomes one transaction."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import Connection, make_url
from sqlalchemy.exc import InterfaceError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session, sessionmaker

from ..domain.errors import StoreUnavailable

BUSY_TIMEOUT_SECONDS = 5
TIMEOUT_SECONDS = 5


class Database:
    """Transactions on one engine. A store opens one per method: `with database.write() as sql:`.

    A request is not the unit of work here: a redemption must have committed its token before it
    marks the record in Redis, so no transaction spans a request.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._reads = sessionmaker(engine, expire_on_commit=False)
        # SQLite cannot turn a reader into a writer while another writes: writers say so at once.
        self._writes = sessionmaker(engine.execution_options(sqlite_begin="IMMEDIATE"), expire_on_commit=False)

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A transaction that only reads. Raises StoreUnavailable."""
        with unavailable(), self._reads.begin() as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A transaction that commits at the end. Raises StoreUnavailable; lets IntegrityError through."""
        with unavailable(), self._writes.begin() as session:
            yield session


def create_database(
    url: str, *, pool_size: int = 5, pool_overflow: int = 10, statement_timeout_seconds: int = TIMEOUT_SECONDS
) -> Database:
    """Connects on first use. SQLite gets WAL, foreign keys and a busy timeout.

    For PostgreSQL, this process keeps up to `pool_size` connections and opens up to `pool_overflow`
    more while all are in use. It gives a statement up after `statement_timeout_seconds` (0: never), and a connection
    whose other end no longer acknowledges. After the same time PostgreSQL ends a transaction that says nothing
    more: its machine may be cut off, and its locks would keep everybody else waiting for a quarter of an hour.
    No error tells the parameters of its statement.
    """
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite":
        milliseconds = statement_timeout_seconds * 1000
        limits = {
            "connect_timeout": TIMEOUT_SECONDS,
            # Of what was sent; where only an answer is missing, the first probe finds out.
            "tcp_user_timeout": TIMEOUT_SECONDS * 1000,
            "keepalives_idle": TIMEOUT_SECONDS,
            "keepalives_interval": 1,
            "options": f"-c statement_timeout={milliseconds} -c idle_in_transaction_session_timeout={milliseconds}",
        }
        return Database(
            create_engine(
                parsed,
                pool_size=pool_size,
                max_overflow=pool_overflow,
                pool_pre_ping=True,
                pool_timeout=TIMEOUT_SECONDS,
                connect_args=limits,
                hide_parameters=True,
            )
        )
    engine = create_engine(parsed, connect_args={"timeout": BUSY_TIMEOUT_SECONDS}, hide_parameters=True)
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return Database(engine)


@contextmanager
def unavailable() -> Iterator[None]:
    """Any failure to reach the database, wrapped once as StoreUnavailable."""
    try:
        yield
    except (OperationalError, InterfaceError, InternalError) as error:
        # The driver's own words, without the statement and its parameters.
        raise StoreUnavailable(detail=f"database: {str(error.orig).strip().partition(chr(10))[0]}") from error
    except PoolTimeout as error:
        raise StoreUnavailable(detail="database: no connection came free in time") from error


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    # The driver must not begin transactions by itself: `_begin_sqlite` does.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    connection.exec_driver_sql(f"BEGIN {connection.get_execution_options().get('sqlite_begin', 'DEFERRED')}")
