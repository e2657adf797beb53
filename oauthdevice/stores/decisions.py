"""News of decisions, from whichever process to those that hold polls: Redis publish and subscribe."""

import logging
import threading
import time

import redis

from ..domain.decisions import DecisionListener

log = logging.getLogger(__name__)

# How long it may take until the first news can be heard; how long nothing is heard until it is asked whether the
# connection still lives, and then until it is given up; how long to wait after it broke.
START_SECONDS = 2.0
SILENCE_SECONDS = 5.0
RETRY_SECONDS = 0.5


def channel(prefix: str) -> str:
    """Where `authorization_swap.lua` tells the digest of every record whose state it changed."""
    return f"{prefix}:decided"


class RedisDecisions:
    """See `oauthdevice.domain.decisions.Decisions`.

    One connection and one thread (with gevent, one greenlet), from the first poll that waits on: of the
    process that holds it, whoever forked that. Both end once nobody waits.
    """

    def __init__(self, client: redis.Redis, prefix: str) -> None:
        self._client = client
        self._channel = channel(prefix)
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._subscribed = threading.Event()

    def listen(self, listener: DecisionListener) -> bool:
        # Under the lock under which the thread looks whether it is still wanted: it knows of who calls this.
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._subscribed.clear()
                self._thread = threading.Thread(target=self._run, args=(listener,), daemon=True, name="decisions")
                self._thread.start()
        return self._subscribed.wait(START_SECONDS)

    def _run(self, listener: DecisionListener) -> None:
        while not self._ends(listener):
            try:
                self._hear(listener)
            # Whatever it is, those who wait are better off with another try: redis-py raises more than RedisError
            # where no node of a Cluster answers, or where its connections are closed in another thread.
            except Exception as error:
                if self._subscribed.is_set() and listener.is_waiting():
                    log.warning("no news of decisions: %s", error)
                self._subscribed.clear()
                time.sleep(RETRY_SECONDS)

    def _ends(self, listener: DecisionListener) -> bool:
        with self._lock:
            if listener.is_waiting():
                return False
            self._subscribed.clear()
            self._thread = None
            return True

    def _hear(self, listener: DecisionListener) -> None:
        """What is told, until there is nothing for a while and nobody waits. Raises redis.RedisError."""
        with self._client.pubsub() as news:  # type: ignore[no-untyped-call]  # redis-py has no types here
            news.subscribe(self._channel)
            is_asked = False
            while True:
                message = news.get_message(timeout=SILENCE_SECONDS)
                if message is None:
                    if not listener.is_waiting():
                        return
                    # A network that is cut says nothing: without the question, nothing would be heard for ever.
                    if is_asked:
                        raise redis.TimeoutError("a connection is silent")
                    news.ping()
                    is_asked = True
                    continue
                is_asked = False
                if message["type"] == "subscribe":
                    # Also once redis-py has connected again by itself: what was told meanwhile is lost.
                    self._subscribed.set()
                    listener.all_may_be_decided()
                elif message["type"] == "message":
                    listener.decided(message["data"])
