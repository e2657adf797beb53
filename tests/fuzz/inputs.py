"""How many inputs each fuzz test draws, and how many were drawn in all.

`FUZZ_TIMES` multiplies what every run of the tests draws; `make fuzz` sets it.
"""

import functools
import inspect
import os
from collections import Counter
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis.strategies import SearchStrategy

TIMES = int(os.environ.get("FUZZ_TIMES", "1"))
DRAWN: Counter[str] = Counter()
Test = Callable[..., None]


def fuzzed(count: int, *strategies: SearchStrategy[Any], name: str = "") -> Callable[[Test], Test]:
    """A test that is run with `count` drawn inputs, times `FUZZ_TIMES`: the same ones in every short run."""

    def decorate(test: Test) -> Test:
        about = name or f"{test.__module__.rpartition('.')[2]}.{test.__name__}"

        @functools.wraps(test)
        def counted(*arguments: Any, **fixtures: Any) -> None:
            DRAWN[about] += 1
            test(*arguments, **fixtures)

        counted.__signature__ = inspect.signature(test)  # type: ignore[attr-defined]  # what hypothesis reads
        drawn = settings(
            max_examples=count * TIMES,
            deadline=None,
            database=None,
            derandomize=TIMES == 1,
            # A test is one server and many inputs, and some inputs are long or rare.
            suppress_health_check=list(HealthCheck),
        )
        return drawn(given(*strategies)(counted))

    return decorate
