"""Whoever speaks to Redis takes a turn: so many at once, the others wait, and not for ever."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis

from oauthdevice.domain.errors import StoreUnavailable
from oauthdevice.stores import redis as store
from oauthdevice.stores.redis import AT_ONCE, unavailable


@unavailable
def speak(everybody: threading.Barrier, done: threading.Event) -> bool:
    everybody.wait(30)
    return done.wait(30)


@unavailable
def answer() -> str:
    return "PONG"


@unavailable
def fail() -> None:
    raise redis.ConnectionError("gone")


def test_who_comes_while_every_turn_is_taken_is_refused_and_then_served(monkeypatch: pytest.MonkeyPatch) -> None:
    everybody, done = threading.Barrier(AT_ONCE + 1), threading.Event()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        speaking = [pool.submit(speak, everybody, done) for _ in range(AT_ONCE)]
        try:
            everybody.wait(30)
            monkeypatch.setattr(store, "TURN_SECONDS", 0.05)
            with pytest.raises(StoreUnavailable) as refused:
                answer()
        finally:
            done.set()
        assert refused.value.detail == "redis: too many wait for it"
        assert all(one.result() for one in speaking)
    assert answer() == "PONG"


def test_a_failure_gives_its_turn_back() -> None:
    for _ in range(2 * AT_ONCE):
        with pytest.raises(StoreUnavailable) as failed:
            fail()
        assert failed.value.detail == "redis: gone"
