"""The thread that sends mails. Requests never wait for it: what they leave for it lies in the database."""

import atexit
import logging
import threading
from collections.abc import Callable

from ..domain.errors import StoreUnavailable

log = logging.getLogger(__name__)

INTERVAL_SECONDS = 5
# How long the end of a process waits for a mail that is on its way. What is cut off is sent again.
STOP_SECONDS = 5


class Sender:
    """Calls `send_due` every few seconds, in one thread of this process."""

    def __init__(self, send_due: Callable[[], int], interval_seconds: float = INTERVAL_SECONDS) -> None:
        self._send_due = send_due
        self._interval_seconds = interval_seconds
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Once per process, however often it is called; in a process that was forked off, again."""
        if self._thread is not None and self._thread.is_alive():
            return
        with self._lock:
            if self._stopped.is_set() or (self._thread is not None and self._thread.is_alive()):
                return
            self._thread = threading.Thread(target=self._run, name="oauthdevice-mail", daemon=True)
            self._thread.start()
            atexit.register(self.stop)

    def stop(self) -> None:
        """Send no more; return once a mail on its way has arrived, or after a few seconds."""
        self._stopped.set()
        atexit.unregister(self.stop)
        if self._thread is not None:
            self._thread.join(STOP_SECONDS)

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                self._send_due()
            except StoreUnavailable as error:
                log.warning("mails wait: %s", error.detail)
            except Exception:  # a fault in one mail must not be the end of all of them
                log.exception("unexpected error while sending mail")
            self._stopped.wait(self._interval_seconds)
