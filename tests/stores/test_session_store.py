"""SQLSessionStore on SQLite and on PostgreSQL: who holds a live token after any mint, and after any race."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import delete, func, select, text

from oauthdevice.domain.credentials import credential_digest
from oauthdevice.domain.errors import AccessDenied, StaleLease, StoreUnavailable
from oauthdevice.domain.sessions import NewSession
from oauthdevice.domain.subjects import Account, AccountSubject, ExternalSubject, Subject
from oauthdevice.stores.accounts import SQLAccountStore
from oauthdevice.stores.migrate import upgrade
from oauthdevice.stores.models import AccessTokenRow, Base, SessionRow
from oauthdevice.stores.sessions import SQLSessionStore
from oauthdevice.stores.sql import Database, create_database
from oauthdevice.stores.token_cache import NoTokenCache

from ..factories import audit_rows, unique_name
from ..servers import PostgreSQLServer, wait_until

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
ADA, BOB = AccountSubject("ada"), AccountSubject("bob")
EVE = ExternalSubject("https://idp.example", "eve", "eve@example.com")
SUBJECTS = pytest.mark.parametrize("subject", [ADA, EVE], ids=["account", "external"])
ROUNDS = 20


def order(session_id: str = "one", attempt: int = 1, token: str = "a token", **parts: Any) -> NewSession:
    """Of Ada on a device without a label."""
    given = {
        "subject": ADA,
        "client_id": "tool",
        "label": None,
        "scopes": frozenset({"full"}),
        "prefix": "dfoa_",
        "issued_at": NOW,
        "refresh_digest": None,
        "expires_at": NOW + timedelta(days=14),
        "token_expires_at": NOW + timedelta(days=14),
    }
    return NewSession(id=session_id, attempt=attempt, token_digest=credential_digest(token), **{**given, **parts})


@dataclass
class Stores:
    """Two accounts, Ada and Bob, and the store of their sessions."""

    database: Database
    accounts: SQLAccountStore
    sessions: SQLSessionStore

    def opens(self, token: str) -> bool:
        return self.sessions.by_token(credential_digest(token)) is not None

    def count(self, row: type[SessionRow] | type[AccessTokenRow], *where: Any) -> int:
        with self.database.read() as sql:
            return sql.scalar(select(func.count()).select_from(row).where(*where)) or 0

    def live(self) -> int:
        return self.count(SessionRow, SessionRow.revoked_at.is_(None))

    def content(self) -> list[Any]:
        """Every row of both tables."""
        with self.database.read() as sql:
            tables = (SessionRow.__table__, AccessTokenRow.__table__)
            return [sorted(map(repr, sql.execute(select(table)).all())) for table in tables]


@pytest.fixture(scope="module")
def shared_postgresql_url(postgresql_server: PostgreSQLServer) -> str:
    """One migrated database for all of these tests; `stores` empties it."""
    url = postgresql_server.create_database(unique_name("sessions"))
    upgrade(url)
    return url


@pytest.fixture(params=["sqlite", "postgresql"])
def stores(request: pytest.FixtureRequest) -> Iterator[Stores]:
    shared = request.param == "postgresql"
    database = create_database(request.getfixturevalue("shared_postgresql_url" if shared else "sqlite_url"))
    with database.write() as sql:
        for table in reversed(Base.metadata.sorted_tables):
            sql.execute(delete(table))
    accounts = SQLAccountStore(database, NoTokenCache())
    for name in ("ada", "bob"):
        accounts.add(Account(name, f"{name}@example.com", name.title(), active=True), "a hash", NOW)
    yield Stores(database, accounts, SQLSessionStore(database, NoTokenCache(), audit_rows(database)))
    database.engine.dispose()


class TestMint:
    def test_an_accounts_token_opens_its_session(self, stores: Stores) -> None:
        stores.sessions.mint(order(label="laptop", scopes=frozenset({"full", "apps:run"})))
        bearer = stores.sessions.by_token(credential_digest("a token"))
        assert bearer is not None
        session = bearer.session
        assert (session.id, session.subject, session.client_id) == ("one", ADA, "tool")
        assert (session.label, session.scopes) == ("laptop", {"full", "apps:run"})
        assert session.expires_at == NOW + timedelta(days=14)
        assert session.account == stores.accounts.get("ada")

    def test_an_external_subjects_token_opens_its_session(self, stores: Stores) -> None:
        stores.sessions.mint(order(subject=EVE, prefix="dfoe_"))
        bearer = stores.sessions.by_token(credential_digest("a token"))
        assert bearer is not None
        session = bearer.session
        assert (session.subject, session.account, session.label) == (EVE, None, None)

    def test_no_other_token_opens_anything(self, stores: Stores) -> None:
        stores.sessions.mint(order())
        assert not stores.opens("another token")
        assert not stores.opens("")

    def test_only_a_digest_is_stored(self, stores: Stores) -> None:
        stores.sessions.mint(order())
        assert "a token" not in repr(stores.content())

    @pytest.mark.parametrize("account_id", ["ada", "nobody"])
    def test_an_account_that_may_not_sign_in_gets_no_token(self, stores: Stores, account_id: str) -> None:
        stores.accounts.set_active("ada", False, NOW)
        with pytest.raises(AccessDenied):
            stores.sessions.mint(order(subject=AccountSubject(account_id)))
        assert stores.content() == [[], []]

    def test_an_account_that_is_enabled_again_gets_one(self, stores: Stores) -> None:
        stores.accounts.set_active("ada", False, NOW)
        stores.accounts.set_active("ada", True, NOW)
        stores.sessions.mint(order())
        assert stores.opens("a token")


@SUBJECTS
class TestAttempts:
    def test_a_later_attempt_ends_the_token_of_an_earlier(self, stores: Stores, subject: Subject) -> None:
        stores.sessions.mint(order(attempt=1, token="first", subject=subject, label="laptop"))
        stores.sessions.mint(order(attempt=2, token="second", subject=subject, label="laptop"))
        assert (stores.opens("first"), stores.opens("second")) == (False, True)
        assert (stores.count(AccessTokenRow), stores.count(SessionRow), stores.live()) == (1, 1, 1)

    @pytest.mark.parametrize("attempt", [1, 2])
    def test_an_attempt_that_was_overtaken_changes_nothing(
        self, stores: Stores, subject: Subject, attempt: int
    ) -> None:
        stores.sessions.mint(order(attempt=2, token="second", subject=subject, label="laptop"))
        content = stores.content()
        with pytest.raises(StaleLease):
            stores.sessions.mint(order(attempt=attempt, token="first", subject=subject, label="laptop"))
        assert stores.content() == content
        assert stores.opens("second")

    def test_a_session_that_was_revoked_between_two_attempts_stays_so(self, stores: Stores, subject: Subject) -> None:
        stores.sessions.mint(order(attempt=1, token="first", subject=subject, label="laptop"))
        assert stores.sessions.revoke("one", NOW)
        content = stores.content()
        with pytest.raises(AccessDenied):
            stores.sessions.mint(order(attempt=2, token="second", subject=subject, label="laptop"))
        assert stores.content() == content

    def test_a_session_that_a_newer_login_replaced_between_two_attempts_stays_ended(
        self, stores: Stores, subject: Subject
    ) -> None:
        stores.sessions.mint(order("old", 1, "old first", subject=subject, label="laptop"))
        stores.sessions.mint(order("new", 1, "new", subject=subject, label="laptop"))
        with pytest.raises(AccessDenied):
            stores.sessions.mint(order("old", 2, "old second", subject=subject, label="laptop"))
        assert stores.opens("new")
        assert stores.live() == stores.count(AccessTokenRow) == 1


@SUBJECTS
class TestOneSessionPerDevice:
    def test_a_new_login_of_the_same_device_replaces_the_old(self, stores: Stores, subject: Subject) -> None:
        stores.sessions.mint(order("old", token="old", subject=subject, label="laptop"))
        stores.sessions.mint(order("new", token="new", subject=subject, label="laptop"))
        assert (stores.opens("old"), stores.opens("new")) == (False, True)
        assert (stores.live(), stores.count(SessionRow), stores.count(AccessTokenRow)) == (1, 2, 1)

    def test_a_device_can_be_replaced_again_and_again(self, stores: Stores, subject: Subject) -> None:
        for number in range(5):
            stores.sessions.mint(order(f"{number}", token=f"{number}", subject=subject, label="laptop"))
        assert [stores.opens(f"{number}") for number in range(5)] == [False] * 4 + [True]

    @pytest.mark.parametrize("label", [None, ""])
    def test_a_login_without_a_label_replaces_nothing(self, stores: Stores, subject: Subject, label: str) -> None:
        for name, its_label in (("one", None), ("two", label), ("three", "laptop"), ("four", label)):
            stores.sessions.mint(order(name, token=name, subject=subject, label=its_label))
        assert all(stores.opens(name) for name in ("one", "two", "three", "four"))

    @pytest.mark.parametrize("parts", [{"label": "phone"}, {"client_id": "other"}, {"label": "Laptop"}])
    def test_another_device_or_client_replaces_nothing(
        self, stores: Stores, subject: Subject, parts: dict[str, str]
    ) -> None:
        stores.sessions.mint(order("old", token="old", subject=subject, label="laptop"))
        stores.sessions.mint(order("new", token="new", **{"subject": subject, "label": "laptop", **parts}))
        assert stores.opens("old")
        assert stores.opens("new")

    def test_another_subject_replaces_nothing(self, stores: Stores, subject: Subject) -> None:
        stores.sessions.mint(order("old", token="old", subject=subject, label="laptop"))
        for number, other in enumerate((BOB, ExternalSubject("https://idp.example", "ada", "eve@example.com"))):
            stores.sessions.mint(order(f"new {number}", token=f"new {number}", subject=other, label="laptop"))
        assert stores.opens("old")
        assert stores.live() == 3

    def test_a_revoked_device_can_sign_in_again(self, stores: Stores, subject: Subject) -> None:
        stores.sessions.mint(order("old", token="old", subject=subject, label="laptop"))
        stores.sessions.revoke("old", NOW)
        stores.sessions.mint(order("new", token="new", subject=subject, label="laptop"))
        assert stores.opens("new")


class TestRename:
    def test_the_name_is_stored_and_taken_back(self, stores: Stores) -> None:
        stores.sessions.mint(order(label="laptop"))
        for name in ("mine", None):
            assert stores.sessions.rename("one", name)
            session = stores.sessions.get("one")
            assert session is not None
            assert (session.name, session.label) == (name, "laptop")

    def test_what_has_ended_has_no_name(self, stores: Stores) -> None:
        stores.sessions.mint(order())
        stores.sessions.revoke("one", NOW)
        assert not stores.sessions.rename("one", "mine")
        assert not stores.sessions.rename("unknown", "mine")

    @SUBJECTS
    def test_a_new_login_of_the_same_device_takes_it_over(self, stores: Stores, subject: Subject) -> None:
        stores.sessions.mint(order(label="laptop", subject=subject))
        stores.sessions.rename("one", "mine")
        stores.sessions.mint(order("two", token="another", label="laptop", subject=subject))
        stores.sessions.mint(order("two", attempt=2, token="a third", label="laptop", subject=subject))
        session = stores.sessions.get("two")
        assert session is not None
        assert session.name == "mine"

    def test_given_beside_a_newer_login_it_is_kept_or_refused(self, stores: Stores) -> None:
        for number in range(ROUNDS):
            label = f"device {number}"
            stores.sessions.mint(order(f"old {number}", token=f"old {number}", label=label))
            newer = order(f"new {number}", token=f"new {number}", label=label)
            kept, _ = at_once(
                lambda number=number: stores.sessions.rename(f"old {number}", "mine"),
                lambda newer=newer: stores.sessions.mint(newer),
            )
            session = stores.sessions.get(f"new {number}")
            assert session is not None
            assert session.name == ("mine" if kept else None)


class TestRevoke:
    @SUBJECTS
    def test_it_ends_every_token_of_the_session(self, stores: Stores, subject: Subject) -> None:
        stores.sessions.mint(order(subject=subject, label="laptop"))
        stores.sessions.mint(order("two", token="another", subject=subject))
        assert stores.sessions.revoke("one", NOW)
        assert (stores.opens("a token"), stores.opens("another")) == (False, True)
        assert stores.count(AccessTokenRow) == 1

    def test_a_second_time_there_is_nothing_to_end(self, stores: Stores) -> None:
        stores.sessions.mint(order())
        assert stores.sessions.revoke("one", NOW)
        content = stores.content()
        assert not stores.sessions.revoke("one", NOW + timedelta(days=1))
        assert stores.content() == content

    def test_an_unknown_session_has_nothing_to_end(self, stores: Stores) -> None:
        assert not stores.sessions.revoke("nobody's", NOW)

    def test_disabling_an_account_ends_its_sessions_and_no_others(self, stores: Stores) -> None:
        stores.sessions.mint(order("one", token="one", label="laptop"))
        stores.sessions.mint(order("two", token="two"))
        stores.sessions.mint(order("three", token="three", subject=BOB, label="laptop"))
        stores.accounts.set_active("ada", False, NOW)
        assert [stores.opens(name) for name in ("one", "two", "three")] == [False, False, True]
        stores.accounts.set_active("ada", True, NOW)
        assert not stores.opens("one")


def at_once(*calls: Callable[[], object]) -> list[object]:
    """What calls returned or raised that began at the same moment, each in a thread of its own."""
    barrier = threading.Barrier(len(calls))

    def run(call: Callable[[], object]) -> object:
        barrier.wait(10)
        try:
            return call()
        except (StaleLease, AccessDenied) as refused:
            return refused

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


def minted(answer: object) -> bool:
    return answer is None


@SUBJECTS
class TestRaces:
    def test_two_attempts_at_once_leave_one_token(self, stores: Stores, subject: Subject) -> None:
        for number in range(ROUNDS):
            name = f"round {number}"
            answers = at_once(
                *(
                    lambda attempt=attempt, name=name: stores.sessions.mint(
                        order(name, attempt, f"{name} {attempt}", subject=subject, label=name)
                    )
                    for attempt in (1, 2)
                )
            )
            assert minted(answers[1])
            assert minted(answers[0]) or isinstance(answers[0], StaleLease)
            assert (stores.opens(f"{name} 1"), stores.opens(f"{name} 2")) == (False, True)
        assert stores.live() == stores.count(AccessTokenRow) == ROUNDS

    def test_the_same_attempt_twice_at_once_gives_one_token(self, stores: Stores, subject: Subject) -> None:
        for number in range(ROUNDS):
            name = f"round {number}"
            answers = at_once(
                *(
                    lambda which=which, name=name: stores.sessions.mint(
                        order(name, 1, f"{name} {which}", subject=subject)
                    )
                    for which in "ab"
                )
            )
            assert sorted(map(minted, answers)) == [False, True]
            assert sum(stores.opens(f"{name} {which}") for which in "ab") == 1
        assert stores.count(AccessTokenRow) == ROUNDS

    def test_two_logins_of_one_device_at_once_leave_one_session(self, stores: Stores, subject: Subject) -> None:
        for number in range(ROUNDS):
            names = [f"{number} a", f"{number} b"]
            answers = at_once(
                *(
                    lambda name=name: stores.sessions.mint(order(name, 1, name, subject=subject, label="laptop"))
                    for name in names
                )
            )
            assert all(map(minted, answers))
            assert sum(map(stores.opens, names)) == 1
            assert stores.live() == stores.count(AccessTokenRow) == 1

    def test_four_logins_of_one_device_at_once_leave_one_session(self, stores: Stores, subject: Subject) -> None:
        for number in range(ROUNDS):
            names = [f"{number} {letter}" for letter in "abcd"]
            answers = at_once(
                *(
                    lambda name=name: stores.sessions.mint(order(name, 1, name, subject=subject, label="laptop"))
                    for name in names
                )
            )
            assert all(map(minted, answers))
            assert sum(map(stores.opens, names)) == 1
            assert stores.live() == stores.count(AccessTokenRow) == 1

    def test_a_revocation_beside_a_second_attempt_leaves_no_token_or_the_second(
        self, stores: Stores, subject: Subject
    ) -> None:
        for number in range(ROUNDS):
            name = f"round {number}"
            stores.sessions.mint(order(name, 1, f"{name} 1", subject=subject))
            _, revoked = at_once(
                lambda name=name: stores.sessions.mint(order(name, 2, f"{name} 2", subject=subject)),
                lambda name=name: stores.sessions.revoke(name, NOW),
            )
            # There was a live session before, between and after: one of the two orders ends it.
            assert revoked is True
            assert not stores.opens(f"{name} 1")
            assert not stores.opens(f"{name} 2")
        assert stores.live() == stores.count(AccessTokenRow) == 0

    def test_a_second_attempt_beside_a_newer_login_of_the_device_leaves_one_session(
        self, stores: Stores, subject: Subject
    ) -> None:
        for number in range(ROUNDS):
            old, new = f"{number} old", f"{number} new"
            stores.sessions.mint(order(old, 1, f"{old} 1", subject=subject, label="laptop"))
            at_once(
                lambda old=old: stores.sessions.mint(order(old, 2, f"{old} 2", subject=subject, label="laptop")),
                lambda new=new: stores.sessions.mint(order(new, 1, new, subject=subject, label="laptop")),
            )
            assert stores.live() == stores.count(AccessTokenRow) == 1
            assert stores.opens(new) or stores.opens(f"{old} 2")


class TestDisablingAtOnce:
    def test_a_token_minted_beside_it_does_not_outlive_it(self, stores: Stores) -> None:
        for number in range(ROUNDS):
            name = f"round {number}"
            stores.accounts.set_active("ada", True, NOW)
            at_once(
                lambda name=name: stores.sessions.mint(order(name, 1, name, label="laptop")),
                lambda: stores.accounts.set_active("ada", False, NOW),
            )
            assert not stores.opens(name)
        assert stores.live() == stores.count(AccessTokenRow) == 0


class TestLockOrder:
    @pytest.mark.parametrize("stores", ["postgresql"], indirect=True)
    def test_a_revocation_that_meets_a_second_attempt_waits_for_it(self, stores: Stores) -> None:
        stores.sessions.mint(order(subject=EVE))
        with ThreadPoolExecutor(1) as pool:
            with stores.database.write() as sql:
                # As a second attempt does: the session first, then its tokens.
                assert sql.get(SessionRow, "one", with_for_update=True) is not None
                revoked = pool.submit(stores.sessions.revoke, "one", NOW)
                wait_for_a_lock(stores.database)
                sql.execute(delete(AccessTokenRow).where(AccessTokenRow.session_id == "one"))
            assert revoked.result(10) is True


def wait_for_a_lock(database: Database) -> None:
    """Until some transaction of this database waits for another."""

    def somebody_waits() -> bool:
        with database.read() as sql:
            return bool(sql.scalar(text("SELECT count(*) FROM pg_locks WHERE NOT granted")))

    wait_until(somebody_waits, "a transaction to wait for a lock", seconds=10)


class TestDatabaseAway:
    @pytest.mark.parametrize(
        "url", ["postgresql+psycopg://nobody@/nothing?host=/nowhere", "sqlite:////nowhere/oauthdevice.sqlite"]
    )
    def test_a_failure_of_the_database_is_store_unavailable(self, url: str) -> None:
        database = create_database(url)
        sessions = SQLSessionStore(database, NoTokenCache(), audit_rows(database))
        calls: tuple[Callable[[], object], ...] = (
            lambda: sessions.mint(order()),
            lambda: sessions.by_token("x"),
            lambda: sessions.revoke("one", NOW),
        )
        for call in calls:
            with pytest.raises(StoreUnavailable):
                call()
        database.engine.dispose()


class TestLive:
    def test_of_a_subject_and_not_older_than(self, stores: Stores) -> None:
        for number, (subject, hours) in enumerate([(ADA, 0), (ADA, 2), (EVE, 0), (BOB, 0)]):
            stores.sessions.mint(
                order(str(number), token=str(number), subject=subject, issued_at=NOW - timedelta(hours=hours))
            )

        def ids(**which: Any) -> list[str]:
            found = stores.sessions.live(NOW, account_id=None, client_id=None, **which)
            return sorted(one.id for one in found)

        assert ids() == ["0", "1", "2", "3"]
        assert ids(subject_key=ADA.key) == ["0", "1"]
        assert ids(subject_key=EVE.key) == ["2"]
        assert ids(since=NOW - timedelta(hours=1)) == ["0", "2", "3"]
        assert ids(subject_key=ADA.key, since=NOW - timedelta(hours=1)) == ["0"]
        assert ids(subject_key=ADA.key, since=NOW - timedelta(hours=2)) == ["0", "1"]
