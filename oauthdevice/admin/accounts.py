"""`account` and `workspace`: who may sign in, and where they belong."""

import argparse
import getpass
import sys

from ..domain.answers import iso
from ..settings import Settings
from .commands import Commands, add_command, services_of


def add_account_commands(commands: Commands) -> None:
    account = commands.add_parser("account", help="add, list, disable and enable accounts, set passwords")
    _add_account_commands(account.add_subparsers(required=True, metavar="COMMAND"))
    workspace = commands.add_parser("workspace", help="add workspaces and their members")
    _add_workspace_commands(workspace.add_subparsers(required=True, metavar="COMMAND"))


def _add_account_commands(commands: Commands) -> None:
    add = add_command(commands, "add", "a new account", _add, "email")
    add.add_argument("--name", required=True, help="what the person is called")
    add_command(commands, "list", "every account, tab-separated: id, e-mail, name, state", _list)
    add_command(commands, "disable", "end every session of an account and let it start none", _disable, "email")
    add_command(commands, "enable", "let a disabled account sign in again", _enable, "email")
    password = add_command(commands, "set-password", "a new password; signs out everywhere", _set_password, "email")
    _add_passkey_commands(commands)
    for command in (add, password):
        command.add_argument("--password-stdin", action="store_true", help="read the password from standard input")


def _add_passkey_commands(commands: Commands) -> None:
    passkeys = commands.add_parser("passkeys", help="list and remove the passkeys of an account")
    nested = passkeys.add_subparsers(required=True, metavar="COMMAND")
    add_command(nested, "list", "tab-separated: name, added, last used", _list_passkeys, "email")
    add_command(nested, "remove", "remove all of them, as of a lost device; signs out", _remove_passkeys, "email")


def _add_workspace_commands(commands: Commands) -> None:
    add_command(commands, "add", "a new workspace; prints its id", _add_workspace, "name")
    join = add_command(commands, "join", "make an account a member", _join_workspace, "workspace", "email")
    join.add_argument("--role", required=True, help="such as owner, admin or member")


def _add(settings: Settings, options: argparse.Namespace) -> None:
    with services_of(settings) as services:
        account = services.accounts.add(options.email, options.name, _password(options))
        print(f"added {account.email} ({account.id})")


def _list(settings: Settings, _: argparse.Namespace) -> None:
    with services_of(settings) as services:
        for account in services.accounts.all():
            print(account.id, account.email, account.name, "active" if account.active else "disabled", sep="\t")


def _disable(settings: Settings, options: argparse.Namespace) -> None:
    with services_of(settings) as services:
        services.accounts.set_active(options.email, False)
        print(f"disabled {options.email}")


def _enable(settings: Settings, options: argparse.Namespace) -> None:
    with services_of(settings) as services:
        services.accounts.set_active(options.email, True)
        print(f"enabled {options.email}")


def _set_password(settings: Settings, options: argparse.Namespace) -> None:
    with services_of(settings) as services:
        services.accounts.set_password(options.email, _password(options))
        print(f"set the password of {options.email}")


def _list_passkeys(settings: Settings, options: argparse.Namespace) -> None:
    with services_of(settings) as services:
        for one in services.passkeys.of(services.accounts.named(options.email)):
            passkey = one.passkey
            used = iso(passkey.last_used_at) if passkey.last_used_at else "never"
            print(passkey.name, iso(passkey.created_at), used, sep="\t")


def _remove_passkeys(settings: Settings, options: argparse.Namespace) -> None:
    with services_of(settings) as services:
        print(f"removed {services.passkeys.remove_all(options.email)} passkeys of {options.email}")


def _add_workspace(settings: Settings, options: argparse.Namespace) -> None:
    with services_of(settings) as services:
        print(services.accounts.add_workspace(options.name))


def _join_workspace(settings: Settings, options: argparse.Namespace) -> None:
    with services_of(settings) as services:
        services.accounts.join_workspace(options.workspace, options.email, options.role)
        print(f"{options.email} is {options.role} of {options.workspace}")


def _password(options: argparse.Namespace) -> str:
    if options.password_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    password = getpass.getpass("Password: ")
    if password != getpass.getpass("Again: "):
        print("oauthdevice-admin: the two passwords differ", file=sys.stderr)
        raise SystemExit(1)
    return password
