"""The wheel: all of it is inside, and it serves where there is no checkout."""

import os
import re
import sqlite3
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from .factories import CODE
from .installations import Server, copy_checkout
from .ports import free_port

# Where the wheel has what a checkout has elsewhere.
INSIDE = {"oauthdevice": "oauthdevice", **{name: f"oauthdevice/{name}" for name in ("templates", "static", "locales")}}
# Some moment: that of the commit, in earnest.
EPOCH = "1767225600"
INI = """
[app:main]
use = egg:oauthdevice
oauthdevice.mode = development
oauthdevice.public_url = {url}
oauthdevice.database_url = sqlite:///%(here)s/oauthdevice.sqlite
oauthdevice.redis_url = embedded://
oauthdevice.secret_file = %(here)s/secret
oauthdevice.demo_email = demo@example.com
oauthdevice.brand_colour = #7a1fa2
oauthdevice.templates = %(here)s/templates

[server:main]
use = egg:waitress#main
listen = 127.0.0.1:{port}
"""


def run(*command: str | Path, folder: Path, **variables: str) -> str:
    """What a program printed; it must succeed. It finds nothing of the checkout."""
    environ = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    environ |= variables
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@dataclass(frozen=True)
class Built:
    """The wheel, and the sources that it was made from."""

    source: Path
    wheel: Path

    @property
    def names(self) -> set[str]:
        with zipfile.ZipFile(self.wheel) as archive:
            return set(archive.namelist())


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    folder = tmp_path_factory.mktemp("wheel")
    source = copy_checkout(folder / "source")
    return Built(source, build(source, folder / "dist"))


def build(source: Path, target: Path) -> Path:
    """The wheel of a checkout, as docs/supply-chain.md builds it."""
    run(sys.executable, "-m", "build", "--wheel", "--outdir", target, source, folder=source, SOURCE_DATE_EPOCH=EPOCH)
    (wheel,) = target.iterdir()
    return wheel


@pytest.fixture(scope="module")
def installed(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The wheel and what it depends on, alone in an environment, serving from a folder with one ini file."""
    folder = tmp_path_factory.mktemp("installed")
    run(sys.executable, "-m", "venv", folder / "environment", folder=folder)
    programs = folder / "environment" / "bin"
    run(programs / "pip", "install", "--quiet", "--disable-pip-version-check", built.wheel, folder=folder)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    ini = folder / "server.ini"
    ini.write_text(INI.format(url=url, port=port))
    (folder / "templates").mkdir()
    (folder / "templates" / "layout.html.jinja2").write_text(
        '{% extends "layout.html.jinja2" %}{% block footer %}{{ super() }}<p>Ours</p>{% endblock %}'
    )
    server = Server(ini, url, programs)
    server.environ.pop("PYTHONPATH", None)
    server.start()
    yield server
    server.stop()


class TestTheWheel:
    def test_it_has_every_file_of_the_package_and_nothing_else(self, built: Built) -> None:
        expected = {
            f"{inside}/{path.relative_to(built.source / outside)}"
            for outside, inside in INSIDE.items()
            for path in (built.source / outside).rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        }
        assert {name for name in built.names if ".dist-info/" not in name} == expected

    @pytest.mark.parametrize(
        "pattern",
        [
            r"oauthdevice/py\.typed",
            r"oauthdevice/templates/\w+\.html\.jinja2",
            r"oauthdevice/static/\w+\.css",
            r"oauthdevice/static/\w+\.js",
            r"oauthdevice/locales/\w+\.po",
            r"oauthdevice/stores/\w+\.lua",
            r"oauthdevice/stores/migrations/env\.py",
            r"oauthdevice/stores/migrations/versions/0001_\w+\.py",
            r"oauthdevice-[0-9.]+\.dist-info/entry_points\.txt",
            r"oauthdevice-[0-9.]+\.dist-info/licenses/LICENSE",
        ],
    )
    def test_it_has_what_is_no_python_module(self, built: Built, pattern: str) -> None:
        assert [name for name in built.names if re.fullmatch(pattern, name)]

    def test_the_same_source_makes_the_same_bytes(self, built: Built, tmp_path: Path) -> None:
        """In another folder, at another time, with files of another age."""
        source = copy_checkout(tmp_path / "elsewhere" / "source")
        for path in source.rglob("*"):
            os.utime(path, (1_500_000_000, 1_500_000_000))
        again = build(source, tmp_path / "dist")
        assert again.name == built.wheel.name
        assert again.read_bytes() == built.wheel.read_bytes()


class TestAnInstallationWithoutACheckout:
    def test_it_is_the_installed_package_that_serves(self, installed: Server) -> None:
        done = installed.run(installed.programs / "python", "-c", "import oauthdevice; print(oauthdevice.__file__)")
        assert Path(done.stdout.strip()).is_relative_to(installed.programs.parent)
        assert run(installed.programs / "pip", "check", folder=installed.ini.parent)

    def test_the_page_is_there_with_its_style_and_script(self, installed: Server) -> None:
        page = requests.get(f"{installed.url}/device", timeout=10)
        assert page.status_code == 200
        linked = re.findall(r'(?:href|src)="(/static/[^"]+)"', page.text)
        assert {Path(urlsplit(path).path).name for path in linked} >= {"device.css", "device.js", "colours.css"}
        assert "<p>Ours</p>" in page.text
        for path in linked:
            answer = requests.get(installed.url + path, timeout=10)
            assert answer.status_code == 200
            assert answer.text
            assert re.match(r"text/(css|javascript)|image/svg", answer.headers["Content-Type"])

    def test_a_device_can_ask(self, installed: Server) -> None:
        answer = requests.post(f"{installed.url}{CODE}", {"client_id": "difyctl"}, timeout=10)
        assert answer.status_code == 200
        assert answer.json()["verification_uri"] == f"{installed.url}/device"

    def test_the_database_is_at_the_newest_migration(self, installed: Server, built: Built) -> None:
        versions = (built.source / "oauthdevice" / "stores" / "migrations" / "versions").glob("0*.py")
        newest = max(path.name for path in versions).partition("_")[0]
        with closing(sqlite3.connect(installed.ini.parent / "oauthdevice.sqlite")) as database:
            ((version,),) = database.execute("SELECT version_num FROM alembic_version").fetchall()
        assert version.startswith(newest)

    def test_the_admin_program_is_installed(self, installed: Server) -> None:
        done = installed.admin("account", "list")
        assert done.returncode == 0, done.stderr
        assert "demo@example.com" in done.stdout

    def test_the_program_that_signs_in_is_there_and_says_what_it_lacks(self, installed: Server) -> None:
        """It comes with the server, and what it stands on comes with the extra `cli`."""
        program = installed.programs / "oauthdevice"
        assert installed.run(program, "--help").stdout.startswith("usage: oauthdevice")
        done = installed.run(program, "login", "--host", installed.url)
        assert done.returncode == 1
        assert done.stderr == "oauthdevice: httpx is missing: pip install 'oauthdevice[cli]'\n"

    def test_the_program_that_examines_servers_is_there_and_says_what_it_lacks(self, installed: Server) -> None:
        program = installed.programs / "oauthdevice-conformance"
        assert installed.run(program, "--help").stdout.startswith("usage: oauthdevice-conformance")
        done = installed.run(program, installed.url, "--client-id", "difyctl")
        assert done.returncode == 2
        assert re.fullmatch(
            r"oauthdevice-conformance: \w+ is missing: pip install 'oauthdevice\[conformance\]'\n", done.stderr
        )
