"""SQLPasskeyStore on SQLite and on PostgreSQL: whose a credential is, how often it signed, and no more than allowed."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from oauthdevice.domain.credentials import credential_digest
from oauthdevice.domain.errors import PasskeyRefused, StoreUnavailable, TooManyPasskeys
from oauthdevice.domain.passkeys import Passkey
from oauthdevice.domain.subjects import Account
from oauthdevice.stores.accounts import SQLAccountStore
from oauthdevice.stores.passkeys import SQLPasskeyStore
from oauthdevice.stores.sql import Database, create_database
from oauthdevice.stores.token_cache import NoTokenCache

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
ADA, GRACE = (Account(name, f"{name}@example.com", name.title(), active=True) for name in ("ada", "grace"))


@pytest.fixture
def accounts(database: Database) -> SQLAccountStore:
    return SQLAccountStore(database, NoTokenCache())


@pytest.fixture
def store(database: Database, accounts: SQLAccountStore) -> SQLPasskeyStore:
    for account in (ADA, GRACE):
        accounts.add(account, "a hash", NOW)
    return SQLPasskeyStore(database)


def passkey(number: int = 1, account: Account = ADA, **changed: object) -> Passkey:
    one = Passkey(
        id=f"passkey {number}",
        account_id=account.id,
        name=f"number {number}",
        credential_id=bytes([number, 0, 255]),
        public_key=b"\x00a key\xff",
        transports=("internal", "smart-card"),
        sign_count=0,
        created_at=NOW + number * SECOND,
    )
    return replace(one, **changed)  # type: ignore[arg-type]  # the fields that a test states


class TestAPasskey:
    def test_is_found_as_it_was_added_with_whose_it_is(self, store: SQLPasskeyStore) -> None:
        one, bare = passkey(), passkey(2, GRACE, transports=(), sign_count=2**32 - 1, credential_id=bytes(1023))
        for added in (one, bare):
            store.add(added, 10)
        assert store.by_credential(one.credential_id) == (one, ADA)
        assert store.by_credential(bare.credential_id) == (bare, GRACE)
        for unknown in (b"", b"\x01", one.credential_id + b"\x00"):
            assert store.by_credential(unknown) is None

    def test_of_a_disabled_account_says_so(self, store: SQLPasskeyStore, accounts: SQLAccountStore) -> None:
        store.add(passkey(), 10)
        accounts.set_active(ADA.id, False, NOW)
        found = store.by_credential(passkey().credential_id)
        assert found is not None
        assert found[1].active is False

    def test_those_of_an_account_are_its_own_oldest_first(self, store: SQLPasskeyStore) -> None:
        for one in (passkey(2), passkey(1), passkey(3, GRACE)):
            store.add(one, 10)
        assert [one.id for one in store.of(ADA.id)] == ["passkey 1", "passkey 2"]
        assert store.of("nobody") == []

    def test_of_a_credential_that_is_known_is_refused(self, store: SQLPasskeyStore) -> None:
        store.add(passkey(), 10)
        with pytest.raises(PasskeyRefused):
            store.add(passkey(2, GRACE, credential_id=passkey().credential_id), 10)
        assert store.of(GRACE.id) == []

    def test_of_nobody_is_refused(self, store: SQLPasskeyStore) -> None:
        with pytest.raises(PasskeyRefused):
            store.add(passkey(account=replace(ADA, id="nobody")), 10)

    def test_is_one_of_at_most_so_many(self, store: SQLPasskeyStore) -> None:
        store.add(passkey(1), 2)
        store.add(passkey(2), 2)
        with pytest.raises(TooManyPasskeys):
            store.add(passkey(3), 2)
        store.add(passkey(4, GRACE), 2)
        assert len(store.of(ADA.id)) == 2

    def test_is_one_of_at_most_so_many_however_many_come_at_once(self, store: SQLPasskeyStore) -> None:
        barrier = threading.Barrier(6)

        def add(number: int) -> bool:
            barrier.wait()
            try:
                store.add(passkey(number), 3)
            except TooManyPasskeys:
                return False
            return True

        with ThreadPoolExecutor(6) as threads:
            assert sorted(threads.map(add, range(6))) == [False] * 3 + [True] * 3
        assert len(store.of(ADA.id)) == 3


class TestAUse:
    @pytest.mark.parametrize(
        ("before", "now", "counts"),
        [(0, 0, True), (0, 1, True), (4, 5, True), (4, 2**32 - 1, True), (4, 4, False), (4, 3, False), (4, 0, False)],
    )
    def test_counts_where_the_number_has_grown_or_is_always_zero(
        self, store: SQLPasskeyStore, before: int, now: int, counts: bool
    ) -> None:
        store.add(passkey(sign_count=before), 10)
        assert store.used("passkey 1", now, NOW) is counts
        (left,) = store.of(ADA.id)
        assert (left.sign_count, left.last_used_at) == ((now, NOW) if counts else (before, None))

    def test_of_one_number_counts_once(self, store: SQLPasskeyStore) -> None:
        store.add(passkey(), 10)
        barrier = threading.Barrier(4)

        def use(_: int) -> bool:
            barrier.wait()
            return store.used("passkey 1", 7, NOW)

        with ThreadPoolExecutor(4) as threads:
            assert sorted(threads.map(use, range(4))) == [False, False, False, True]

    def test_of_none_does_not_count(self, store: SQLPasskeyStore) -> None:
        assert store.used("passkey 1", 1, NOW) is False


class TestARemoval:
    def test_is_of_one_of_that_account(self, store: SQLPasskeyStore) -> None:
        one, other = passkey(1), passkey(2)
        for added in (one, other):
            store.add(added, 10)
        assert store.remove(GRACE.id, one.id) is None
        assert store.remove(ADA.id, "\x01 nothing") is None
        assert store.remove(ADA.id, one.id) == one
        assert store.remove(ADA.id, one.id) is None
        assert store.of(ADA.id) == [other]

    def test_of_all_ends_the_sign_ins_of_that_account_too(
        self, store: SQLPasskeyStore, accounts: SQLAccountStore
    ) -> None:
        added = [passkey(1), passkey(2), passkey(3, GRACE)]
        for one in added:
            store.add(one, 10)
        for account in (ADA, GRACE):
            accounts.add_sign_in(account.id, credential_digest(account.id), NOW, NOW + 60 * SECOND)
        assert sorted(store.remove_all(ADA.id), key=lambda one: one.id) == added[:2]
        assert accounts.by_sign_in(credential_digest(ADA.id), NOW) is None
        assert accounts.by_sign_in(credential_digest(GRACE.id), NOW) == GRACE
        assert store.of(GRACE.id) == added[2:]
        assert store.remove_all(ADA.id) == []


@pytest.mark.parametrize(
    "url", ["postgresql+psycopg://nobody@/nothing?host=/nowhere", "sqlite:////proc/nowhere.sqlite"]
)
def test_a_database_that_is_away_is_store_unavailable(url: str) -> None:
    store = SQLPasskeyStore(create_database(url))
    for call in (
        lambda: store.add(passkey(), 10),
        lambda: store.of("ada"),
        lambda: store.by_credential(b"x"),
        lambda: store.used("x", 1, NOW),
        lambda: store.remove("ada", "x"),
        lambda: store.remove_all("ada"),
    ):
        with pytest.raises(StoreUnavailable):
            call()
