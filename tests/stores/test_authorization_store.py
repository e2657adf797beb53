"""Each script of the AuthorizationStore against the real Redis, a real Cluster and the embedded one."""

import itertools
import json
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
import redis

from oauthdevice.domain import codes
from oauthdevice.domain.audit import AuditEvent
from oauthdevice.domain.device_authorization import (
    AuthorizationRequest,
    DeviceAuthorization,
    State,
    consume,
    lease,
    poller,
)
from oauthdevice.domain.errors import StoreUnavailable, UserCodeTaken
from oauthdevice.domain.ports import Handle, Stored
from oauthdevice.domain.subjects import AccountSubject, ExternalSubject, Subject
from oauthdevice.stores.connections import connect
from oauthdevice.stores.redis import RETENTION_SECONDS, RedisAuthorizationStore
from oauthdevice.stores.waiting_events import waiting_key

from ..cutting_proxy import proxied
from ..factories import Clock, World, keys_in
from ..functional.test_pending_poll_is_cheap import commands_of
from ..servers import RedisServer

LIFETIME_SECONDS, INTERVAL_SECONDS, SPACING_SECONDS = 900, 5, 4
KEPT_SECONDS = LIFETIME_SECONDS + RETENTION_SECONDS
SHARD = "a7"
ADA = AccountSubject("ada")
EVE = ExternalSubject("https://idp.example", "eve", "eve@example.com")


def digest(number: int) -> str:
    """A user_code digest of the one shard that these tests use."""
    return f"{SHARD}{number:062x}"


def handle(number: int) -> Handle:
    return Handle(SHARD, f"{number:064x}")


def request(**parts: Any) -> AuthorizationRequest:
    given = {
        "id": "one",
        "client_id": "tool",
        "scopes": frozenset({"full", "apps:run"}),
        "device_label": "laptop",
        "address": "192.0.2.7",
        "lifetime_seconds": LIFETIME_SECONDS,
    }
    return AuthorizationRequest(**{**given, **parts})


def event(number: int) -> AuditEvent:
    return AuditEvent(id=f"event {number}", at=datetime(2026, 11, 1, tzinfo=UTC), event="started", token_id="one")


@dataclass
class Redis:
    """The store under test, the server beneath and the time that passes in it."""

    store: RedisAuthorizationStore
    client: redis.Redis
    clock: Clock

    def create(self, number: int = 1, user_code: int = 1, **parts: Any) -> Stored:
        """A new authorization, as it is found by its user_code."""
        self.store.create(handle(number), digest(user_code), request(**parts), INTERVAL_SECONDS, SPACING_SECONDS)
        return self.found(user_code)

    def found(self, user_code: int = 1) -> Stored:
        stored = self.store.find(digest(user_code))
        assert stored is not None
        return stored

    def touch(self, number: int = 1) -> Stored:
        stored = self.store.touch(handle(number), request().client_id)
        assert stored is not None
        return stored

    def content(self) -> dict[str, Any]:
        """Every key and what lies there."""
        read = {"string": self.client.get, "hash": self.client.hgetall}
        return {key: read[self.client.type(key)](key) for key in keys_in(self.client)}

    def lifetimes(self) -> dict[str, int]:
        """Every key and its milliseconds left."""
        return {key: self.client.pttl(key) for key in keys_in(self.client)}


@pytest.fixture
def over(any_redis_url: str, clock: Clock) -> Iterator[Redis]:
    client = connect(any_redis_url)
    clock.stores.append(client)
    yield Redis(RedisAuthorizationStore(client, "test", clock.store_offset), client, clock)
    client.close()


