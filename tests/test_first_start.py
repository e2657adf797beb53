"""What somebody meets who has just cloned the repository and says `make serve`, and what a bad setting tells."""

import json
import re
import resource
import shlex
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import requests
from alembic.script import ScriptDirectory

from oauthdevice.stores.migrate import alembic_config

from .factories import CODE, SECRET
from .installations import BIN, Server, Visitor, account, ask, copy_checkout, poll
from .ports import free_port
from .servers import CHECKOUT


def fresh_clone(folder: Path) -> Server:
    """A checkout with nothing but what is in the repository, on a port that is free."""
    checkout = copy_checkout(folder / "my checkout")
    ini, port = checkout / "development.ini", free_port()
    text = ini.read_text()
    assert text.count("localhost:6543") == 2
    ini.write_text(text.replace("localhost:6543", f"localhost:{port}"))
    # The package of the copy, not the one that is installed for the tests.
    return Server(ini, f"http://localhost:{port}", PYTHONPATH=str(checkout))


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server on its first start, still running."""
    server = fresh_clone(tmp_path_factory.mktemp("first"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Server]:
    """One that a test starts and stops itself."""
    server = fresh_clone(tmp_path)
    yield server
    server.stop()


def children_seconds() -> float:
    """What processes that have ended used of the processor: how busy the machine is does not count."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def demo_account(printed: str) -> tuple[str, str]:
    found = re.findall(r"Sign in as (\S+) with the password (\S+) \(shown this once\)", printed)
    assert len(found) == 1, printed
    return found[0]


class TestTheFirstStart:
    def test_make_serve_installs_and_serves(self, first: Server) -> None:
        done = first.run("make", "--no-print-directory", "-n", "serve")
        assert done.returncode == 0, done.stderr
        told = done.stdout.splitlines()
        assert re.match(r"python3 -m venv \.venv", told[0])
        assert any(re.match(r"\.venv/bin/pip install .*--editable \.$", line) for line in told)
        assert told[-1] == ".venv/bin/pserve development.ini"

    def test_the_package_of_the_copy_is_what_runs(self, first: Server) -> None:
        done = first.run(sys.executable, "-c", "import oauthdevice; print(oauthdevice.__file__)")
        assert Path(done.stdout.strip()) == first.ini.parent / "oauthdevice" / "__init__.py"

    def test_the_secret_is_made_for_its_owner_alone(self, first: Server) -> None:
        path = first.ini.parent / "var" / "secret"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert len(path.read_text().strip()) >= 32
        assert path.read_text().strip() not in first.printed

    def test_the_database_is_at_the_newest_migration(self, first: Server) -> None:
        path = first.ini.parent / "var" / "oauthdevice.sqlite"
        head = ScriptDirectory.from_config(alembic_config(f"sqlite:///{path}")).get_current_head()
        with closing(sqlite3.connect(path)) as database:
            assert database.execute("SELECT version_num FROM alembic_version").fetchall() == [(head,)]

    def test_everything_that_it_makes_is_under_var(self, first: Server) -> None:
        known = set(copy_checkout(first.ini.parent.parent / "untouched").rglob("*"))
        known = {path.relative_to(first.ini.parent.parent / "untouched") for path in known}
        made = {path.relative_to(first.ini.parent) for path in first.ini.parent.rglob("*")} - known
        made = {path for path in made if "__pycache__" not in path.parts and path.name != "development.log"}
        assert {path.parts[0] for path in made} == {"var"}

    def test_var_is_ignored_by_git(self) -> None:
        done = subprocess.run(
            ["git", "check-ignore", "var/secret", "var/oauthdevice.sqlite"], cwd=CHECKOUT, check=False
        )
        assert done.returncode == 0

    def test_the_printed_password_opens_the_login_form(self, first: Server) -> None:
        email, password = demo_account(first.printed)
        assert email == "demo@example.com"
        visitor = Visitor(first.url)
        assert visitor.sign_in(email, password + "x").status_code == 401
        answer = visitor.sign_in(email, password)
        assert answer.status_code == 200
        assert answer.url == f"{first.url}/device"
        assert email in answer.text

    def test_the_printed_address_is_where_it_is(self, first: Server) -> None:
        assert f"oauthdevice is at {first.url}/device\n" in first.printed
        page = requests.get(f"{first.url}/device", timeout=10)
        assert page.status_code == 200
        assert page.headers["Content-Type"].startswith("text/html")

    def test_the_printed_line_can_be_tried(self, first: Server) -> None:
        found = re.search(r"Try:\s+(curl .*)", first.printed)
        assert found is not None
        command = shlex.split(found[1])
        assert command == ["curl", "-d", "client_id=difyctl", f"{first.url}{CODE}"]
        if shutil.which("curl"):
            answer = json.loads(first.run(*command).stdout)
        else:
            answer = requests.post(command[3], command[2], timeout=10).json()
        assert answer["verification_uri"] == f"{first.url}/device"
        assert requests.get(answer["verification_uri_complete"], timeout=10).status_code == 200

    def test_the_demo_account_lets_a_device_in(self, first: Server) -> None:
        visitor, asked = Visitor(first.url), ask(first.url)
        visitor.sign_in(*demo_account(first.printed))
        assert visitor.approve(asked["user_code"]).json() == {"status": "approved"}
        answer = poll(first.url, asked).json()
        assert answer["account"]["email"] == "demo@example.com"
        assert [workspace["role"] for workspace in answer["workspaces"]] == ["owner"]

    def test_the_admin_program_works_beside_it(self, first: Server) -> None:
        done = first.admin("account", "list")
        assert done.returncode == 0, done.stderr
        assert [line.split("\t")[1:] for line in done.stdout.splitlines()] == [
            ["demo@example.com", "Demo Person", "active"]
        ]
        assert done.stderr == ""

    def test_it_prints_no_warning_and_no_traceback(self, first: Server) -> None:
        assert "Warning" not in first.printed
        assert "Traceback" not in first.printed


