"""How a command of `oauthdevice-admin` is declared."""

import argparse
from collections.abc import Callable
from typing import TypeAlias

from ..settings import Settings

Command = Callable[[Settings, argparse.Namespace], None]
Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_command(commands: Commands, name: str, text: str, command: Command, *arguments: str) -> argparse.ArgumentParser:
    """A subcommand that runs `command`; `arguments` are its required positional ones."""
    parser = commands.add_parser(name, help=text, description=text)
    parser.set_defaults(command=command)
    for argument in arguments:
        parser.add_argument(argument, metavar=argument.upper())
    return parser