class TestCreate:
    def test_the_record_is_found_by_both_codes(self, over: Redis) -> None:
        before = datetime.now(UTC)
        stored = over.create()
        wanted = DeviceAuthorization(
            request=request(), issued_at=stored.record.issued_at, interval_seconds=INTERVAL_SECONDS
        )
        assert stored.record == wanted
        assert stored.handle == handle(1)
        touched = over.touch()
        assert (touched.record, touched.handle, touched.version) == (wanted, handle(1), stored.version)
        assert before - timedelta(seconds=1) <= stored.record.issued_at <= stored.now <= touched.now
        assert touched.now <= datetime.now(UTC) + timedelta(seconds=1)

    @pytest.mark.parametrize(
        "parts",
        [
            {"scopes": frozenset()},
            {"device_label": None},
            {"device_label": '\u00c5da\'s "\U0001f4bb" \\ {x}'},
            {"address": ""},
            {"client_id": 'a"b'},
            {"confirmation_number": "47"},
            {"code_challenge": "c" * 43},
            {"jkt": "k" * 43},
            {"code_challenge": "c" * 43, "jkt": "k" * 43},
        ],
    )
    def test_whatever_was_asked_for_comes_back(self, over: Redis, parts: dict[str, Any]) -> None:
        assert over.create(**parts).record.request == request(**parts)

    def test_a_taken_user_code_is_refused_and_nothing_is_written(self, over: Redis) -> None:
        over.create(1, user_code=1)
        content = over.content()
        with pytest.raises(UserCodeTaken):
            over.store.create(handle(2), digest(1), request(id="two"), INTERVAL_SECONDS, SPACING_SECONDS)
        assert over.content() == content
        assert over.store.touch(handle(2), request().client_id) is None
        assert over.found(1).record.request.id == "one"

    def test_its_event_waits_with_it(self, over: Redis) -> None:
        started = [event(number) for number in (1, 2)]
        for number, one in enumerate(started, 1):
            made = over.store.create(handle(number), digest(number), request(), INTERVAL_SECONDS, 4, event=one)
            assert made == number
        waiting = over.client.hgetall(waiting_key("test"))
        assert waiting == {one.id: orjson.dumps(one.members()).decode() for one in started}

    def test_where_the_user_code_is_taken_no_event_waits(self, over: Redis) -> None:
        over.create()
        with pytest.raises(UserCodeTaken):
            over.store.create(handle(2), digest(1), request(), INTERVAL_SECONDS, 4, event=event(1))
        assert not over.client.exists(waiting_key("test"))

    def test_one_whose_answer_was_lost_is_made_once(self, redis_server: RedisServer) -> None:
        with proxied(redis_server.socket) as way:
            client = connect(f"redis://127.0.0.1:{way.port}/0")
            client.flushall()
            store = RedisAuthorizationStore(client, "test")
            store.create(handle(1), digest(1), request(), INTERVAL_SECONDS, SPACING_SECONDS, event=event(1))
            way.lose_answer(1)
            store.create(handle(2), digest(2), request(), INTERVAL_SECONDS, SPACING_SECONDS, event=event(2))
            assert way.has_lost()
            assert len(keys_in(client, "*:authorization:*")) == len(keys_in(client, "*:user_code:*")) == 2
            assert client.hlen(waiting_key("test")) == 2
            client.close()

    def test_of_many_at_once_one_gets_the_user_code(self, over: Redis) -> None:
        barrier = threading.Barrier(8)

        def one(number: int) -> bool:
            barrier.wait(10)
            try:
                over.store.create(handle(number), digest(1), request(), INTERVAL_SECONDS, SPACING_SECONDS)
            except UserCodeTaken:
                return False
            return True

        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(one, range(8))).count(True) == 1
        assert len(over.content()) == 2

    def test_record_and_index_live_equally_long_and_longer_than_the_code(self, over: Redis) -> None:
        over.create()
        lifetimes = over.lifetimes()
        assert len(lifetimes) == 2
        assert all(KEPT_SECONDS * 1000 - 5000 < left <= KEPT_SECONDS * 1000 for left in lifetimes.values())

    def test_both_are_gone_in_the_end_and_the_user_code_is_free_again(self, over: Redis) -> None:
        over.create()
        over.clock.pass_seconds(LIFETIME_SECONDS + 1)
        assert over.found().record.is_expired(over.found().now)
        over.clock.pass_seconds(RETENTION_SECONDS)
        assert over.content() == {}
        assert over.store.find(digest(1)) is None
        over.create(2, user_code=1)


