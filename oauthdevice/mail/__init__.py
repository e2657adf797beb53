"""Mail to people: what it says, the server that takes it, and the thread that sends what is due."""

from pyramid.config import Configurator
from pyramid.events import NewRequest

from .sender import Sender


def includeme(config: Configurator) -> None:
    """Start the sender, if there is one, with the first request: what is loaded may still be forked into workers."""
    sender: Sender | None = config.registry["oauthdevice.services"].sender
    if sender is not None:
        config.add_subscriber(lambda _: sender.start(), NewRequest)
