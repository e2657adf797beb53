"""The small parts of the program: when a browser is opened, how big a QR code is, where files go."""

import os
import stat
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from oauthdevice.cli import browser, files, qr
from oauthdevice.cli.book import Account, AccountBook, address_of
from oauthdevice.cli.exits import Exit, Failure, failure_of
from oauthdevice.cli.output import Output, columns, minute, printable
from oauthdevice.cli.vault import FileVault, KeyringVault
from oauthdevice.cli.waiting import Waiting
from oauthdevice.client import Pending, RateLimited, StartedLogin

DESK = {"DISPLAY": ":0"}


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


class TestTheBrowser:
    @pytest.mark.parametrize(
        ("wanted", "environ", "is_terminal", "reason"),
        [
            (None, DESK, True, None),
            (None, {"WAYLAND_DISPLAY": "wayland-0"}, True, None),
            (False, DESK, True, "--no-browser"),
            (None, DESK, False, "this is no terminal"),
            (True, DESK, False, "this is no terminal"),
            (None, DESK | {"OAUTHDEVICE_NO_BROWSER": "1"}, True, "OAUTHDEVICE_NO_BROWSER is set"),
            (None, DESK | {"SSH_CONNECTION": "a 1 b 2"}, True, "this is an SSH session"),
            (None, DESK | {"SSH_TTY": "/dev/pts/0"}, True, "this is an SSH session"),
            (True, DESK | {"SSH_TTY": "/dev/pts/0"}, True, None),
            (None, DESK | {"CI": "true"}, True, "this is a CI job"),
            (None, DESK | {"container": "podman"}, True, "this is a container"),
            (None, DESK | {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, True, "this is a container"),
            (None, {}, True, "there is no display"),
        ],
    )
    def test_is_opened_or_it_is_said_why_not(
        self,
        wanted: bool | None,
        environ: dict[str, str],
        is_terminal: bool,
        reason: str | None,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(browser, "MARKS", ())
        assert browser.why_not(wanted, environ, is_terminal) == reason

    def test_is_not_opened_in_a_container(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(browser, "MARKS", (tmp_path,))
        assert browser.why_not(None, DESK, True) == "this is a container"


class TestTheQRCode:
    ADDRESS = "https://login.example.com/device?user_code=WDJB-MJHT"

    def size(self, monkeypatch: pytest.MonkeyPatch, columns: int, lines: int) -> None:
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.setenv("LINES", str(lines))

    def test_fits_into_an_ordinary_terminal(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.size(monkeypatch, 80, 24)
        assert qr.qr_code("https://login.example.com/device?user_code=WDJB-MJHT", always=False) is not None

    def test_is_left_out_where_it_does_not_fit(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.size(monkeypatch, 80, 40)
        code = qr.qr_code(self.ADDRESS, always=False)
        assert code is not None
        width, height = len(code.splitlines()[0]), len(code.splitlines())
        assert {len(line) for line in code.splitlines()} == {width}
        self.size(monkeypatch, width, height + qr.LINES_BESIDE)
        assert qr.qr_code(self.ADDRESS, always=False) == code
        for narrow in ((width - 1, 40), (80, height + qr.LINES_BESIDE - 1)):
            self.size(monkeypatch, *narrow)
            assert qr.qr_code(self.ADDRESS, always=False) is None
            assert qr.qr_code(self.ADDRESS, always=True) == code


class TestWaiting:
    STARTED = StartedLogin("WDJB-MJHT", "https://x/device", None, 900, 5, "secret", time.monotonic() + 900)

    def test_shows_a_number_once(self, capsys: pytest.CaptureFixture[str]) -> None:
        waiting = Waiting(Output(False), self.STARTED, None)
        for number in (None, "47", "47", None, "48"):
            waiting.pending(Pending(800, 5, number))
        assert capsys.readouterr().out == (
            "The page asks for a number. It is: 47\nThe page asks for a number. It is: 48\n"
        )

    def test_tells_it_to_programs_as_well(self, capsys: pytest.CaptureFixture[str]) -> None:
        Waiting(Output(True), self.STARTED, None).pending(Pending(800, 5, "47"))
        assert capsys.readouterr().out == '{"event": "confirm", "confirmation_number": "47"}\n'

    def test_says_what_the_trouble_is_once(self, capsys: pytest.CaptureFixture[str]) -> None:
        waiting = Waiting(Output(False), self.STARTED, None)
        for trouble in ("no connection", "no connection", None, "no connection"):
            waiting.pending(Pending(800, 5, None, trouble))
        assert capsys.readouterr().err == "oauthdevice: no connection; trying again until the code runs out\n" * 2

    def test_sleeps_as_long_as_it_is_told(self) -> None:
        began = time.monotonic()
        Waiting(Output(False), self.STARTED, None).sleep(0.7)
        assert 0.7 <= time.monotonic() - began < 5


class TestFiles:
    def test_are_replaced_whole_and_for_their_owner_alone(self) -> None:
        path = files.folder() / "file"
        path.write_text("old")
        path.chmod(0o644)
        files.write_private(path, "new")
        assert (path.read_text(), stat.S_IMODE(path.stat().st_mode)) == ("new", 0o600)
        assert [one.name for one in files.folder().iterdir()] == ["file"]

    def test_stay_as_they_were_when_writing_fails(self, monkeypatch: pytest.MonkeyPatch) -> None:
        path = files.folder() / "file"
        path.write_text("old")

        def full(*_: Any) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            files.write_private(path, "new")
        assert path.read_text() == "old"
        assert [one.name for one in files.folder().iterdir()] == ["file"]

    def test_go_home_where_the_variable_is_no_path(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """XDG: relative paths are to be ignored."""
        monkeypatch.setenv("XDG_CONFIG_HOME", "relative")
        monkeypatch.setenv("HOME", str(tmp_path))
        assert files.folder() == tmp_path / ".config" / "oauthdevice"

    def test_of_credentials_lose_none_when_many_write_at_once(self) -> None:
        vault = FileVault()
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(lambda number: vault.put(str(number), {"access_token": "x"}), range(24)))
        assert all(vault.get(str(number)) for number in range(24))
        for number in range(24):
            vault.delete(str(number))
        assert not vault.path.exists()

    def test_that_are_broken_are_said_to_be(self) -> None:
        vault = FileVault()
        vault.path.write_text("{")
        with pytest.raises(Failure, match="cannot be read"):
            vault.get("x")


class TestTheKeyRing:
    def test_that_hangs_is_not_used(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("oauthdevice.cli.vault.PROBE_SECONDS", 0.05)
        vault = KeyringVault()
        monkeypatch.setattr(vault, "put", lambda *_: time.sleep(0.5))
        assert not vault.works()


class TestTheBook:
    def account(self, subject: str, host: str = "https://a") -> Account:
        return Account(host, "cli", subject, "file")

    def test_asks_which_of_several(self) -> None:
        book = AccountBook()
        for account in (self.account("ada"), self.account("ada", "https://b"), self.account("bob", "https://b")):
            book.put(account)
        with pytest.raises(Failure, match="Which one") as raised:
            book.find("ada")
        assert raised.value.exit is Exit.USAGE
        assert book.find("ada", "b").host == "https://b"
        assert book.find(host="https://b").subject == "bob"
        assert book.find().subject == "bob"

    def test_makes_another_one_active_when_the_active_one_goes(self) -> None:
        book = AccountBook()
        book.put(self.account("ada"))
        book.put(self.account("bob"))
        assert book.remove(self.account("bob")) == self.account("ada")
        assert book.active() == self.account("ada")
        assert book.remove(self.account("ada")) is None

    def test_reads_what_a_later_version_wrote(self) -> None:
        book = AccountBook()
        book.put(self.account("ada"))
        book.path.write_text(book.path.read_text().replace('"host"', '"unheard_of": 1, "host"'))
        assert book.all() == [self.account("ada")]


@pytest.mark.parametrize(
    ("named", "address"),
    [
        ("login.example.com", "https://login.example.com"),
        ("login.example.com/tenant/", "https://login.example.com/tenant"),
        ("https://login.example.com/", "https://login.example.com"),
        ("http://login.example.com", "http://login.example.com"),
        ("localhost:6543", "http://localhost:6543"),
        ("127.0.0.1:6543", "http://127.0.0.1:6543"),
        ("[::1]:6543", "http://[::1]:6543"),
        ("localhost.example.com", "https://localhost.example.com"),
        ("127.0.0.1.example.com", "https://127.0.0.1.example.com"),
    ],
)
def test_a_server_is_named_as_people_do(named: str, address: str) -> None:
    assert address_of(named) == address


def test_what_is_no_address_is_said_to_be_none() -> None:
    with pytest.raises(Failure, match="no address"):
        address_of("[::1")


def test_nothing_of_a_server_is_obeyed_by_the_terminal() -> None:
    assert printable("a\x1b[2Jb\u202ec") == "a?[2Jb?c"
    assert columns([("\u65e5\u672c", "x"), ("a\x07", "y")]) == "\u65e5\u672c  x\na?    y"
    assert (minute("2026-01-31T12:00:00Z"), minute(None)) == ("2026-01-31 12:00 UTC", "never")


def test_a_limit_says_when_to_try_again() -> None:
    failure = failure_of(RateLimited("rate_limited", "", 42))
    assert failure is not None
    assert (failure.exit, str(failure)) == (
        Exit.ERROR,
        "The server is asked too often. Try again in 42 seconds.",
    )


def test_a_fault_of_ours_is_no_failure() -> None:
    assert failure_of(ZeroDivisionError()) is None
    missing = failure_of(ModuleNotFoundError(name="rich"))
    assert missing is not None
    assert "oauthdevice[cli]" in str(missing)
