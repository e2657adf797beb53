"""Audit rows from many threads of several processes at once: none waits for another, none is left behind."""

import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import cast

import pytest
import redis
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from oauthdevice.domain.audit import Audit, AuditEvent
from oauthdevice.domain.audit_chain import Chain
from oauthdevice.domain.audit_proof import AuditProof
from oauthdevice.domain.errors import StoreUnavailable
from oauthdevice.domain.webhooks import Subscription
from oauthdevice.metrics import Meter
from oauthdevice.stores.audit import BATCHES_MAX, AuditLedger
from oauthdevice.stores.audit_chain import AuditRows
from oauthdevice.stores.connections import connect
from oauthdevice.stores.models import AuditHeadRow
from oauthdevice.stores.sql import Database, create_database
from oauthdevice.stores.waiting_events import dump_event
from oauthdevice.stores.waiting_rows import BATCH, WaitingRows

from ..factories import SECRET
from ..servers import RedisServer

KEY = "oauthdevice:audit"
LEDGERS, THREADS, EACH = 2, 8, 15
BURSTS = 100


def made(name: str) -> AuditEvent:
    return AuditEvent(id=name, at=datetime.now(UTC), event="login")


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with connect(redis_url) as one:
        yield one


def ledger_of(database: Database, client: redis.Redis) -> AuditLedger:
    """As one process has it."""
    return AuditLedger(database, AuditRows(database, Chain([SECRET]), Subscription()), client, "oauthdevice")


@pytest.fixture
def ledger(database: Database, client: redis.Redis) -> AuditLedger:
    return ledger_of(database, client)


def chained(database: Database) -> list[str]:
    rows = AuditRows(database, Chain([SECRET]), Subscription())
    assert list(AuditProof(Chain([SECRET]), rows).findings()) == []
    return [row.event.id for row in rows.chained(0, rows.head()[1])]


