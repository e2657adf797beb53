"""A primary of Redis dies among a thousand sign-ins: another takes over, and nobody restarts us.

Replication is asynchronous: what a primary took in its last milliseconds, and had not sent yet, dies
with it. A code that was made then is unknown (`invalid_grant`), an approval is pending again; such a
device starts again, such a person is asked again. The database decides over tokens, so that none of
this gives two.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from webtest import TestResponse

from ..conftest import WorldMaker
from ..crowds import UNLIMITED, Crowd
from ..factories import APPROVE, Device, World
from ..redis_servers import Node, RedisCluster, RedisSentinels, running_together
from ..servers import wait_until

FLOWS = 1000
# Of all of them, who may have to start again. A tail is as long as a flush of a socket: mostly nobody.
STARTS_AGAIN_MAX = 10
AUTHORIZATION = "*:authorization:*"


@pytest.fixture
def own_redis_cluster(tmp_path: Path) -> Iterator[RedisCluster]:
    with running_together(RedisCluster(tmp_path, replicas=1, node_timeout_milliseconds=1500)) as cluster:
        yield cluster


@pytest.fixture
def own_redis_sentinels(tmp_path: Path) -> Iterator[RedisSentinels]:
    with running_together(RedisSentinels(tmp_path)) as sentinels:
        yield sentinels


def until_available(ask: Callable[[], TestResponse]) -> TestResponse:
    """The first answer that is no 503."""
    answers: list[TestResponse] = []

    def is_available() -> bool:
        answers.append(ask())
        return answers[-1].status_int != 503

    wait_until(is_available, "an answer that is no 503")
    return answers[-1]


@pytest.mark.timeout(300)
def test_a_master_of_a_cluster_dies_and_later_another(
    make: WorldMaker, postgresql_url: str, own_redis_cluster: RedisCluster
) -> None:
    world = make(database_url=postgresql_url, redis_url=own_redis_cluster.url, **UNLIMITED)
    crowd = Crowd(world, FLOWS)
    with crowd.at_work():
        for share, number in ((0.2, 0), (0.6, 1)):
            crowd.wait_for(share)
            dying = own_redis_cluster.nodes[number]
            dying.kill()
            crowd.wait_for_outage()
            wait_until(lambda: len(own_redis_cluster.masters()) == 3, "a replica to take over")
            dying.start()
            own_redis_cluster.wait_for_replicas()
    print(crowd.told)
    crowd.check(starts_again_max=STARTS_AGAIN_MAX)
    crowd.check_that_all_goes_on()


@pytest.mark.timeout(300)
def test_the_primary_that_sentinels_watch_dies_and_a_sentinel_with_it(
    make: WorldMaker, postgresql_url: str, own_redis_sentinels: RedisSentinels
) -> None:
    world = make(database_url=postgresql_url, redis_url=own_redis_sentinels.url, **UNLIMITED)
    crowd = Crowd(world, FLOWS)

    def takes_over(old: Node) -> bool:
        new = own_redis_sentinels.primary()
        return new is not old and new.info("replication").get("role") == "master"

    with crowd.at_work():
        crowd.wait_for(0.2)
        dying, sentinel = own_redis_sentinels.primary(), own_redis_sentinels.sentinels[0]
        # The one that our address names first, as if on the same machine.
        sentinel.kill()
        dying.kill()
        crowd.wait_for_outage()
        wait_until(lambda: takes_over(dying), "a replica to take over")
        crowd.wait_for(0.5)
        sentinel.start()
        dying.start()
    print(crowd.told)
    crowd.check(starts_again_max=STARTS_AGAIN_MAX)
    crowd.check_that_all_goes_on()
    wait_until(own_redis_sentinels.is_whole, "the old primary to follow the new one")
    crowd.check_that_all_goes_on()


class TestTheTailIsLost:
    """Made certain: the replica is cut off first, then its master takes a command and dies."""

    @pytest.fixture
    def world(self, make: WorldMaker, postgresql_url: str, own_redis_cluster: RedisCluster) -> World:
        return make(database_url=postgresql_url, redis_url=own_redis_cluster.url, **UNLIMITED)

    @pytest.fixture
    def device(self, world: World) -> Device:
        """One whose code the replica knows."""
        return world.device().ask()

    def test_a_code_that_was_just_made_is_unknown_and_the_next_is_not(
        self, world: World, own_redis_cluster: RedisCluster
    ) -> None:
        with own_redis_cluster.losing_the_tail(AUTHORIZATION):
            device = world.device().ask()
        assert until_available(device.poll).json["error"] == "invalid_grant"
        assert world.browser().get("/readyz", status=200).json["redis"] == "ok"
        device.ask()
        world.person().allow(device.user_code)
        assert device.poll().status_int == 200

    def test_a_code_that_was_just_approved_is_pending_again_and_can_be_approved_again(
        self, world: World, device: Device, own_redis_cluster: RedisCluster
    ) -> None:
        person = world.person().sign_in()
        with own_redis_cluster.losing_the_tail(AUTHORIZATION):
            assert person.post(APPROVE, device.user_code).status_int == 200
        assert until_available(device.poll).json["error"] == "authorization_pending"
        assert person.post(APPROVE, device.user_code).status_int == 200
        assert device.poll().status_int == 200

    def test_a_code_that_was_just_redeemed_gives_another_token_and_ends_the_first(
        self, world: World, device: Device, own_redis_cluster: RedisCluster
    ) -> None:
        world.person().sign_in().post(APPROVE, device.user_code)
        with own_redis_cluster.losing_the_tail(AUTHORIZATION):
            first = device.poll().json["access_token"]
        # Whoever has a token polls no more; somebody who stole the code might.
        # The second redemption meets the first in the database, and waits until that can only be dead.
        assert until_available(device.poll).json["error"] == "authorization_pending"
        assert device.account(first).status_int == 200
        world.clock.pass_seconds(11)
        again = device.poll().json["access_token"]
        assert [device.account(token).status_int for token in (first, again)] == [401, 200]