class TestTouch:
    def test_an_unknown_code_writes_nothing(self, over: Redis) -> None:
        assert over.store.touch(handle(1), request().client_id) is None
        assert over.content() == {}

    def test_the_first_poll_is_on_time(self, over: Redis) -> None:
        over.create()
        assert over.touch().on_time

    def test_a_poll_before_the_spacing_is_over_is_not(self, over: Redis) -> None:
        over.create()
        assert [over.touch().on_time for _ in range(3)] == [True, False, False]
        over.clock.pass_seconds(SPACING_SECONDS - 1)
        assert not over.touch().on_time

    def test_a_poll_after_it_is(self, over: Redis) -> None:
        over.create()
        for _ in range(3):
            assert over.touch().on_time
            over.clock.pass_seconds(SPACING_SECONDS)

    def test_an_early_poll_does_not_move_the_gate(self, over: Redis) -> None:
        over.create()
        over.touch()
        content = over.content()
        for _ in range(SPACING_SECONDS - 1):
            over.clock.pass_seconds(1)
            assert not over.touch().on_time
        assert over.content() == content
        over.clock.pass_seconds(1)
        assert over.touch().on_time

    def test_it_changes_neither_record_nor_lifetime(self, over: Redis) -> None:
        stored = over.create()
        over.clock.pass_seconds(100)
        touched = over.touch()
        assert touched.record == stored.record
        assert touched.version == stored.version
        assert max(over.lifetimes().values()) <= (KEPT_SECONDS - 100) * 1000

    def test_of_many_polls_at_once_one_is_on_time(self, over: Redis) -> None:
        over.create()
        barrier = threading.Barrier(8)

        def one(_: int) -> bool:
            barrier.wait(10)
            return over.touch().on_time

        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(one, range(8))).count(True) == 1

    def test_time_is_that_of_the_store(self, over: Redis) -> None:
        issued_at = over.create().record.issued_at
        over.clock.pass_seconds(250)
        touched = over.touch()
        assert touched.record.issued_at == issued_at
        assert timedelta(seconds=250) <= touched.now - issued_at < timedelta(seconds=255)


class TestFind:
    def test_an_unknown_user_code_is_none_and_writes_nothing(self, over: Redis) -> None:
        assert over.store.find(digest(1)) is None
        assert over.content() == {}

    def test_it_writes_nothing_where_there_is_one(self, over: Redis) -> None:
        over.create()
        content = over.content()
        over.found()
        assert over.content() == content

    def test_an_index_without_its_record_is_none(self, over: Redis) -> None:
        over.create()
        (key,) = keys_in(over.client, "*:authorization:*")
        over.client.delete(key)
        assert over.store.find(digest(1)) is None


class TestLook:
    def test_an_unknown_code_is_none_and_writes_nothing(self, over: Redis) -> None:
        assert over.store.look(handle(1)) is None
        assert over.content() == {}

    def test_it_is_what_a_poll_would_be_told_and_is_none(self, over: Redis) -> None:
        stored = over.create()
        content = over.content()
        looked = over.store.look(handle(1))
        assert looked is not None
        assert (looked.record, looked.handle, looked.version) == (stored.record, stored.handle, stored.version)
        assert looked.on_time
        assert over.content() == content
        assert over.touch().on_time

    def test_time_is_that_of_the_store(self, over: Redis) -> None:
        stored = over.create()
        over.clock.pass_seconds(250)
        looked = over.store.look(handle(1))
        assert looked is not None
        assert timedelta(seconds=250) <= looked.now - stored.now < timedelta(seconds=255)


class TestNews:
    @pytest.fixture
    def told(self, over: Redis) -> Iterator[Callable[[], list[str]]]:
        """What was told since the last time."""
        with over.client.pubsub() as news:
            news.subscribe("test:decided", "the end")
            for _ in range(2):
                assert news.get_message(timeout=5)["type"] == "subscribe"

            def read() -> list[str]:
                # From where the decision came: the nodes of a Cluster keep no order with one another.
                over.client.eval("return redis.call('PUBLISH', 'the end', '')", 1, f"{{{handle(1).shard}}}")
                messages = iter(lambda: news.get_message(timeout=5), None)
                return [one["data"] for one in itertools.takewhile(lambda one: one["channel"] != "the end", messages)]

            yield read

    def test_a_new_state_is_told_by_the_digest_and_nothing_else_is(
        self, over: Redis, told: Callable[[], list[str]]
    ) -> None:
        seen = over.create()
        over.touch()
        claimed = over.store.swap(seen, replace(seen.record, claimed_by="ada"), spacing_seconds=8)
        assert claimed is not None
        assert told() == []
        denied = over.store.swap(claimed, replace(claimed.record, state=State.DENIED))
        assert denied is not None
        assert told() == [seen.handle.digest]
        over.store.swap(denied, replace(denied.record, reported=True))
        assert told() == []

    def test_a_lost_race_is_not_told(self, over: Redis, told: Callable[[], list[str]]) -> None:
        seen = over.create()
        over.store.swap(seen, replace(seen.record, claimed_by="ada"))
        assert over.store.swap(seen, replace(seen.record, state=State.DENIED)) is None
        assert told() == []


