"""What waits to be delivered, in SQLite and PostgreSQL: one at a time for one process at a time."""

import threading
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import delete

from oauthdevice.domain.audit import AuditEvent
from oauthdevice.domain.audit_chain import Chain
from oauthdevice.domain.webhooks import Subscription
from oauthdevice.stores.audit_chain import AuditRows
from oauthdevice.stores.models import AuditRow
from oauthdevice.stores.sql import Database, create_database
from oauthdevice.stores.webhooks import SQLDeliveryStore

from ..factories import SECRET

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
LATER = NOW + timedelta(minutes=5)
URL, OTHER = "https://hooks.example.com/a", "https://hooks.example.com/b"
WORKERS, EACH = 5, 20


@pytest.fixture
def rows(database: Database) -> AuditRows:
    return AuditRows(database, Chain([SECRET]), Subscription(frozenset([URL, OTHER])))


@pytest.fixture
def store(database: Database) -> SQLDeliveryStore:
    return SQLDeliveryStore(database)


def made(name: str, seconds: int = 0) -> AuditEvent:
    return AuditEvent(id=name, at=NOW - timedelta(seconds=seconds), event="login", subject="account:ada")


class TestClaims:
    def test_the_longest_due_first_with_its_event_and_its_place_in_the_chain(
        self, rows: AuditRows, store: SQLDeliveryStore
    ) -> None:
        rows.add([made("new", 1), made("old", 2)])
        claimed = store.claim(URL, NOW, LATER)
        row = rows.at(2)
        assert claimed is not None
        assert row is not None
        assert (claimed.event, claimed.link) == (made("old", 2), row.link)
        assert (claimed.url, claimed.attempts, claimed.next_attempt_at, claimed.problem) == (URL, 1, LATER, None)

    def test_what_is_claimed_is_nobody_elses_until_then(self, rows: AuditRows, store: SQLDeliveryStore) -> None:
        rows.add([made("a")])
        assert store.claim(URL, NOW, LATER) is not None
        assert store.claim(URL, LATER - timedelta(microseconds=1), LATER) is None
        again = store.claim(URL, LATER, LATER + timedelta(minutes=5))
        assert again is not None
        assert again.attempts == 2

    def test_each_address_has_its_own(self, rows: AuditRows, store: SQLDeliveryStore) -> None:
        rows.add([made("a")])
        claimed = [store.claim(url, NOW, LATER) for url in (URL, OTHER, URL, "https://hooks.example.com/c")]
        assert [one and one.url for one in claimed] == [URL, OTHER, None, None]

    def test_nothing_is_due_before_its_time(self, rows: AuditRows, store: SQLDeliveryStore) -> None:
        rows.add([made("a", seconds=-1)])
        assert store.claim(URL, NOW, LATER) is None

    def test_of_many_at_once_each_gets_others(self, rows: AuditRows, database: Database) -> None:
        rows.add([made(f"{number}") for number in range(WORKERS * EACH)])
        url = database.engine.url.render_as_string(hide_password=False)
        own = [create_database(url) for _ in range(WORKERS)]
        barrier, claimed = threading.Barrier(WORKERS), []

        def work(store: SQLDeliveryStore) -> None:
            barrier.wait()
            while (one := store.claim(URL, NOW, LATER)) is not None:
                claimed.append(one.event.id)

        threads = [threading.Thread(target=work, args=[SQLDeliveryStore(one)]) for one in own]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for one in own:
            one.engine.dispose()
        # Who passes over a row that another has just taken may find nothing, and would look again a second later.
        assert max(Counter(claimed).values()) == 1
        while (one := SQLDeliveryStore(database).claim(URL, NOW, LATER)) is not None:
            claimed.append(one.event.id)
        assert sorted(claimed) == sorted(f"{number}" for number in range(WORKERS * EACH))


class TestWhatBecomesOfThem:
    def test_what_arrived_is_forgotten(self, rows: AuditRows, store: SQLDeliveryStore) -> None:
        rows.add([made("a")])
        claimed = store.claim(URL, NOW, LATER)
        assert claimed is not None
        store.done(claimed)
        store.done(claimed)
        assert [one.url for one in store.waiting(failed=False)] == [OTHER]

    def test_what_is_put_off_is_due_then(self, rows: AuditRows, store: SQLDeliveryStore) -> None:
        rows.add([made("a")])
        claimed = store.claim(URL, NOW, LATER)
        assert claimed is not None
        store.put_off(claimed, NOW + timedelta(seconds=5), "status 500" + "x" * 500)
        assert store.claim(URL, NOW + timedelta(seconds=4), LATER) is None
        again = store.claim(URL, NOW + timedelta(seconds=5), LATER)
        assert again is not None
        assert again.attempts == 2
        assert again.problem == ("status 500" + "x" * 500)[:200]

    def test_who_comes_too_late_puts_nothing_off(self, rows: AuditRows, store: SQLDeliveryStore) -> None:
        rows.add([made("a")])
        slow = store.claim(URL, NOW, LATER)
        other = store.claim(URL, LATER, LATER + timedelta(minutes=5))
        assert slow is not None
        assert other is not None
        store.put_off(slow, None, "ReadTimeout")
        assert store.counts() == (2, 0)
        store.done(other)
        store.put_off(slow, None, "ReadTimeout")
        assert store.counts() == (1, 0)

    def test_what_is_given_up_is_due_no_more_until_it_is_renewed(
        self, rows: AuditRows, store: SQLDeliveryStore
    ) -> None:
        rows.add([made("a")])
        for url in (URL, OTHER):
            claimed = store.claim(url, NOW, LATER)
            assert claimed is not None
            store.put_off(claimed, None, "status 500")
        assert store.counts() == (0, 2)
        assert store.claim(URL, LATER, LATER) is None
        first, second = store.waiting(failed=True)
        assert (first.problem, first.next_attempt_at) == ("status 500", None)
        assert store.renew(first.id, NOW) == 1
        assert store.renew("nothing", NOW) == 0
        renewed = store.claim(first.url, NOW, LATER)
        assert renewed is not None
        assert (renewed.id, renewed.attempts) == (first.id, 1)
        assert store.renew(None, NOW) == 1
        assert store.forget(second.id) == 1
        assert store.forget(None) == 0
        assert store.counts() == (1, 0)

    def test_nothing_is_told_of_an_event_that_an_operator_deleted(
        self, rows: AuditRows, store: SQLDeliveryStore, database: Database
    ) -> None:
        rows.add([made("a"), made("b")])
        with database.write() as sql:
            sql.execute(delete(AuditRow).where(AuditRow.id == "a"))
        assert {one.event.id for one in store.waiting(failed=False)} == {"b"}
        assert store.counts() == (2, 0)

    def test_none_at_all_is_none(self, store: SQLDeliveryStore) -> None:
        assert store.counts() == (0, 0)
        assert list(store.waiting(failed=False)) == []
