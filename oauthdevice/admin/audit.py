"""`audit tail`, `audit export`: events as JSON lines."""

import argparse
import json

from ..settings import Settings
from .commands import Commands, add_command, services_of


def add_audit_commands(commands: Commands) -> None:
    audit = commands.add_parser("audit", help="what happened, as JSON lines").add_subparsers(
        required=True, metavar="COMMAND"
    )
    tail = add_command(audit, "tail", "the newest events, oldest of them first", _tail)
    tail.add_argument("-n", "--number", type=int, default=20, help="how many, 20 unless given")
    add_command(audit, "export", "every event, oldest first", _export)


def _tail(settings: Settings, options: argparse.Namespace) -> None:
    with services_of(settings) as services:
        for event in services.ledger.newest(max(options.number, 0)):
            print(json.dumps(event.members()))


def _export(settings: Settings, _: argparse.Namespace) -> None:
    with services_of(settings) as services:
        for event in services.ledger.all():
            print(json.dumps(event.members()))
