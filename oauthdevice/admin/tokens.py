"""`token list`, `token revoke`, `purge`: what an operator does about sessions."""

import argparse
import re
import sys
from datetime import timedelta

from ..domain.answers import iso
from ..domain.rate_limits import is_within
from ..domain.sessions import Selection
from ..settings import Settings
from .commands import Commands, add_command, services_of

PURGE_DAYS = 30
_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}


def add_token_commands(commands: Commands) -> None:
    token = commands.add_parser("token", help="list and end sessions").add_subparsers(required=True, metavar="COMMAND")
    listing = add_command(
        token, "list", "live sessions, tab-separated: id, subject, client, label, created, last used, expires", _list
    )
    revoke = add_command(token, "revoke", "end one session by its id, or all of an account, client or network", _revoke)
    revoke.add_argument("id", nargs="?", metavar="ID", help="the token_id")
    for command in (listing, revoke):
        command.add_argument("--account", metavar="EMAIL", help="those of one account")
        command.add_argument("--client", metavar="CLIENT_ID", help="those of one client")
        command.add_argument(
            "--address",
            type=_networks,
            metavar="NETWORK",
            help="those of devices there: an address (an IPv6 address means its /64) or a range such as 192.0.2.0/24",
        )
        command.add_argument("--since", type=_age, metavar="AGE", help="those that began since, such as 30m, 1h or 2d")
    purge = add_command(commands, "purge", "forget sessions that ended long ago", _purge)
    purge.add_argument("--days", type=int, default=PURGE_DAYS, help=f"how long ago, {PURGE_DAYS} unless given")


def _list(settings: Settings, options: argparse.Namespace) -> None:
    with services_of(settings) as services:
        for one in services.registry.live(_selection(options)):
            used = iso(one.last_used_at) if one.last_used_at else "never"
            who = one.account.email if one.account else one.subject.key
            print(one.id, who, one.client_id, one.label or "", iso(one.created_at), used, iso(one.expires_at), sep="\t")


def _revoke(settings: Settings, options: argparse.Namespace) -> None:
    by_filter = any(one is not None for one in (options.account, options.client, options.address))
    # --since alone would end what everybody has just begun: it only narrows.
    if (options.id is not None) == by_filter or (options.since is not None and not by_filter):
        print("oauthdevice-admin: give either an ID or some of --account, --client, --address", file=sys.stderr)
        raise SystemExit(2)
    with services_of(settings) as services:
        if options.id is not None:
            services.registry.end(options.id)
            print(f"ended {options.id}")
        else:
            ended = services.registry.end_all(_selection(options))
            print(f"ended {ended} sessions")


def _selection(options: argparse.Namespace) -> Selection:
    return Selection(email=options.account, client_id=options.client, networks=options.address, age=options.since)


def _networks(text: str) -> str:
    try:
        is_within("", text)
    except ValueError as error:
        raise argparse.ArgumentTypeError("must be an address or a range of addresses") from error
    return text


def _age(text: str) -> timedelta:
    found = re.fullmatch(r"([0-9]{1,5})([mhd])", text)
    if found is None:
        raise argparse.ArgumentTypeError("must be a number of minutes, hours or days, such as 30m, 1h or 2d")
    return int(found[1]) * _UNITS[found[2]]


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
