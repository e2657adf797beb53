"""`oauthdevice completion`, and what the shell's function asks at each Tab."""

import argparse

from .output import Output

PROGRAM = "oauthdevice"


def complete(parser: argparse.ArgumentParser) -> None:
    """Answer the shell and exit."""
    import argcomplete

    argcomplete.autocomplete(parser, always_complete_options="long")


def show(options: argparse.Namespace, output: Output) -> None:
    """The function for a shell's start-up file."""
    from argcomplete.shell_integration import shellcode

    code = shellcode([PROGRAM], shell=options.shell)
    output.tell("completion", code.rstrip("\n"), shell=options.shell, code=code)
