"""Bytes that are hardly HTTP, over real sockets to the server of production.ini: no fault, no hang, no memory kept."""

import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import strategies as st

from oauthdevice.domain.token_endpoint import DEVICE_GRANT

from ..deploy.production import ProductionServer
from ..factories import API, CODE, TOKEN
from ..functional.test_openapi_document import ROUTES
from ..servers import wait_until
from .conftest import NO_LIMITS
from .inputs import fuzzed

# As production.ini says.
PROCESSES = 2
# How long an answer may take on a busy machine; a worker of gunicorn is ended after 30 s.
PATIENCE_SECONDS = 15
# What the processes may grow by after the warm-up, all together: arenas fill, and threads come late.
GROWTH_MAX_BYTES = 12 * 1024 * 1024
PAGES = ("/", "/device", "/login", "/logout", "/device/consent", "/device/report", "/devices", "/openapi", "/healthz",
         "/readyz", "/metrics", "/static/oauthdevice.css", "/no/such")  # fmt: skip
BODIES = {
    CODE: b"client_id=difyctl&scope=full&device_label=laptop",
    TOKEN: f"grant_type={DEVICE_GRANT}&client_id=difyctl&device_code={'x' * 45}".encode(),
}


def written(method: str, path: str) -> bytes:
    """A whole request of the kind that clients send."""
    body = BODIES.get(path, b"user_code=BCDF-GHJK&token=x") if method == "POST" else b""
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: fuzz\r\nAccept: */*\r\nCookie: a=b\r\n"
        f"Authorization: Bearer x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n"
    )
    return f"{head}\r\n".encode() + body


WHOLE = [
    *(written(method.upper(), API + path.replace("{id}", "1").replace("{provider}", "x")) for path, method in ROUTES),
    *(written(method, path) for path in PAGES for method in ("GET", "POST")),
    written("POST", CODE).replace(b"Content-Length: 48", b"Transfer-Encoding: chunked\r\nTrailer: x"),
]
PARTS = st.sampled_from(
    [b"\r\n", b"\n", b"\r", b"\x00", b"\xff", b" ", b":", b"Transfer-Encoding: chunked\r\n", b"Content-Length: 5\r\n",
     b"Content-Length: 99999999999999999999\r\n", b"Expect: 100-continue\r\n", b"X-Forwarded-For: ,\r\n", b"%", b"%ff",
     b"..", b"HTTP/2.0", b"HTTP/0.9", b"?", b"a" * 9000, b"Upgrade: h2c\r\n", b"5\r\nabcde\r\n", b"0\r\n\r\n", b"{",
     b"\xed\xa0\x80"]
) | st.binary(max_size=6)  # fmt: skip
EDITS = st.lists(st.tuples(st.integers(0, 400), st.integers(0, 20), PARTS), max_size=4)
INPUTS = (
    st.tuples(st.sampled_from(WHOLE), EDITS).map(lambda drawn: edited(*drawn))
    | st.lists(st.tuples(st.sampled_from(WHOLE), EDITS).map(lambda drawn: edited(*drawn)), max_size=3).map(b"".join)
    | st.binary(max_size=300)
)


def edited(whole: bytes, edits: list[tuple[int, int, bytes]]) -> bytes:
    for start, length, put in edits:
        whole = whole[:start] + put + whole[start + length :]
    return whole


@pytest.fixture
def production(tmp_path: Path, postgresql_url: str, redis_url: str) -> Iterator[ProductionServer]:
    options = "".join(f"oauthdevice.{name} = {value}\n" for name, value in NO_LIMITS.items())
    server = ProductionServer(tmp_path, postgresql_url, redis_url, options=options)
    server.start()
    # The first process answers before the last is there.
    wait_until(lambda: len(server.workers) == PROCESSES, "all processes")
    yield server
    server.stop()


def exchange(port: int, sent: bytes) -> bytes:
    """What the server answers until it hangs up. Raises TimeoutError where it does not."""
    answer = b""
    with socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS) as connection:
        try:
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
            while part := connection.recv(65536):
                answer += part
        except TimeoutError:
            raise
        except OSError:
            # It had heard enough, and hung up first.
            return answer
    return answer


def resident_bytes(server: ProductionServer) -> int:
    """Of all its worker processes."""
    pages = (Path(f"/proc/{pid}/statm").read_text().split()[1] for pid in server.workers)
    return sum(map(int, pages)) * 4096


def test_whatever_comes_is_answered_or_hung_up_on(production: ProductionServer) -> None:
    def answered(sent: bytes) -> None:
        # 501 is the answer to a transfer coding that nobody knows (RFC 9112 §6.1), 505 to another HTTP.
        assert not re.search(rb"HTTP/1\.1 50[0234]", exchange(production.port, sent)), sent

    assert b"HTTP/1.1 200" in exchange(production.port, written("POST", CODE))
    workers = production.workers
    fuzzed(300, INPUTS, name="wire.warm-up")(answered)()
    before = resident_bytes(production)
    fuzzed(700, INPUTS, name="wire")(answered)()
    grown = resident_bytes(production) - before
    assert production.workers == workers, "a worker died"
    assert grown < GROWTH_MAX_BYTES, f"the workers hold {grown / 1024:,.0f} KiB more than after the warm-up"
    assert "Traceback" not in production.printed
    assert "unexpected error" not in production.printed