class TestTheNextStart:
    def test_tokens_stay_valid_and_no_password_is_printed(self, own: Server) -> None:
        own.start()
        email, password = demo_account(own.printed)
        visitor, asked = Visitor(own.url), ask(own.url)
        visitor.sign_in(email, password)
        visitor.approve(asked["user_code"])
        token = poll(own.url, asked).json()["access_token"]
        assert account(own.url, token).status_code == 200
        own.stop()

        before = children_seconds()
        own.start()
        assert password not in own.printed
        assert "with the password" not in own.printed
        assert f"oauthdevice is at {own.url}/device\n" in own.printed
        assert account(own.url, token).json()["account"]["email"] == email
        assert email in visitor.http.get(f"{own.url}/device", timeout=10).text
        assert Visitor(own.url).sign_in(email, password).url == f"{own.url}/device"
        own.stop()
        assert children_seconds() - before < 5

    def test_a_forgotten_password_can_be_set_as_it_says(self, own: Server) -> None:
        own.start()
        own.stop()
        own.start()
        found = re.search(r"password forgotten\? (.*)", own.printed)
        assert found is not None
        program, *arguments = shlex.split(found[1])
        done = own.run(BIN / Path(program).name, *arguments, "--password-stdin", typed="a new password\n")
        assert done.returncode == 0, done.stderr
        assert Visitor(own.url).sign_in("demo@example.com", "a new password").url == f"{own.url}/device"

    def test_sigterm_ends_it_cleanly(self, own: Server) -> None:
        own.start()
        printed = own.printed
        assert own.stop() in (0, -signal.SIGTERM)
        assert own.printed == printed
        with pytest.raises(requests.ConnectionError):
            requests.get(own.url, timeout=5)
        with closing(sqlite3.connect(own.ini.parent / "var" / "oauthdevice.sqlite")) as database:
            assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


PRODUCTION = {
    "public_url": "https://sign-in.example.com",
    "database_url": "sqlite:///%(here)s/oauthdevice.sqlite",
    "redis_url": "redis://127.0.0.1:1",
    "secret": SECRET,
}


class TestABadSetting:
    @pytest.mark.parametrize(
        ("changed", "named"),
        [
            ({"public_url": None}, "oauthdevice.public_url"),
            ({"secret": None}, "oauthdevice.secret"),
            ({"secret": "short"}, "oauthdevice.secret"),
            ({"secret": None, "secret_file": "%(here)s/nowhere"}, "oauthdevice.secret_file"),
            ({"database_url": None}, "oauthdevice.database_url"),
            ({"database_url": "mysqlite:///x"}, "oauthdevice.database_url"),
            ({"redis_url": None}, "oauthdevice.redis_url"),
            ({"redis_url": "embedded://"}, "oauthdevice.redis_url"),
            ({"redis_url": "localhost:6379"}, "oauthdevice.redis_url"),
            ({"redis_adress": "redis://127.0.0.1:1"}, "oauthdevice.redis_adress"),
            ({"interval_seconds": "soon"}, "oauthdevice.interval_seconds"),
            ({"limit.code": "many"}, "oauthdevice.limit.code"),
            ({"limit.cod": "1/hour"}, "oauthdevice.limit.cod"),
            ({"mode": "prod"}, "oauthdevice.mode"),
        ],
    )
    def test_stops_the_start_with_one_line_that_names_it(
        self, tmp_path: Path, changed: dict[str, str | None], named: str
    ) -> None:
        done = self.start(tmp_path, {**PRODUCTION, **changed})
        assert done.returncode not in (0, None)
        lines = done.stderr.splitlines()
        assert len(lines) == 1, done.stderr
        assert re.search(rf"{re.escape(named)}(?![a-z_.])", lines[0])
        assert "Traceback" not in done.stdout + done.stderr
        assert SECRET not in done.stdout + done.stderr

    def test_a_client_with_a_bad_setting_is_named_too(self, tmp_path: Path) -> None:
        done = self.start(tmp_path, PRODUCTION, "[client:tool]\nname = Tool\nscopes = full\nsecret = x\n")
        assert done.returncode not in (0, None)
        assert done.stderr == "oauthdevice: [client:tool] secret: there is no such setting\n"

    def start(
        self, folder: Path, options: dict[str, str | None], sections: str = ""
    ) -> subprocess.CompletedProcess[str]:
        ini = folder / "production.ini"
        settings = "".join(f"oauthdevice.{name} = {value}\n" for name, value in options.items() if value is not None)
        listen = f"[server:main]\nuse = egg:waitress#main\nlisten = 127.0.0.1:{free_port()}\n"
        ini.write_text(f"[app:main]\nuse = egg:oauthdevice\n{settings}\n{listen}\n{sections}")
        server = Server(ini, "")
        return subprocess.run(
            [BIN / "pserve", ini], env=server.environ, capture_output=True, text=True, check=False, timeout=30
        )
