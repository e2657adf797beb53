"""What a command says: text for people, or one JSON document a line for programs. Flushed line by line."""

import json
import logging
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from .exits import Exit, Failure


class Output:
    """Answers go to standard output; troubles, warnings and progress to standard error."""

    def __init__(self, as_json: bool, debug: bool = False) -> None:
        self.as_json = as_json
        if debug:
            handler = logging.StreamHandler()
            handler.setFormatter(logging.Formatter("debug: %(message)s"))
            log = logging.getLogger("oauthdevice")
            log.addHandler(handler)
            log.setLevel(logging.DEBUG)

    def tell(self, event: str, text: str, **members: Any) -> None:
        """One answer, in the form that was asked for. Text that is empty is not printed."""
        if self.as_json:
            print(json.dumps({"event": event, **members}), flush=True)
        elif text:
            print(text, flush=True)

    def warn(self, text: str) -> None:
        print(f"oauthdevice: {text}", file=sys.stderr, flush=True)

    def fail(self, failure: Failure) -> None:
        """Why the command ends."""
        if self.as_json:
            message = str(failure)
            self.tell("error", "", error=failure.error, message=message, exit_status=int(failure.exit))
            return
        if failure.exit is Exit.CANCELLED:
            # The ^C that the terminal shows stands on a line of its own.
            print(file=sys.stderr)
        self.warn(str(failure))


def columns(rows: Iterable[Sequence[str]]) -> str:
    """Rows of cells below each other, as wide as they need."""
    from rich.cells import cell_len

    cells = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(cell_len, column)) for column in zip(*cells, strict=True)]
    lines = ("  ".join(c + " " * (w - cell_len(c)) for c, w in zip(row, widths, strict=True)) for row in cells)
    return "\n".join(line.rstrip() for line in lines)


def printable(text: object) -> str:
    """A text of the server's without anything that a terminal would obey."""
    return "".join(letter if letter.isprintable() else "?" for letter in str(text))


def minute(moment: str | None) -> str:
    """2026-01-31T12:00:00Z as people read it."""
    return f"{moment[:10]} {moment[11:16]} UTC" if moment else "never"
