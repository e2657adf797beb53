"""An event loop of a test's own, also where a browser of the same process keeps one running (Playwright does)."""

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class EventLoop:
    """A loop in a thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, story: Coroutine[Any, Any, T]) -> T:
        """What the coroutine returns, run to its end."""
        return asyncio.run_coroutine_threadsafe(story, self._loop).result()

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


def run(story: Coroutine[Any, Any, T]) -> T:
    """What the coroutine returns, run to its end in a loop of its own."""
    loop = EventLoop()
    try:
        return loop.run(story)
    finally:
        loop.close()
