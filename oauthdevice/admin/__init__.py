"""`oauthdevice-admin`: what an operator does on a terminal. Thin: every command calls the domain."""

import argparse
import configparser
import sys
from importlib.metadata import version

from pyramid.paster import get_appsettings

from ..domain.errors import DomainError
from ..settings import Settings, read_settings
from ..stores.migrate import is_newer, upgrade
from .accounts import add_account_commands
from .audit import add_audit_commands
from .check import add_check_command
from .commands import Command, add_command
from .tokens import add_token_commands
from .webhooks import add_webhook_commands


class BadFile(Exception):
    """The ini file is missing or is none."""


def main(argv: list[str] | None = None) -> int:
    """The console script. 0: done; 1: refused, with one line why; 2: wrong usage."""
    options = _parser().parse_args(argv)
    try:
        settings = _settings(options.ini)
        command: Command = options.command
        command(settings, options)
    except (BadFile, DomainError) as error:
        print(f"oauthdevice-admin: {error}", file=sys.stderr)
        return 1
    return 0


def _settings(ini_file: str) -> Settings:
    try:
        return read_settings(get_appsettings(ini_file), ini_file)
    except FileNotFoundError as error:
        raise BadFile(f"no such file: {error.filename or ini_file}") from error
    except (LookupError, configparser.Error) as error:
        raise BadFile(f"{ini_file}: {' '.join(str(error).split())}") from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="oauthdevice-admin", description="Administer an oauthdevice server.")
    parser.add_argument("--version", action="version", version=version("oauthdevice"))
    parser.add_argument("-c", "--config", dest="ini", required=True, metavar="INI", help="the server's ini file")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    add_command(commands, "upgrade", "bring the database to the newest migration", _upgrade)
    add_check_command(commands)
    add_account_commands(commands)
    add_token_commands(commands)
    add_audit_commands(commands)
    add_webhook_commands(commands)
    return parser


def _upgrade(settings: Settings, _: argparse.Namespace) -> None:
    migration = upgrade(settings.database_url)
    if is_newer(migration):
        print(f"the database is at the migration {migration} of a newer release: nothing to do")
    else:
        print("the database is at the newest migration")
