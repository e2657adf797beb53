"""`oauthdevice-admin`: what an operator does on a terminal. Thin: every command calls the domain."""

import argparse
import configparser
import getpass
import sys
from collections.abc import Callable
from importlib.metadata import version

from pyramid.paster import get_appsettings

from ..domain.accounts import Accounts
from ..domain.errors import DomainError
from ..settings import Settings, read_settings
from ..stores.migrate import upgrade
from ..wiring import build_services

Command = Callable[[Settings, argparse.Namespace], None]


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
    _add(commands, "upgrade", "bring the database to the newest migration", _upgrade)
    account = commands.add_parser("account", help="add, list, disable and enable accounts, set passwords")
    _account_commands(account.add_subparsers(required=True, metavar="COMMAND"))
    workspace = commands.add_parser("workspace", help="add workspaces and their members")
    _workspace_commands(workspace.add_subparsers(required=True, metavar="COMMAND"))
    return parser


def _account_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    add = _add(commands, "add", "a new account", _account_add, "email")
    add.add_argument("--name", required=True, help="what the person is called")
    _add(commands, "list", "every account, tab-separated: id, e-mail, name, state", _account_list)
    _add(commands, "disable", "end every session of an account and let it start none", _account_disable, "email")
    _add(commands, "enable", "let a disabled account sign in again", _account_enable, "email")
    password = _add(commands, "set-password", "a new password; signs out everywhere", _account_password, "email")
    for command in (add, password):
        command.add_argument("--password-stdin", action="store_true", help="read the password from standard input")


def _workspace_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    _add(commands, "add", "a new workspace; prints its id", _workspace_add, "name")
    join = _add(commands, "join", "make an account a member", _workspace_join, "workspace", "email")
    join.add_argument("--role", required=True, help="such as owner, admin or member")


def _add(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    text: str,
    command: Command,
    *arguments: str,
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=text, description=text)
    parser.set_defaults(command=command)
    for argument in arguments:
        parser.add_argument(argument, metavar=argument.upper())
    return parser


def _upgrade(settings: Settings, _: argparse.Namespace) -> None:
    upgrade(settings.database_url)
    print("the database is at the newest migration")


def _account_add(settings: Settings, options: argparse.Namespace) -> None:
    account = _accounts(settings).add(options.email, options.name, _password(options))
    print(f"added {account.email} ({account.id})")


def _account_list(settings: Settings, _: argparse.Namespace) -> None:
    for account in _accounts(settings).all():
        print(account.id, account.email, account.name, "active" if account.active else "disabled", sep="\t")


def _account_disable(settings: Settings, options: argparse.Namespace) -> None:
    _accounts(settings).set_active(options.email, False)
    print(f"disabled {options.email}")


def _account_enable(settings: Settings, options: argparse.Namespace) -> None:
    _accounts(settings).set_active(options.email, True)
    print(f"enabled {options.email}")


def _account_password(settings: Settings, options: argparse.Namespace) -> None:
    _accounts(settings).set_password(options.email, _password(options))
    print(f"set the password of {options.email}")


def _workspace_add(settings: Settings, options: argparse.Namespace) -> None:
    print(_accounts(settings).add_workspace(options.name))


def _workspace_join(settings: Settings, options: argparse.Namespace) -> None:
    _accounts(settings).join_workspace(options.workspace, options.email, options.role)
    print(f"{options.email} is {options.role} of {options.workspace}")


def _accounts(settings: Settings) -> Accounts:
    return build_services(settings).accounts


def _password(options: argparse.Namespace) -> str:
    if options.password_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    password = getpass.getpass("Password: ")
    if password != getpass.getpass("Again: "):
        print("oauthdevice-admin: the two passwords differ", file=sys.stderr)
        raise SystemExit(1)
    return password
