"""The peer in Python: django-oauth-toolkit on PostgreSQL, under granian.

It is set up in django/settings.py. To know when reading its figures:
- A pending poll is one SELECT by the device code. The toolkit looks at no client there and at no lifetime, and it
  writes nothing, so it never says slow_down.
- It stores the secret of a client as Django stores passwords, by default PBKDF2 with a million rounds, and checks it
  anew for each request: introspection with a secret is that check, some 0.3 s of a core, and hardly anything else.
  Requests that wait for it are answered even when who asked has gone, so ask over few connections, and start it anew
  before measuring something else. Its documents name another way, an access token of the scope `introspection`:
  `DjangoOAuthToolkit(bearer=True)`.
"""

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..contenders import Command, Place, Request, Work
from .oauth_requests import TOKENS, basic, bearer, introspect, poll, read, start

FOLDER = Path(__file__).parent / "django"
REQUIREMENTS = FOLDER / "requirements.txt"
# Of its own: nothing of it is among what we are made of.
ENVIRONMENT = FOLDER.parents[2] / ".venv" / "peers" / "django"
PYTHON = ENVIRONMENT / "bin" / "python"
INSTALLED = ENVIRONMENT / ".installed"
SCOPE = "account"
WORK = frozenset({Work.CODE, Work.POLL, Work.INTROSPECTION, Work.ACCOUNT})
PACKAGES = ("django-oauth-toolkit", "oauthlib", "django", "psycopg", "granian")


class DjangoOAuthToolkit:
    """django-oauth-toolkit in as many granian workers as there are to be processes.

    With `bearer`, introspection alone, by an API that shows an access token instead of the secret of its client.
    """

    ready_path = "/o/.well-known/oauth-authorization-server"

    def __init__(self, *, bearer: bool = False) -> None:
        self._bearer = bearer
        self.name = "django-oauth-toolkit (bearer)" if bearer else "django-oauth-toolkit"
        self.work = frozenset({Work.INTROSPECTION}) if bearer else WORK

    @staticmethod
    def install() -> None:
        """A virtual environment with what requirements.txt names, where it is not there yet.

        Raises CalledProcessError.
        """
        if INSTALLED.exists() and INSTALLED.stat().st_mtime > REQUIREMENTS.stat().st_mtime:
            return
        subprocess.run([sys.executable, "-m", "venv", "--clear", ENVIRONMENT], check=True)
        pip: list[str | Path] = [PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "--requirement", REQUIREMENTS], check=True)
        INSTALLED.touch()

    def versions(self) -> Mapping[str, str]:
        ask = "import importlib.metadata, sys; print(*map(importlib.metadata.version, sys.argv[1:]), sep='\\n')"
        told = subprocess.run([PYTHON, "-c", ask, *PACKAGES], stdout=subprocess.PIPE, text=True, check=True)
        return dict(zip(PACKAGES, told.stdout.split(), strict=True))

    def prepare(self, place: Place) -> None:
        made = {"secret_key": secrets.token_urlsafe(50), "api_secret": secrets.token_urlsafe(32)}
        _secrets_file(place).write_text(json.dumps(made))
        _seed(place, "tables")

    def command(self, place: Place) -> Command:
        granian = [str(ENVIRONMENT / "bin" / "granian"), "--interface", "wsgi", "--http", "1", "--no-ws", "--no-log"]
        # Two threads, so that one computes while the other waits for PostgreSQL: four bring no more.
        size = ["--workers", str(place.processes), "--blocking-threads", "2"]
        # A worker that has not imported everything yet does not hear SIGTERM, and granian would wait for it for ever.
        size += ["--workers-kill-timeout", "5"]
        return Command(
            [*granian, *size, "--port", str(place.port), "application:application"], _environment(place), FOLDER
        )

    def requests(self, work: Work, place: Place, count: int) -> Sequence[Request]:
        if work is Work.CODE:
            return [start("/o/device-authorization/", SCOPE)]
        if work is Work.POLL:
            return [poll("/o/token/", code) for code in _seed(place, "codes", count)]
        tokens = _seed(place, "tokens", min(count, TOKENS))
        if work is Work.ACCOUNT:
            return [read("/account", token) for token in tokens]
        authorization = bearer(_seed(place, "api-token")[0]) if self._bearer else basic(_secrets(place)["api_secret"])
        return [introspect("/o/introspect/", token, authorization) for token in tokens]


def _secrets_file(place: Place) -> Path:
    return place.folder / "django-secrets.json"


def _secrets(place: Place) -> dict[str, str]:
    kept: dict[str, str] = json.loads(_secrets_file(place).read_text())
    return kept


def _environment(place: Place) -> dict[str, str]:
    return {
        "DATABASE_URL": place.database_url,
        "PUBLIC_URL": place.url,
        "SECRET_KEY": _secrets(place)["secret_key"],
    }


def _seed(place: Place, what: str, *arguments: int) -> Any:
    """The JSON that seed.py prints. Raises CalledProcessError, after what it had to say of it."""
    told = subprocess.run(
        [PYTHON, "seed.py", what, *map(str, arguments)],
        cwd=FOLDER,
        env={**os.environ, **_environment(place), "API_SECRET": _secrets(place)["api_secret"]},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(told.stdout)
