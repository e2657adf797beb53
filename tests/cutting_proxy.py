"""A network between a server and those who speak to it, whose connections break or hang at a chosen moment.

It knows no protocol: whoever speaks to it sends one message, waits for the answer, and sends the next. Redis,
PostgreSQL and HTTP are all like that.
"""

import contextlib
import select
import socket
import threading
from collections.abc import Iterator
from pathlib import Path


class CuttingProxy:
    """Listens on `port` of the loopback interface and passes everything to `upstream`: a unix socket or a port.

    While `is_away`, whoever connects is cut off. Answers are passed `delay_seconds` later.
    """

    def __init__(self, upstream: Path | int) -> None:
        self.upstream = upstream
        self.is_away = False
        self.delay_seconds = 0.0
        self.connections = 0
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port = int(self._listener.getsockname()[1])
        self._lock = threading.Lock()
        # How many messages until one whose answer is lost; 0 for none.
        self._left = 0
        self._then_away = False
        self._ended = threading.Event()
        threading.Thread(target=self._accept, daemon=True, name="proxy").start()

    def lose_answer(self, number: int, *, then_away: bool = False) -> None:
        """The `number`-th message from now on is passed on and answered; the answer is lost with its connection.

        `then_away`: and nobody can connect until `is_away` is False again.
        """
        self._left, self._then_away = number, then_away

    def has_lost(self) -> bool:
        """Whether it came to that. From now on nothing is lost, and everybody can connect."""
        lost, self._left, self.is_away = self._left == 0, 0, False
        return lost

    def close(self) -> None:
        self._ended.set()
        # Wakes who accepts, where closing alone would not.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while not self._ended.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self.is_away:
                client.close()
            else:
                threading.Thread(target=self._pass, args=(client,), daemon=True, name="proxy").start()

    def _connect(self) -> socket.socket:
        if isinstance(self.upstream, int):
            return socket.create_connection(("127.0.0.1", self.upstream))
        server = socket.socket(socket.AF_UNIX)
        server.connect(str(self.upstream))
        return server

    def _pass(self, client: socket.socket) -> None:
        self._count(1)
        with contextlib.suppress(OSError), client, self._connect() as server:
            self._pass_all(client, server)
        self._count(-1)

    def _pass_all(self, client: socket.socket, server: socket.socket) -> None:
        is_lost = False
        while not self._ended.is_set():
            ready, _, _ = select.select([client, server], [], [], 0.5)
            for one in ready:
                data = one.recv(65536)
                if not data or (one is client and self.is_away):
                    return
                if one is client:
                    # A message may come in parts.
                    is_lost = is_lost or self._is_lost()
                    server.sendall(data)
                    continue
                if is_lost:
                    # Whoever answers has done what it was told.
                    self.is_away = self._then_away
                    return
                if self.delay_seconds:
                    self._ended.wait(self.delay_seconds)
                client.sendall(data)

    def _is_lost(self) -> bool:
        with self._lock:
            if not self._left:
                return False
            self._left -= 1
            return self._left == 0

    def _count(self, change: int) -> None:
        with self._lock:
            self.connections += change


@contextlib.contextmanager
def proxied(upstream: Path | int) -> Iterator[CuttingProxy]:
    """A proxy that ends with the test."""
    proxy = CuttingProxy(upstream)
    try:
        yield proxy
    finally:
        proxy.close()
