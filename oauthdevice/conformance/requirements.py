"""What a requirement is, how one is declared, and how its check can end.

A check is a function of a `Probe`. It returns what was seen where the requirement is met, raises Unmet with what was
seen where it is not, NotApplicable where it does not concern this server, and NotTried where it could not be looked
at. What is seen is shown to people: it never holds a code, token or secret.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .probe import Probe

Check = Callable[["Probe"], str]


class Level(StrEnum):
    """How strongly an RFC asks (RFC 2119). REQUIRED is MUST, RECOMMENDED is SHOULD."""

    MUST = "MUST"
    SHOULD = "SHOULD"
    # Told, and in no score.
    MAY = "MAY"


class Outcome(StrEnum):
    """How a check ended."""

    PASSED = "pass"
    FAILED = "fail"
    # Of a MAY: nobody asks for it.
    NOT_DONE = "not done"
    NOT_APPLICABLE = "n/a"
    NOT_TRIED = "not tried"


class Unmet(Exception):
    """The server does something else; the message is what was seen."""


class NotApplicable(Exception):
    """The requirement does not concern this server; the message is why."""


class NotTried(Exception):
    """Nothing can be said; the message is why."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """One sentence of an RFC that can be seen from outside.

    `id` is a stable name, `source` as "RFC 8628 §3.2", `text` the sentence, quoted or told in few words. What is
    `last` comes after all others: it waits long, or leaves the server wary.
    """

    id: str
    source: str
    level: Level
    text: str
    check: Check
    last: bool = False

    @property
    def family(self) -> str:
        """The document alone: "RFC8628"."""
        return self.source.partition(" §")[0].replace(" ", "")


@dataclass(frozen=True, slots=True)
class Finding:
    """A requirement, how its check ended, and what was seen or why nothing was."""

    requirement: Requirement
    outcome: Outcome
    seen: str


class Chapter:
    """The requirements of a module, in the order in which they are declared.

    @chapter.must("RFC 8414 §3.3")
    def issuer_is_identical(probe): "The sentence of the requirement." ...
    """

    def __init__(self) -> None:
        self.requirements: list[Requirement] = []

    def must(self, source: str, *, last: bool = False) -> Callable[[Check], Check]:
        return self._declare(source, Level.MUST, last)

    def should(self, source: str, *, last: bool = False) -> Callable[[Check], Check]:
        return self._declare(source, Level.SHOULD, last)

    def may(self, source: str, *, last: bool = False) -> Callable[[Check], Check]:
        return self._declare(source, Level.MAY, last)

    def _declare(self, source: str, level: Level, last: bool) -> Callable[[Check], Check]:
        def declare(check: Check) -> Check:
            family = source.partition(" §")[0].replace(" ", "").lower()
            name = f"{family}-{check.__name__.replace('_', '-')}"
            text = " ".join((check.__doc__ or "").split())
            self.requirements.append(Requirement(name, source, level, text, check, last))
            return check

        return declare


def expect(met: bool, seen: str) -> str:
    """What was seen, where the requirement is met. Raises Unmet."""
    if not met:
        raise Unmet(seen)
    return seen


def choose(requirements: Iterable[Requirement], only: Iterable[str]) -> list[Requirement]:
    """Those of the named documents ("RFC8628", "rfc 8628", "8628") or with the named ids; all where none is named.

    Raises ValueError for a name that none has.
    """
    every = list(requirements)
    names = {_plain(name): name for name in only}
    known = {_plain(one.id) for one in every} | {_plain(one.family) for one in every}
    for plain, name in names.items():
        if plain not in known:
            raise ValueError(name)
    return [one for one in every if not names or {_plain(one.id), _plain(one.family)} & names.keys()]


def _plain(name: str) -> str:
    return re.sub(r"^rfc|[^a-z0-9]", "", name.lower())
