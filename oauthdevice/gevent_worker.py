"""The worker of gunicorn for held polls: a client that waits costs no thread, but a greenlet (docs/operating.md)."""

from gunicorn.workers.ggevent import GeventWorker

from .domain.held_polls import stop_holding
from .gunicorn_server import share_numbers


class HoldingWorker(GeventWorker):
    """gunicorn's own, which lets whoever is held go as soon as it has closed its door.

    Otherwise a stop would take as long as they wait, and cut off at the end of `graceful_timeout` who waits longer.
    """

    @classmethod
    def setup(cls) -> None:
        """Called in the first process, before it starts those that load the application."""
        share_numbers()

    def notify(self) -> None:
        """Called every second, during a stop as well."""
        super().notify()
        if not self.alive:
            stop_holding()
