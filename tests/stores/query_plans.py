"""What PostgreSQL does for the statements of the session store, over many rows.

`python -m tests.stores.query_plans FILE` fills a throwaway server with a million sessions and writes
their plans as a document; `test_query_plans` looks at the same plans over fewer rows.
"""

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import event, text

from oauthdevice.domain.credentials import credential_digest
from oauthdevice.domain.sessions import Rotation
from oauthdevice.domain.subjects import AccountSubject
from oauthdevice.stores.accounts import SQLAccountStore
from oauthdevice.stores.migrate import upgrade
from oauthdevice.stores.sessions import SQLSessionStore
from oauthdevice.stores.sql import Database, create_database
from oauthdevice.stores.token_cache import NoTokenCache

from ..factories import audit_rows
from ..servers import running_postgresql

ROWS = 1_000_000
SESSIONS_OF_AN_ACCOUNT = 100
PURGE_DAYS, PURGE_BATCH = 30, 500
PAGE = 100
ACCOUNT = "account-7"
TABLES = ("sessions", "access_tokens", "refresh_tokens")
# Sessions live for 14 days and were started over the last 45: of the oldest, a purge is due.
DAYS, LIFETIME_DAYS = 45, 14

# One session in ten was ended and has no tokens; another one has two access tokens. The order of
# the rows is no order of anything else, as after a year of use.
FILL = (
    """
    INSERT INTO accounts (id, email, email_key, name, password_hash, created_at)
    SELECT 'account-' || n, n || '@example.com', n || '@example.com', 'Person ' || n, '', :now
    FROM generate_series(0, :rows / :each - 1) AS n
    """,
    """
    INSERT INTO sessions (id, attempt, subject_digest, account_id, client_id, device_label, device_key, scopes, prefix,
        created_at, expires_at, revoked_at, ends_at)
    SELECT md5('session ' || n)::uuid::text, 1,
        encode(sha256(('account:account-' || n % (:rows / :each))::bytea), 'hex'),
        'account-' || n % (:rows / :each), 'tool', 'device ' || n,
        CASE WHEN n % 10 > 0 THEN encode(sha256(('device ' || n)::bytea), 'hex') END,
        'full', 'dfoa_', started, started + :lifetime,
        CASE WHEN n % 10 = 0 THEN started + interval '1 day' END,
        started + CASE WHEN n % 10 = 0 THEN interval '1 day' ELSE :lifetime END
    FROM generate_series(0, :rows - 1) AS n,
        LATERAL (SELECT :now - :span * ((n * 7919::bigint) % :rows)::float / :rows AS started) AS times
    """,
    """
    INSERT INTO access_tokens (digest, session_id, scopes, issued_at, expires_at)
    SELECT encode(sha256(('access ' || n || ' ' || nth)::bytea), 'hex'), md5('session ' || n)::uuid::text, 'full',
        :now, :now + :lifetime
    FROM generate_series(0, :rows - 1) AS n, generate_series(1, 2) AS nth
    WHERE n % 10 > 0 AND (nth = 1 OR n % 10 = 1)
    """,
    """
    INSERT INTO refresh_tokens (digest, session_id, issued_at)
    SELECT encode(sha256(('refresh ' || n)::bytea), 'hex'), md5('session ' || n)::uuid::text, :now
    FROM generate_series(0, :rows - 1) AS n WHERE n % 10 > 0
    """,
)


@dataclass(frozen=True)
class Plan:
    """One statement that a store sent, and how the database carried it out."""

    statement: str
    lines: tuple[str, ...]

    @property
    def rows(self) -> int:
        """How many rows the whole of it found."""
        found = re.search(r"actual .*rows=(\d+)", self.lines[0])
        assert found is not None, self.lines[0]
        return int(found[1])

    def is_about(self, *tables: str) -> bool:
        return any(re.search(rf"(FROM|JOIN|INTO|UPDATE) {name}\b", self.statement) for name in tables)

    def scans_all_of(self, *tables: str) -> list[str]:
        """Those of the tables that it reads from the first row to the last."""
        return [name for name in tables if any(f"Seq Scan on {name}" in line for line in self.lines)]


def fill(database: Database, rows: int, now: datetime) -> None:
    """That many sessions and access tokens, and statistics about them."""
    given = {"rows": rows, "each": SESSIONS_OF_AN_ACCOUNT, "now": now}
    spans = {"span": timedelta(days=DAYS), "lifetime": timedelta(days=LIFETIME_DAYS)}
    with database.engine.begin() as sql:
        sql.execute(text("SET LOCAL statement_timeout = 0"))
        for statement in FILL:
            known = {name: value for name, value in {**given, **spans}.items() if f":{name}" in statement}
            sql.execute(text(statement), known)
            # Statistics from before, of emptied tables, would have each foreign key checked by reading a whole table.
            sql.execute(text("ANALYZE"))
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as sql:
        sql.execute(text("VACUUM ANALYZE"))


def count(database: Database, table: str) -> int:
    with database.engine.connect() as sql:
        return int(sql.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())


