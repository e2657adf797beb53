"""How many requests, per whom, for how long; counted by the real Redis, a Cluster and the embedded one."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest

from oauthdevice.domain.audit import Audit, AuditEvent
from oauthdevice.domain.errors import RateLimited, StoreUnavailable
from oauthdevice.domain.rate_limits import (
    ALARM,
    DEFAULT_LIMITS,
    Limit,
    RateLimits,
    is_same_network,
    is_within,
    network,
)
from oauthdevice.metrics import Meter
from oauthdevice.stores.connections import connect
from oauthdevice.stores.redis import RedisLimitStore

from ..factories import Clock, keys_in

PERIOD_SECONDS = 900
LIMIT = Limit("lookup", 5, PERIOD_SECONDS)
ANOTHER = Limit("code", 5, PERIOD_SECONDS)
THREADS = 8

Count = Callable[[Limit, str], int]


@dataclass
class Counters:
    """The store under test and the time that passes in it."""

    store: RedisLimitStore
    clock: Clock
    events: list[AuditEvent] = field(default_factory=list)

    @property
    def audit(self) -> Audit:
        """One whose rows are `events`."""
        return Audit(self, self.clock, Meter())

    def append(self, event: AuditEvent) -> None:
        self.events.append(event)

    defer = append

    def counting(self, way: str) -> Count:
        """`hit` or `reserve`."""
        count: Count = getattr(self.store, way)
        return count

    def accepted(self, way: str, tries: int, limit: Limit = LIMIT, key: str = "ada") -> int:
        """How many of so many tries were within the limit."""
        return sum(self.counting(way)(limit, key) == 0 for _ in range(tries))


@pytest.fixture
def counters(any_redis_url: str, clock: Clock) -> Iterator[Counters]:
    client = connect(any_redis_url)
    clock.stores.append(client)
    yield Counters(RedisLimitStore(client, "test"), clock)
    client.close()


class TestNetwork:
    @pytest.mark.parametrize(
        ("address", "one"),
        [
            ("192.0.2.7", "192.0.2.7"),
            ("255.255.255.255", "255.255.255.255"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
            ("2001:db8:1:2::", "2001:db8:1:2::/64"),
            ("2001:0DB8:0001:0002:ffff:ffff:ffff:ffff", "2001:db8:1:2::/64"),
            ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
            ("::1", "::/64"),
            ("::", "::/64"),
            ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "ffff:ffff:ffff:ffff::/64"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("::ffff:c000:207", "192.0.2.7"),
            ("fe80::1%eth0", "fe80::/64"),
            ("fe80::1%", "fe80::/64"),
        ],
    )
    def test_an_ipv4_address_or_the_64_of_one_subscriber(self, address: str, one: str) -> None:
        assert network(address) == one

    @pytest.mark.parametrize(
        "address", ["", " ", "localhost", "192.0.2", "192.0.2.7:80", "[::1]", "%", "\u0661", "x" * 999]
    )
    def test_whatever_is_no_address_shares_one_bucket(self, address: str) -> None:
        assert network(address) == "unknown"


class TestSameNetwork:
    @pytest.mark.parametrize(
        ("address", "other", "same"),
        [
            ("192.0.2.7", "192.0.2.7", True),
            ("192.0.2.7", "192.0.2.8", False),
            ("192.0.2.7", "::ffff:192.0.2.7", True),
            ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
            ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
            ("192.0.2.7", "2001:db8::1", False),
            # Of two addresses that nobody knows, nobody knows whether they are one.
            ("", "", False),
            ("localhost", "localhost", False),
            ("192.0.2.7", "", False),
        ],
    )
    def test_two_known_addresses_that_count_as_one(self, address: str, other: str, same: bool) -> None:
        assert is_same_network(address, other) is same
        assert is_same_network(other, address) is same

    @pytest.mark.parametrize(
        ("address", "networks", "within"),
        [
            ("192.0.2.7", "192.0.2.7", True),
            ("192.0.2.8", "192.0.2.7", False),
            ("192.0.2.8", "192.0.2.0/24", True),
            ("192.0.2.8", "192.0.2.7/24", True),
            ("::ffff:192.0.2.8", "192.0.2.0/24", True),
            ("192.0.2.8", "::ffff:192.0.2.8", True),
            ("2001:db8:1:2::3", "2001:db8:1:2::4", True),
            ("2001:db8:1:2::3", "2001:db8:1:3::4", False),
            ("2001:db8:1:2::3", "2001:db8:1::/48", True),
            ("fe80::1%eth0", "fe80::2", True),
            ("192.0.2.7", "::/0", False),
            ("", "0.0.0.0/0", False),
        ],
    )
    def test_an_address_within_a_network(self, address: str, networks: str, within: bool) -> None:
        assert is_within(address, networks) is within

    @pytest.mark.parametrize("networks", ["", "unknown", "192.0.2", "192.0.2.0/33", "example.com", "1/2/3"])
    def test_what_is_no_network(self, networks: str) -> None:
        with pytest.raises(ValueError, match="does not appear"):
            is_within("192.0.2.7", networks)


@pytest.mark.parametrize("way", ["hit", "reserve"])
class TestCounting:
    def test_exactly_so_many_are_accepted(self, counters: Counters, way: str) -> None:
        assert [counters.counting(way)(LIMIT, "ada") == 0 for _ in range(8)] == [True] * 5 + [False] * 3

    def test_everybody_has_a_count_of_their_own(self, counters: Counters, way: str) -> None:
        assert counters.accepted(way, 8, key="ada") == 5
        assert counters.accepted(way, 8, key="bob") == 5

    def test_every_limit_has_a_count_of_its_own(self, counters: Counters, way: str) -> None:
        assert counters.accepted(way, 8, LIMIT) == 5
        assert counters.accepted(way, 8, ANOTHER) == 5

    def test_the_refused_are_told_when_to_come_back(self, counters: Counters, way: str) -> None:
        counters.accepted(way, 5)
        first = counters.counting(way)(LIMIT, "ada")
        assert PERIOD_SECONDS - 5 <= first <= PERIOD_SECONDS
        counters.clock.pass_seconds(300)
        later = counters.counting(way)(LIMIT, "ada")
        assert PERIOD_SECONDS - 305 <= later <= PERIOD_SECONDS - 298

    def test_who_waits_as_long_as_told_is_accepted(self, counters: Counters, way: str) -> None:
        counters.accepted(way, 5)
        counters.clock.pass_seconds(100)
        counters.clock.pass_seconds(counters.counting(way)(LIMIT, "ada"))
        assert counters.counting(way)(LIMIT, "ada") == 0

    def test_a_refusal_in_the_first_millisecond_is_told_the_whole_period(self, counters: Counters, way: str) -> None:
        once = Limit("lookup", 1, PERIOD_SECONDS)
        for number in range(30):
            assert counters.counting(way)(once, f"key {number}") == 0
            assert counters.counting(way)(once, f"key {number}") >= PERIOD_SECONDS - 5

    def test_refused_tries_do_not_make_the_wait_longer(self, counters: Counters, way: str) -> None:
        assert counters.accepted(way, 50) == 5
        counters.clock.pass_seconds(2 * PERIOD_SECONDS)
        assert counters.accepted(way, 8) == 5

    @pytest.mark.parametrize("period_seconds", [1, 2, 60, 86_400 * 99])
    def test_the_wait_is_one_second_to_one_period(self, counters: Counters, way: str, period_seconds: int) -> None:
        limit = Limit("lookup", 1, period_seconds)
        waits = [counters.counting(way)(limit, "ada") for _ in range(4)]
        # A period of one second may end between two counts.
        assert all(1 <= wait <= period_seconds for wait in waits[1:] if wait)
        assert any(waits)

    def test_of_many_at_once_exactly_so_many_are_accepted(self, counters: Counters, way: str) -> None:
        for round_ in range(10):
            barrier, key = threading.Barrier(THREADS), f"round {round_}"

            def one(_: int, barrier: threading.Barrier = barrier, key: str = key) -> int:
                barrier.wait(10)
                return counters.counting(way)(LIMIT, key)

            with ThreadPoolExecutor(THREADS) as pool:
                answers = list(pool.map(one, range(THREADS)))
            assert answers.count(0) == LIMIT.count

    def test_every_counter_expires(self, counters: Counters, way: str) -> None:
        counters.accepted(way, 8)
        store = counters.clock.stores[0]
        keys = keys_in(store)
        assert keys
        assert all(0 < store.ttl(key) <= 2 * PERIOD_SECONDS for key in keys)


class TestReserving:
    def test_what_is_given_back_can_be_taken_again(self, counters: Counters) -> None:
        assert counters.accepted("reserve", 5) == 5
        counters.store.refund(LIMIT, "ada")
        assert counters.accepted("reserve", 3) == 1

    def test_reserve_and_refund_for_ever_never_runs_out(self, counters: Counters) -> None:
        for _ in range(50):
            assert counters.store.reserve(LIMIT, "ada") == 0
            counters.store.refund(LIMIT, "ada")
        assert counters.accepted("reserve", 8) == 5

    def test_a_refused_attempt_does_not_eat_a_refund(self, counters: Counters) -> None:
        assert counters.accepted("reserve", 20) == 5
        counters.store.refund(LIMIT, "ada")
        assert counters.accepted("reserve", 20) == 1

    def test_a_cleared_count_begins_anew(self, counters: Counters) -> None:
        assert counters.accepted("reserve", 8) == 5
        counters.store.clear(LIMIT, "ada")
        assert counters.accepted("reserve", 8) == 5

    def test_clearing_one_count_leaves_the_others(self, counters: Counters) -> None:
        assert counters.accepted("reserve", 5, key="bob") == 5
        assert counters.accepted("reserve", 5, ANOTHER) == 5
        counters.store.clear(LIMIT, "ada")
        assert counters.accepted("reserve", 1, key="bob") == 0
        assert counters.accepted("reserve", 1, ANOTHER) == 0

    def test_a_refund_that_comes_too_late_opens_no_lasting_credit(self, counters: Counters) -> None:
        counters.store.reserve(LIMIT, "ada")
        counters.clock.pass_seconds(PERIOD_SECONDS)
        counters.store.refund(LIMIT, "ada")
        counters.clock.pass_seconds(PERIOD_SECONDS)
        assert counters.accepted("reserve", 8) == 5

    def test_hits_and_reservations_are_two_counts(self, counters: Counters) -> None:
        assert counters.accepted("hit", 8) == 5
        assert counters.accepted("reserve", 8) == 5


class TestWait:
    def test_it_tells_without_counting(self, counters: Counters) -> None:
        counters.accepted("hit", 4)
        assert not any(counters.store.wait(LIMIT, "ada") for _ in range(10))
        assert counters.accepted("hit", 2) == 1
        assert 0 < counters.store.wait(LIMIT, "ada") <= PERIOD_SECONDS

    def test_an_untouched_one_is_not_spent(self, counters: Counters) -> None:
        assert not counters.store.wait(LIMIT, "nobody")

    def test_it_recovers(self, counters: Counters) -> None:
        counters.accepted("hit", 5)
        counters.clock.pass_seconds(2 * PERIOD_SECONDS)
        assert not counters.store.wait(LIMIT, "ada")


class TestRateLimits:
    def test_a_refusal_says_how_long_to_wait(self, counters: Counters) -> None:
        limits = RateLimits(counters.store, {"lookup": LIMIT}, counters.audit, Meter(), counters.clock)
        for _ in range(5):
            limits.hit("lookup", "ada")
        with pytest.raises(RateLimited) as raised:
            limits.hit("lookup", "ada")
        assert PERIOD_SECONDS - 5 <= raised.value.retry_after_seconds <= PERIOD_SECONDS
        assert raised.value.detail == "limit lookup"

    def test_attempts_are_reserved_given_back_and_forgotten(self, counters: Counters) -> None:
        limits = RateLimits(counters.store, {"lookup": LIMIT}, counters.audit, Meter(), counters.clock)
        for _ in range(5):
            limits.reserve("lookup", "ada")
        limits.refund("lookup", "ada")
        limits.reserve("lookup", "ada")
        with pytest.raises(RateLimited):
            limits.reserve("lookup", "ada")
        limits.clear("lookup", "ada")
        limits.reserve("lookup", "ada")

    def test_a_limit_that_is_off_counts_nothing(self, counters: Counters) -> None:
        limits = RateLimits(counters.store, {"lookup": None}, counters.audit, Meter(), counters.clock)
        for _ in range(100):
            limits.hit("lookup", "ada")
            limits.reserve("lookup", "ada")
        limits.refund("lookup", "ada")
        limits.clear("lookup", "ada")
        assert keys_in(counters.clock.stores[0]) == []

    @pytest.mark.parametrize("key", ["ada@example.com", "192.0.2.7", "x" * 5000, "", "\u00e5da", "a b\n{c}"])
    def test_no_key_shows_who_is_counted(self, counters: Counters, key: str) -> None:
        limits = RateLimits(counters.store, {"lookup": LIMIT}, counters.audit, Meter(), counters.clock)
        limits.hit("lookup", key)
        limits.reserve("lookup", key)
        names = keys_in(counters.clock.stores[0])
        assert names
        assert all(len(name) < 200 and (not key or key not in name) for name in names)

    def test_the_alarm_rings_above_a_thousand_wrong_codes_and_calms_again(self, counters: Counters) -> None:
        limits = RateLimits(counters.store, {}, counters.audit, Meter(), counters.clock)
        assert not limits.is_alarmed()
        for _ in range(1000):
            limits.count_wrong_code()
        counters.clock.pass_seconds(1)
        assert not limits.is_alarmed()
        limits.count_wrong_code()
        counters.clock.pass_seconds(1)
        assert limits.is_alarmed()
        counters.clock.pass_seconds(2 * ALARM.period_seconds)
        assert not limits.is_alarmed()

    def test_the_defaults_are_those_of_the_contract(self) -> None:
        assert {limit.name: (limit.count, limit.period_seconds) for limit in DEFAULT_LIMITS.values()} == {
            "code": (60, 3600),
            "token_unknown": (60, 60),
            "lookup": (60, 300),
            "guesses": (10, 900),
            "decide": (10, 3600),
            "approve_external": (10, 3600),
            "sso_initiate": (60, 3600),
            "login_account": (5, 900),
            "login_address": (20, 900),
            "bearer": (60, 60),
        }
        assert all(name == limit.name for name, limit in DEFAULT_LIMITS.items())


class TestRedisAway:
    @pytest.mark.parametrize("method", ["hit", "reserve", "refund", "clear", "wait", "is_first"])
    def test_a_failure_of_redis_is_store_unavailable(self, method: str) -> None:
        client = connect("unix:///nowhere/redis.sock")
        store = RedisLimitStore(client, "test")
        with pytest.raises(StoreUnavailable):
            getattr(store, method)(LIMIT, "ada")
        client.close()


class TestUsingUp:
    def test_leaves_so_many_and_no_more(self, counters: Counters) -> None:
        limit = Limit("code", 60, PERIOD_SECONDS)
        counters.accepted("hit", 10, limit)
        counters.store.use_up(limit, "ada", 6)
        counters.store.use_up(limit, "ada", 6)
        assert counters.accepted("hit", 10, limit) == 6
        assert counters.accepted("hit", 10, limit, key="bob") == 10

    def test_takes_nothing_of_less(self, counters: Counters) -> None:
        counters.accepted("hit", 4)
        counters.store.use_up(LIMIT, "ada", 3)
        assert counters.accepted("hit", 5) == 1

    @pytest.mark.parametrize(("count", "left"), [(60, 6), (5, 1), (1, 1)])
    def test_leaves_a_tenth_and_never_nothing(self, counters: Counters, count: int, left: int) -> None:
        limits = RateLimits(
            counters.store, {"code": Limit("code", count, PERIOD_SECONDS)}, counters.audit, Meter(), counters.clock
        )
        limits.use_up("code", "192.0.2.7")
        for _ in range(left):
            limits.hit("code", "192.0.2.7")
        with pytest.raises(RateLimited):
            limits.hit("code", "192.0.2.7")

    def test_of_a_limit_that_is_off_does_nothing(self, counters: Counters) -> None:
        RateLimits(counters.store, {"code": None}, counters.audit, Meter(), counters.clock).use_up("code", "192.0.2.7")
