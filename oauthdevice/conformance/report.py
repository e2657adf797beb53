"""What was found, for people on a terminal, in a file, and for programs."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from .catalogue import CHAPTERS
from .requirements import Finding, Level, Outcome

STYLES = {
    Outcome.PASSED: "green",
    Outcome.FAILED: "bold red",
    Outcome.NOT_DONE: "dim",
    Outcome.NOT_APPLICABLE: "dim",
    Outcome.NOT_TRIED: "yellow",
}
# Of the JSON document: it grows with what breaks a reader.
DOCUMENT_VERSION = 1


@dataclass(frozen=True, slots=True)
class Score:
    """How many requirements of a level were met, of those that were tried."""

    passed: int
    tried: int


def score(findings: Sequence[Finding], level: Level) -> Score:
    """Of one level; what does not apply or was not tried counts neither way."""
    outcomes = [one.outcome for one in findings if one.requirement.level is level]
    passed = outcomes.count(Outcome.PASSED)
    return Score(passed, passed + outcomes.count(Outcome.FAILED))


def document(issuer: str, findings: Sequence[Finding], now: datetime) -> dict[str, Any]:
    """As docs/conformance.md describes it."""
    return {
        "version": DOCUMENT_VERSION,
        "tool": f"oauthdevice {version('oauthdevice')}",
        "issuer": issuer,
        "examined_at": now.isoformat(timespec="seconds"),
        "score": {
            level.value: {"passed": of.passed, "tried": of.tried}
            for level in (Level.MUST, Level.SHOULD)
            for of in (score(findings, level),)
        },
        "requirements": [
            {
                "id": one.requirement.id,
                "source": one.requirement.source,
                "level": one.requirement.level.value,
                "requirement": one.requirement.text,
                "outcome": one.outcome.value,
                "seen": one.seen,
            }
            for one in findings
        ],
    }


def print_document(issuer: str, findings: Sequence[Finding], now: datetime) -> None:
    print(json.dumps(document(issuer, findings, now), indent=2))


def print_report(issuer: str, findings: Sequence[Finding]) -> None:
    """A table on a terminal; elsewhere one line for each requirement, for grep and diff."""
    console = Console(highlight=False)
    if console.is_terminal:
        _print_tables(console, findings)
    else:
        for one in findings:
            print(line(one))
    print(f"\n{printable(issuer)}")
    print(summary(findings))


def line(one: Finding) -> str:
    """A finding in one line: outcome, level, source, id, what was seen."""
    required = one.requirement
    return f"{one.outcome.value:9}  {required.level:6}  {required.source:18}  {required.id}: {printable(one.seen)}"


def summary(findings: Sequence[Finding]) -> str:
    """The score in one line."""
    must, should = score(findings, Level.MUST), score(findings, Level.SHOULD)
    outcomes = [one.outcome for one in findings]
    return (
        f"MUST {must.passed} of {must.tried} tried, SHOULD {should.passed} of {should.tried} tried; "
        f"{outcomes.count(Outcome.NOT_APPLICABLE)} n/a, {outcomes.count(Outcome.NOT_TRIED)} not tried"
    )


def printable(text: str) -> str:
    """Without anything that a terminal would obey: some of it came from the server."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _print_tables(console: Console, findings: Sequence[Finding]) -> None:
    for title, chapter in CHAPTERS.items():
        ids = {one.id for one in chapter.requirements}
        found = [one for one in findings if one.requirement.id in ids]
        if found:
            console.print(_table(title, found))
    sys.stdout.flush()


def _table(title: str, findings: Sequence[Finding]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, show_header=False)
    table.add_column(width=9)
    table.add_column(width=6)
    table.add_column(width=9)
    table.add_column(ratio=1)
    for one in findings:
        document_name, _, section = one.requirement.source.partition(" §")
        seen = f"[{STYLES[one.outcome]}]{escape(printable(one.seen))}[/]"
        table.add_row(
            f"[{STYLES[one.outcome]}]{one.outcome.value}[/]",
            one.requirement.level.value,
            f"{document_name}\n§{section}",
            f"{escape(one.requirement.text)}\n{seen}",
        )
    return table
