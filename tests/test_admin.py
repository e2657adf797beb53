"""`oauthdevice-admin` on a database of its own: what it does, and the one line where it refuses."""

import io
import json
import re
import shutil
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path

import pytest
from argon2 import PasswordHasher
from sqlalchemy import inspect, text

from oauthdevice.admin import main
from oauthdevice.settings import Settings, read_settings
from oauthdevice.stores.sql import create_database
from oauthdevice.wiring import Services, build_services

from .authenticators import Authenticator
from .factories import PASSWORD, SECRET

INI = f"""
[app:main]
use = egg:oauthdevice
oauthdevice.mode = development
oauthdevice.public_url = http://localhost
oauthdevice.database_url = sqlite:///%(here)s/var/oauthdevice.sqlite
oauthdevice.redis_url = embedded://
oauthdevice.secret = {SECRET}
oauthdevice.argon2_memory_kib = 32
oauthdevice.argon2_time_cost = 1
"""
UUID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
ADDRESS = "192.0.2.7"

# Arguments, and what is on standard input -> exit status.
Admin = Callable[..., int]


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SECRET", "DATABASE_URL", "REDIS_URL"):
        monkeypatch.delenv(f"OAUTHDEVICE_{name}", raising=False)


@pytest.fixture
def ini(tmp_path: Path) -> Path:
    path = tmp_path / "server.ini"
    path.write_text(INI)
    return path


@pytest.fixture
def settings(ini: Path) -> Settings:
    options = dict(re.findall(r"^(oauthdevice\.\S+) = (.*)$", INI, re.MULTILINE))
    return read_settings({name: text.replace("%(here)s", str(ini.parent)) for name, text in options.items()}, None, {})


@pytest.fixture
def empty(ini: Path, monkeypatch: pytest.MonkeyPatch) -> Admin:
    """The program, over a database that does not exist yet."""

    def run(*arguments: str, stdin: str = "") -> int:
        monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
        return main(["-c", str(ini), *arguments])

    return run


@pytest.fixture
def admin(empty: Admin, ini: Path, migrated_sqlite: Path) -> Admin:
    """The program, over a migrated database."""
    (ini.parent / "var").mkdir()
    shutil.copy(migrated_sqlite, ini.parent / "var" / "oauthdevice.sqlite")
    return empty


@pytest.fixture
def ada(admin: Admin, capsys: pytest.CaptureFixture[str]) -> str:
    """The e-mail of an account."""
    arguments = ("account", "add", "ada@example.com", "--name", "Ada Person", "--password-stdin")
    assert admin(*arguments, stdin=f"{PASSWORD}\n") == 0
    capsys.readouterr()
    return "ada@example.com"


@pytest.fixture
def services(settings: Settings) -> Iterator[Services]:
    """What a server on the same database sees."""
    one = build_services(settings)
    yield one
    one.redis.close()
    one.database.engine.dispose()


def refused(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line on standard error; nothing was printed beside it."""
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("oauthdevice-admin: ")
    assert err.count("\n") == 1
    return err.removeprefix("oauthdevice-admin: ").rstrip("\n")


def told(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """As `refused`, where the program may also stop as it does on a bad setting."""
    try:
        status: object = main(arguments)
    except SystemExit as stopped:
        status = stopped.code
    if isinstance(status, str):
        # Python prints it on standard error and exits with 1.
        assert "\n" not in status
        return status
    assert status == 1
    return refused(capsys)


def at_migration(services: Services, migration: str) -> None:
    """The database says that it is at another migration."""
    with services.database.write() as sql:
        sql.execute(text("UPDATE alembic_version SET version_num = :at"), {"at": migration})


class TestUpgrade:
    def test_it_makes_the_database(self, empty: Admin, settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
        assert empty("upgrade") == 0
        assert "newest migration" in capsys.readouterr().out
        engine = create_database(settings.database_url).engine
        assert "accounts" in inspect(engine).get_table_names()
        engine.dispose()

    def test_a_second_time_is_harmless(self, admin: Admin, ada: str, services: Services) -> None:
        assert admin("upgrade") == 0
        assert [account.email for account in services.accounts.all()] == [ada]

    def test_where_a_newer_release_was_there_is_nothing_to_do(
        self, admin: Admin, services: Services, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """A server that is started after `upgrade` alone must start in mid-upgrade, and after a step back."""
        at_migration(services, "9999")
        capsys.readouterr()
        assert admin("upgrade") == 0
        assert capsys.readouterr().out == "the database is at the migration 9999 of a newer release: nothing to do\n"

    def test_a_database_of_another_program_is_refused(
        self, admin: Admin, services: Services, capsys: pytest.CaptureFixture[str]
    ) -> None:
        at_migration(services, "1975ea83b712")
        assert admin("upgrade") == 1
        assert refused(capsys) == "The database is at the migration 1975ea83b712, which is none of ours."

    def test_before_it_nothing_else_works_and_nobody_sees_a_traceback(
        self, empty: Admin, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert empty("account", "list") == 1
        assert refused(capsys)


class TestAccount:
    def test_a_new_one_can_sign_in(self, admin: Admin, services: Services, capsys: pytest.CaptureFixture[str]) -> None:
        arguments = ("account", "add", "ada@example.com", "--name", "Ada Person", "--password-stdin")
        assert admin(*arguments, stdin=f"{PASSWORD}\n") == 0
        assert re.fullmatch(rf"added ada@example\.com \({UUID}\)\n", capsys.readouterr().out)
        account = services.accounts.sign_in("ada@example.com", PASSWORD, ADDRESS).account
        assert (account.email, account.name, account.active) == ("ada@example.com", "Ada Person", True)

    @pytest.mark.parametrize("end", ["", "\n", "\r\n", "\nand more\n"])
    def test_the_password_is_the_first_line_of_standard_input(self, admin: Admin, services: Services, end: str) -> None:
        password = "  with spaces at both ends  "
        arguments = ("account", "add", "ada@example.com", "--name", "Ada", "--password-stdin")
        assert admin(*arguments, stdin=f"{password}{end}") == 0
        assert services.accounts.sign_in("ada@example.com", password, ADDRESS).account.name == "Ada"

    def test_a_password_can_be_typed_twice(
        self, admin: Admin, services: Services, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("getpass.getpass", lambda _: PASSWORD)
        assert admin("account", "add", "ada@example.com", "--name", "Ada") == 0
        assert services.accounts.sign_in("ada@example.com", PASSWORD, ADDRESS).account.name == "Ada"

    def test_two_that_differ_are_refused(
        self, admin: Admin, services: Services, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr("getpass.getpass", lambda prompt: f"{PASSWORD} {prompt}")
        with pytest.raises(SystemExit) as raised:
            admin("account", "add", "ada@example.com", "--name", "Ada")
        assert raised.value.code == 1
        assert refused(capsys) == "the two passwords differ"
        assert services.accounts.all() == []

    @pytest.mark.parametrize("password", ["", "short", "seven77", "x" * 1025])
    def test_a_password_too_short_or_too_long_is_refused(
        self, admin: Admin, services: Services, capsys: pytest.CaptureFixture[str], password: str
    ) -> None:
        arguments = ("account", "add", "ada@example.com", "--name", "Ada", "--password-stdin")
        assert admin(*arguments, stdin=f"{password}\n") == 1
        assert refused(capsys) == "A password is 8 to 1024 characters."
        assert services.accounts.all() == []

    @pytest.mark.parametrize(
        ("email", "name"),
        [
            ("ada", "Ada"),
            ("@example.com", "Ada"),
            ("ada@", "Ada"),
            ("a da@example.com", "Ada"),
            ("a\nda@example.com", "Ada"),
            ("a" * 243 + "@example.com", "Ada"),
            ("ada@example.com", ""),
            ("ada@example.com", "  "),
            ("ada@example.com", "A\x07da"),
            ("ada@example.com", "x" * 201),
        ],
    )
    def test_no_e_mail_or_no_name_is_refused(
        self, admin: Admin, services: Services, capsys: pytest.CaptureFixture[str], email: str, name: str
    ) -> None:
        arguments = ("account", "add", email, "--name", name, "--password-stdin")
        assert admin(*arguments, stdin=f"{PASSWORD}\n") == 1
        assert refused(capsys)
        assert services.accounts.all() == []

    @pytest.mark.parametrize("email", ["ada@example.com", "ADA@Example.com", " ada@example.com "])
    def test_an_e_mail_is_taken_once(
        self, admin: Admin, ada: str, services: Services, capsys: pytest.CaptureFixture[str], email: str
    ) -> None:
        arguments = ("account", "add", email, "--name", "Another", "--password-stdin")
        assert admin(*arguments, stdin="another password\n") == 1
        assert refused(capsys) == "An account with this e-mail exists already."
        assert services.accounts.sign_in(ada, PASSWORD, ADDRESS).account.name == "Ada Person"

    def test_all_are_listed_oldest_first(self, admin: Admin, ada: str, capsys: pytest.CaptureFixture[str]) -> None:
        admin("account", "add", "aaa@example.com", "--name", "\u00c5", "--password-stdin", stdin=f"{PASSWORD}\n")
        admin("account", "disable", ada)
        capsys.readouterr()
        assert admin("account", "list") == 0
        first, second = capsys.readouterr().out.splitlines()
        assert re.fullmatch(rf"{UUID}\tada@example\.com\tAda Person\tdisabled", first)
        assert re.fullmatch(rf"{UUID}\taaa@example\.com\t\u00c5\tactive", second)

    def test_an_empty_list_prints_nothing(self, admin: Admin, capsys: pytest.CaptureFixture[str]) -> None:
        assert admin("account", "list") == 0
        assert capsys.readouterr() == ("", "")

    def test_a_disabled_one_is_signed_out_until_it_is_enabled(
        self, admin: Admin, ada: str, services: Services, capsys: pytest.CaptureFixture[str]
    ) -> None:
        key = services.accounts.sign_in(ada, PASSWORD, ADDRESS).key
        assert admin("account", "disable", "ADA@example.com") == 0
        assert capsys.readouterr().out == "disabled ADA@example.com\n"
        assert services.accounts.signed_in(key) is None
        assert [account.active for account in services.accounts.all()] == [False]
        assert admin("account", "enable", ada) == 0
        assert capsys.readouterr().out == "enabled ada@example.com\n"
        assert services.accounts.signed_in(key) is None
        assert services.accounts.sign_in(ada, PASSWORD, ADDRESS).account.active

    def test_its_passkeys_are_listed_and_removed(
        self, admin: Admin, ada: str, services: Services, capsys: pytest.CaptureFixture[str]
    ) -> None:
        account, passkey = services.accounts.named(ada), Authenticator()
        options = services.passkeys.begin_adding(account, PASSWORD, "a browser", ADDRESS)
        services.passkeys.add(account, "laptop", json.dumps(passkey.create(options)), "a browser", ADDRESS)
        assert admin("account", "passkeys", "list", ada) == 0
        assert re.fullmatch(r"laptop\t[0-9T:-]+Z\tnever\n", capsys.readouterr().out)
        key = services.accounts.sign_in(ada, PASSWORD, ADDRESS).key
        assert admin("account", "passkeys", "remove", ada) == 0
        assert capsys.readouterr().out == "removed 1 passkeys of ada@example.com\n"
        assert services.passkeys.of(account) == []
        assert services.accounts.signed_in(key) is None
        assert admin("account", "passkeys", "remove", "nobody@example.com") == 1
        assert refused(capsys) == "There is no account with this e-mail."

    def test_a_new_password_replaces_the_old_and_signs_out_everywhere(
        self, admin: Admin, ada: str, services: Services, capsys: pytest.CaptureFixture[str]
    ) -> None:
        key = services.accounts.sign_in(ada, PASSWORD, ADDRESS).key
        assert admin("account", "set-password", ada, "--password-stdin", stdin="another password\n") == 0
        assert capsys.readouterr().out == "set the password of ada@example.com\n"
        assert services.accounts.signed_in(key) is None
        assert services.accounts.sign_in(ada, "another password", ADDRESS)

    def test_a_new_password_may_not_be_short(
        self, admin: Admin, ada: str, services: Services, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert admin("account", "set-password", ada, "--password-stdin", stdin="short\n") == 1
        assert refused(capsys) == "A password is 8 to 1024 characters."
        assert services.accounts.sign_in(ada, PASSWORD, ADDRESS)

    @pytest.mark.parametrize("command", [("disable",), ("enable",), ("set-password", "--password-stdin")])
    def test_an_unknown_e_mail_is_refused(
        self, admin: Admin, capsys: pytest.CaptureFixture[str], command: tuple[str, ...]
    ) -> None:
        assert admin("account", *command, "nobody@example.com", stdin=f"{PASSWORD}\n") == 1
        assert refused(capsys) == "There is no account with this e-mail."

    @pytest.mark.usefixtures("ada")
    def test_the_password_is_stored_as_an_argon2id_hash(self, settings: Settings) -> None:
        database = create_database(settings.database_url)
        with database.engine.connect() as connection:
            [stored] = connection.exec_driver_sql("SELECT password_hash FROM accounts").scalars()
        assert stored.startswith("$argon2id$")
        assert PasswordHasher().verify(stored, PASSWORD)
        database.engine.dispose()


class TestWorkspace:
    def test_a_new_one_is_joined_by_its_id_or_its_name(
        self, admin: Admin, ada: str, services: Services, capsys: pytest.CaptureFixture[str]
    ) -> None:
        ids = []
        for name in ("Research", "Sales and more"):
            assert admin("workspace", "add", name) == 0
            ids.append(capsys.readouterr().out.rstrip("\n"))
        assert all(re.fullmatch(UUID, one) for one in ids)
        assert admin("workspace", "join", "Sales and more", ada, "--role", "owner") == 0
        assert capsys.readouterr().out == "ada@example.com is owner of Sales and more\n"
        assert admin("workspace", "join", ids[0], "ADA@example.com", "--role", "member") == 0
        [account] = services.accounts.all()
        assert [(one.id, one.role) for one in account.workspaces] == [(ids[1], "owner"), (ids[0], "member")]

    def test_joining_again_changes_the_role(self, admin: Admin, ada: str, services: Services) -> None:
        admin("workspace", "add", "Research")
        for role in ("member", "owner"):
            assert admin("workspace", "join", "Research", ada, "--role", role) == 0
        [account] = services.accounts.all()
        assert [one.role for one in account.workspaces] == ["owner"]

    def test_a_name_is_taken_once(self, admin: Admin, capsys: pytest.CaptureFixture[str]) -> None:
        assert admin("workspace", "add", "Research") == 0
        capsys.readouterr()
        assert admin("workspace", "add", "Research") == 1
        assert refused(capsys) == "A workspace with this name exists already."

    @pytest.mark.parametrize("name", ["", " ", "x" * 201, "a\nb"])
    def test_no_name_is_refused(self, admin: Admin, capsys: pytest.CaptureFixture[str], name: str) -> None:
        assert admin("workspace", "add", name) == 1
        assert refused(capsys) == "A name is 1 to 200 printable characters."

    @pytest.mark.parametrize("role", ["", "x" * 33, "a\nb"])
    def test_no_role_is_refused(self, admin: Admin, ada: str, capsys: pytest.CaptureFixture[str], role: str) -> None:
        admin("workspace", "add", "Research")
        capsys.readouterr()
        assert admin("workspace", "join", "Research", ada, "--role", role) == 1
        assert refused(capsys) == "A role is 1 to 32 printable characters."

    def test_unknown_ones_are_refused(self, admin: Admin, ada: str, capsys: pytest.CaptureFixture[str]) -> None:
        admin("workspace", "add", "Research")
        capsys.readouterr()
        assert admin("workspace", "join", "Nowhere", ada, "--role", "member") == 1
        assert refused(capsys) == "There is no workspace with this id or name."
        assert admin("workspace", "join", "Research", "nobody@example.com", "--role", "member") == 1
        assert refused(capsys) == "There is no account with this e-mail."


class TestUsage:
    @pytest.mark.parametrize(
        "arguments",
        [
            [],
            ["upgrade"],
            ["-c", "INI"],
            ["-c", "INI", "no-such"],
            ["-c", "INI", "account"],
            ["-c", "INI", "account", "no-such"],
            ["-c", "INI", "account", "add"],
            ["-c", "INI", "account", "add", "ada@example.com"],
            ["-c", "INI", "account", "disable"],
            ["-c", "INI", "account", "list", "more"],
            ["-c", "INI", "workspace", "join", "Research", "ada@example.com"],
            ["-c", "INI", "upgrade", "--force"],
        ],
    )
    def test_a_wrong_one_is_two_and_changes_nothing(
        self, ini: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]
    ) -> None:
        with pytest.raises(SystemExit) as raised:
            main([str(ini) if one == "INI" else one for one in arguments])
        assert raised.value.code == 2
        assert "usage: oauthdevice-admin" in capsys.readouterr().err
        assert [path.name for path in ini.parent.iterdir()] == ["server.ini"]

    @pytest.mark.parametrize("arguments", [["--help"], ["-c", "x", "account", "add", "--help"]])
    def test_help_is_there(self, capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
        with pytest.raises(SystemExit) as raised:
            main(arguments)
        assert raised.value.code == 0
        assert "usage: oauthdevice-admin" in capsys.readouterr().out

    def test_it_tells_its_version(self, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit) as raised:
            main(["--version"])
        assert raised.value.code == 0
        assert capsys.readouterr().out == f"{version('oauthdevice')}\n"


class TestBadFiles:
    def test_a_missing_file_is_named(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        missing = tmp_path / "missing.ini"
        assert main(["-c", str(missing), "account", "list"]) == 1
        assert str(missing) in refused(capsys)

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "no ini file at all",
            "[server:main]\nuse = egg:waitress#main\n",
            "[app:main]\nuse = config:missing.ini\n",
            "[app:main]\nuse = egg:oauthdevice\noauthdevice.public_url = %(nowhere)s\n",
        ],
        ids=["empty", "no ini", "no application", "missing base", "missing variable"],
    )
    def test_a_file_without_a_server_is_told_in_one_line(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str
    ) -> None:
        path = tmp_path / "server.ini"
        path.write_text(text)
        assert told(["-c", str(path), "account", "list"], capsys)

    def test_a_bad_setting_is_told_in_one_line(self, ini: Path, capsys: pytest.CaptureFixture[str]) -> None:
        ini.write_text(INI.replace("development", "staging"))
        with pytest.raises(SystemExit, match=r"oauthdevice\.mode: must be one of: production, development"):
            main(["-c", str(ini), "account", "list"])
        assert capsys.readouterr().out == ""

    def test_a_database_that_is_away_is_told_in_one_line(self, ini: Path, capsys: pytest.CaptureFixture[str]) -> None:
        away = "postgresql+psycopg://nobody@/nothing?host=/nowhere"
        ini.write_text(INI.replace("sqlite:///%(here)s/var/oauthdevice.sqlite", away))
        for command in (["account", "list"], ["upgrade"]):
            assert main(["-c", str(ini), *command]) == 1
            assert refused(capsys)
