"""The peer in Node.js: oidc-provider from npm, with every record on Redis.

It is set up in oidc_provider/provider.mjs. To know when reading its figures:
- A pending poll is one read. Nothing is written, so it never says slow_down.
- Node.js compiles what is hot: a process is at half its speed or less until it has answered some 10,000 requests.
"""

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..contenders import Command, Place, Request, Work
from .oauth_requests import TOKENS, basic, introspect, poll, read, start

FOLDER = Path(__file__).parent / "oidc_provider"
# Lets Node.js 18 run it, and leaves newer ones alone.
OLDER_NODE = FOLDER.parents[2] / "tests" / "oidc_provider" / "older_node.mjs"
NODE = ("node", "--import", OLDER_NODE.as_uri())
SCOPE = "openid email profile"


class OIDCProvider:
    """oidc-provider in one process, or in several that node:cluster starts."""

    name = "oidc-provider"
    work = frozenset({Work.CODE, Work.POLL, Work.INTROSPECTION, Work.ACCOUNT})
    ready_path = "/.well-known/openid-configuration"

    @staticmethod
    def install() -> None:
        """What package-lock.json names, where it is not there yet. Raises CalledProcessError."""
        # npm writes the first of these last, so it is newer than the second once all of that is installed.
        installed, wanted = FOLDER / "node_modules" / ".package-lock.json", FOLDER / "package-lock.json"
        if not installed.exists() or installed.stat().st_mtime < wanted.stat().st_mtime:
            quiet = ("--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error")
            subprocess.run(["npm", "ci", "--omit=dev", *quiet], cwd=FOLDER, stdout=subprocess.DEVNULL, check=True)

    def versions(self) -> Mapping[str, str]:
        node = subprocess.run(["node", "--version"], stdout=subprocess.PIPE, text=True, check=True)
        packages = {name: _package(name)["version"] for name in ("oidc-provider", "ioredis")}
        return {**packages, "node": node.stdout.strip().removeprefix("v")}

    def prepare(self, place: Place) -> None:
        _secrets_file(place).write_text(_seed(place, "secrets"))

    def command(self, place: Place) -> Command:
        return Command([*NODE, "server.mjs"], _environment(place), FOLDER)

    def requests(self, work: Work, place: Place, count: int) -> Sequence[Request]:
        if work is Work.CODE:
            return [start("/device/auth", SCOPE)]
        if work is Work.POLL:
            return [poll("/token", code) for code in json.loads(_seed(place, "codes", count))]
        tokens = json.loads(_seed(place, "tokens", min(count, TOKENS)))
        if work is Work.ACCOUNT:
            return [read("/me", token) for token in tokens]
        authorization = basic(json.loads(_secrets_file(place).read_text())["apiSecret"])
        return [introspect("/token/introspection", token, authorization) for token in tokens]


def _package(name: str) -> Any:
    return json.loads((FOLDER / "node_modules" / name / "package.json").read_text())


def _secrets_file(place: Place) -> Path:
    return place.folder / "oidc-provider-secrets.json"


def _environment(place: Place) -> dict[str, str]:
    return {
        "NODE_ENV": "production",
        "ISSUER": place.url,
        "PORT": str(place.port),
        "PROCESSES": str(place.processes),
        "REDIS_URL": place.redis_url,
        "SECRETS_FILE": str(_secrets_file(place)),
    }


def _seed(place: Place, what: str, *arguments: int) -> str:
    """What seed.mjs prints: JSON. Raises CalledProcessError, after what it had to say of it."""
    return subprocess.run(
        [*NODE, "--no-warnings", "seed.mjs", what, *map(str, arguments)],
        cwd=FOLDER,
        env={**os.environ, **_environment(place)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout
