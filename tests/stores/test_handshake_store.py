"""RedisHandshakeStore: a handshake is found by its state alone, lies nowhere in clear and is spent once."""

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import redis
from cryptography.fernet import InvalidToken

from oauthdevice.domain.credentials import credential_digest
from oauthdevice.domain.errors import StoreUnavailable
from oauthdevice.domain.identity_providers import HANDSHAKE_SECONDS, Handshake
from oauthdevice.domain.keys import seal, unseal
from oauthdevice.stores.connections import connect
from oauthdevice.stores.handshakes import RedisHandshakeStore

from ..servers import RedisServer

HANDSHAKE = Handshake(
    provider="corp-provider",
    state="the-state-of-this-handshake",
    nonce="the-nonce-of-this-handshake",
    code_verifier="the-verifier-of-this-handshake",
    browser=credential_digest("the secret of a browser"),
    user_code="BCDFGHJK",
    authorization_id="the-id-of-the-request",
    login_hint="\u00c5da@corp.example",
)


@pytest.fixture
def client(any_redis_url: str) -> Iterator[redis.Redis]:
    one = connect(any_redis_url)
    one.flushall()
    yield one
    one.close()


@pytest.fixture
def store(client: redis.Redis) -> RedisHandshakeStore:
    return RedisHandshakeStore(client, "test")


class TestAHandshake:
    def test_is_found_as_it_was_kept(self, store: RedisHandshakeStore) -> None:
        store.keep(HANDSHAKE)
        assert store.find(HANDSHAKE.state) == HANDSHAKE
        assert store.find(HANDSHAKE.state) == HANDSHAKE

    def test_that_asks_again_is_found_as_it_was_kept(self, store: RedisHandshakeStore) -> None:
        again = replace(HANDSHAKE, again=True)
        store.keep(again)
        assert store.find(again.state) == again

    def test_can_be_read_by_the_former_release(self, store: RedisHandshakeStore, client: redis.Redis) -> None:
        store.keep(HANDSHAKE)
        (key,) = client.scan_iter()
        members = unseal(HANDSHAKE.state, str(client.get(key)))
        assert members == {name: value for name, value in asdict(HANDSHAKE).items() if value is not False}

    @pytest.mark.parametrize(
        "state", ["", "another", HANDSHAKE.state.upper(), HANDSHAKE.state + " ", "*", HANDSHAKE.nonce, "\x00"]
    )
    def test_is_found_by_its_own_state_alone(self, store: RedisHandshakeStore, state: str) -> None:
        store.keep(HANDSHAKE)
        assert store.find(state) is None
        assert store.spend(state) is False
        assert store.find(HANDSHAKE.state) == HANDSHAKE

    def test_is_not_that_of_another_installation(self, store: RedisHandshakeStore, client: redis.Redis) -> None:
        store.keep(HANDSHAKE)
        other = RedisHandshakeStore(client, "other")
        assert other.find(HANDSHAKE.state) is None
        assert other.spend(HANDSHAKE.state) is False

    def test_opens_with_no_other_state(self, store: RedisHandshakeStore, client: redis.Redis) -> None:
        """Whoever writes to Redis can move a value under another key; it stays shut there."""
        store.keep(HANDSHAKE)
        (key,) = client.keys("*")
        client.set(f"test:handshake:{credential_digest('another')}", str(client.get(key)))
        with pytest.raises(InvalidToken):
            store.find("another")

    def test_does_not_touch_another(self, store: RedisHandshakeStore) -> None:
        other = replace(HANDSHAKE, state="another", user_code="ZZZZZZZZ")
        store.keep(HANDSHAKE)
        store.keep(other)
        assert store.spend("another") is True
        assert (store.find("another"), store.find(HANDSHAKE.state)) == (None, HANDSHAKE)

    def test_lies_nowhere_in_clear(self, store: RedisHandshakeStore, client: redis.Redis) -> None:
        store.keep(HANDSHAKE)
        keys = list(client.scan_iter())
        assert keys == [f"test:handshake:{credential_digest(HANDSHAKE.state)}"]
        found = keys[0] + str(client.get(keys[0]))
        assert len(found) > 500
        for value in (one for one in asdict(HANDSHAKE).values() if isinstance(one, str)):
            for written in (value, json.dumps(value).strip('"'), value.lower(), value.encode().hex()):
                assert written not in found

    def test_expires_after_fifteen_minutes(self, store: RedisHandshakeStore, client: redis.Redis) -> None:
        store.keep(HANDSHAKE)
        (key,) = client.keys("*")
        assert HANDSHAKE_SECONDS == 900
        assert 890_000 < client.pttl(key) <= 900_000
        client.pexpire(key, 0)
        assert store.find(HANDSHAKE.state) is None
        assert store.spend(HANDSHAKE.state) is False

    @pytest.mark.parametrize("change", [{"of_a_newer_release": 1}, {"nonce": None}])
    def test_of_another_release_is_no_error(
        self, store: RedisHandshakeStore, client: redis.Redis, change: dict[str, Any]
    ) -> None:
        """During a rolling upgrade two releases share Redis; the members of a handshake may differ (W50)."""
        members = {name: value for name, value in {**asdict(HANDSHAKE), **change}.items() if value is not None}
        client.set(f"test:handshake:{credential_digest(HANDSHAKE.state)}", seal(HANDSHAKE.state, members))
        assert store.find(HANDSHAKE.state) in (None, HANDSHAKE)


class TestSpending:
    def test_succeeds_once(self, store: RedisHandshakeStore, client: redis.Redis) -> None:
        store.keep(HANDSHAKE)
        assert [store.spend(HANDSHAKE.state) for _ in range(3)] == [True, False, False]
        assert store.find(HANDSHAKE.state) is None
        assert client.keys("*") == []

    def test_succeeds_once_under_twenty_threads(self, store: RedisHandshakeStore) -> None:
        with ThreadPoolExecutor(20) as threads:
            for _ in range(20):
                store.keep(HANDSHAKE)
                barrier = threading.Barrier(20)

                def spend(_: int, barrier: threading.Barrier = barrier) -> bool:
                    barrier.wait()
                    return store.spend(HANDSHAKE.state)

                assert sorted(threads.map(spend, range(20))) == [False] * 19 + [True]


def test_a_redis_that_is_away_is_told_as_such(own_redis_server: RedisServer, tmp_path: Path) -> None:
    client = connect(own_redis_server.url)
    store = RedisHandshakeStore(client, "test")
    store.keep(HANDSHAKE)
    own_redis_server.stop()
    for act in (lambda: store.keep(HANDSHAKE), lambda: store.find("a"), lambda: store.spend("a")):
        with pytest.raises(StoreUnavailable):
            act()
    client.close()
