"""What a contender is: a server that can be started, and the requests that make it do a kind of work.

Everything here is for the bench alone. `bench/floors`, `bench/ours.py` and `bench/peers` hold the contenders.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Protocol

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


class Work(Enum):
    """What is measured; the value is its name in reports."""

    CODE = "code"
    POLL = "poll"
    INTROSPECTION = "introspection"
    ACCOUNT = "account"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a contender runs. It has the Redis and the database to itself, and keeps them between its starts.

    `database_url` is that of an empty PostgreSQL database as SQLAlchemy writes it
    (postgresql+psycopg://postgres@/NAME?host=FOLDER); `folder` is for files of its own.
    """

    port: int
    processes: int
    redis_url: str
    database_url: str
    folder: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@dataclass(frozen=True, slots=True)
class Request:
    """One request as wrk sends it, and the status that shows that the work was done."""

    path: str
    status: int
    method: str = "POST"
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Command:
    """How a server is started: its arguments, what it needs in the environment beside ours, and where."""

    arguments: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    folder: Path | None = None


class Contender(Protocol):
    """A server that answers some kinds of work."""

    # As reports name it.
    name: str
    work: frozenset[Work]
    # A path that answers 200 once the server is up.
    ready_path: str

    def versions(self) -> Mapping[str, str]:
        """Package names and versions of what answers, for the report."""

    def prepare(self, place: Place) -> None:
        """Once, before the first start: tables, keys, clients."""

    def command(self, place: Place) -> Command:
        """Start it in the foreground with `place.processes` processes; SIGTERM to the group ends it."""

    def requests(self, work: Work, place: Place, count: int) -> Sequence[Request]:
        """Up to `count` requests that do this work, at least one. Asked for once, before any server starts.

        Of POLL there are `count` different device codes, none of them decided.
        """
