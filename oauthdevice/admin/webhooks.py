"""`webhooks deliver`, `list`, `retry`, `forget`: audit events on their way to other programs."""

import argparse
import json
import signal

from ..domain.errors import DomainError
from ..domain.webhooks import Delivery
from ..settings import Settings
from .commands import Commands, add_command, services_of


class NothingToDeliver(DomainError):
    """No receiver is named, or nothing to sign with."""

    error = "nothing_to_deliver"


def add_webhook_commands(commands: Commands) -> None:
    parser = commands.add_parser("webhooks", help="audit events on their way to other programs")
    webhooks = parser.add_subparsers(required=True, metavar="COMMAND")
    deliver = add_command(webhooks, "deliver", "deliver what is due, until SIGTERM or SIGINT", _deliver)
    deliver.add_argument("--once", action="store_true", help="what is due now, and end")
    waiting = add_command(webhooks, "list", "what waits to be delivered, as JSON lines", _list)
    waiting.add_argument("--failed", action="store_true", help="what was given up, in place of what waits")
    _add_choice(add_command(webhooks, "retry", "deliver again, as if for the first time", _retry))
    _add_choice(add_command(webhooks, "forget", "never deliver it, and show it no more", _forget))


def _add_choice(parser: argparse.ArgumentParser) -> None:
    choice = parser.add_mutually_exclusive_group(required=True)
    choice.add_argument("id", nargs="?", metavar="ID", help="one delivery, as `webhooks list` names it")
    choice.add_argument("--failed", action="store_true", help="all that were given up")


def _deliver(settings: Settings, options: argparse.Namespace) -> None:
    for name in ("webhook_urls", "webhook_secret"):
        if not getattr(settings, name):
            raise NothingToDeliver(f"oauthdevice.{name} must be set")
    with services_of(settings) as services:
        for one in (signal.SIGTERM, signal.SIGINT):
            signal.signal(one, lambda *_: services.deliverer.stop())
        if options.once:
            print(f"delivered {services.deliverer.once()}")
        else:
            services.deliverer.run()


def _list(settings: Settings, options: argparse.Namespace) -> None:
    with services_of(settings) as services:
        for delivery in services.webhooks.waiting(failed=options.failed):
            print(json.dumps(_told(delivery)))


def _told(delivery: Delivery) -> dict[str, object]:
    again = delivery.next_attempt_at
    return {
        "id": delivery.id,
        "url": delivery.url,
        "attempts": delivery.attempts,
        "next_attempt_at": again.isoformat().replace("+00:00", "Z") if again else None,
        "problem": delivery.problem,
        "event": delivery.event.members(),
    }


def _retry(settings: Settings, options: argparse.Namespace) -> None:
    with services_of(settings) as services:
        print(f"{services.webhooks.retry(options.id)} to be delivered again")


def _forget(settings: Settings, options: argparse.Namespace) -> None:
    with services_of(settings) as services:
        print(f"forgot {services.webhooks.forget(options.id)}")
