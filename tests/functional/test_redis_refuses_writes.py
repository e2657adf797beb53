"""Redis reads and writes nothing: its memory is full, or it is a replica. 503, nothing half done, and on afterwards."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest
import redis

from ..conftest import WorldMaker
from ..factories import API, APPROVE, CODE, DENY, LOOKUP, World
from ..servers import RedisServer
from .test_redis_goes_away import assert_page_unavailable, assert_unavailable, sessions, start_sign_in

Fault = Callable[[], AbstractContextManager[None]]


@pytest.fixture
def world(make: WorldMaker, own_redis_server: RedisServer) -> World:
    return make(redis_url=own_redis_server.url)


@pytest.fixture(params=["out of memory", "a replica"])
def refusing(request: pytest.FixtureRequest, own_redis_server: RedisServer) -> Fault:
    """While this lasts every write is refused (OOM, or READONLY), and reads go on."""

    @contextmanager
    def fault() -> Iterator[None]:
        with redis.Redis.from_url(own_redis_server.url) as client:
            if request.param == "a replica":
                client.replicaof("127.0.0.1", 1)
            else:
                client.config_set("maxmemory-policy", "noeviction")
                client.config_set("maxmemory", 1)
            with pytest.raises(redis.ResponseError, match=r"maxmemory|read only replica"):
                client.set("x", 1)
            assert client.get("x") is None
            yield
            client.config_set("maxmemory", 0)
            client.replicaof("NO", "ONE")

    return fault


class TestRedisRefusesWrites:
    def test_a_device_cannot_start_and_can_afterwards(self, world: World, refusing: Fault) -> None:
        with refusing():
            for _ in range(3):
                assert_unavailable(world.browser().post(CODE, {"client_id": "difyctl"}, status="*"))
            assert world.redis.keys("*") == []
        assert world.device().ask().poll().json["error"] == "authorization_pending"

    def test_a_poll_waits_and_is_not_slowed_for_it(self, world: World, refusing: Fault) -> None:
        device = world.device().ask()
        with refusing():
            for _ in range(3):
                assert_unavailable(device.poll())
        assert device.poll().json["error"] == "authorization_pending"
        assert device.poll().json["interval"] == 10

    def test_what_was_allowed_is_delivered_once_afterwards(self, world: World, refusing: Fault) -> None:
        device = world.device().ask()
        world.person().allow(device.user_code)
        with refusing():
            assert_unavailable(device.poll())
            assert sessions(world) == 0
        answer = device.poll()
        assert answer.status_int == 200
        assert device.poll().json == answer.json
        assert sessions(world) == 1

    @pytest.mark.parametrize(("path", "outcome"), [(APPROVE, 200), (DENY, 400)])
    def test_a_decision_is_not_half_made(self, world: World, refusing: Fault, path: str, outcome: int) -> None:
        device, person = world.device().ask(), world.person().sign_in()
        page = person.open(device.user_code)
        with refusing():
            assert_unavailable(person.post(path, device.user_code))
            assert_page_unavailable(page.form.submit("decision", value="approve", status="*"))
        assert device.poll().json["error"] == "authorization_pending"
        assert person.post(path, device.user_code).status_int == 200
        assert device.poll().status_int == outcome
        told = [event.event for event in world.services.ledger.newest(100)]
        assert told.count("approved") + told.count("denied") == 1

    def test_nobody_looks_up_or_signs_in_uncounted(self, world: World, refusing: Fault) -> None:
        device, person = world.device().ask(), world.person()
        with refusing():
            assert_unavailable(world.browser().get(LOOKUP, {"user_code": device.user_code}, status="*"))
            assert_page_unavailable(start_sign_in(person))
        assert start_sign_in(person).status_int == 303

    def test_a_token_opens_nothing_uncounted_and_is_revoked_at_once_or_not_at_all(
        self, world: World, refusing: Fault
    ) -> None:
        device = world.device().ask()
        world.person().allow(device.user_code)
        token = device.poll().json["access_token"]
        assert device.account(token).status_int == 200
        form = {"client_id": "difyctl", "token": token}
        with refusing():
            assert_unavailable(device.account(token))
            # Who has cached the token could not be told.
            assert_unavailable(device.http.post(f"{API}/oauth/revoke", form, status="*"))
        assert device.account(token).status_int == 200
        assert device.http.post(f"{API}/oauth/revoke", form, status="*").status_int == 200
        assert device.account(token).status_int == 401
        assert [event.event for event in world.services.ledger.newest(100)].count("revoked") == 1

    def test_what_needs_no_write_goes_on(self, world: World, refusing: Fault) -> None:
        device, person = world.device().ask(), world.person().sign_in()
        with refusing():
            for page in ("/device", "/logout", "/healthz", "/.well-known/oauth-authorization-server"):
                assert person.browser.get(page).status_int == 200
            assert device.poll(device_code="dc_nonsense").json["error"] == "invalid_grant"
