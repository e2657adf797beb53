"""Somebody who is told by webhooks: a real HTTP server that checks every signature, and answers as a test says."""

import contextlib
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from standardwebhooks import Webhook

WEBHOOK_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

# What to do with one request; the status, None: never answer.
Answer = int | tuple[int, dict[str, str]] | None


@dataclass
class Receiver:
    """`got`: what came with a good signature, also what was then refused. `answers` go before 204, one each."""

    url: str
    got: list[dict[str, Any]] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    forged: list[str] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    asked: threading.Event = field(default_factory=threading.Event)
    closed: threading.Event = field(default_factory=threading.Event)

    @property
    def events(self) -> list[str]:
        return [str(one["data"]["event"]) for one in self.got]

    def take(self, body: bytes, headers: dict[str, str]) -> Answer:
        try:
            self.got.append(Webhook(WEBHOOK_SECRET).verify(body, headers))
        except Exception as error:
            self.forged.append(repr(error))
            return 400
        self.ids.append(headers["webhook-id"])
        return self.answers.pop(0) if self.answers else 204


def handler(receiver: Receiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            answer = receiver.take(body, {name.lower(): value for name, value in self.headers.items()})
            receiver.asked.set()
            if answer is None:
                receiver.closed.wait(60)
                self.close_connection = True
                return
            status, headers = answer if isinstance(answer, tuple) else (answer, {})
            self.send_response(status)
            for name, value in {"content-length": "0", **headers}.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing: the tests look at what was got."""

    return Handler


@contextlib.contextmanager
def running_receiver(port: int = 0, certificate: tuple[Path, Path] | None = None) -> Iterator[Receiver]:
    """One on this machine; by https where there is a certificate and its key."""
    receiver = Receiver("")
    with ThreadingHTTPServer(("127.0.0.1", port), handler(receiver)) as server:
        scheme = "http"
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True)
            scheme = "https"
        receiver.url = f"{scheme}://localhost:{server.server_address[1]}/hook"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield receiver
        finally:
            receiver.closed.set()
            server.shutdown()
            thread.join()
