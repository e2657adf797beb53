"""What serves everything in Python here: granian, with one blocking thread a process where nothing else is said.

More threads fight for the interpreter: 1,800 polls a second instead of 2,000 (a plain Cornice view).
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from .contenders import Command, Place

CHECKOUT = Path(__file__).parent.parent
PROGRAMS = Path(sys.executable).parent


class Server(Protocol):
    """`granian` or `gunicorn`."""

    __name__: str

    def __call__(self, application: str, place: Place, environment: Mapping[str, str], threads: int = 1) -> Command:
        """What starts `application`, MODULE:NAME, with so many threads a process."""


def granian(application: str, place: Place, environment: Mapping[str, str], threads: int = 1) -> Command:
    """`application` is MODULE:NAME; `threads` are those of a process."""
    arguments = [
        *(str(PROGRAMS / "granian"), "--interface", "wsgi", "--no-ws", "--log-level", "warning"),
        *("--host", "127.0.0.1", "--port", str(place.port)),
        *("--workers", str(place.processes), "--blocking-threads", str(threads), application),
    ]
    return Command(arguments, environment, CHECKOUT)


def gunicorn(application: str, place: Place, environment: Mapping[str, str], threads: int = 1) -> Command:
    """As `granian`, as production.ini has it."""
    arguments = [
        *(str(PROGRAMS / "gunicorn"), "--bind", f"127.0.0.1:{place.port}", "--worker-tmp-dir", "/dev/shm"),
        *("--worker-class", "oauthdevice.gunicorn_worker.DrainingWorker", "--no-control-socket"),
        *("--workers", str(place.processes), "--threads", str(threads), "--log-level", "warning", application),
    ]
    return Command(arguments, environment, CHECKOUT)