class TestSwap:
    @pytest.mark.parametrize("subject", [ADA, EVE])
    def test_the_new_record_comes_back_as_it_was_given(self, over: Redis, subject: Subject) -> None:
        stored = over.create()
        new = replace(
            stored.record,
            interval_seconds=10,
            state=State.REDEEMING,
            claimed_by=subject.key,
            subject=subject,
            granted=frozenset({"full"}),
            attempt=3,
            lease_until=stored.now + timedelta(seconds=10),
        )
        swapped = over.store.swap(stored, new)
        assert swapped is not None
        assert (swapped.record, swapped.handle, swapped.now) == (new, stored.handle, stored.now)
        assert over.found().record == new
        assert over.found().version == swapped.version

    def test_it_compares_with_what_was_read(self, over: Redis) -> None:
        first = over.create()
        assert over.store.swap(first, replace(first.record, claimed_by="ada")) is not None
        content = over.content()
        refused = over.store.swap(
            first,
            replace(first.record, claimed_by="bob"),
            spacing_seconds=60,
            sealed_answer="x",
            sealed_answer_seconds=9,
        )
        assert refused is None
        assert over.content() == content

    def test_what_it_returns_can_be_swapped_again(self, over: Redis) -> None:
        leased = over.store.swap(over.create(), lease(over.found().record, over.found().now))
        assert leased is not None
        assert over.store.swap(leased, consume(leased.record)) is not None
        assert over.found().record.state is State.CONSUMED

    def test_of_many_at_once_one_wins(self, over: Redis) -> None:
        seen = over.create()
        barrier = threading.Barrier(8)

        def one(number: int) -> bool:
            barrier.wait(10)
            return over.store.swap(seen, replace(seen.record, claimed_by=f"person {number}")) is not None

        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(one, range(8))).count(True) == 1

    def test_of_two_that_write_the_same_one_wins(self, over: Redis) -> None:
        """That the record is as it was to be says nothing of who made it so."""
        seen = over.create()
        new = replace(seen.record, claimed_by="ada")
        assert [over.store.swap(seen, new) is not None for _ in range(2)] == [True, False]

    def test_a_record_that_is_gone_does_not_come_back(self, over: Redis) -> None:
        seen = over.create()
        over.clock.pass_seconds(KEPT_SECONDS + 1)
        new = replace(seen.record, claimed_by="ada")
        assert over.store.swap(seen, new, spacing_seconds=8, sealed_answer="x", sealed_answer_seconds=9) is None
        assert over.content() == {}

    def test_it_keeps_the_lifetime(self, over: Redis) -> None:
        seen = over.create()
        over.clock.pass_seconds(500)
        before = over.lifetimes()
        over.store.swap(seen, replace(seen.record, claimed_by="ada"), spacing_seconds=8)
        after = over.lifetimes()
        assert after.keys() == before.keys()
        assert all(before[key] - 5000 < after[key] <= before[key] for key in before)

    def test_a_new_spacing_holds_from_the_next_poll_on_time(self, over: Redis) -> None:
        seen = over.create()
        over.touch()
        over.store.swap(seen, replace(seen.record, interval_seconds=10), spacing_seconds=8)
        over.clock.pass_seconds(SPACING_SECONDS)
        assert over.touch().on_time
        over.clock.pass_seconds(7)
        assert not over.touch().on_time
        over.clock.pass_seconds(1)
        assert over.touch().on_time

    def test_without_one_the_spacing_stays(self, over: Redis) -> None:
        seen = over.create()
        over.touch()
        over.store.swap(seen, replace(seen.record, claimed_by="ada"))
        over.clock.pass_seconds(SPACING_SECONDS)
        assert over.touch().on_time
        over.clock.pass_seconds(SPACING_SECONDS)
        assert over.touch().on_time

    def test_the_sealed_answer_is_kept_for_its_seconds(self, over: Redis) -> None:
        seen = over.create()
        assert over.store.sealed_answer(seen.handle) is None
        over.store.swap(seen, consume(seen.record), sealed_answer="sealed", sealed_answer_seconds=30)
        assert over.store.sealed_answer(seen.handle) == "sealed"
        assert sum(left <= 30_000 for left in over.lifetimes().values()) == 1
        over.clock.pass_seconds(29)
        assert over.store.sealed_answer(seen.handle) == "sealed"
        over.clock.pass_seconds(1)
        assert over.store.sealed_answer(seen.handle) is None
        assert over.found().record.state is State.CONSUMED

    def test_without_one_nothing_is_kept(self, over: Redis) -> None:
        seen = over.create()
        over.store.swap(seen, consume(seen.record))
        assert over.store.sealed_answer(seen.handle) is None
        assert len(over.content()) == 2


