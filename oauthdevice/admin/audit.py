"""`audit tail`, `audit export`: events as JSON lines; `audit verify`, `audit head`: whether they are all there."""

import argparse
import json
import re
from datetime import UTC, datetime

from ..domain.audit_chain import Anchor
from ..domain.errors import DomainError
from ..settings import Settings
from .commands import Commands, add_command, services_of


class NoSuchRow(DomainError):
    """The chain has no row at this position."""

    error = "no_such_row"
    description = "The chain has no such row."


def add_audit_commands(commands: Commands) -> None:
    parser = commands.add_parser("audit", help="what happened, as JSON lines, and whether it is all there")
    audit = parser.add_subparsers(required=True, metavar="COMMAND")
    tail = add_command(audit, "tail", "the newest events, oldest of them first", _tail)
    tail.add_argument("-n", "--number", type=int, default=20, help="how many, 20 unless given")
    add_command(audit, "export", "every event, oldest first", _export)
    verify = add_command(audit, "verify", "find rows that were removed or changed; 1 where there are any", _verify)
    verify.add_argument(
        "--expect",
        type=_anchor,
        action="append",
        default=[],
        metavar="POSITION:HASH",
        help="an anchor noted earlier, which must still be in the chain; may be given several times",
    )
    verify.add_argument(
        "--after", type=_anchor, metavar="POSITION:HASH", help="the rows up to this anchor were deleted on purpose"
    )
    verify.add_argument(
        "--unchained-until",
        type=_moment,
        metavar="TIME",
        help="rows of before TIME (ISO 8601) may be in no chain: until then an older release was running",
    )
    head = add_command(audit, "head", "the anchor of the newest row, POSITION:HASH, to be noted elsewhere", _head)
    head.add_argument("--position", type=int, help="the anchor of another row")


def _tail(settings: Settings, options: argparse.Namespace) -> None:
    with services_of(settings) as services:
        for event in services.ledger.newest(max(options.number, 0)):
            print(json.dumps(event.members()))


def _export(settings: Settings, _: argparse.Namespace) -> None:
    with services_of(settings) as services:
        for event in services.ledger.all():
            print(json.dumps(event.members()))


def _verify(settings: Settings, options: argparse.Namespace) -> None:
    found = 0
    with services_of(settings) as services:
        # Told first: what is added meanwhile is for the next time.
        anchor = services.proof.anchor()
        for finding in services.proof.findings(
            expected=options.expect, after=options.after, unchained_until=options.unchained_until
        ):
            print(finding)
            found += 1
        before = services.proof.before_the_chain(options.unchained_until)
    if before:
        rows, it = ("1 row is", "it") if before == 1 else (f"{before} rows are", "them")
        print(f"{rows} older than the chain: nothing is proven of {it}")
    if found:
        print("1 finding" if found == 1 else f"{found} findings")
        raise SystemExit(1)
    print(f"every row of the chain is there and unchanged; its newest is {anchor}" if anchor else "the chain is empty")


def _head(settings: Settings, options: argparse.Namespace) -> None:
    with services_of(settings) as services:
        anchor = services.proof.anchor(options.position)
    if anchor is None:
        raise NoSuchRow()
    print(anchor)


def _anchor(text: str) -> Anchor:
    if not re.fullmatch(r"[1-9][0-9]{0,17}:[0-9a-f]{64}", text, re.ASCII):
        raise argparse.ArgumentTypeError("must be POSITION:HASH, as `audit head` prints it")
    position, _, digits = text.partition(":")
    return Anchor(int(position), digits)


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError("must be a time such as 2026-01-31T12:00:00Z") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
