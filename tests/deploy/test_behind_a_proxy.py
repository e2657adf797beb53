"""The server of production.ini behind nginx with deploy/nginx/oauthdevice.conf, and Caddy with deploy/caddy."""

import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from oauthdevice.stores.migrate import upgrade

from ..factories import CODE, PASSWORD, unique_name
from ..ports import free_port
from ..servers import PostgreSQLServer, RedisServer
from .production import ProductionServer
from .proxies import (
    BROWSER,
    CLIENT,
    DEVICE,
    Caller,
    caddy_command,
    make_certificate,
    nginx_command,
    running,
    sign_in_a_device,
)

EMAIL = "ada@example.com"
STRANGER = "192.0.2.66"
HOSTILE = [
    {"X-Forwarded-For": STRANGER},
    {"X-Forwarded-For": f"{STRANGER}, 127.0.0.1"},
    {"X_Forwarded_For": STRANGER},
    {"X-Forwarded_For": STRANGER},
    {"X-Real-IP": STRANGER, "Client-IP": STRANGER, "True-Client-IP": STRANGER},
    {"Forwarded": f"for={STRANGER};host=evil.example;proto=http"},
    {"X-Forwarded-Host": "evil.example"},
    {"X-Forwarded-Port": "1", "X-Forwarded-Server": "evil.example"},
    {"X-Forwarded-Proto": "http"},
    {"X_Forwarded_Proto": "http"},
]


@dataclass(frozen=True)
class Site:
    """A server behind a proxy."""

    kind: str
    url: str
    http_port: int
    folder: Path
    server: ProductionServer

    def caller(self, address: str) -> Caller:
        return Caller(address, self.folder / "fullchain.pem", self.url)

    def rows(self) -> dict[str, dict[str, str]]:
        """The newest audit row of each event."""
        lines = self.server.admin("audit", "export").stdout.splitlines()
        return {row["event"]: row for row in map(json.loads, lines)}

    def logged(self, request_id: str) -> dict[str, str]:
        """What the server wrote to its log about a request."""
        (line,) = [line for line in self.server.printed.splitlines() if request_id in line]
        found: dict[str, str] = json.loads(line)
        return found


@pytest.fixture(scope="module", params=["nginx", "caddy"])
def site(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    postgresql_server: PostgreSQLServer,
    redis_server: RedisServer,
) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp(request.param)
    make_certificate(folder)
    database_url = postgresql_server.create_database(unique_name("proxy"))
    upgrade(database_url)
    http_port, https_port = free_port(), free_port()
    url = f"https://localhost:{https_port}"
    options = f"oauthdevice.redis_prefix = {unique_name('proxy')}\noauthdevice.limit.code = off"
    server = ProductionServer(folder, database_url, redis_server.url, public_url=url, options=options)
    server.start()
    added = server.admin("account", "add", EMAIL, "--name", "Ada", "--password-stdin", typed=PASSWORD)
    assert added.returncode == 0, added.stderr
    make = nginx_command if request.param == "nginx" else caddy_command
    command = make(folder, http_port, https_port, server.port)
    with running(command, https_port, folder):
        yield Site(request.param, url, http_port, folder, server)
    server.stop()


@pytest.fixture
def device(site: Site) -> Iterator[Caller]:
    with site.caller(DEVICE) as caller:
        yield caller


@pytest.fixture
def browser(site: Site) -> Iterator[Caller]:
    """Somebody who is signed in."""
    with site.caller(BROWSER) as caller:
        caller.sign_in(EMAIL, PASSWORD)
        yield caller


def test_a_device_signs_in_through_it(site: Site, device: Caller, browser: Caller) -> None:
    started = device.post(CODE, data=CLIENT)
    assert (started.status_code, started.http_version) == (200, "HTTP/2")
    page, token = sign_in_a_device(device, browser, site.url)
    assert f"Address <bdi>{DEVICE}</bdi>" in page
    assert device.account(token)["email"] == EMAIL
    rows = site.rows()
    addresses = [rows[event]["address"] for event in ("started", "login", "approved", "redeemed")]
    assert addresses == [DEVICE, BROWSER, BROWSER, DEVICE]


