"""RedisProofStore: a proof is used once, and this is remembered for as long as it could be good."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis

from oauthdevice.domain.dpop import REMEMBERED_SECONDS
from oauthdevice.domain.errors import StoreUnavailable
from oauthdevice.stores.connections import connect
from oauthdevice.stores.proofs import RedisProofStore

from ..cutting_proxy import proxied
from ..factories import keys_in
from ..servers import RedisServer


@pytest.fixture
def client(any_redis_url: str) -> Iterator[redis.Redis]:
    one = connect(any_redis_url)
    one.flushall()
    yield one
    one.close()


def test_each_is_used_once_and_remembered(client: redis.Redis) -> None:
    store = RedisProofStore(client, "test")
    assert [store.spend("a digest"), store.spend("a digest"), store.spend("another")] == [True, False, True]
    assert RedisProofStore(client, "other").spend("a digest") is True
    assert keys_in(client, "test:*") == ["test:proof:a digest", "test:proof:another"]
    assert REMEMBERED_SECONDS - 10 < client.ttl("test:proof:a digest") <= REMEMBERED_SECONDS


def test_of_any_number_at_once_one_uses_it(client: redis.Redis) -> None:
    store, barrier = RedisProofStore(client, "test"), threading.Barrier(8)

    def use(_: int) -> bool:
        barrier.wait()
        return store.spend("a digest")

    with ThreadPoolExecutor(8) as threads:
        assert sorted(threads.map(use, range(8))) == [False] * 7 + [True]


def test_one_whose_answer_was_lost_is_used_once_and_by_its_caller(redis_server: RedisServer) -> None:
    with proxied(redis_server.socket) as way:
        client = connect(f"redis://127.0.0.1:{way.port}/0")
        client.flushall()
        store = RedisProofStore(client, "test")
        way.lose_answer(1)
        assert store.spend("a digest") is True
        assert way.has_lost()
        assert store.spend("a digest") is False
        client.close()


def test_a_redis_that_is_away_is_store_unavailable() -> None:
    with pytest.raises(StoreUnavailable):
        RedisProofStore(connect("redis://127.0.0.1:1/0"), "test").spend("a digest")
