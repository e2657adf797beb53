"""How a command of `oauthdevice-admin` is declared."""

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

from ..settings import Settings
from ..wiring import Services, build_services

Command = Callable[[Settings, argparse.Namespace], None]
Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


@contextmanager
def services_of(settings: Settings) -> Iterator[Services]:
    """The services of one command, their connections closed at its end."""
    services = build_services(settings)
    try:
        yield services
    finally:
        services.database.engine.dispose()
        services.redis.close()


def add_command(commands: Commands, name: str, text: str, command: Command, *arguments: str) -> argparse.ArgumentParser:
    """A subcommand that runs `command`; `arguments` are its required positional ones."""
    parser = commands.add_parser(name, help=text, description=text)
    parser.set_defaults(command=command)
    for argument in arguments:
        parser.add_argument(argument, metavar=argument.upper())
    return parser
