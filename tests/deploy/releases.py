"""A release out of the history of this checkout, installed beside the new one, which is the checkout itself."""

import io
import shutil
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from ..factories import SECRET
from ..installations import Server
from ..servers import CHECKOUT

# The release that people upgrade from, of which the new one must take over at any moment. To be moved on with each
# release. It was served by waitress, before production.ini had gunicorn, and knows the migration 0001.
OLD = "0c42a8b2b56d85eb58f19bc6e9c23d3285e29593"


@dataclass(frozen=True)
class Release:
    """Its sources, and where its package and metadata are, to be put on PYTHONPATH."""

    source: Path
    site: Path


def install_old_release(folder: Path) -> Release:
    """What pip makes of the sources of OLD. Skips the test where the history does not go back so far."""
    git = shutil.which("git")
    made = git and subprocess.run([git, "archive", OLD], cwd=CHECKOUT, capture_output=True, check=False)
    if not made or made.returncode:
        pytest.skip(f"the old release, {OLD[:7]}, is not in the history here: a shallow clone, or none")
    release = Release(folder / "source", folder / "site")
    with tarfile.open(fileobj=io.BytesIO(made.stdout)) as archive:
        archive.extractall(release.source, filter="data")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    # What it needs is what the new one needs, and is here.
    options = ["--no-deps", "--target", release.site]
    subprocess.run([*pip, "install", *options, release.source], check=True)
    return release


class OldServer(Server):
    """`pserve production.ini` of the old release, with its own production.ini; `options` are lines of [app:main]."""

    def __init__(
        self,
        release: Release,
        folder: Path,
        database_url: str,
        redis_url: str,
        *,
        public_url: str,
        port: int,
        options: str,
    ) -> None:
        self.port = port
        text = (release.source / "production.ini").read_text("utf-8")
        changes = {
            "oauthdevice.public_url =\n": f"oauthdevice.public_url = {public_url}\n{options}\n",
            "listen = 127.0.0.1:6543\n": f"listen = 127.0.0.1:{port}\n",
        }
        for before, after in changes.items():
            assert text.count(f"\n{before}") == 1, before
            text = text.replace(f"\n{before}", f"\n{after}")
        ini = folder / "old.ini"
        ini.write_text(text)
        super().__init__(ini, f"http://127.0.0.1:{port}")
        self.environ |= {
            "PYTHONPATH": str(release.site),
            "OAUTHDEVICE_SECRET": SECRET,
            "OAUTHDEVICE_DATABASE_URL": database_url,
            "OAUTHDEVICE_REDIS_URL": redis_url,
        }
