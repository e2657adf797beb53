"""The commands and their options. Imports no more than it takes to print the help."""

import argparse
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

DEFAULT_CLIENT_ID = "difyctl"
EPILOG = """\
exit status:
  0 done   1 error   2 wrong usage   3 denied   4 code expired
  5 not signed in   6 network   130 cancelled   129, 143 ended by a signal

environment:
  OAUTHDEVICE_HOST        the server, where --host is not given
  OAUTHDEVICE_CLIENT_ID   the client, where --client-id is not given
  OAUTHDEVICE_NO_BROWSER  anything: never open a browser
  OAUTHDEVICE_STORAGE     keyring or file: where credentials go
  NO_COLOR                anything: no colours
"""


def build_parser() -> argparse.ArgumentParser:
    """All of the command line."""
    parser = argparse.ArgumentParser(
        prog="oauthdevice",
        description="Sign in on this machine with a browser on any other.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", title="commands")
    _add_login(commands)
    _add(commands, "logout", "accounts:logout", "end the session, here and on the server")
    status = _add(commands, "status", "accounts:status", "who is signed in, and whether the server agrees")
    status.add_argument("--offline", action="store_true", help="do not ask the server")
    _add(commands, "whoami", "accounts:whoami", "who is signed in, from what is stored here")
    _add(commands, "list", "accounts:show_all", "every account that is signed in here", choose=False)
    use = _add(commands, "use", "accounts:use", "make another account the active one", choose=False)
    account = use.add_argument("account", metavar="ACCOUNT", help="an e-mail as `list` shows it")
    account.completer = complete_account  # type: ignore[attr-defined]  # read by argcomplete
    use.add_argument("--host", help="its server, where the e-mail is signed in at several")
    token = _add(commands, "token", "accounts:token", "print an access token that is valid now")
    token.epilog = 'example: curl -H "Authorization: Bearer $(oauthdevice token)" ...'
    _add_devices(commands)
    shell = _add(commands, "completion", "completion:show", "print what makes a shell complete this", choose=False)
    shell.add_argument("shell", choices=("bash", "zsh", "fish"))
    return parser


def _add_login(commands: "Commands") -> None:
    login = _add(commands, "login", "login:login", "sign in", choose=False)
    login.add_argument("--host", help="the server, as login.example.com")
    login.add_argument("--client-id", help=f"the client to sign in ({DEFAULT_CLIENT_ID})")
    login.add_argument("--scope", default="", help="scopes to ask for, between spaces")
    login.add_argument("--device-label", metavar="LABEL", help="what this device is called (oauthdevice on HOSTNAME)")
    login.add_argument("--browser", action=argparse.BooleanOptionalAction, help="open a browser on Enter, or never")
    login.add_argument("--qr", action=argparse.BooleanOptionalAction, help="show a QR code; default: where it fits")
    login.add_argument("--insecure", action="store_true", help="allow a server without TLS")


def _add_devices(commands: "Commands") -> None:
    text = "the devices that this account is signed in on"
    parser = commands.add_parser("devices", help=text, description=text.capitalize() + ".")
    devices = parser.add_subparsers(required=True, metavar="COMMAND", title="commands")
    show = _add(devices, "list", "devices:show_all", "list them, newest first")
    show.epilog = "With --json, a document `more` comes last where there is a next page, and tells it as `next_page`."
    show.add_argument("--page", type=int, default=1, help="from 1")
    # argparse reads a default that is text as it reads the option.
    limit = os.environ.get("OAUTHDEVICE_LIMIT") or "100"
    show.add_argument("--limit", type=int, default=limit, help="devices a page, at most 200")
    revoke = _add(devices, "revoke", "devices:revoke", "end the session of one, or of all others")
    which = revoke.add_mutually_exclusive_group(required=True)
    which.add_argument("device", nargs="?", metavar="DEVICE", help="its name, its id, or a part of its name")
    which.add_argument("--all", action="store_true", help="all but this one")


def _add(commands: "Commands", name: str, function: str, text: str, choose: bool = True) -> argparse.ArgumentParser:
    """A command, run by `module:function`. `choose`: it works on one account, the active one by default."""
    parser = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    module, _, called = function.partition(":")
    parser.set_defaults(module=module, function=called)
    if choose:
        parser.add_argument("--host", help="the server of the account")
        account = parser.add_argument("--account", metavar="EMAIL", help="the account (default: the active one)")
        account.completer = complete_account  # type: ignore[attr-defined]  # read by argcomplete
    parser.add_argument("--json", action="store_true", help="one JSON document a line")
    parser.add_argument("--debug", action="store_true", help="log requests and their ids, and no secret")
    return parser


def complete_account(**_: Any) -> list[str]:
    """The accounts that are signed in here, for completion."""
    from .book import AccountBook

    return [account.subject for account in AccountBook().all()]


class _Version(argparse.Action):
    """As argparse's own, but looks the version up only when it is asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        from importlib.metadata import version

        print(f"oauthdevice {version('oauthdevice')}")
        parser.exit()