class TestKeys:
    def test_every_key_expires_and_those_of_one_authorization_lie_in_one_slot(self, over: Redis) -> None:
        seen = over.create()
        over.touch()
        over.store.swap(seen, consume(seen.record), spacing_seconds=8, sealed_answer="x", sealed_answer_seconds=30)
        lifetimes = over.lifetimes()
        assert len(lifetimes) == 3
        assert all(left > 0 for left in lifetimes.values())
        assert {re.findall(r"\{(.*?)\}", key)[0] for key in lifetimes} == {SHARD}
        assert all(key.startswith("test:") for key in lifetimes)

    def test_two_shards_are_two_slots(self, over: Redis) -> None:
        over.create()
        over.store.create(Handle("b8", "x"), f"b8{1:062x}", request(), INTERVAL_SECONDS, SPACING_SECONDS)
        assert len({re.findall(r"\{(.*?)\}", key)[0] for key in over.lifetimes()}) == 2

    def test_no_code_and_no_token_lies_in_clear(self, world: World) -> None:
        device, person = world.device().ask(device_label="laptop"), world.person()
        device.poll()
        person.open(device.user_code)
        seen = [self.everything(world)]
        person.allow(device.user_code)
        seen.append(self.everything(world))
        token = device.poll().json["access_token"]
        seen.append(self.everything(world))
        normalised = codes.normalise_user_code(device.user_code)
        assert normalised is not None
        for text in seen:
            assert "laptop" in text
            for secret in (device.device_code, device.device_code[3:46], device.user_code, normalised, token):
                assert secret.lower() not in text.lower()

    @staticmethod
    def everything(world: World) -> str:
        read: dict[str, Callable[[str], Any]] = {"string": world.redis.get, "hash": world.redis.hgetall}
        return json.dumps({key: read[world.redis.type(key)](key) for key in keys_in(world.redis)})

    def test_every_key_of_a_whole_flow_expires(self, world: World) -> None:
        device, person = world.device().ask(), world.person()
        device.poll()
        person.allow(device.user_code)
        device.poll()
        keys = keys_in(world.redis)
        assert len(keys) > 3
        assert all(world.redis.pttl(key) > 0 for key in keys)


CHALLENGE, KEY = "c" * 43, "k" * 43


class TestWhoPolls:
    """A poll of somebody else stamps nothing: the next one is on time."""

    @pytest.mark.parametrize(
        ("asked_for", "polled", "stamps"),
        [
            ({}, (None, None), True),
            ({}, (CHALLENGE, None), False),
            ({}, (None, KEY), True),
            ({"code_challenge": CHALLENGE}, (CHALLENGE, None), True),
            ({"code_challenge": CHALLENGE}, (CHALLENGE, KEY), True),
            ({"code_challenge": CHALLENGE}, (None, None), False),
            ({"code_challenge": CHALLENGE}, (None, KEY), False),
            ({"code_challenge": CHALLENGE}, ("d" * 43, None), False),
            ({"jkt": KEY}, (None, KEY), True),
            ({"jkt": KEY}, (None, None), False),
            ({"jkt": KEY}, (None, "l" * 43), False),
            ({"jkt": KEY}, (KEY, None), False),
            ({"jkt": KEY, "code_challenge": CHALLENGE}, (CHALLENGE, KEY), True),
            ({"jkt": KEY, "code_challenge": CHALLENGE}, (CHALLENGE, None), False),
            ({"jkt": KEY, "code_challenge": CHALLENGE}, (None, KEY), False),
        ],
    )
    def test_is_who_began(
        self, over: Redis, asked_for: dict[str, str], polled: tuple[str | None, str | None], stamps: bool
    ) -> None:
        over.create(**asked_for)
        challenge, key = polled
        client_id = request().client_id
        with_key, keyless = poller(client_id, challenge, key), poller(client_id, challenge, None)
        on_time = []
        for _ in range(2):
            touched = over.store.touch(handle(1), with_key, keyless)
            assert touched is not None
            on_time.append(touched.on_time)
        assert on_time == [True, not stamps]
        assert (
            over.store.touch(handle(1), poller("other", challenge, key), poller("other", challenge, None)) is not None
        )

    def test_a_record_that_lost_its_key_to_a_former_release_is_read(self, over: Redis) -> None:
        """It writes back what it knows alone (see `_load`); the client then has to begin again."""
        over.create(jkt=KEY, code_challenge=CHALLENGE)
        (name,) = keys_in(over.client, "*:authorization:*")
        record = json.loads(str(over.client.hget(name, "record")))
        del record["jkt"], record["code_challenge"]
        over.client.hset(name, "record", json.dumps(record))
        assert over.found().record.request == request()


