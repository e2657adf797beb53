"""Mail to people: what it says, the server that takes it, and the thread that sends what is due."""

from collections.abc import Callable
from typing import Any

from pyramid.config import Configurator
from pyramid.request import Request
from pyramid.response import Response
from pyramid.tweens import EXCVIEW

from .sender import Sender


def includeme(config: Configurator) -> None:
    """Start the sender, if there is one, with the first request: what is loaded may still be forked into workers."""
    if config.registry["oauthdevice.services"].sender is not None:
        config.add_tween("oauthdevice.mail.starting_tween", under=EXCVIEW)


def starting_tween(handler: Callable[[Request], Response], registry: Any) -> Callable[[Request], Response]:
    """A tween: the sender runs while requests come."""
    sender: Sender = registry["oauthdevice.services"].sender

    def tween(request: Request) -> Response:
        sender.start()
        return handler(request)

    return tween
