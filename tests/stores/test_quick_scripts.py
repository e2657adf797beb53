"""QuickClient against a real Redis: every script gets its own answer, whatever becomes of its connection."""

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import redis

from oauthdevice.stores.connections import connect
from oauthdevice.stores.quick_scripts import KEPT_MAX, QuickClient, QuickScript

from ..redis_servers import RedisSentinels, running_together
from ..servers import wait_until

ECHO = "return {KEYS[1], ARGV[1], 7, false}"


@pytest.fixture
def client(redis_url: str) -> Iterator[QuickClient]:
    client = connect(redis_url)
    assert isinstance(client, QuickClient)
    yield client
    client.close()


@pytest.fixture
def other(redis_url: str) -> Iterator[redis.Redis]:
    """Somebody else at the same Redis."""
    with redis.Redis.from_url(redis_url) as other:
        yield other


def connections(other: redis.Redis) -> int:
    return len(other.client_list()) - 1


@pytest.fixture
def own_redis_sentinels(tmp_path: Path) -> Iterator[RedisSentinels]:
    with running_together(RedisSentinels(tmp_path)) as sentinels:
        yield sentinels


@pytest.mark.timeout(120)
def test_scripts_alone_find_the_primary_that_sentinels_name(own_redis_sentinels: RedisSentinels) -> None:
    """As in a process where devices poll, and nothing else happens."""
    client = connect(own_redis_sentinels.url)
    script = client.register_script("redis.call('INCR', KEYS[1]) return ARGV[1]")
    assert script(["counted"], ["before"]) == "before"
    old = own_redis_sentinels.primary()
    old.kill()

    def is_answered() -> bool:
        try:
            return bool(script(["counted"], ["after"]) == "after")
        except redis.RedisError:
            return False

    wait_until(is_answered, "an answer of the new primary")
    # The first Sentinel may hear of it later than the one that we asked.
    wait_until(lambda: own_redis_sentinels.primary() is not old, "all Sentinels to agree")
    assert int(own_redis_sentinels.primary().client.get("counted") or 0) >= 1
    client.close()


class TestQuickScripts:
    def test_answers_as_the_script_of_redis_py_does(self, client: QuickClient, redis_url: str) -> None:
        with redis.Redis.from_url(redis_url, decode_responses=True) as plain:
            expected = plain.register_script(ECHO)(["key"], ["ä é 漢 \n"])
        assert client.register_script(ECHO)(["key"], ["ä é 漢 \n"]) == expected

    @pytest.mark.parametrize("text", [ECHO, ECHO.encode()])
    def test_takes_the_text_of_a_script_as_redis_py_does(self, client: QuickClient, text: str | bytes) -> None:
        assert QuickScript(client, text)(["key"], [1])[1] == "1"

    def test_is_loaded_again_where_redis_has_forgotten_it(self, client: QuickClient, other: redis.Redis) -> None:
        script = client.register_script(ECHO)
        script(["key"], ["before"])
        other.script_flush()
        assert script(["key"], ["after"])[1] == "after"

    def test_keeps_its_connection(self, client: QuickClient, other: redis.Redis) -> None:
        script = client.register_script(ECHO)
        for number in range(20):
            assert script(["key"], [number])[1] == str(number)
        assert connections(other) == 1

    def test_a_connection_that_died_while_it_was_idle_is_made_anew(
        self, client: QuickClient, other: redis.Redis
    ) -> None:
        script = client.register_script(ECHO)
        script(["key"], ["before"])
        other.client_kill_filter(_type="normal", skipme=True)
        assert script(["key"], ["after"])[1] == "after"

    def test_an_error_of_the_script_is_raised_and_the_next_answer_is_its_own(self, client: QuickClient) -> None:
        script = client.register_script(
            "if ARGV[1] == 'bad' then return redis.error_reply('BAD it is') end return 'good'"
        )
        with pytest.raises(redis.ResponseError, match="BAD it is"):
            script(["key"], ["bad"])
        assert script(["key"], ["fine"]) == "good"

    def test_what_timed_out_is_not_sent_again_and_its_late_answer_is_nobodys(
        self, redis_url: str, other: redis.Redis
    ) -> None:
        impatient = QuickClient.from_url(redis_url, decode_responses=True, socket_timeout=1)
        count = impatient.register_script("redis.call('INCR', KEYS[1]) return ARGV[1]")
        count(["counted"], ["before"])
        # Of what writes: whoever ends the pause is answered.
        other.client_pause(30_000, all=False)
        with pytest.raises(redis.TimeoutError):
            count(["counted"], ["lost"])
        other.client_unpause()
        assert count(["counted"], ["after"]) == "after"
        # It ran before its connection was closed, or never.
        assert int(other.get("counted") or 0) in (2, 3)
        impatient.close()

    def test_threads_get_answers_of_their_own(self, client: QuickClient, other: redis.Redis) -> None:
        script, barrier = client.register_script(ECHO), threading.Barrier(8)
        script(["key"], ["loaded"])

        def run(thread: int) -> bool:
            barrier.wait()
            return all(script(["key"], [f"{thread} {number}"])[1] == f"{thread} {number}" for number in range(200))

        with ThreadPoolExecutor(8) as threads:
            assert all(threads.map(run, range(8)))
        # One more is in the pool of redis-py: it loaded the script.
        assert connections(other) <= 8 + 1

    def test_keeps_no_more_than_its_share_of_the_pool(self, client: QuickClient) -> None:
        script, barrier = client.register_script(ECHO), threading.Barrier(KEPT_MAX + 8)

        def run(number: int) -> bool:
            barrier.wait()
            return bool(script(["key"], [number])[1] == str(number))

        with ThreadPoolExecutor(KEPT_MAX + 8) as threads:
            assert all(threads.map(run, range(KEPT_MAX + 8)))
        assert len(client._connections) <= KEPT_MAX

    def test_nobody_reads_the_answer_of_who_was_stopped_in_between(
        self, client: QuickClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        script = client.register_script(ECHO)
        script(["key"], ["before"])
        (connection,) = client._connections

        def stopped(**_: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(connection, "read_response", stopped)
        with pytest.raises(KeyboardInterrupt):
            script(["key"], ["stopped"])
        monkeypatch.undo()
        assert script(["key"], ["after"])[1] == "after"

    def test_a_fork_does_not_share_the_connection(self, client: QuickClient) -> None:
        script = client.register_script(ECHO)
        script(["key"], ["before"])
        child = os.fork()
        if not child:
            told = [script(["key"], [f"child {number}"])[1] == f"child {number}" for number in range(200)]
            os._exit(0 if all(told) else 1)
        told = [script(["key"], [f"parent {number}"])[1] == f"parent {number}" for number in range(200)]
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert all(told)

    def test_where_no_redis_answers_it_says_so(self) -> None:
        away = QuickClient.from_url("redis://127.0.0.1:1", decode_responses=True)
        with pytest.raises(redis.ConnectionError):
            away.register_script(ECHO)(["key"], [1])
