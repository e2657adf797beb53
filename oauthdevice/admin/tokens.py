"""`token list`, `token revoke`, `purge`: what an operator does about sessions."""

import argparse
import sys

from ..domain.answers import iso
from ..settings import Settings
from .commands import Commands, add_command, services_of

PURGE_DAYS = 30


def add_token_commands(commands: Commands) -> None:
    token = commands.add_parser("token", help="list and end sessions").add_subparsers(required=True, metavar="COMMAND")
    listing = add_command(
        token, "list", "live sessions, tab-separated: id, subject, client, label, created, last used, expires", _list
    )
    revoke = add_command(token, "revoke", "end one session by its id, or all of an account or client", _revoke)
    revoke.add_argument("id", nargs="?", metavar="ID", help="the token_id")
    for command in (listing, revoke):
        command.add_argument("--account", metavar="EMAIL", help="those of one account")
        command.add_argument("--client", metavar="CLIENT_ID", help="those of one client")
    purge = add_command(commands, "purge", "forget sessions that ended long ago", _purge)
    purge.add_argument("--days", type=int, default=PURGE_DAYS, help=f"how long ago, {PURGE_DAYS} unless given")


def _list(settings: Settings, options: argparse.Namespace) -> None:
    with services_of(settings) as services:
        for one in services.registry.live(email=options.account, client_id=options.client):
            used = iso(one.last_used_at) if one.last_used_at else "never"
            who = one.account.email if one.account else one.subject.key
            print(one.id, who, one.client_id, one.label or "", iso(one.created_at), used, iso(one.expires_at), sep="\t")


def _revoke(settings: Settings, options: argparse.Namespace) -> None:
    by_filter = options.account is not None or options.client is not None
    if (options.id is not None) == by_filter:
        print("oauthdevice-admin: give either an ID or --account, --client or both", file=sys.stderr)
        raise SystemExit(2)
    with services_of(settings) as services:
        if options.id is not None:
            services.registry.end(options.id)
            print(f"ended {options.id}")
        else:
            ended = services.registry.end_all(email=options.account, client_id=options.client)
            print(f"ended {ended} sessions")


def _purge(settings: Settings, options: argparse.Namespace) -> None:
    if options.days < 0:
        print("oauthdevice-admin: --days must not be negative", file=sys.stderr)
        raise SystemExit(2)
    total = 0
    with services_of(settings) as services:
        for total in services.registry.purge(options.days):
            if sys.stderr.isatty():
                print(f"\rforgot {total} sessions", end="", file=sys.stderr, flush=True)
    if total and sys.stderr.isatty():
        print(file=sys.stderr)
    print(f"forgot {total} sessions that ended more than {options.days} days ago")
