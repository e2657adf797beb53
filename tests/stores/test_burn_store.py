"""RedisBurnStore: a network is burned for a while, by the clock of Redis, and no other is."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import redis

from oauthdevice.domain.errors import StoreUnavailable
from oauthdevice.stores.burns import RedisBurnStore
from oauthdevice.stores.connections import connect

from ..factories import Clock, keys_in
from ..servers import RedisServer

LIFETIME_SECONDS = 900
NETWORKS = ("192.0.2.7", "2001:db8:1:2::/64")


@pytest.fixture
def client(any_redis_url: str, clock: Clock) -> Iterator[redis.Redis]:
    one = connect(any_redis_url)
    one.flushall()
    clock.stores.append(one)
    yield one
    one.close()


@pytest.fixture
def store(client: redis.Redis, clock: Clock) -> RedisBurnStore:
    return RedisBurnStore(client, "test", LIFETIME_SECONDS, clock.store_offset)


@pytest.mark.parametrize("network", NETWORKS)
class TestANetwork:
    def test_is_burned_from_now_on_and_no_other_is(self, store: RedisBurnStore, network: str) -> None:
        assert store.burned_at(network) is None
        store.burn(network)
        burned_at = store.burned_at(network)
        assert burned_at is not None
        assert abs(datetime.now(UTC) - burned_at) < timedelta(seconds=5)
        assert [store.burned_at(other) for other in NETWORKS if other != network] == [None]

    def test_is_forgotten_when_no_code_of_then_can_wait(
        self, store: RedisBurnStore, clock: Clock, client: redis.Redis, network: str
    ) -> None:
        store.burn(network)
        clock.pass_seconds(LIFETIME_SECONDS - 10)
        assert store.burned_at(network) is not None
        clock.pass_seconds(11)
        assert store.burned_at(network) is None
        assert keys_in(client) == []

    def test_is_burned_anew_by_each_report(self, store: RedisBurnStore, clock: Clock, network: str) -> None:
        store.burn(network)
        first = store.burned_at(network)
        clock.pass_seconds(600)
        store.burn(network)
        clock.pass_seconds(600)
        second = store.burned_at(network)
        assert first is not None
        assert second is not None
        assert timedelta(seconds=600) <= second - first < timedelta(seconds=605)

    def test_is_not_that_of_another_installation(
        self, store: RedisBurnStore, client: redis.Redis, network: str
    ) -> None:
        store.burn(network)
        assert RedisBurnStore(client, "other", LIFETIME_SECONDS).burned_at(network) is None


def test_without_redis_it_is_said(own_redis_server: RedisServer, tmp_path: Path) -> None:
    client = connect(own_redis_server.url)
    store = RedisBurnStore(client, "test", LIFETIME_SECONDS)
    own_redis_server.stop()
    for act in (store.burn, store.burned_at):
        with pytest.raises(StoreUnavailable):
            act("192.0.2.7")
    client.close()