class TestRoundTrips:
    def test_a_start_is_one_command(self, redis_url: str, clock: Clock) -> None:
        """So that nobody dies between its two keys."""
        client = connect(redis_url)
        one = Redis(RedisAuthorizationStore(client, "test", clock.store_offset), client, clock)
        one.create()
        with commands_of(redis_url) as commands:
            one.store.create(handle(2), digest(2), request(id="two"), INTERVAL_SECONDS, SPACING_SECONDS)
        assert [command.split()[0] for command in commands] == ["EVALSHA"]
        client.close()

    def test_a_poll_is_one_command(self, redis_url: str, clock: Clock) -> None:
        client = connect(redis_url)
        one = Redis(RedisAuthorizationStore(client, "test", clock.store_offset), client, clock)
        one.create()
        one.touch()
        before = client.info("commandstats")
        one.touch()
        after = client.info("commandstats")
        # What a script calls inside Redis is counted too, but crosses no network.
        called = {name for name in after if after[name]["calls"] != before.get(name, {"calls": 0})["calls"]}
        assert called - {"cmdstat_info"} == {"cmdstat_evalsha", "cmdstat_hmget", "cmdstat_time"}
        client.close()


class TestRedisAway:
    METHODS: tuple[Callable[[RedisAuthorizationStore, Stored], Any], ...] = (
        lambda store, _: store.create(handle(9), digest(9), request(), INTERVAL_SECONDS, SPACING_SECONDS),
        lambda store, seen: store.touch(seen.handle, request().client_id),
        lambda store, _: store.find(digest(1)),
        lambda store, seen: store.look(seen.handle),
        lambda store, seen: store.swap(seen, seen.record),
        lambda store, seen: store.sealed_answer(seen.handle),
    )

    @pytest.mark.parametrize("method", METHODS, ids=["create", "touch", "find", "look", "swap", "sealed_answer"])
    @pytest.mark.parametrize("url", ["unix:///nowhere/redis.sock", "redis://127.0.0.1:1/0"])
    def test_a_dead_socket_is_store_unavailable(
        self, url: str, method: Callable[[RedisAuthorizationStore, Stored], Any]
    ) -> None:
        client = connect(url)
        record = DeviceAuthorization(request=request(), issued_at=datetime.now(UTC), interval_seconds=5)
        with pytest.raises(StoreUnavailable) as raised:
            method(RedisAuthorizationStore(client, "test"), Stored(record, handle(1), datetime.now(UTC), "{}"))
        assert isinstance(raised.value.__cause__, redis.RedisError)
        assert "nowhere" not in raised.value.description
        client.close()

    def test_a_server_that_went_and_came_back_is_used_again(self, own_redis_server: RedisServer, clock: Clock) -> None:
        client = connect(own_redis_server.url)
        one = Redis(RedisAuthorizationStore(client, "test", clock.store_offset), client, clock)
        seen = one.create()
        own_redis_server.stop()
        for method in self.METHODS:
            with pytest.raises(StoreUnavailable):
                method(one.store, seen)
        own_redis_server.start()
        # Its memory is empty, of scripts too.
        assert one.store.touch(handle(1), request().client_id) is None
        assert one.create().record.request == request()
        client.close()
