"""RedisChallengeStore: a challenge is used once, and this is remembered for longer than it is good."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis

from oauthdevice.domain.challenges import CHALLENGE_SECONDS
from oauthdevice.domain.errors import StoreUnavailable
from oauthdevice.stores.challenges import RedisChallengeStore
from oauthdevice.stores.connections import connect

from ..factories import keys_in


@pytest.fixture
def client(any_redis_url: str) -> Iterator[redis.Redis]:
    one = connect(any_redis_url)
    one.flushall()
    yield one
    one.close()


@pytest.fixture
def store(client: redis.Redis) -> RedisChallengeStore:
    return RedisChallengeStore(client, "test")


def test_each_is_used_once(store: RedisChallengeStore, client: redis.Redis) -> None:
    assert [store.spend("a digest"), store.spend("a digest"), store.spend("another")] == [True, False, True]
    assert RedisChallengeStore(client, "other").spend("a digest") is True


def test_it_is_remembered_for_longer_than_it_is_good(store: RedisChallengeStore, client: redis.Redis) -> None:
    store.spend("a digest")
    (key,) = keys_in(client)
    assert key == "test:challenge:a digest"
    assert CHALLENGE_SECONDS < client.ttl(key) <= CHALLENGE_SECONDS + 60


def test_of_any_number_at_once_one_uses_it(store: RedisChallengeStore) -> None:
    barrier = threading.Barrier(8)

    def use(_: int) -> bool:
        barrier.wait()
        return store.spend("a digest")

    with ThreadPoolExecutor(8) as threads:
        assert sorted(threads.map(use, range(8))) == [False] * 7 + [True]


def test_a_redis_that_is_away_is_store_unavailable() -> None:
    store = RedisChallengeStore(connect("redis://127.0.0.1:1/0"), "test")
    with pytest.raises(StoreUnavailable):
        store.spend("a digest")
