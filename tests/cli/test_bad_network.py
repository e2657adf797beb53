"""200 people sign in over a network that breaks every fifth request: each of them succeeds, none approves in vain."""

import asyncio
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from oauthdevice.client import AsyncDeviceLogin, Tokens
from oauthdevice.domain.sessions import Selection

from ..conftest import WorldMaker
from ..factories import Person, World
from ..servers import serve_in_thread
from .event_loops import run
from .faulty_proxy import CALLER, FAULTS, FaultyProxy

LOGINS = 200
AT_ONCE = 50
TIMEOUT_SECONDS = 5.0


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0), backlog=512) as one:
        yield one


@pytest.fixture
def proxy(listener: socket.socket) -> Iterator[FaultyProxy]:
    one = FaultyProxy(listener.getsockname()[1], share=0.2, delay_seconds=TIMEOUT_SECONDS + 0.5)
    one.start()
    yield one
    one.stop()


@pytest.fixture
def world(make: WorldMaker, proxy: FaultyProxy, listener: socket.socket) -> Iterator[World]:
    """A server that hands out the proxy's address as its own."""
    unlimited = {f"limit.{name}": "off" for name in ("code", "decide", "lookup", "guesses", "bearer", "token_unknown")}
    one = make(public_url=proxy.url, interval_seconds="1", **unlimited)
    with serve_in_thread(one.app, listener):
        yield one


async def sign_in(number: int, world: World, person: Person, browser: ThreadPoolExecutor) -> Tokens:
    """One sign-in; its person decides while it waits."""
    loop = asyncio.get_running_loop()
    async with httpx.AsyncClient(headers={CALLER: str(number)}) as http:
        login = AsyncDeviceLogin(world.settings.public_url, "difyctl", http=http, timeout_seconds=TIMEOUT_SECONDS)
        started = await login.start()
        waiting = asyncio.create_task(login.wait(started))
        allowed = await loop.run_in_executor(browser, person.allow, started.user_code)
        assert allowed.request.path == "/device/approved"
        return await waiting


async def sign_in_all(world: World, person: Person) -> list[Tokens]:
    room = asyncio.Semaphore(AT_ONCE)

    async def one(number: int) -> Tokens:
        async with room:
            return await sign_in(number, world, person, browser)

    # One browser, which does one thing at a time.
    with ThreadPoolExecutor(1) as browser:
        return await asyncio.gather(*map(one, range(LOGINS)))


def test_200_sign_ins_in_a_row_succeed(world: World, proxy: FaultyProxy) -> None:
    person = world.person().sign_in()
    began = time.monotonic()
    tokens = run(sign_in_all(world, person))
    print(f"{LOGINS} sign-ins in {time.monotonic() - began:.0f} s; {dict(proxy.met)}")
    assert len({one.access_token for one in tokens}) == LOGINS
    device = world.device()
    assert all(device.account(one.access_token).status_int == 200 for one in tokens)
    # Each approval became one session, and no sign-in left a second one behind.
    live = world.services.registry.live(Selection(email=person.account.email))
    assert {session.id for session in live} == {one.answer["token_id"] for one in tokens}
    assert len(live) == LOGINS
    broken = sum(proxy.met[fault] for fault in FAULTS)
    assert 0.15 < broken / proxy.met.total() < 0.25
    assert all(proxy.met[fault] for fault in FAULTS)
