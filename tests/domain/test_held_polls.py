"""Who is held, how many, and what lets them go: without a store, and without a second of waiting where one is due."""

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from oauthdevice.domain.decisions import DecisionListener
from oauthdevice.domain.held_polls import READS_AT_ONCE, HeldPolls, Hold, stop_holding
from oauthdevice.domain.ports import Handle

from ..servers import wait_until

LONG_SECONDS = 60


class News:
    """`Decisions` that a test tells by hand."""

    def __init__(self, *, can_be_had: bool = True) -> None:
        self.can_be_had = can_be_had
        self.listeners: list[DecisionListener] = []

    def listen(self, listener: DecisionListener) -> bool:
        # From before on, so that whatever is decided from now on reaches it.
        assert listener.is_waiting()
        self.listeners.append(listener)
        return self.can_be_had


class Poll:
    """One that waits in a thread; `turns` are counted as they come."""

    def __init__(self, polls: HeldPolls, threads: ThreadPoolExecutor, code: str, seconds: float = LONG_SECONDS) -> None:
        self._polls, self._code, self._seconds = polls, code, seconds
        self._turn = threading.Condition()
        self._turns = 0
        self.enough = False
        self.done: Future[int] = threads.submit(self._run)

    def _run(self) -> int:
        with self._polls.hold(handle(self._code), self._seconds) as turns:
            for _ in turns:
                with self._turn:
                    self._turns += 1
                    enough = self.enough
                    self._turn.notify_all()
                if enough:
                    break
        return self._turns

    def wait_for_turn(self, number: int) -> None:
        with self._turn:
            assert self._turn.wait_for(lambda: self._turns >= number, 10)

    def ends_after(self) -> int:
        return self.done.result(10)


def handle(code: str) -> Handle:
    return Handle("00", code)


def held(polls: HeldPolls, seconds: float = LONG_SECONDS) -> int:
    """How often one more is given a turn, who is expected not to be held."""
    with polls.hold(handle("one more"), seconds) as turns:
        return sum(1 for _ in turns)


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2 * READS_AT_ONCE) as pool:
        yield pool


@pytest.fixture
def polls() -> HeldPolls:
    return HeldPolls(Hold(LONG_SECONDS, 100), News())


class TestTurns:
    def test_the_first_comes_at_once_and_another_with_each_news(
        self, polls: HeldPolls, threads: ThreadPoolExecutor
    ) -> None:
        poll = Poll(polls, threads, "a")
        poll.wait_for_turn(1)
        polls.decided("a")
        poll.wait_for_turn(2)
        polls.decided("b")
        polls.all_may_be_decided()
        poll.wait_for_turn(3)
        poll.enough = True
        polls.decided("a")
        assert poll.ends_after() == 4
        assert not polls.is_waiting()

    def test_the_last_comes_at_the_end(self, polls: HeldPolls, threads: ThreadPoolExecutor) -> None:
        assert Poll(polls, threads, "a", 0.05).ends_after() == 2

    def test_no_longer_than_any_may_wait(self, threads: ThreadPoolExecutor) -> None:
        assert Poll(HeldPolls(Hold(1, 100), News()), threads, "a").ends_after() == 2

    def test_one_whose_turn_fails_is_held_no_more(self, polls: HeldPolls) -> None:
        def fail() -> None:
            with polls.hold(handle("a"), LONG_SECONDS) as turns:
                for _ in turns:
                    raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            fail()
        assert not polls.is_waiting()

    def test_only_some_read_at_once_and_every_turn_is_given_back(
        self, polls: HeldPolls, threads: ThreadPoolExecutor
    ) -> None:
        everybody = [Poll(polls, threads, str(number)) for number in range(2 * READS_AT_ONCE)]
        for poll in everybody:
            poll.wait_for_turn(1)
        for poll in everybody:
            poll.enough = True
        polls.all_may_be_decided()
        assert {poll.ends_after() for poll in everybody} == {2}
        # Each ended in the middle of its turn.
        again = [Poll(polls, threads, str(number), 0.05) for number in range(2 * READS_AT_ONCE)]
        assert {poll.ends_after() for poll in again} == {2}


class TestNobodyIsHeld:
    @pytest.mark.parametrize("seconds", [0, -1])
    def test_who_has_no_time(self, polls: HeldPolls, seconds: float) -> None:
        assert held(polls, seconds) == 0

    def test_where_it_is_off(self) -> None:
        news = News()
        assert held(HeldPolls(Hold(), news)) == 0
        assert news.listeners == []

    def test_where_no_news_can_be_had(self) -> None:
        polls = HeldPolls(Hold(LONG_SECONDS, 100), News(can_be_had=False))
        assert held(polls) == 0
        assert not polls.is_waiting()

    def test_above_the_bound(self, threads: ThreadPoolExecutor) -> None:
        polls = HeldPolls(Hold(LONG_SECONDS, 2), News())
        first, second = (Poll(polls, threads, code) for code in "ab")
        for poll in (first, second):
            poll.wait_for_turn(1)
        assert held(polls) == 0
        # It takes the place of its own code, not another.
        again = Poll(polls, threads, "a")
        assert first.ends_after() == 2
        again.wait_for_turn(1)
        polls.stop()
        assert (second.ends_after(), again.ends_after()) == (2, 2)


class TestLetGo:
    def test_of_many_of_one_code_the_last_alone_is_held(self, polls: HeldPolls, threads: ThreadPoolExecutor) -> None:
        many = [Poll(polls, threads, "a") for _ in range(READS_AT_ONCE)]
        wait_until(lambda: sum(poll.done.done() for poll in many) == len(many) - 1, "all but one to be let go")
        assert polls.is_waiting()
        polls.stop()
        for poll in many:
            assert poll.ends_after() >= 1

    def test_a_process_that_stops_holds_nobody(self, threads: ThreadPoolExecutor) -> None:
        both = [HeldPolls(Hold(LONG_SECONDS, 100), News()) for _ in range(2)]
        waiting = [Poll(polls, threads, "a") for polls in both]
        for poll in waiting:
            poll.wait_for_turn(1)
        stop_holding()
        assert [poll.ends_after() for poll in waiting] == [2, 2]
        assert [held(polls) for polls in both] == [0, 0]
