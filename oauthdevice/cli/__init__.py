"""`oauthdevice`: sign in, and see and end what is signed in, from a terminal.

It talks HTTP through `oauthdevice.client` and knows nothing of the server. Nothing heavy is imported here or in
`parser`, so that help and completion come at once; each command imports what it needs.
"""

import importlib
import os
import sys

from .exits import Exit, failure_of
from .output import Output
from .parser import build_parser


def main(argv: list[str] | None = None) -> int:
    """The console script; the exit status is an `Exit`."""
    parser = build_parser()
    if "_ARGCOMPLETE" in os.environ:
        from .completion import complete

        complete(parser)
    options = parser.parse_args(argv)
    output = Output(options.json, options.debug)
    try:
        command = importlib.import_module(f"{__name__}.{options.module}")
        getattr(command, options.function)(options, output)
        sys.stdout.flush()
    except BrokenPipeError:
        # Who reads has enough (`| head -1`). What is left to flush at the end goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.ERROR
    except (KeyboardInterrupt, Exception) as error:
        failure = failure_of(error)
        if failure is None:
            raise
        output.fail(failure)
        return failure.exit
    return Exit.OK
