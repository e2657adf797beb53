"""The chain in the tables of SQLite and PostgreSQL: one chain whoever writes, and what a walk finds of it."""

import subprocess
import sys
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Executable, delete, event, select, update

from oauthdevice.domain.audit import AuditEvent
from oauthdevice.domain.audit_chain import Chain
from oauthdevice.domain.audit_proof import AuditProof
from oauthdevice.domain.webhooks import Subscription
from oauthdevice.stores.audit_chain import BATCH, AuditRows
from oauthdevice.stores.models import AuditHeadRow, AuditRow, Base, WebhookDeliveryRow
from oauthdevice.stores.sql import Database, create_database

from ..factories import SECRET

NOW = datetime(2026, 1, 31, 12, 0, 0, 123456, tzinfo=UTC)
HOOK = "https://hooks.example.com/"
WRITERS, EACH = 10, 10
# One process of ten: single rows and batches, some of which others bring too.
WRITER = """
import sys
from datetime import UTC, datetime
from oauthdevice.domain.audit import AuditEvent
from oauthdevice.domain.audit_chain import Chain
from oauthdevice.domain.webhooks import Subscription
from oauthdevice.stores.audit_chain import AuditRows
from oauthdevice.stores.sql import create_database
def made(name):
    return AuditEvent(id=name, at=datetime.now(UTC), event="login")
url, secret, hook, number, each = sys.argv[1:]
rows = AuditRows(create_database(url), Chain([secret]), Subscription(frozenset([hook])))
for turn in range(int(each)):
    rows.add([made(f"{number}-{turn}")])
    rows.add([made(f"shared-{turn}"), made(f"{number}-{turn}"), made(f"shared-{turn + 1}")])
"""


def made(name: str, **told: str) -> AuditEvent:
    given = {"event": "login", "subject": "account:ada", "device_label": 'Ω \\ "laptop"', **told}
    return AuditEvent(id=name, at=NOW, **given)


@pytest.fixture
def rows(database: Database) -> AuditRows:
    return AuditRows(database, Chain([SECRET]), Subscription(frozenset([HOOK])))


@pytest.fixture
def proof(rows: AuditRows) -> AuditProof:
    return AuditProof(Chain([SECRET]), rows)


