"""A provider whose answer does not end: one byte after the other, or more and more."""

import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from oauthdevice.identity_providers.documents import ANSWER_MAX_BYTES, Unreachable, fetch

Talk = Callable[[socket.socket], None]


def drip(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    for _ in range(300):
        connection.sendall(b" ")
        time.sleep(0.1)


def drip_in_chunks(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(300):
        connection.sendall(b"1\r\n \r\n")
        time.sleep(0.1)


def flood(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(ANSWER_MAX_BYTES // 4096 * 50):
        connection.sendall(b"1000\r\n" + b" " * 4096 + b"\r\n")


@pytest.fixture(params=[drip, drip_in_chunks, flood])
def address(request: pytest.FixtureRequest) -> Iterator[str]:
    """Where somebody talks without end."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()

        def talk() -> None:
            try:
                connection, _ = listener.accept()
                with connection:
                    connection.recv(65536)
                    request.param(connection)
            except OSError:
                """Whoever listened has hung up, which is what the test wants."""

        thread = threading.Thread(target=talk, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        thread.join(10)


def test_is_heard_out_for_no_longer_than_was_said(address: str) -> None:
    since = time.monotonic()
    with pytest.raises(Unreachable):
        fetch(address, 1)
    assert time.monotonic() - since < 4