@pytest.mark.parametrize("headers", HOSTILE, ids=lambda headers: next(iter(headers)))
def test_what_a_stranger_says_of_himself_has_no_effect(site: Site, device: Caller, headers: dict[str, str]) -> None:
    asked = device.post(CODE, data=CLIENT, headers=headers)
    assert asked.json()["verification_uri"] == f"{site.url}/device"
    line = site.logged(asked.headers["X-Request-ID"])
    assert (line["event"], line["address"]) == ("started", DEVICE)
    page = device.get("/login", headers=headers)
    assert page.status_code == 200
    assert "evil.example" not in page.text


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "127.0.0.1"])
def test_another_host_gets_no_answer_of_ours(site: Site, device: Caller, host: str) -> None:
    answer = device.post(CODE, data=CLIENT, headers={"Host": host})
    assert (answer.status_code, answer.headers.get("X-Request-ID")) in [(421, None), (200, None)]
    assert "device_code" not in answer.text


def test_the_browser_is_bound_to_https_and_the_cookie_to_the_host(device: Caller) -> None:
    page = device.get("/login")
    assert page.headers["Strict-Transport-Security"].startswith("max-age=")
    (cookie,) = page.headers.get_list("Set-Cookie")
    assert cookie.startswith("__Host-oauthdevice_session=")
    assert {part.strip().lower() for part in cookie.split(";")[1:]} == {"path=/", "secure", "httponly", "samesite=lax"}
    assert "Content-Encoding" not in page.headers
    # Nobody tells a version, nor what is behind.
    assert page.headers.get("Server", "nginx") == "nginx"


def test_a_decision_from_another_origin_is_refused(device: Caller) -> None:
    form = {"csrf_token": device.csrf_token("/login"), "email": EMAIL, "password": PASSWORD}
    assert device.post("/login", data=form, headers={"Origin": "https://evil.example"}).status_code == 403


def test_too_long_a_body_is_refused_in_our_words(device: Caller) -> None:
    for length in (17 * 1024, 900_000):
        answer = device.post(CODE, content=b"x" * length)
        assert answer.status_code == 413
        assert answer.json()["error_description"] == "The request body is too large."


def test_numbers_are_for_those_inside(device: Caller) -> None:
    assert device.get("/metrics").status_code == 404
    assert device.get("/healthz").status_code == 200


def test_http_leads_to_https(site: Site) -> None:
    with site.caller(DEVICE) as caller:
        answer = caller.get(f"http://localhost:{site.http_port}/device?user_code=BCDF-GHJK")
    assert answer.status_code == 308
    assert re.fullmatch(r"https://localhost(:\d+)?/device\?user_code=BCDF-GHJK", answer.headers["Location"])


def test_while_ours_is_down_it_says_so_and_no_code_is_logged(site: Site, device: Caller) -> None:
    address = "/device?user_code=BCDF-GHJK"
    assert device.get(address, headers={"Referer": f"{site.url}{address}"}).status_code == 200
    assert site.server.stop() == 0
    assert device.get(address).status_code == 502
    site.server.start()
    assert device.get(address).status_code == 200
    logs = [path for path in site.folder.glob("*.log") if path.name != "production.log"]
    text = "".join(path.read_text() for path in logs)
    assert "GHJK" not in text
    if site.kind == "nginx":
        assert f"{DEVICE} [" in text
        assert '"GET /device HTTP/2.0" 502' in text


def test_nginx_finds_nothing_to_warn_of(tmp_path: Path) -> None:
    make_certificate(tmp_path)
    command = nginx_command(tmp_path, free_port(), free_port(), free_port())
    done = subprocess.run([*command, "-t"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "[warn]" not in done.stderr