class Intruder:
    """Somebody who may write to the database, and has no secret. Each statement is committed."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def execute(self, statement: Executable) -> None:
        with self._database.write() as session:
            session.execute(statement)

    def scalar(self, statement: Executable) -> Any:
        with self._database.read() as session:
            return session.execute(statement).scalar_one()

    def add(self, *rows: Base) -> None:
        with self._database.write() as session:
            session.add_all(rows)


@pytest.fixture
def sql(database: Database) -> Intruder:
    return Intruder(database)


def found(proof: AuditProof) -> list[str]:
    return [str(one) for one in proof.findings()]


def ids(rows: AuditRows) -> list[str]:
    return [row.event.id for row in rows.chained(0, rows.head()[1])]


class TestRowsAreAdded:
    def test_what_comes_back_is_what_was_signed(self, rows: AuditRows, proof: AuditProof) -> None:
        told = {name: f"{name} Ω\t\\" for name in ("client_id", "scopes", "address", "request_id", "reason")}
        whole = made("whole", token_id="t" * 36, **told)
        rows.add([made("a"), whole, AuditEvent(id="b", at=NOW.replace(microsecond=0), event="limited")])
        assert [row.event for row in rows.chained(0, 3)][1] == whole
        assert [row.link.position for row in rows.chained(0, 3)] == [1, 2, 3]
        assert found(proof) == []

    def test_one_that_is_in_the_chain_is_not_added_again(self, rows: AuditRows, proof: AuditProof) -> None:
        rows.add([made("a"), made("b")])
        rows.add([made("b"), made("c"), made("c"), made("a")])
        rows.add([made("a")])
        assert ids(rows) == ["a", "b", "c"]
        assert found(proof) == []

    def test_each_is_delivered_once(self, rows: AuditRows, database: Database) -> None:
        rows.add([made("a"), made("b")])
        rows.add([made("b"), made("c")])
        with database.read() as sql:
            waiting = sql.scalars(select(WebhookDeliveryRow)).all()
        assert sorted(row.event_id for row in waiting) == ["a", "b", "c"]
        assert {(row.url, row.attempts, row.next_attempt_at) for row in waiting} == {(HOOK, 0, NOW)}

    def test_what_the_table_does_not_take_leaves_no_gap(self, rows: AuditRows, proof: AuditProof) -> None:
        rows.add([made("a")])
        with pytest.raises(TypeError):
            rows.add([made("b"), replace(made("c"), reason=object())])  # type: ignore[arg-type]  # no text
        rows.add([made("d")])
        assert ids(rows) == ["a", "d"]
        assert found(proof) == []

    def test_a_row_of_an_old_process_is_taken_in(self, rows: AuditRows, proof: AuditProof, sql: Intruder) -> None:
        """It moved the same row from Redis at the same moment."""
        rows.add([made("a")])
        sql.add(AuditRow(id="b", at=NOW, event="login", subject="account:ada"))
        rows.add([made("b"), made("c")])
        assert ids(rows) == ["a", "b", "c"]
        assert found(proof) == []

    def test_the_chain_begins_with_the_migration(self, migrated_sqlite: object) -> None:
        database = create_database(f"sqlite:///{migrated_sqlite}")
        head, last = AuditRows(database, Chain([SECRET]), Subscription()).head()
        database.engine.dispose()
        assert head is not None
        assert (head.position, head.seal, last) == (0, None, 0)
        assert timedelta(0) <= datetime.now(UTC) - head.begun_at < timedelta(days=1)


class TestManyWriteAtOnce:
    def test_ten_processes_make_one_chain(self, rows: AuditRows, proof: AuditProof, database: Database) -> None:
        url = database.engine.url.render_as_string(hide_password=False)
        command = [sys.executable, "-W", "ignore", "-c", WRITER, url, SECRET, HOOK]
        writers = [
            subprocess.Popen([*command, str(number), str(EACH)], stderr=subprocess.PIPE) for number in range(WRITERS)
        ]
        ended = [(writer.communicate()[1], writer.returncode) for writer in writers]
        assert ended == [(b"", 0)] * WRITERS
        expected = {f"{number}-{turn}" for number in range(WRITERS) for turn in range(EACH)}
        expected |= {f"shared-{turn}" for turn in range(EACH + 1)}
        assert sorted(ids(rows)) == sorted(expected)
        assert found(proof) == []
        with database.read() as sql:
            delivered = sql.scalars(select(WebhookDeliveryRow.event_id)).all()
        assert sorted(delivered) == sorted(expected)

    def test_who_is_not_patient_finds_the_end_held(self, rows: AuditRows, database: Database) -> None:
        if database.engine.dialect.name == "sqlite":
            pytest.skip("there everybody waits for whoever writes")
        rows.add([made("a")])
        with database.write() as sql:
            sql.scalars(select(AuditHeadRow).with_for_update()).one()
            assert rows.add([made("b")], patient=False) is False
        assert rows.add([made("c")], patient=False) is True
        assert ids(rows) == ["a", "c"]

    def test_a_walk_is_not_disturbed_by_what_is_added_meanwhile(self, rows: AuditRows, proof: AuditProof) -> None:
        rows.add([made(f"{number}") for number in range(BATCH + 5)])
        stopped = threading.Event()

        def add() -> None:
            number = 0
            while not stopped.is_set():
                rows.add([made(f"later-{number}")])
                number += 1

        adding = threading.Thread(target=add)
        adding.start()
        try:
            told = [found(proof) for _ in range(5)]
        finally:
            stopped.set()
            adding.join()
        assert told == [[]] * 5


class TestWhoMayWriteTampers:
    @pytest.fixture(autouse=True)
    def _ten(self, rows: AuditRows) -> None:
        rows.add([made(f"event-{number}") for number in range(1, 11)])

    def test_a_changed_column_is_found(self, proof: AuditProof, sql: Intruder) -> None:
        for column, value in (("subject", "account:eve"), ("reason", ""), ("at", NOW + timedelta(microseconds=1))):
            before = sql.scalar(select(getattr(AuditRow, column)).where(AuditRow.position == 4))
            sql.execute(update(AuditRow).where(AuditRow.position == 4).values({column: value}))
            assert [line[:10] for line in found(proof)] == ["position 4"], column
            sql.execute(update(AuditRow).where(AuditRow.position == 4).values({column: before}))
        assert found(proof) == []

    def test_a_removed_row_is_found(self, proof: AuditProof, sql: Intruder) -> None:
        sql.execute(delete(AuditRow).where(AuditRow.position == 4))
        assert found(proof)[0] == "position 4: is missing"

    def test_one_taken_out_of_the_chain_is_found_twice(self, proof: AuditProof, sql: Intruder) -> None:
        sql.execute(update(AuditRow).where(AuditRow.position == 4).values(position=None, hash=None, key_id=None))
        assert found(proof)[0] == "position 4: is missing"

    def test_one_without_a_hash_is_found(self, proof: AuditProof, sql: Intruder) -> None:
        sql.execute(update(AuditRow).where(AuditRow.position == 4).values(hash=None, key_id=None))
        assert found(proof)[0].startswith("position 4: is under a secret that is not given")

    def test_one_put_in_is_found(self, proof: AuditProof, rows: AuditRows, sql: Intruder) -> None:
        head, _ = rows.head()
        assert head is not None
        later = head.begun_at + timedelta(seconds=1)
        sql.add(AuditRow(id="forged", at=later, event="approved"))
        assert found(proof) == [f"event forged: is in no chain, though it is of {later.isoformat()}"]
        assert proof.before_the_chain(None) == 0

    def test_the_newest_cut_off_is_found_for_good(self, proof: AuditProof, rows: AuditRows, sql: Intruder) -> None:
        sql.execute(delete(AuditRow).where(AuditRow.position > 7))
        assert found(proof) == ["position 8: is missing, and so are all to 10"]
        stolen = sql.scalar(select(AuditRow.hash).where(AuditRow.position == 7))
        sql.execute(update(AuditHeadRow).values(position=7, seal=stolen))
        assert found(proof)[0].startswith("position 7: the head does not fit this row")
        rows.add([made("later")])
        assert found(proof) == ["position 8, event later: was changed, or the one before it was"]

    def test_a_head_put_back_stops_nobody_and_is_found_for_good(
        self, proof: AuditProof, rows: AuditRows, sql: Intruder
    ) -> None:
        sql.execute(update(AuditHeadRow).values(position=3))
        rows.add([made("later")])
        assert rows.head()[1] == 11
        assert found(proof) == []  # The seal was left as it was, so that the chain goes on as if nothing had been done.
        sql.execute(update(AuditHeadRow).values(position=3, seal="0" * 64))
        rows.add([made("latest")])
        assert found(proof) == ["position 12, event latest: was changed, or the one before it was"]

    def test_a_head_put_forward_is_found_for_good(self, proof: AuditProof, rows: AuditRows, sql: Intruder) -> None:
        sql.execute(update(AuditHeadRow).values(position=20))
        rows.add([made("later")])
        assert found(proof)[0] == "position 11: is missing, and so are all to 20"

    def test_a_head_that_is_gone_stops_nobody_and_is_found_for_good(
        self, proof: AuditProof, rows: AuditRows, sql: Intruder
    ) -> None:
        sql.execute(delete(AuditHeadRow))
        assert found(proof)[0].startswith("chain: the head is gone")
        rows.add([made("later")], patient=False)
        rows.add([made("latest")])
        assert ids(rows)[-2:] == ["later", "latest"]
        assert any("position 11, event later: was changed" in line for line in found(proof))

    def test_all_of_it_deleted_looks_like_a_new_one_but_for_an_anchor(
        self, proof: AuditProof, rows: AuditRows, sql: Intruder
    ) -> None:
        anchor = proof.anchor()
        assert anchor is not None
        assert anchor.position == 10
        sql.execute(delete(AuditRow))
        sql.execute(delete(AuditHeadRow))
        rows.add([made("later")])
        assert found(proof) == []
        assert [str(one) for one in proof.findings(expected=[anchor])] == [
            f"position 10: is not there; it was noted with the hash {anchor.hash}"
        ]


class TestOldRows:
    def test_those_of_before_the_chain_are_counted(self, proof: AuditProof, rows: AuditRows, sql: Intruder) -> None:
        sql.execute(delete(AuditHeadRow))
        sql.add(AuditHeadRow(id=1, position=0, seal=None, begun_at=NOW))
        sql.add(*(AuditRow(id=f"old-{number}", at=NOW - timedelta(days=number), event="login") for number in (1, 2)))
        sql.add(AuditRow(id="of an old process", at=NOW + timedelta(minutes=1), event="login"))
        rows.add([made("a")])
        assert proof.before_the_chain(None) == 2
        assert [one.event_id for one in proof.findings()] == ["of an old process"]
        until = NOW + timedelta(minutes=2)
        assert proof.before_the_chain(until) == 3
        assert list(proof.findings(unchained_until=until)) == []

    def test_a_walk_holds_a_batch_in_memory_at_most(self, rows: AuditRows, database: Database) -> None:
        rows.add([made(f"{number}") for number in range(2 * BATCH + 1)])
        asked: list[str] = []
        event.listen(database.engine, "before_cursor_execute", lambda *told: asked.append(told[2]))
        walk = rows.chained(0, 2 * BATCH + 1)
        statements = [(next(walk).link.position, len(asked)) for _ in range(2 * BATCH + 1)]
        assert all("LIMIT" in one for one in asked if "audit_events" in one)
        assert [sum("audit_events" in one for one in asked[:count]) for position, count in statements[::BATCH]] == [
            1,
            2,
            3,
        ]
        assert list(walk) == []