def test_each_is_in_the_chain_once_when_all_are_done(database: Database, client: redis.Redis) -> None:
    """Without anybody looking for what waits: whoever leaves a row leaves it to somebody who looks for it."""
    own = [create_database(database.engine.url.render_as_string(hide_password=False)) for _ in range(LEDGERS)]
    barrier = threading.Barrier(LEDGERS * THREADS)

    def append(ledger: AuditLedger, name: str) -> None:
        barrier.wait()
        for turn in range(EACH):
            ledger.append(made(f"{name}-{turn}"))

    threads = []
    for number, one in enumerate(own):
        ledger = ledger_of(one, client)
        threads += [threading.Thread(target=append, args=[ledger, f"{number}-{name}"]) for name in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one in own:
        one.engine.dispose()
    expected = [
        f"{number}-{name}-{turn}" for number in range(LEDGERS) for name in range(THREADS) for turn in range(EACH)
    ]
    assert client.hlen(KEY) == 0
    assert sorted(chained(database)) == sorted(expected)


def test_none_is_left_behind_by_ends_of_sessions(database: Database, client: redis.Redis) -> None:
    """Each holds the end in a transaction of its own, and appends nothing afterwards."""
    own = [create_database(database.engine.url.render_as_string(hide_password=False)) for _ in range(LEDGERS)]
    ledgers = [ledger_of(one, client) for one in own]

    def append(number: int, name: str) -> None:
        barrier.wait()
        for turn in range(2):
            ledgers[number].append(made(f"{name}-{turn}"))

    def end(number: int, name: str) -> None:
        audit = Audit(ledgers[number], lambda: datetime.now(UTC), Meter())
        barrier.wait()
        for turn in range(2):
            with own[number].write() as sql:
                event = made(f"{name}-{turn}")
                AuditRows(own[number], Chain([SECRET]), Subscription()).add_within(sql, event)
            audit.stored(event)

    for burst in range(BURSTS):
        barrier = threading.Barrier(6)
        threads = [
            threading.Thread(target=todo, args=[number % LEDGERS, f"{burst}-{todo.__name__}-{number}"])
            for number in range(3)
            for todo in (append, end)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert client.hkeys(KEY) == [], burst
    for one in own:
        one.engine.dispose()
    assert len(chained(database)) == BURSTS * 6 * 2


class TestAnotherProcessHoldsTheEnd:
    """On PostgreSQL. On SQLite whoever writes waits, for a row as for anything else."""

    @pytest.fixture
    def held(self, database: Database) -> Iterator[Session]:
        """The end of the chain, as another process holds it."""
        if database.engine.dialect.name == "sqlite":
            pytest.skip("SQLite has one writer at a time")
        AuditRows(database, Chain([SECRET]), Subscription()).add([made("first")])
        with database.write() as sql:
            sql.scalars(select(AuditHeadRow).with_for_update()).one()
            yield sql

    def test_a_row_is_left_to_it(
        self, held: Session, ledger: AuditLedger, client: redis.Redis, database: Database
    ) -> None:
        ledger.append(made("left"))
        assert list(client.hgetall(KEY)) == ["left"]
        held.rollback()
        ledger.append(made("next"))
        assert client.hlen(KEY) == 0
        assert chained(database) == ["first", "left", "next"]

    def test_the_end_of_a_session_looks_after_what_was_left_to_it(
        self, held: Session, ledger: AuditLedger, client: redis.Redis, database: Database
    ) -> None:
        """Its own row is in its transaction, and it appends none."""
        AuditRows(database, Chain([SECRET]), Subscription()).add_within(held, made("end of a session"))
        ledger.append(made("left"))
        held.commit()
        Audit(ledger, lambda: datetime.now(UTC), Meter()).stored(made("end of a session"))
        assert client.hlen(KEY) == 0
        assert chained(database) == ["first", "end of a session", "left"]

    def test_who_reads_waits_for_it(self, held: Session, ledger: AuditLedger) -> None:
        ledger.append(made("left"))
        ending = threading.Timer(0.2, held.rollback)
        ending.start()
        assert {event.id for event in ledger.newest(10)} == {"first", "left"}
        ending.join()

    def test_without_redis_the_row_waits_for_it(
        self, held: Session, database: Database, own_redis_server: RedisServer
    ) -> None:
        with connect(own_redis_server.url) as client:
            ledger = ledger_of(database, client)
            own_redis_server.stop()
            ending = threading.Timer(0.2, held.rollback)
            ending.start()
            ledger.append(made("waited"))
            ending.join()
        assert chained(database) == ["first", "waited"]

    def test_a_full_redis_takes_no_mark_and_the_row_waits_for_it(
        self, held: Session, database: Database, own_redis_server: RedisServer
    ) -> None:
        with connect(own_redis_server.url) as client:
            client.hset(KEY, *dump_event(one := made("waits already")))
            client.config_set("maxmemory", 1)
            ending = threading.Timer(0.2, held.rollback)
            ending.start()
            ledger_of(database, client).append(one, waits=True)
            ending.join()
            assert client.hlen(KEY) == 0
        assert chained(database) == ["first", "waits already"]


class TestTheTable:
    def test_takes_none_for_a_while_and_they_wait(
        self, ledger: AuditLedger, client: redis.Redis, database: Database
    ) -> None:
        """As where a release runs whose migration does not."""
        with database.write() as sql:
            sql.execute(text("ALTER TABLE audit_events RENAME COLUMN reason TO why"))
        try:
            ledger.append(made("first"))
            ledger.defer(made("second"))
            assert sorted(client.hkeys(KEY)) == ["first", "second"]
            with pytest.raises(StoreUnavailable):
                ledger.settle()
        finally:
            with database.write() as sql:
                sql.execute(text("ALTER TABLE audit_events RENAME COLUMN why TO reason"))
        ledger.append(made("third"))
        assert client.hlen(KEY) == 0
        assert chained(database) == ["first", "second", "third"]

    def test_was_away_for_long_and_no_request_moves_all_that_waits(
        self, ledger: AuditLedger, client: redis.Redis, database: Database
    ) -> None:
        many = [made(str(number)) for number in range(BATCHES_MAX * BATCH * 3 // 2)]
        client.hset(KEY, mapping=dict(map(dump_event, many)))
        ledger.append(made("next"))
        left = cast("int", client.hlen(KEY))
        assert len(many) // 4 < left < len(many) // 2
        ledger.settle()
        assert client.hlen(KEY) == 0
        assert len(chained(database)) == len(many) + 1


def test_who_found_redis_away_looks_after_what_was_left_meanwhile(
    ledger: AuditLedger, client: redis.Redis, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(waiting: WaitingRows, event: AuditEvent) -> int:
        client.hset(KEY, *dump_event(made("of another")))
        waiting.mark()
        raise StoreUnavailable(detail="away for a moment")

    monkeypatch.setattr(WaitingRows, "add", away)
    ledger.append(made("own"))
    assert client.hlen(KEY) == 0
    assert chained(database) == ["own", "of another"]


class TestWhoMovesWhatWaits:
    """A request that moves rows moves what waited when it began, whatever others go on adding."""

    @pytest.fixture
    def meanwhile(self, monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], None]]:
        """What others do while rows are moved: one of these each time."""
        todo: list[Callable[[], None]] = []
        add = AuditRows.add

        def adding(rows: AuditRows, events: Sequence[AuditEvent], *, patient: bool = True) -> bool:
            added = add(rows, events, patient=patient)
            if todo:
                todo.pop(0)()
            return added

        monkeypatch.setattr(AuditRows, "add", adding)
        return todo

    def test_leaves_those_that_came_meanwhile(
        self, meanwhile: list[Callable[[], None]], ledger: AuditLedger, client: redis.Redis, database: Database
    ) -> None:
        meanwhile += [partial(ledger.defer, made("first")), partial(ledger.defer, made("second"))]
        for number in range(100):
            ledger.defer(made(str(number)))
        assert client.hkeys(KEY) == ["first"]
        assert len(chained(database)) == 100

    def test_takes_one_that_was_left_to_it(
        self, meanwhile: list[Callable[[], None]], ledger: AuditLedger, client: redis.Redis, database: Database
    ) -> None:
        meanwhile.append(partial(ledger.append, made("left")))
        for number in range(100):
            ledger.defer(made(str(number)))
        assert client.hlen(KEY) == 0
        assert chained(database)[100:] == ["left"]
        # Whoever else moves rows at this moment is to see it too.
        assert client.get(f"oauthdevice:{{{KEY}}}:audit_mark") == "1"
