"""Polls that wait for the decision (`Prefer: wait=SECONDS`, RFC 7240 §4.3) instead of coming back to ask."""

import threading
import time
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING
from weakref import WeakSet

from .errors import StoreUnavailable

if TYPE_CHECKING:
    from .decisions import Decisions
    from .ports import Handle

# How many of those who wait, or want to, read their records at the same time. In a process of greenlets thousands
# may come at once, or look at once when the news are back after a break: the others are to be served meanwhile.
READS_AT_ONCE = 16
# How long who wants to read waits for a turn: longer than thousands take, and not for ever where Redis hangs.
READ_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Hold:
    """How long a poll may be held, in seconds, and how many at once in this process. Zero seconds: none is."""

    seconds_max: int = 0
    polls_max: int = 0


class HeldPolls:
    """The polls that wait in this process. One for each device_code: a later one lets the earlier go.

    A `decisions.DecisionListener`.
    """

    def __init__(self, hold: Hold, decisions: "Decisions") -> None:
        self._hold = hold
        self._decisions = decisions
        self._lock = threading.Lock()
        self._waiting: dict[str, _HeldPoll] = {}
        self._reads = threading.BoundedSemaphore(READS_AT_ONCE)
        self._stopped = False
        _of_this_process.add(self)

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Around the first look of who wants to wait. Raises StoreUnavailable."""
        if not self._reads.acquire(timeout=READ_SECONDS):
            raise StoreUnavailable(detail="redis: too many who wait look at once")
        try:
            yield
        finally:
            self._reads.release()

    def bounded(self, seconds: float) -> float:
        """For how long a poll that wishes to wait so many seconds is held at the most; 0 where none is."""
        return min(seconds, self._hold.seconds_max)

    @contextmanager
    def hold(self, handle: "Handle", seconds: float) -> Iterator[Iterator[None]]:
        """Gives a turn whenever the record may have been decided: look at it then.

        The first comes at once, so that nothing falls between an earlier look and this; the last after so many
        seconds, or as many as a poll may be held. No turn at all where it cannot be held.
        """
        seconds = self.bounded(seconds)
        poll = self._enter(handle.digest) if seconds > 0 else None
        if poll is None:
            yield iter(())
            return
        try:
            # A turn that was not the last is given back.
            with closing(self._turns_of(poll, seconds)) as turns:
                yield turns
        finally:
            self._leave(handle.digest, poll)

    def stop(self) -> None:
        """Everybody is let go, and nobody is held any more: the process is about to end."""
        with self._lock:
            self._stopped = True
            waiting = list(self._waiting.values())
        for poll in waiting:
            poll.let_go()

    def decided(self, digest: str) -> None:
        """Somebody, in whichever process, has decided this one."""
        poll = self._waiting.get(digest)
        if poll is not None:
            poll.wake()

    def all_may_be_decided(self) -> None:
        """News were lost: everybody looks for themselves."""
        with self._lock:
            waiting = list(self._waiting.values())
        for poll in waiting:
            poll.wake()

    def is_waiting(self) -> bool:
        """True while at least one poll is held."""
        return bool(self._waiting)

    def _enter(self, digest: str) -> "_HeldPoll | None":
        with self._lock:
            earlier = self._waiting.get(digest)
            if self._stopped or (earlier is None and len(self._waiting) >= self._hold.polls_max):
                return None
            poll = self._waiting[digest] = _HeldPoll()
        if earlier is not None:
            earlier.let_go()
        return poll

    def _leave(self, digest: str, poll: "_HeldPoll") -> None:
        with self._lock:
            if self._waiting.get(digest) is poll:
                del self._waiting[digest]

    def _turns_of(self, poll: "_HeldPoll", seconds: float) -> Generator[None, None, None]:
        until = time.monotonic() + seconds
        # Without news, it is answered as if it had not asked to wait.
        is_over = not self._decisions.listen(self)
        while not is_over:
            is_over = not poll.wait(until - time.monotonic())
            # Who gets no turn is answered by what was seen before.
            if not self._reads.acquire(timeout=READ_SECONDS):
                return
            try:
                yield
            finally:
                self._reads.release()


# Whoever stops a process knows none of what is built in it.
_of_this_process: "WeakSet[HeldPolls]" = WeakSet()


def stop_holding() -> None:
    """Every held poll of this process is answered, and none is held any more."""
    for polls in list(_of_this_process):
        polls.stop()


class _HeldPoll:
    """One that waits."""

    def __init__(self) -> None:
        self._woken = threading.Event()
        self._woken.set()
        self._is_let_go = False

    def wake(self) -> None:
        self._woken.set()

    def let_go(self) -> None:
        self._is_let_go = True
        self._woken.set()

    def wait(self, seconds: float) -> bool:
        """True once it is woken; False where it is to wait no longer."""
        if not self._woken.wait(max(0, seconds)) or self._is_let_go:
            return False
        # Before the look that follows: what wakes it during that one is not lost.
        self._woken.clear()
        return not self._is_let_go
