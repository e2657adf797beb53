"""SQLAccountStore on SQLite and on PostgreSQL: accounts, their sign-ins, their workspaces."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select

from oauthdevice.domain.credentials import credential_digest
from oauthdevice.domain.errors import AccountExists, StoreUnavailable, WorkspaceExists
from oauthdevice.domain.sessions import NewSession
from oauthdevice.domain.subjects import Account, AccountSubject, Workspace
from oauthdevice.stores.accounts import SQLAccountStore
from oauthdevice.stores.models import SignInRow
from oauthdevice.stores.sessions import SQLSessionStore
from oauthdevice.stores.sql import Database, create_database
from oauthdevice.stores.token_cache import NoTokenCache

from ..factories import audit_rows

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
LATER = NOW + timedelta(hours=12)
SECOND = timedelta(seconds=1)


@pytest.fixture
def store(database: Database) -> SQLAccountStore:
    return SQLAccountStore(database, NoTokenCache())


def account(name: str = "ada", email: str | None = None) -> Account:
    return Account(name, email or f"{name}@example.com", name.title(), active=True)


def add(store: SQLAccountStore, *names: str) -> None:
    for number, name in enumerate(names):
        store.add(account(name), f"hash of {name}", NOW + number * SECOND)


class TestAccounts:
    def test_an_account_comes_back_as_it_was_added(self, store: SQLAccountStore) -> None:
        one = Account("ada", "Ada@Example.com", "\u00c5da Lovelace \U0001f511", active=True)
        store.add(one, "a hash", NOW)
        assert store.get("ada") == store.by_email("Ada@Example.com") == one
        assert store.password_hash("ada") == "a hash"

    @pytest.mark.parametrize("typed", ["ada@example.com", "ADA@EXAMPLE.COM", "Ada@Example.Com"])
    def test_case_does_not_count_in_an_e_mail(self, store: SQLAccountStore, typed: str) -> None:
        store.add(account(email="Ada@example.com"), "a hash", NOW)
        found = store.by_email(typed)
        assert found is not None
        assert found.email == "Ada@example.com"
        with pytest.raises(AccountExists):
            store.add(account("other", typed), "another hash", NOW)
        assert len(store.all()) == 1

    def test_case_does_not_count_beyond_ascii(self, store: SQLAccountStore) -> None:
        store.add(account(email="\u00c5sa@stra\u00dfe.example"), "a hash", NOW)
        assert store.by_email("\u00e5SA@STRASSE.example") is not None

    @pytest.mark.parametrize("email", ["", "ad@example.com", "ada@example.co", "%", "ada_example.com", "a" * 999])
    def test_any_other_e_mail_is_nobodys(self, store: SQLAccountStore, email: str) -> None:
        add(store, "ada")
        assert store.by_email(email) is None

    def test_the_longest_e_mail_may_hold_letters_that_grow_without_case(self, store: SQLAccountStore) -> None:
        email = "\u00df" * 242 + "@example.com"
        assert len(email) == 254
        store.add(account(email=email), "a hash", NOW)
        assert store.by_email(email) == account(email=email)

    def test_nobody_has_no_account_and_no_password(self, store: SQLAccountStore) -> None:
        assert store.get("nobody") is None
        assert store.password_hash("nobody") is None
        assert store.all() == []

    def test_all_are_told_oldest_first(self, store: SQLAccountStore) -> None:
        add(store, "zoe", "ada", "bob")
        assert [one.id for one in store.all()] == ["zoe", "ada", "bob"]

    def test_a_new_password_hash_replaces_the_old_of_this_account_alone(self, store: SQLAccountStore) -> None:
        add(store, "ada", "bob")
        store.set_password_hash("ada", "a new hash", end_sign_ins=True)
        assert (store.password_hash("ada"), store.password_hash("bob")) == ("a new hash", "hash of bob")


class TestSignIns:
    def test_a_sign_in_leads_to_its_account_until_it_expires(self, store: SQLAccountStore) -> None:
        add(store, "ada")
        store.add_sign_in("ada", "a key", NOW, LATER)
        assert store.by_sign_in("a key", NOW) == account()
        assert store.by_sign_in("a key", LATER - SECOND) == account()
        assert store.by_sign_in("a key", LATER) is None
        assert store.by_sign_in("another key", NOW) is None

    def test_an_ended_one_leads_nowhere(self, store: SQLAccountStore) -> None:
        add(store, "ada")
        for key in ("one", "two"):
            store.add_sign_in("ada", key, NOW, LATER)
        store.end_sign_in("one")
        store.end_sign_in("one")
        assert store.by_sign_in("one", NOW) is None
        assert store.by_sign_in("two", NOW) is not None

    @pytest.mark.parametrize(("end_sign_ins", "still"), [(True, False), (False, True)])
    def test_a_new_password_may_end_them_all(self, store: SQLAccountStore, end_sign_ins: bool, still: bool) -> None:
        add(store, "ada", "bob")
        for name in ("ada", "bob"):
            store.add_sign_in(name, f"key of {name}", NOW, LATER)
        store.set_password_hash("ada", "a new hash", end_sign_ins=end_sign_ins)
        assert (store.by_sign_in("key of ada", NOW) is not None) is still
        assert store.by_sign_in("key of bob", NOW) is not None

    def test_expired_ones_are_forgotten_when_a_new_one_comes(self, store: SQLAccountStore, database: Database) -> None:
        add(store, "ada", "bob")
        store.add_sign_in("ada", "old", NOW, LATER)
        store.add_sign_in("bob", "new", LATER, LATER + SECOND)
        with database.read() as sql:
            assert sql.scalar(select(func.count()).select_from(SignInRow)) == 1


class TestSetActive:
    def test_disabling_ends_every_sign_in_and_session_of_the_account(
        self, store: SQLAccountStore, database: Database
    ) -> None:
        add(store, "ada", "bob")
        sessions = SQLSessionStore(database, NoTokenCache(), audit_rows(database))
        for name in ("ada", "bob"):
            store.add_sign_in(name, f"key of {name}", NOW, LATER)
            sessions.mint(new_session(name))
        store.set_active("ada", False, NOW)
        assert store.get("ada") == Account("ada", "ada@example.com", "Ada", active=False)
        assert store.by_sign_in("key of ada", NOW) is None
        assert sessions.by_token(credential_digest("ada")) is None
        assert store.by_sign_in("key of bob", NOW) == account("bob")
        assert sessions.by_token(credential_digest("bob")) is not None

    def test_enabling_brings_the_account_back_and_nothing_that_it_held(
        self, store: SQLAccountStore, database: Database
    ) -> None:
        add(store, "ada")
        sessions = SQLSessionStore(database, NoTokenCache(), audit_rows(database))
        store.add_sign_in("ada", "a key", NOW, LATER)
        sessions.mint(new_session("ada"))
        store.set_active("ada", False, NOW)
        store.set_active("ada", True, NOW)
        assert store.get("ada") == account()
        assert store.by_sign_in("a key", NOW) is None
        assert sessions.by_token(credential_digest("ada")) is None

    def test_a_disabled_account_keeps_its_e_mail_and_opens_no_sign_in(self, store: SQLAccountStore) -> None:
        add(store, "ada")
        store.set_active("ada", False, NOW)
        with pytest.raises(AccountExists):
            store.add(account("other", "ada@example.com"), "a hash", NOW)
        store.add_sign_in("ada", "a key", NOW, LATER)
        assert store.by_sign_in("a key", NOW) is None

    def test_a_second_time_changes_nothing(self, store: SQLAccountStore) -> None:
        add(store, "ada")
        for active in (False, False, True, True):
            store.set_active("ada", active, NOW)
        assert store.get("ada") == account()


def new_session(name: str) -> NewSession:
    """A live session of the account, opened by a token that is its name."""
    return NewSession(
        id=f"session of {name}",
        attempt=1,
        subject=AccountSubject(name),
        client_id="tool",
        label="laptop",
        scopes=frozenset({"full"}),
        prefix="dfoa_",
        token_digest=credential_digest(name),
        refresh_digest=None,
        issued_at=NOW,
        expires_at=LATER,
        token_expires_at=LATER,
    )


class TestWorkspaces:
    def test_they_come_in_the_order_they_were_joined(self, store: SQLAccountStore) -> None:
        add(store, "ada")
        for number, name in enumerate(("one", "two", "three")):
            store.add_workspace(name, f"Workspace {name}", NOW + number * SECOND)
        for number, name in enumerate(("three", "one", "two")):
            assert store.join_workspace(name, "ada", "member", NOW + number * SECOND)
        found = store.get("ada")
        assert found is not None
        assert [workspace.id for workspace in found.workspaces] == ["three", "one", "two"]
        assert found.default_workspace_id == "three"
        assert store.by_email("ADA@example.com") == found
        assert store.all() == [found]

    def test_joining_by_name_or_id_a_second_time_changes_the_role_and_not_the_order(
        self, store: SQLAccountStore
    ) -> None:
        add(store, "ada")
        for number, name in enumerate(("one", "two")):
            store.add_workspace(name, f"Workspace {name}", NOW)
            assert store.join_workspace(name, "ada", "member", NOW + number * SECOND)
        assert store.join_workspace("Workspace one", "ada", "owner", NOW + 60 * SECOND)
        found = store.get("ada")
        assert found is not None
        assert found.workspaces == (
            Workspace("one", "Workspace one", "owner"),
            Workspace("two", "Workspace two", "member"),
        )

    def test_members_do_not_see_each_others_roles(self, store: SQLAccountStore) -> None:
        add(store, "ada", "bob", "eve")
        store.add_workspace("one", "Workspace", NOW)
        store.join_workspace("one", "ada", "owner", NOW)
        store.join_workspace("one", "bob", "member", NOW)
        roles = [[workspace.role for workspace in one.workspaces] for one in store.all()]
        assert roles == [["owner"], ["member"], []]

    def test_there_is_no_joining_an_unknown_workspace(self, store: SQLAccountStore) -> None:
        add(store, "ada")
        assert not store.join_workspace("nowhere", "ada", "member", NOW)
        assert store.get("ada") == account()

    def test_a_name_is_taken_once(self, store: SQLAccountStore) -> None:
        store.add_workspace("one", "Workspace", NOW)
        with pytest.raises(WorkspaceExists):
            store.add_workspace("two", "Workspace", NOW)


class TestDatabaseAway:
    def test_a_failure_of_the_database_is_store_unavailable(self) -> None:
        database = create_database("postgresql+psycopg://nobody@/nothing?host=/nowhere")
        store = SQLAccountStore(database, NoTokenCache())
        calls: tuple[Callable[[], object], ...] = (
            lambda: store.add(account(), "a hash", NOW),
            lambda: store.get("ada"),
            lambda: store.by_email("ada@example.com"),
            store.all,
            lambda: store.password_hash("ada"),
            lambda: store.set_password_hash("ada", "a hash", end_sign_ins=True),
            lambda: store.set_active("ada", False, NOW),
            lambda: store.add_sign_in("ada", "a key", NOW, LATER),
            lambda: store.by_sign_in("a key", NOW),
            lambda: store.end_sign_in("a key"),
            lambda: store.add_workspace("one", "Workspace", NOW),
            lambda: store.join_workspace("one", "ada", "member", NOW),
        )
        for call in calls:
            with pytest.raises(StoreUnavailable):
                call()
        database.engine.dispose()