def plans(database: Database, now: datetime, batch: int = PURGE_BATCH) -> dict[str, list[Plan]]:
    """The plans of each of the calls below, made while the store makes the call.

    `batch` is how many sessions a purge forgets at once: of a small table, reading all is right.
    """
    sessions = SQLSessionStore(database, NoTokenCache(), audit_rows(database))
    accounts = SQLAccountStore(database, NoTokenCache())
    live_session = sessions.live(now, account_id=ACCOUNT, client_id=None)[0].id
    rotation = Rotation(
        spent_digest=_token_of(database, "refresh_tokens", live_session),
        refresh_digest=credential_digest("a new refresh token"),
        token_digest=credential_digest("a new access token"),
        scopes=frozenset({"full"}),
        issued_at=now,
        token_expires_at=now + timedelta(hours=1),
        sealed_answer="sealed",
        seal_seconds=30,
    )
    access_digest = _token_of(database, "access_tokens", live_session)
    calls: dict[str, Callable[[], Any]] = {
        "Sessions, page 1 and their number": lambda: sessions.live_of(AccountSubject(ACCOUNT).key, now, 0, PAGE),
        "Introspection and every request with an access token": lambda: sessions.by_token(access_digest),
        "Introspection of a refresh token": lambda: sessions.by_refresh_token(rotation.spent_digest, unspent=True),
        "A batch of a purge": lambda: sessions.purge(now - timedelta(days=PURGE_DAYS), batch),
        "Live sessions of an account": lambda: sessions.live(now, account_id=ACCOUNT, client_id=None),
        "A refresh": lambda: sessions.rotate(rotation),
        "The end of a session": lambda: sessions.revoke(live_session, now),
        "The end of an account": lambda: accounts.set_active(ACCOUNT, False, now),
    }
    made: dict[str, list[Plan]] = {}
    for name, call in calls.items():
        with explained(database) as caught:
            call()
        made[name] = _distinct([plan for plan in caught if plan.is_about(*TABLES)])
    return made


@contextmanager
def explained(database: Database) -> Iterator[list[Plan]]:
    """Every statement within, as it is sent: carried out once for its plan, taken back, and then let go on."""
    caught: list[Plan] = []

    def explain(_connection: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        with cursor.connection.cursor() as own:
            own.execute("SAVEPOINT before_plan")
            own.execute(f"EXPLAIN (ANALYZE, BUFFERS OFF) {statement}", parameters)
            caught.append(Plan(statement, tuple(line for (line,) in own.fetchall())))
            own.execute("ROLLBACK TO SAVEPOINT before_plan")

    event.listen(database.engine, "before_cursor_execute", explain)
    try:
        yield caught
    finally:
        event.remove(database.engine, "before_cursor_execute", explain)


def document(made: dict[str, list[Plan]], version: str, sizes: dict[str, int]) -> str:
    """The plans as Markdown."""
    held = ", ".join(f"{size:,} rows in `{table}`" for table, size in sizes.items())
    parts = [
        "# Query plans",
        f"What PostgreSQL {version} does for the statements of the session store, with {held}. "
        "Each statement was caught on its way to the database and explained with its own parameters; "
        "none reads a whole table of tokens or sessions. "
        "What the same calls read of accounts, by their primary key, is left out.",
        "Made by, and to be made again by, this command, which starts a PostgreSQL of its own:",
        "```sh\npython -m tests.stores.query_plans docs/query-plans.md\n```",
        "`tests/stores/test_query_plans.py` holds the same over 20,000 rows.",
    ]
    for name, found in made.items():
        parts.append(f"## {name}")
        for plan in found:
            parts.append(f"```sql\n{_short(_broken(plan.statement))}\n```")
            parts.append("```text\n" + "\n".join(_short(line) for line in plan.lines) + "\n```")
    return "\n\n".join(parts) + "\n"


def main(arguments: list[str]) -> None:
    """Write the document to the file that is named."""
    (file,) = arguments
    now = datetime.now(UTC)
    with running_postgresql() as server:
        url = server.create_database("plans")
        upgrade(url)
        database = create_database(url, statement_timeout_seconds=0)
        fill(database, ROWS, now)
        sizes = {name: count(database, name) for name in TABLES}
        with database.engine.connect() as sql:
            version = str(sql.execute(text("SHOW server_version")).scalar_one()).partition(" ")[0]
        Path(file).write_text(document(plans(database, now), version, sizes), "utf-8")
        database.engine.dispose()


def _token_of(database: Database, table: str, session_id: str) -> str:
    with database.engine.connect() as sql:
        found = text(f"SELECT digest FROM {table} WHERE session_id = :session_id LIMIT 1")
        return str(sql.execute(found, {"session_id": session_id}).scalar_one())


def _distinct(found: list[Plan]) -> list[Plan]:
    """The first of each statement."""
    return list({plan.statement: plan for plan in reversed(found)}.values())[::-1]


def _broken(statement: str) -> str:
    """Each clause on a line of its own; a list of columns by its first one."""
    one_line = " ".join(statement.split())
    one_line = re.sub(r"^SELECT (\w+\.\w+)(?:, \w+\.\w+){3,}", r"SELECT \1, …", one_line)
    return re.sub(r"(?<!DELETE) (?=(FROM|WHERE|ORDER BY|LIMIT|FOR UPDATE|RETURNING|VALUES) )", "\n", one_line)


def _short(line: str) -> str:
    """Without the hundreds of ids of one list."""
    line = re.sub(r"\bIN \((%\([^)]*\)s::VARCHAR(?:, )?)+\)", "IN (…)", line)
    return re.sub(r"'\{[^}]{100,}\}'", "'{…}'", line)


if __name__ == "__main__":
    main(sys.argv[1:])
