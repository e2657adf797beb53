"""Each answer of Redis takes longer than we wait for it: 503 in time, no thread is kept; afterwards all is well."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from oauthdevice.domain.token_endpoint import DEVICE_GRANT
from oauthdevice.stores.connections import TIMEOUT_SECONDS

from ..conftest import WorldMaker
from ..cutting_proxy import CuttingProxy, proxied
from ..factories import CODE, TOKEN, World
from ..servers import RedisServer, wait_until

# As many as the server has threads.
CLIENTS = 8
# One wait for an answer, and another where a connection has to be made anew; the rest is for a busy machine.
BOUND_SECONDS = 3 * TIMEOUT_SECONDS + 2


@pytest.fixture
def way(redis_server: RedisServer) -> Iterator[CuttingProxy]:
    with proxied(redis_server.socket) as proxy:
        yield proxy


@pytest.fixture
def slow(make_live: WorldMaker, redis_url: str, way: CuttingProxy) -> World:
    return make_live(redis_url=f"redis://127.0.0.1:{way.port}", **{"limit.code": "off"})


def at_once(request: Callable[[], requests.Response]) -> list[requests.Response]:
    with ThreadPoolExecutor(CLIENTS) as pool:
        return [one.result() for one in [pool.submit(request) for _ in range(CLIENTS)]]


def our_threads() -> int:
    return sum("proxy" not in thread.name for thread in threading.enumerate())


def test_whoever_asks_is_told_in_time_and_nothing_piles_up(slow: World, way: CuttingProxy) -> None:
    url = slow.settings.public_url

    def ask() -> requests.Response:
        return requests.post(url + CODE, {"client_id": "difyctl"}, timeout=30)

    asked = [answer.json() for answer in at_once(ask)]
    before = our_threads()

    def poll() -> requests.Response:
        form = {"grant_type": DEVICE_GRANT, "client_id": "difyctl", "device_code": asked[0]["device_code"]}
        return requests.post(url + TOKEN, form, timeout=30)

    way.delay_seconds = 2 * TIMEOUT_SECONDS
    for request in (ask, poll):
        began = time.monotonic()
        answers = at_once(request)
        assert time.monotonic() - began < BOUND_SECONDS
        assert {answer.status_code for answer in answers} == {503}
        assert {answer.headers["Retry-After"] for answer in answers} == {"5"}
    assert our_threads() == before
    # Nobody waits for anything any more: the very next requests are answered, all at once.
    way.delay_seconds = 0
    began = time.monotonic()
    assert {answer.status_code for answer in at_once(ask)} == {200}
    assert time.monotonic() - began < TIMEOUT_SECONDS
    # After the Retry-After that it was told, whoever polls is not too early.
    slow.clock.pass_seconds(5)
    assert poll().json()["error"] == "authorization_pending"
    # Each thread has used one for scripts and one for limits.
    wait_until(lambda: way.connections <= 2 * CLIENTS, "the connections that were given up to be closed")


def test_nobody_signs_in_uncounted(slow: World, way: CuttingProxy) -> None:
    person = slow.person()
    form = person.browser.get("/login").form
    form["email"], form["password"] = person.account.email, "correct horse battery staple"
    way.delay_seconds = 2 * TIMEOUT_SECONDS
    assert form.submit(status="*").status_int == 503
    way.delay_seconds = 0
    assert form.submit(status="*").status_int == 303
