"""The wait for a person: time left on a line of its own, Enter for the browser, the number to compare."""

import os
import select
import sys
import time
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from ..client import Pending, StartedLogin
from .browser import open_page
from .output import Output

TICK_SECONDS = 0.5
REFRESHES_PER_SECOND = 12.5


class Waiting:
    """Sleeps for a DeviceLogin, and keeps the person company. `enter_opens` is the page that Enter opens, or None."""

    def __init__(self, output: Output, started: StartedLogin, enter_opens: str | None) -> None:
        self._output = output
        self._started = started
        self._page = enter_opens
        self._number: str | None = None
        self._trouble: str | None = None
        self._live: Any = None
        self._spinner: Any = None

    def __enter__(self) -> Self:
        if sys.stderr.isatty() and not self._output.as_json:
            from rich.console import Console
            from rich.live import Live
            from rich.spinner import Spinner

            self._spinner = Spinner("dots", self._text())
            # What is redirected goes where the clock is: right for a terminal, but a pipe is to get its answers.
            self._live = Live(
                self._spinner,
                console=Console(stderr=True),
                refresh_per_second=REFRESHES_PER_SECOND,
                transient=True,
                redirect_stdout=sys.stdout.isatty(),
            )
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._live is not None:
            # A terminal that hung up takes nothing more.
            with suppress(OSError):
                self._live.stop()

    def sleep(self, seconds: float) -> None:
        """As time.sleep, but looks at the keyboard and moves the clock on the screen."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._show()
            tick = min(left, TICK_SECONDS)
            if self._page is None or not _in_foreground():
                time.sleep(tick)
            elif select.select([sys.stdin], [], [], tick)[0]:
                self._entered(self._page)

    def pending(self, pending: Pending) -> None:
        """Nobody decided yet."""
        if pending.confirmation_number not in (None, self._number):
            self._number = pending.confirmation_number
            text = f"The page asks for a number. It is: {self._number}"
            self._output.tell("confirm", text, confirmation_number=self._number)
        if pending.trouble and pending.trouble != self._trouble and self._live is None:
            self._output.warn(f"{pending.trouble}; trying again until the code runs out")
        self._trouble = pending.trouble
        self._show()

    def _entered(self, page: str) -> None:
        # Not sys.stdin.readline, which might wait for more.
        if not os.read(sys.stdin.fileno(), 1024):
            self._page = None
            return
        self._page = None
        if not open_page(page):
            self._output.warn("no browser could be opened; open the page yourself")

    def _show(self) -> None:
        if self._spinner is not None:
            self._spinner.update(text=self._text())

    def _text(self) -> Any:
        from rich.text import Text

        left = max(0, int(self._started.deadline - time.monotonic()))
        what = f"{self._trouble}; trying again" if self._trouble else "Waiting for the decision in the browser"
        return Text(f"{what} … {left // 60}:{left % 60:02} left")


def _in_foreground() -> bool:
    """Whether the keyboard is ours. A job in the background that reads from it is stopped."""
    try:
        return os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    except (OSError, AttributeError):
        # No terminal, or a system without such groups, where the keyboard cannot be waited for either.
        return False
