"""Our stores with one fault at a time, at the edge where they speak to Redis or to the database.

An answer is lost after its question was carried out; a store is away from some call on, for the rest of the
request; or the process dies before or after a call.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import redis
from hypothesis import strategies as st
from redis.client import Pipeline
from sqlalchemy.orm import Session

from oauthdevice.domain.errors import StoreUnavailable
from oauthdevice.stores.quick_scripts import QuickClient
from oauthdevice.stores.sql import Database

REDIS, DATABASE = "redis", "database"
LOST, AWAY, DIES_BEFORE, DIES_AFTER = "its answer is lost", "it is away", "we die before", "we die after"


class ProcessDied(BaseException):
    """No handler of ours hears of it: nothing runs after a death."""


@dataclass
class Fault:
    """What goes wrong at the call of number `at` (from 0) to a store."""

    store: str
    at: int
    kind: str


def faults(calls: int) -> st.SearchStrategy[Fault]:
    """One at any of so many calls to either store."""
    kinds = st.sampled_from([LOST, AWAY, DIES_BEFORE, DIES_AFTER])
    return st.builds(Fault, st.sampled_from([REDIS, DATABASE]), st.integers(0, calls - 1), kinds)


class Faults:
    """One fault, which waits through any number of requests until the call that it is for."""

    def __init__(self) -> None:
        self._fault: Fault | None = None
        self._calls = 0
        self._struck = False
        self._meets = False

    def await_call(self, fault: Fault) -> None:
        self._fault, self._calls = fault, 0

    def forget(self) -> None:
        self._fault = None

    @contextmanager
    def met(self) -> Iterator[Callable[[], bool]]:
        """Calls count of what is done inside; what it gives tells whether one was struck, and then no fault is left."""
        self._meets, self._struck = True, False
        try:
            yield lambda: self._struck
        finally:
            self._meets = False
            if self._struck:
                self.forget()

    @contextmanager
    def around(self, store: str, unavailable: Callable[[], Exception]) -> Iterator[Callable[[], None]]:
        """Around one call; what it gives is called before anything of the call is carried out for good."""
        fault = self._fault
        if fault is None or fault.store != store or not self._meets:
            yield lambda: None
            return
        number, self._calls = self._calls, self._calls + 1
        now = number == fault.at

        def before() -> None:
            if fault.kind == AWAY and number >= fault.at:
                self._struck = True
                raise unavailable()
            if fault.kind == DIES_BEFORE and now:
                self._struck = True
                raise ProcessDied

        yield before
        if now and fault.kind in (LOST, DIES_AFTER):
            self._struck = True
            raise unavailable() if fault.kind == LOST else ProcessDied


def install(faults: Faults, patch: pytest.MonkeyPatch) -> None:
    """Put `faults` around every call to Redis and every transaction, until `patch` is undone."""
    for owner, name in ((QuickClient, "run"), (redis.Redis, "execute_command"), (Pipeline, "execute")):
        patch.setattr(owner, name, _around_command(faults, getattr(owner, name)))
    for name in ("read", "write"):
        patch.setattr(Database, name, _around_transaction(faults, getattr(Database, name)))


def _around_command(faults: Faults, call: Any) -> Any:
    def command(client: Any, *arguments: Any, **options: Any) -> Any:
        with faults.around(REDIS, lambda: redis.ConnectionError("a fault of the test")) as before:
            before()
            return call(client, *arguments, **options)

    return command


def _around_transaction(faults: Faults, begin: Any) -> Any:
    @contextmanager
    def transaction(database: Database) -> Iterator[Session]:
        away = StoreUnavailable(detail="a fault of the test")
        with faults.around(DATABASE, lambda: away) as before, begin(database) as sql:
            yield sql
            before()

    return transaction
