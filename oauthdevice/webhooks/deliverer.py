"""The loop of `oauthdevice-admin webhooks deliver`: a thread for each address, so that a slow one delays no other."""

import logging
import threading
from collections.abc import Callable, Collection
from typing import Any

from ..domain.errors import StoreUnavailable

log = logging.getLogger(__name__)

# How long nothing is looked for after nothing was due, or the receiver was away.
INTERVAL_SECONDS = 1

# An address, and whether to go on -> how many arrived.
DeliverDue = Callable[[str, Callable[[], bool]], int]


class Deliverer:
    """Calls `deliver_due` for each address every second, and `settle`, which brings what is to be delivered."""

    def __init__(
        self,
        settle: Callable[[], None],
        deliver_due: DeliverDue,
        urls: Collection[str],
        interval_seconds: float = INTERVAL_SECONDS,
    ) -> None:
        self._settle = settle
        self._deliver_due = deliver_due
        self._urls = sorted(urls)
        self._interval_seconds = interval_seconds
        self._stopped = threading.Event()

    def once(self) -> int:
        """Deliver what is due now; how many arrived. Raises StoreUnavailable where the database is away."""
        # Without Redis, what is in the database is delivered all the same.
        self._try(self._settle)
        return sum(self._deliver_due(url, self._goes_on) for url in self._urls)

    def run(self) -> None:
        """Deliver until `stop` is called, and then finish what is on its way."""
        threads = [
            threading.Thread(target=self._repeat, args=[self._deliver_due, url, self._goes_on]) for url in self._urls
        ]
        for one in threads:
            one.start()
        self._repeat(self._settle)
        for one in threads:
            one.join()

    def stop(self) -> None:
        """Begin nothing more. May be called by a signal handler."""
        self._stopped.set()

    def _goes_on(self) -> bool:
        return not self._stopped.is_set()

    def _repeat(self, work: Callable[..., object], *given: Any) -> None:
        while self._goes_on():
            self._try(work, *given)
            self._stopped.wait(self._interval_seconds)

    def _try(self, work: Callable[..., object], *given: Any) -> None:
        try:
            work(*given)
        except StoreUnavailable as error:
            log.warning("webhooks wait: %s", error.detail)
        except Exception:  # a fault in one delivery must not be the end of all of them
            log.exception("unexpected error while delivering webhooks")
