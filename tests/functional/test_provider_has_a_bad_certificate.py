"""The certificate of an identity provider has expired, is another host's or of nobody we know: 502, and no detail."""

import logging
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

import pytest

from ..certificates import self_signed
from ..conftest import WorldMaker
from ..factories import SSO_INITIATE, Stranger, World
from ..scripted_providers import CLIENT_ID, CLIENT_SECRET, ScriptedProvider
from .test_provider_lies import comes_back
from .test_provider_misbehaves import FAILED
from .test_stranger_is_attacked import VERIFIED, assert_refused, assert_tells_nothing

HOST = "localhost"


class Quiet(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        """What it was asked is in `provider.paths`."""


class TLSServer(WSGIServer):
    """It shows whatever certificate its context holds now."""

    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__(("127.0.0.1", 0), Quiet)
        self._context = context

    def finish_request(self, request: object, client_address: object) -> None:
        with self._context.wrap_socket(request, server_side=True) as secured:
            super().finish_request(secured, client_address)

    def handle_error(self, *_: object) -> None:
        """Whoever does not trust it hangs up."""


class SecureProvider(ScriptedProvider):
    """One behind https, and the file of the certificates that are trusted."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder
        self.trusted = folder / "trusted.pem"
        self.trusted.touch()
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)

    def show(self, host: str = HOST, until: timedelta = timedelta(days=1), *, known: bool = True) -> None:
        """Another certificate from now on; who signed it is `known`."""
        certificate, key = self_signed(host, until)
        (self._folder / "shown.pem").write_bytes(certificate + key)
        self._context.load_cert_chain(self._folder / "shown.pem")
        if known:
            self.trusted.write_bytes(certificate)

    @contextmanager
    def running(self) -> Iterator[None]:
        server = TLSServer(self._context)
        self.url = f"https://{HOST}:{server.server_port}"
        server.set_app(self)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join(5)
            server.server_close()


FAULTS = {
    "expired": {"until": timedelta(days=-1)},
    "of another host": {"host": "other.example"},
    "of nobody we know": {"known": False},
}


@pytest.fixture
def secure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SecureProvider]:
    provider = SecureProvider(tmp_path)
    provider.show()
    # Where the system keeps whom it trusts.
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(provider.trusted))
    with provider.running():
        yield provider


@pytest.fixture
def world(make: WorldMaker, tmp_path: Path, secure: SecureProvider) -> World:
    ini = tmp_path / "corp.ini"
    ini.write_text(
        f"[sso:corp]\nissuer = {secure.url}\nclient_id = {CLIENT_ID}\nclient_secret = {CLIENT_SECRET}\n", "utf-8"
    )
    return make(edition="enterprise", ini_file=str(ini))


def assert_tells_no_detail(text: str) -> None:
    for detail in (HOST + ":", "certificate", "SSL", "ssl", "Traceback", "other.example", "wellknown"):
        assert detail not in text


@pytest.mark.parametrize("fault", FAULTS)
def test_nobody_is_sent_there_and_the_log_says_why(
    world: World, secure: SecureProvider, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    device = world.device().ask()
    secure.show(**FAULTS[fault])
    browser = world.browser()
    answer = browser.get(SSO_INITIATE, {"user_code": device.user_code}, status=502)
    assert (answer.content_type, answer.json) == ("application/json", FAILED)
    assert_tells_nothing(answer, device.user_code, CLIENT_SECRET)
    form = browser.get("/device").form
    form["user_code"] = device.user_code
    form.submit(status=303)
    page = browser.get("/login/sso?provider=corp", status=502)
    assert page.content_type == "text/html"
    assert_tells_no_detail(page.text)
    told = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert any("SSLError" in text and secure.url in text for text in told)
    # Not one request came through, and an account is as good as ever.
    assert secure.paths == []
    world.person().allow(device.user_code)
    assert device.poll().status_int == 200


@pytest.mark.parametrize("fault", FAULTS)
def test_who_comes_back_from_there_is_told_that_it_failed_and_can_try_again(
    world: World, secure: SecureProvider, fault: str
) -> None:
    """It was good when the person left. The code that they bring is sent to nobody."""
    device, ada = world.device().ask(), Stranger(world)
    callback = secure.sign_in(ada.leave(device.user_code))
    secure.show(**FAULTS[fault])
    refused = ada.come_back(callback)
    assert_refused(refused)
    assert "/token" not in secure.paths
    (event,) = [one for one in world.services.ledger.newest(100) if one.event == "login_failed"]
    assert event.reason == "corp: SSLError"
    assert device.poll().json["error"] == "authorization_pending"
    secure.show()
    assert comes_back(world, secure, device.user_code).headers["Location"] == VERIFIED
