"""The program against our server behind TLS, on a socket."""

import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest

from ..certificates import self_signed
from ..conftest import WorldMaker
from .conftest import CLIENTS, SCOPE, UNLIMITED
from .test_command import run


class Quiet(WSGIRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Nothing."""


@pytest.fixture
def issuer(make: WorldMaker, tmp_path: Path) -> Iterator[str]:
    """https on this machine; its certificate is `certificate.pem`."""
    certificate, key = self_signed("localhost")
    (tmp_path / "certificate.pem").write_bytes(certificate)
    (tmp_path / "both.pem").write_bytes(certificate + key)
    (tmp_path / "clients.ini").write_text(CLIENTS)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "both.pem")
    with make_server("localhost", 0, None, handler_class=Quiet) as server:
        url = f"https://localhost:{server.server_port}"
        world = make(public_url=url, ini_file=str(tmp_path / "clients.ini"), **UNLIMITED)

        def app(environ: dict[str, Any], start_response: Any) -> Any:
            return world.app({**environ, "wsgi.url_scheme": "https"}, start_response)

        server.set_app(app)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield url
        server.shutdown()
        thread.join(10)


def test_tls_is_met_and_checked(issuer: str, tmp_path: Path) -> None:
    tls = ("rfc8414-issuer-form", "rfc8414-tls", "rfc8628-tls", "rfc6749-token-tls", "rfc9325-hsts")
    arguments = (issuer, "--client-id", "cli", "--scope", SCOPE, *(word for one in tls for word in ("--only", one)))
    done = run(*arguments)
    assert done.returncode == 3
    assert done.stderr.endswith("the server cannot be reached: the certificate of the server is not trusted\n")

    done = run(*arguments, SSL_CERT_FILE=str(tmp_path / "certificate.pem"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "MUST 4 of 4 tried, SHOULD 1 of 1 tried; 0 n/a, 0 not tried"
