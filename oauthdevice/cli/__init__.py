"""`oauthdevice`: sign in, and see and end what is signed in, from a terminal.

It talks HTTP through `oauthdevice.client` and knows nothing of the server. Nothing heavy is imported here or in
`parser`, so that help and completion come at once; each command imports what it needs.
"""

import argparse
import importlib
import io
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress

from .exits import Ended, Exit, failure_of
from .output import Output


def main(argv: list[str] | None = None) -> int:
    """The console script; the exit status is an `Exit`."""
    output = Output(False)
    try:
        _end_in_order()
        _prepare_streams()
        options = _options(sys.argv[1:] if argv is None else argv)
        output = Output(options.json, options.debug)
        command = importlib.import_module(f"{__name__}.{options.module}")
        getattr(command, options.function)(options, output)
        sys.stdout.flush()
    except BrokenPipeError:
        # Who reads has enough (`| head -1`). What is left to flush at the end goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.ERROR
    except (KeyboardInterrupt, Ended, Exception) as error:
        failure = failure_of(error)
        if failure is None:
            raise
        # A terminal that hung up takes nothing more.
        with suppress(OSError):
            output.fail(failure)
        return failure.exit
    return Exit.OK


def _options(argv: Sequence[str]) -> argparse.Namespace:
    # Here, where a Ctrl-C is no traceback any more.
    from .parser import build_parser

    parser = build_parser()
    if "_ARGCOMPLETE" in os.environ:
        from .completion import complete

        complete(parser)
    for name in ("OAUTHDEVICE_HOST", "OAUTHDEVICE_CLIENT_ID"):
        if not _is_text(os.environ.get(name, "")):
            parser.error(f"{name} is no text in the encoding of this system")
    if not all(map(_is_text, argv)):
        parser.error("an argument is no text in the encoding of this system")
    return parser.parse_args(argv)


def _is_text(value: str) -> bool:
    """Not so where Python has put in a surrogate for a byte that it could not read."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _end_in_order() -> None:
    """SIGTERM and SIGHUP as Ctrl-C: the cursor comes back. `nohup` ignores the hang-up, and so do we then."""
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _end)


def _end(number: int, _: object) -> None:
    raise Ended(number)


def _prepare_streams() -> None:
    """One that the caller has closed leads nowhere, and a letter that the terminal does not know is escaped."""
    # In this order each takes the number that is free, and no file of ours gets it.
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115  # open to the end
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
