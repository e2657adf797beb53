"""A device that would rather wait than come back (`Prefer: wait=SECONDS`) is answered when somebody decides."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
import redis
from webtest import TestResponse

from oauthdevice.domain.codes import new_device_code

from ..conftest import WorldMaker
from ..factories import TOKEN, Device, World
from ..servers import RedisServer, wait_until

PENDING = {
    "error": "authorization_pending",
    "error_description": "The person has not decided yet. Poll again after the interval.",
    "interval": 5,
}
# Far more than any test takes: who gets an answer earlier got it because of something.
LONG = "60"


@pytest.fixture
def holding(make: WorldMaker) -> World:
    return make(held_poll_seconds=LONG)


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as pool:
        yield pool


@pytest.fixture
def wait_at(threads: ThreadPoolExecutor) -> Callable[..., "Future[TestResponse]"]:
    """A poll that waits in a thread of its own; returns once it is held."""

    def start(world: World, device: Device) -> "Future[TestResponse]":
        before = held_at(world)
        answer = threads.submit(poll, device)
        wait_until(lambda: held_at(world) > before, "the poll to be held", answer.done)
        return answer

    return start


def held_at(world: World) -> int:
    return len(world.services.held_polls._waiting)


def poll(device: Device, wait: str = f"wait={LONG}") -> TestResponse:
    device.http.extra_environ["HTTP_PREFER"] = wait
    try:
        return device.poll()
    finally:
        del device.http.extra_environ["HTTP_PREFER"]


def let_all_go(world: World, *answers: "Future[TestResponse]") -> None:
    world.services.held_polls.stop()
    for answer in answers:
        answer.result(10)


class TestIsHeld:
    def test_until_somebody_approves(self, holding: World, wait_at) -> None:
        device, person = holding.device().ask(), holding.person().sign_in()
        answer = wait_at(holding, device)
        person.allow(device.user_code)
        told = answer.result(10)
        assert told.status_int == 200
        assert told.headers["Cache-Control"] == "no-store"
        assert device.account(told.json["access_token"]).status_int == 200
        assert held_at(holding) == 0

    def test_until_somebody_denies(self, holding: World, wait_at) -> None:
        device, person = holding.device().ask(), holding.person().sign_in()
        answer = wait_at(holding, device)
        person.deny(device.user_code)
        assert answer.result(10).json["error"] == "access_denied"

    def test_through_what_decides_nothing(self, holding: World, wait_at) -> None:
        device, other, person = holding.device().ask(), holding.device().ask(), holding.person().sign_in()
        answer = wait_at(holding, device)
        page = person.open(device.user_code)
        holding.person().allow(other.user_code)
        holding.services.held_polls.all_may_be_decided()
        assert not answer.done()
        page.form.submit("decision", value="approve")
        assert answer.result(10).status_int == 200

    def test_each_of_many(self, holding: World, wait_at) -> None:
        person = holding.person().sign_in()
        devices = [holding.device().ask() for _ in range(6)]
        answers = [wait_at(holding, device) for device in devices]
        for device in devices[:3]:
            person.allow(device.user_code)
        assert [answer.result(10).status_int for answer in answers[:3]] == [200] * 3
        assert not any(answer.done() for answer in answers[3:])
        for device in devices[3:]:
            person.deny(device.user_code)
        assert [answer.result(10).json["error"] for answer in answers[3:]] == ["access_denied"] * 3

    def test_in_the_original_dialect_too(self, holding: World, threads: ThreadPoolExecutor) -> None:
        device, person = holding.device().ask(), holding.person().sign_in()
        device.http.extra_environ["HTTP_PREFER"] = "wait=60"
        answer = threads.submit(device.poll_original)
        wait_until(lambda: held_at(holding) == 1, "the poll to be held", answer.done)
        person.allow(device.user_code)
        assert "access_token" in answer.result(10).json

    def test_and_a_decision_that_fell_before_is_told_at_once(self, holding: World) -> None:
        allowed, denied, person = holding.device().ask(), holding.device().ask(), holding.person()
        person.allow(allowed.user_code)
        person.deny(denied.user_code)
        assert poll(allowed).status_int == 200
        assert poll(denied).json["error"] == "access_denied"


class TestNobodyDecides:
    def test_it_is_told_after_the_wait_that_it_asked_for(self, holding: World) -> None:
        """The real second is what is tested."""
        device, started = holding.device().ask(), time.monotonic()
        assert poll(device, "wait=1").json == PENDING
        assert 1 <= time.monotonic() - started < 10

    def test_it_is_told_after_the_wait_that_is_given(self, make: WorldMaker) -> None:
        world, started = make(held_poll_seconds="1"), time.monotonic()
        assert poll(world.device().ask(), "wait=9999").json == PENDING
        assert 1 <= time.monotonic() - started < 10

    def test_it_is_told_that_its_code_has_expired(self, holding: World) -> None:
        device = holding.device().ask()
        holding.clock.pass_seconds(899)
        started = time.monotonic()
        assert poll(device).json["error"] in ("authorization_pending", "expired_token")
        assert time.monotonic() - started < 10

    def test_the_poll_after_the_interval_is_on_time_and_one_before_it_is_not(self, holding: World) -> None:
        device = holding.device().ask()
        assert poll(device, "wait=1").json == PENDING
        assert poll(device).json["error"] == "slow_down"
        holding.clock.pass_seconds(10)
        assert poll(device, "wait=1").json == {**PENDING, "interval": 10}

    def test_somebody_else_with_the_same_code_takes_the_place(
        self, holding: World, wait_at, threads: ThreadPoolExecutor
    ) -> None:
        """A tool whose connection broke is back, and the interval that it was held for is over."""
        device, again = holding.device().ask(), holding.device()
        again.answer = device.answer
        first = wait_at(holding, device)
        holding.clock.pass_seconds(5)
        second = threads.submit(poll, again)
        assert first.result(10).json == PENDING
        assert not second.done()
        holding.person().allow(device.user_code)
        assert second.result(10).status_int == 200


class TestIsNotHeld:
    """Each of these would wait for a minute if it were."""

    def test_where_it_is_not_switched_on(self, world: World) -> None:
        assert poll(world.device().ask()).json == PENDING
        assert held_at(world) == 0

    def test_who_does_not_ask_for_it(self, holding: World) -> None:
        assert holding.device().ask().poll().json == PENDING

    @pytest.mark.parametrize(
        "prefer", ["", "wait", "wait=", "wait=soon", "wait=-5", "wait=1.5", "await=5", "wait=5s", 'wait="5', "wait=0"]
    )
    def test_who_asks_for_what_means_nothing(self, holding: World, prefer: str) -> None:
        assert poll(holding.device().ask(), prefer).json == PENDING

    def test_who_polls_too_fast(self, holding: World) -> None:
        device = holding.device().ask()
        device.poll()
        assert poll(device).json["error"] == "slow_down"

    def test_who_polls_too_fast_and_it_lets_nobody_else_go(self, holding: World, wait_at) -> None:
        device, impatient = holding.device().ask(), holding.device()
        impatient.answer = device.answer
        answer = wait_at(holding, device)
        assert poll(impatient).json["error"] == "slow_down"
        assert not answer.done()
        holding.person().allow(device.user_code)
        assert answer.result(10).status_int == 200

    def test_who_has_to_show_a_number_first(self, make: WorldMaker) -> None:
        world = make(held_poll_seconds=LONG, other_network="confirm")
        told = poll(world.device().ask()).json
        assert (told["error"], len(told["confirmation_number"])) == ("authorization_pending", 2)

    def test_who_comes_once_as_many_are_held_as_may_be(self, make: WorldMaker, wait_at) -> None:
        world = make(held_poll_seconds=LONG, held_polls="2")
        devices = [world.device().ask() for _ in range(3)]
        answers = [wait_at(world, device) for device in devices[:2]]
        assert poll(devices[2]).json == PENDING
        # Whose place becomes free, somebody else gets.
        world.person().allow(devices[0].user_code)
        assert answers[0].result(10).status_int == 200
        world.clock.pass_seconds(5)
        answers[0] = wait_at(world, devices[2])
        let_all_go(world, *answers)

    def test_an_unknown_and_a_broken_code(self, holding: World) -> None:
        device = holding.device().ask()
        for code in ("dc_nonsense", new_device_code("00")):
            device.answer["device_code"] = code
            assert poll(device).json["error"] == "invalid_grant"

    def test_a_refresh(self, holding: World) -> None:
        form = {"grant_type": "refresh_token", "client_id": "difyctl", "refresh_token": "dfor_x"}
        answer = holding.browser().post(TOKEN, form, headers={"Prefer": "wait=60"}, status="*")
        assert answer.json["error"] == "unauthorized_client"


@pytest.mark.parametrize(
    "prefer", ["wait=60", "WAIT=60", 'wait="60"', "respond-async, wait=60", "wait = 60 ; x=y", "wait=60, wait=0"]
)
def test_every_way_to_write_it_is_understood(holding: World, threads: ThreadPoolExecutor, prefer: str) -> None:
    answer = threads.submit(poll, holding.device().ask(), prefer)
    wait_until(lambda: held_at(holding) == 1, "the poll to be held", answer.done)
    let_all_go(holding, answer)
    assert answer.result().json == PENDING


class TestTheProcessStops:
    def test_everybody_is_answered_and_nobody_is_held_any_more(self, holding: World, wait_at) -> None:
        answers = [wait_at(holding, holding.device().ask()) for _ in range(4)]
        holding.services.held_polls.stop()
        assert [answer.result(10).json for answer in answers] == [PENDING] * 4
        assert poll(holding.device().ask()).json == PENDING


class TestNewsComeFarther:
    @pytest.mark.shared_redis
    def test_a_decision_at_another_server_is_heard(self, make: WorldMaker, wait_at) -> None:
        here, there = make(held_poll_seconds=LONG), make()
        device = here.device().ask()
        answer = wait_at(here, device)
        there.person().allow(device.user_code)
        assert answer.result(10).status_int == 200

    def test_what_was_lost_with_the_connection_is_found_when_there_is_another(
        self, make: WorldMaker, redis_url: str, wait_at
    ) -> None:
        world = make(held_poll_seconds=LONG)
        device, other, person = world.device().ask(), world.device().ask(), world.person().sign_in()
        answers = [wait_at(world, one) for one in (device, other)]
        with redis.Redis.from_url(redis_url) as operator:
            for _ in range(3):
                wait_until(lambda: operator.pubsub_numsub("oauthdevice:decided")[0][1] == 1, "a subscription")
                operator.client_kill_filter(_type="pubsub")
        # Whether or not it is heard: who subscribes again looks.
        person.allow(device.user_code)
        assert answers[0].result(10).status_int == 200
        person.deny(other.user_code)
        assert answers[1].result(10).json["error"] == "access_denied"

    def test_a_user_of_redis_who_may_not_hear_them_is_answered_at_once(
        self, make: WorldMaker, own_redis_server: RedisServer
    ) -> None:
        """Nor may it tell them: what it decides is decided all the same."""
        with redis.Redis.from_url(own_redis_server.url) as operator:
            operator.execute_command("ACL", "SETUSER", "ours", "on", ">secret", "~*", "+@all", "resetchannels")
        world = make(held_poll_seconds=LONG, redis_url=own_redis_server.url.replace("unix://", "unix://ours:secret@"))
        device = world.device().ask()
        assert poll(device).json == PENDING
        world.person().allow(device.user_code)
        assert poll(device).status_int == 200

    def test_once_nobody_waits_nothing_listens(
        self, make: WorldMaker, redis_url: str, wait_at, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("oauthdevice.stores.decisions.SILENCE_SECONDS", 0.05)
        world = make(held_poll_seconds=LONG)
        with redis.Redis.from_url(redis_url) as operator:
            for _ in range(2):
                device, person = world.device().ask(), world.person()
                answer = wait_at(world, device)
                # Through several silences, and questions whether the connection lives.
                person.allow(device.user_code)
                assert answer.result(10).status_int == 200
                wait_until(lambda: operator.pubsub_numsub("oauthdevice:decided")[0][1] == 0, "the subscription to end")


class TestRedisGoesAway:
    def test_before_the_poll(self, make: WorldMaker, own_redis_server: RedisServer) -> None:
        world = make(held_poll_seconds=LONG, redis_url=own_redis_server.url)
        device = world.device().ask()
        world.redis.save()
        own_redis_server.stop()
        started = time.monotonic()
        assert poll(device).status_int == 503
        assert time.monotonic() - started < 10

    def test_while_it_is_held(
        self, make: WorldMaker, own_redis_server: RedisServer, threads: ThreadPoolExecutor
    ) -> None:
        world = make(held_poll_seconds="2", redis_url=own_redis_server.url)
        device = world.device().ask()
        answer = threads.submit(poll, device)
        wait_until(lambda: held_at(world) == 1, "the poll to be held", answer.done)
        world.redis.save()
        own_redis_server.stop()
        told = answer.result(10)
        assert told.status_int == 503
        assert "Retry-After" in told.headers

    def test_and_comes_back_while_it_is_held(self, make: WorldMaker, own_redis_server: RedisServer, wait_at) -> None:
        world = make(held_poll_seconds=LONG, redis_url=own_redis_server.url)
        device, person = world.device().ask(), world.person().sign_in()
        answer = wait_at(world, device)
        world.redis.save()
        own_redis_server.stop()
        own_redis_server.start()
        person.allow(device.user_code)
        assert answer.result(10).status_int == 200
