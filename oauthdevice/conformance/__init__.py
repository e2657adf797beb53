"""`oauthdevice-conformance`: what an authorization server does of what the RFCs of the device flow ask.

It speaks HTTP with any server and knows nothing of ours. Needs httpx, joserfc and rich
(`pip install 'oauthdevice[conformance]'`). Nothing heavy is imported before it is needed.
"""

import os
import sys
from argparse import Namespace
from enum import IntEnum
from typing import TYPE_CHECKING

from .parser import build_parser

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .requirements import Requirement


class Exit(IntEnum):
    """What the shell is told."""

    MET = 0
    UNMET = 1
    USAGE = 2
    UNREACHABLE = 3
    CANCELLED = 130


def main(argv: list[str] | None = None) -> int:
    """The console script; the exit status is an `Exit`."""
    parser = build_parser()
    options = parser.parse_args(argv)
    try:
        from .catalogue import REQUIREMENTS
        from .requirements import choose
        from .transport import Unreachable
    except ModuleNotFoundError as error:
        return _fail(Exit.USAGE, f"{error.name} is missing: pip install 'oauthdevice[conformance]'")
    try:
        chosen = choose(REQUIREMENTS, options.only)
    except ValueError as unknown:
        parser.error(f"--only {unknown}: no such document or id; --list prints all")
    try:
        return _examine(options, chosen)
    except Unreachable as why:
        return _fail(Exit.UNREACHABLE, f"the server cannot be reached: {why}")
    except KeyboardInterrupt:
        return _fail(Exit.CANCELLED, "cancelled")
    except BrokenPipeError:
        # Who reads has enough (`| head -1`). What is left to flush at the end goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.UNMET


def _examine(options: Namespace, chosen: "Sequence[Requirement]") -> int:
    from datetime import UTC, datetime

    import httpx

    from .assembly import BadOption, probe_of
    from .report import print_document, print_report, score
    from .requirements import Level
    from .runner import examine, waiting_seconds

    with httpx.Client(timeout=options.timeout) as http:
        try:
            probe = probe_of(options, http)
        except BadOption as error:
            return _fail(Exit.USAGE, str(error))
        probe.discover()
        if not probe.metadata:
            return _fail(Exit.UNREACHABLE, f"no metadata: {probe.metadata_answers[0].told}")
        _say(f"{len(chosen)} requirements, about {waiting_seconds(probe, chosen):.0f} seconds of waiting")
        findings = examine(probe, chosen)
    if options.json:
        print_document(probe.issuer, findings, datetime.now(UTC))
    else:
        print_report(probe.issuer, findings)
    sys.stdout.flush()
    must = score(findings, Level.MUST)
    return Exit.MET if must.passed == must.tried else Exit.UNMET


def _say(text: str) -> None:
    print(f"oauthdevice-conformance: {text}", file=sys.stderr, flush=True)


def _fail(status: Exit, text: str) -> Exit:
    _say(text)
    return status
