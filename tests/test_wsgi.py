"""`oauthdevice.wsgi`: the application for servers that import one."""

import os
import subprocess
import sys
from pathlib import Path

from .servers import CHECKOUT

ASK = """
from webob import Request
from oauthdevice.wsgi import application
answer = Request.blank("/healthz").get_response(application)
print(answer.status, answer.json)
"""


def run(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("OAUTHDEVICE_")}
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", ASK],
        cwd=folder,
        env={**clean, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_serves_what_the_ini_file_says(tmp_path: Path) -> None:
    ini = tmp_path / "own.ini"
    ini.write_text(
        f"[app:main]\nuse = config:{CHECKOUT}/development.ini\n"
        f"oauthdevice.database_url = sqlite:///{tmp_path}/own.sqlite\noauthdevice.secret_file = {tmp_path}/secret\n"
        "[loggers]\nkeys = root\n[handlers]\nkeys =\n[formatters]\nkeys =\n[logger_root]\nhandlers =\n",
        "utf-8",
    )
    told = run(tmp_path, OAUTHDEVICE_INI=str(ini))
    assert told.stdout == "200 OK {'status': 'ok'}\n", told.stderr


def test_without_an_ini_file_it_says_what_is_missing(tmp_path: Path) -> None:
    told = run(tmp_path)
    assert told.returncode != 0
    assert "OAUTHDEVICE_INI: must name the ini file" in told.stderr
