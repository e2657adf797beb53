"""One line that names what is wrong: a setting of the environment that cannot be used, an approval that is too old."""

from pathlib import Path

import pytest

from oauthdevice.cli import main

from .conftest import Tool
from .scripted import ISSUER, METADATA, STARTED, Answers, answer

ADDRESS = "it is no address of a proxy"
SOCKS = "a SOCKS proxy needs: pip install 'httpx[socks]'"


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("SSL_CERT_FILE", "/nonexist", "No such file or directory"),
        ("SSL_CERT_FILE", "/etc/passwd", "[X509: NO_CERTIFICATE_OR_CRL_FOUND]"),
        ("HTTP_PROXY", "foo://x", ADDRESS),
        ("https_proxy", "http://ada:secret@[::1", ADDRESS),
        ("ALL_PROXY", "socks5://localhost:1080", SOCKS),
        ("NO_PROXY", "::1/128", "it is no list of names and addresses"),
    ],
)
def test_is_named(tmp_path: Path, name: str, value: str, why: str) -> None:
    tool = Tool(tmp_path, "http://127.0.0.1:1")
    tool.environ[name] = value
    done = tool.run("login", "--host", tool.url)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"oauthdevice: {name} of the environment cannot be used: {why}")
    assert len(done.stderr.splitlines()) == 1
    assert "secret" not in done.stderr


def test_an_approval_that_is_collected_too_late_ends_no_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = Answers(answer(METADATA), answer(STARTED), answer(METADATA), answer({"error": "invalid_grant"}, 400))
    monkeypatch.setattr("oauthdevice.cli.login.login_at", lambda *_, **__: answers.login())
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("OAUTHDEVICE_STORAGE", "file")
    assert main(["login", "--host", ISSUER]) == 5
    told = "oauthdevice: The approval could not be collected in time. Start again: oauthdevice login\n"
    assert capsys.readouterr().err.endswith(told)
