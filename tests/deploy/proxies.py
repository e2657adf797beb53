"""nginx and Caddy from the configuration in deploy/, with a certificate made for the test, and who calls them."""

import contextlib
import os
import re
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx

from ..certificates import self_signed
from ..factories import API, CODE, TOKEN
from ..servers import CHECKOUT, wait_until

NGINX_CONF = CHECKOUT / "deploy" / "nginx" / "oauthdevice.conf"
CADDYFILE = CHECKOUT / "deploy" / "caddy" / "Caddyfile"
# The loopback network has many addresses: that of the proxy, as our server sees it, is 127.0.0.1.
DEVICE, BROWSER = "127.0.0.3", "127.0.0.2"
CLIENT = {"client_id": "difyctl"}
# What Debian's /etc/nginx/nginx.conf does around a file of conf.d; the rest is where a test may write.
AROUND = """
daemon off;
{user}
pid {folder}/nginx.pid;
error_log {folder}/start.log warn;
events {{ }}
http {{
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    default_type application/octet-stream;
    gzip on;
    include {folder}/oauthdevice.conf;
}}
"""


def make_certificate(folder: Path) -> None:
    """fullchain.pem and privkey.pem of localhost, signed by itself."""
    certificate, key = self_signed("localhost")
    (folder / "fullchain.pem").write_bytes(certificate)
    (folder / "privkey.pem").write_bytes(key)


def changed(text: str, changes: dict[str, str]) -> str:
    """`text` with each pattern replaced; each occurs."""
    for pattern, new in changes.items():
        text, count = re.subn(pattern, new, text, flags=re.MULTILINE)
        assert count, pattern
    return text


def nginx_command(folder: Path, http_port: int, https_port: int, upstream_port: int) -> list[str]:
    """How to start nginx on deploy/nginx/oauthdevice.conf, with our ports, name and folder."""
    text = changed(
        NGINX_CONF.read_text("utf-8"),
        {
            # Not every machine has IPv6.
            r"^ *listen \[::\].*\n": "",
            r"listen 80\b": f"listen 127.0.0.1:{http_port}",
            r"listen 443\b": f"listen 127.0.0.1:{https_port}",
            r"login\.example\.com": "localhost",
            r"server 127\.0\.0\.1:6543\b": f"server 127.0.0.1:{upstream_port}",
            r"/etc/ssl/oauthdevice": str(folder),
            r"/var/log/nginx": str(folder),
        },
    )
    (folder / "oauthdevice.conf").write_text(text)
    user = "user root;" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(AROUND.format(folder=folder, user=user))
    return [_program("nginx"), "-p", str(folder), "-e", str(folder / "start.log"), "-c", str(folder / "nginx.conf")]


def caddy_command(folder: Path, http_port: int, https_port: int, upstream_port: int) -> list[str]:
    """How to start Caddy on deploy/caddy/Caddyfile, with our ports, name and certificate."""
    given = f"\thttp_port {http_port}\n\thttps_port {https_port}\n\tadmin off\n\tauto_https disable_certs\n"
    text = changed(
        CADDYFILE.read_text("utf-8"),
        {
            r"^\{\n": f"{{\n{given}",
            r"^login\.example\.com \{\n": (
                f"https://localhost:{https_port} {{\n\tbind 127.0.0.1\n"
                f"\ttls {folder}/fullchain.pem {folder}/privkey.pem\n"
            ),
            r"127\.0\.0\.1:6543": f"127.0.0.1:{upstream_port}",
        },
    )
    (folder / "Caddyfile").write_text(text)
    return [_program("caddy"), "run", "--adapter", "caddyfile", "--config", str(folder / "Caddyfile")]


def _program(name: str) -> str:
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")
    if found is None:
        raise RuntimeError(f"{name} is not installed: run `make test`, which installs it")
    return found


@contextlib.contextmanager
def running(command: list[str], port: int, folder: Path) -> Iterator[None]:
    """A proxy, from when it listens on `port`."""
    home = {"XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder), "HOME": str(folder)}
    with (folder / "printed.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, env={**os.environ, **home})
    try:
        wait_until(lambda: _listens(port), f"a proxy; its log: {folder}", lambda: process.poll() is not None)
        yield
    finally:
        process.terminate()
        process.wait(20)


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 5).close()
    except ConnectionRefusedError:
        return False
    return True


def sign_in_a_device(device: "Browser", browser: "Browser", url: str) -> tuple[str, str]:
    """From the two codes to the token, as a device and a person who is signed in; the consent page, the token."""
    asked = device.post(CODE, data=CLIENT).json()
    assert asked["verification_uri"] == f"{url}/device"
    form = {"csrf_token": browser.csrf_token("/device"), "user_code": asked["user_code"]}
    page = browser.post("/device", data=form, follow_redirects=True)
    decision = {**form, "csrf_token": browser.csrf_token("/device"), "decision": "approve"}
    done = browser.post("/device/consent", data=decision, follow_redirects=True)
    assert done.url.path == "/device/approved"
    grant = "urn:ietf:params:oauth:grant-type:device_code"
    answer = device.post(TOKEN, data={**CLIENT, "grant_type": grant, "device_code": asked["device_code"]})
    return page.text, answer.json()["access_token"]


class Browser(httpx.Client):
    """Somebody who reads our pages, fills in the forms and has cookies."""

    def sign_in(self, email: str, password: str) -> None:
        form = {"csrf_token": self.csrf_token("/login"), "email": email, "password": password}
        assert self.post("/login", data=form).status_code == 303

    def account(self, token: str) -> dict[str, str]:
        """Whom a token speaks for, as the API says."""
        answer = self.get(f"{API}/account", headers={"Authorization": f"Bearer {token}"})
        found: dict[str, str] = answer.json()["account"]
        return found

    def csrf_token(self, path: str) -> str:
        """Of the form at `path`."""
        found = re.search(r'name="csrf_token" value="([^"]+)"', self.get(path).text)
        assert found is not None
        return found[1]


class Caller(Browser):
    """Somebody with an address of his own, who speaks HTTP/2 where the server does, unless he is not to."""

    def __init__(self, address: str, certificate: Path, url: str, *, http2: bool = True) -> None:
        context = ssl.create_default_context(cafile=str(certificate))
        transport = httpx.HTTPTransport(http2=http2, local_address=address, verify=context)
        # Browsers send an Origin with every form; others may.
        super().__init__(transport=transport, base_url=url, headers={"Origin": url}, timeout=30, trust_env=False)
