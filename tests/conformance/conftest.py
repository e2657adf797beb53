"""What the kit is tried on: ours in this process, behind changes that a test makes to what passes."""

import hashlib
import json
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from webob import Request, Response

from oauthdevice.conformance.catalogue import REQUIREMENTS
from oauthdevice.conformance.people import Asked
from oauthdevice.conformance.probe import Client, Probe
from oauthdevice.conformance.report import score
from oauthdevice.conformance.requirements import Finding, Level, Outcome, choose
from oauthdevice.conformance.runner import examine
from oauthdevice.conformance.transport import Transport
from oauthdevice.stores.connections import EMBEDDED

from ..conftest import WorldMaker, close
from ..factories import World, make_world
from ..servers import CHECKOUT

DOCS = (CHECKOUT / "docs" / "conformance.md").read_text("utf-8")
SCOPE = "apps:run workspace:read"
API = Client("api", "a secret for tests alone")
CLIENTS = f"""
[client:cli]
name = CLI
scopes = {SCOPE}
refresh = on
interval_seconds = 1
access_token_lifetime_seconds = 3600
[client:safe]
name = Safe
scopes = {SCOPE}
refresh = on
secret_sha256 = {hashlib.sha256(b"a secret for tests alone").hexdigest()}
[client:api]
name = API
scopes = full
device_flow = off
secret_sha256 = {hashlib.sha256(b"a secret for tests alone").hexdigest()}
[scope:apps:run]
text = Run your apps
[scope:workspace:read]
text = See your workspaces
"""
# A WSGI application, and what stands before it.
Middleware = Callable[[Any], Any]


class Decider:
    """Somebody with an account of this server, who does what is asked for."""

    def __init__(self, world: World) -> None:
        self._person = world.person("ada@example.com")

    def decide(self, asked: Asked, approve: bool) -> None:
        (self._person.allow if approve else self._person.deny)(asked.user_code)


class Transporting(httpx.WSGITransport):
    """As servers do, and httpx does not: fields of one name are one with commas (RFC 9110 §5.3)."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.headers = httpx.Headers({name: request.headers[name] for name in request.headers})
        return super().handle_request(request)


class Kit:
    """The kit and our server in one process, on one clock that waits move."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._decider = Decider(world)

    def probe(self, app: Any = None, **options: Any) -> Probe:
        clock = self.world.clock
        http = httpx.Client(transport=Transporting(app or self.world.app))
        given = {"scope": SCOPE, "other_client": API, "client": Client("cli"), "person": self._decider, **options}
        return Probe(
            http=Transport(http, 1000, sleep=clock.pass_seconds, now=lambda: clock().timestamp()),
            issuer=self.world.settings.public_url,
            **given,
        )

    def examine(self, *only: str, **options: Any) -> dict[str, Finding]:
        """By id; `only` as of the option."""
        return findings(self.probe(**options), only)


def findings(probe: Probe, only: Iterable[str] = ()) -> dict[str, Finding]:
    """By id."""
    probe.discover()
    return {one.requirement.id: one for one in examine(probe, choose(REQUIREMENTS, only))}


# Nobody is shut out for asking often.
LIMITS = ("code", "decide", "guesses", "lookup", "token_unknown", "login_address", "login_account")
UNLIMITED = {f"limit.{name}": "off" for name in LIMITS}


@pytest.fixture
def make_kit(make: WorldMaker, tmp_path: Path) -> Callable[..., Kit]:
    """With settings of the test's own."""
    (tmp_path / "clients.ini").write_text(CLIENTS)
    return lambda **options: Kit(make(ini_file=str(tmp_path / "clients.ini"), **{**UNLIMITED, **options}))


@pytest.fixture(scope="module")
def kit(migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kit]:
    """One for many tests: each asks for codes of its own, and to make a server costs more than to ask it."""
    folder = tmp_path_factory.mktemp("conformance")
    (folder / "clients.ini").write_text(CLIENTS)
    url = f"sqlite:///{shutil.copy(migrated_sqlite, folder / 'oauthdevice.sqlite')}"
    world = make_world(url, EMBEDDED, ini_file=str(folder / "clients.ini"), **UNLIMITED)
    yield Kit(world)
    close(world)


def passing(
    path: str, after: Callable[[Request, Response], Response | None], before: Callable[[Request], None] | None = None
) -> Middleware:
    """Changes what passes at paths that end so: the request `before`, the answer `after`, in place or by another."""

    def middleware(app: Any) -> Any:
        def changed(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
            request = Request(environ)
            if not request.path.endswith(path):
                return app(environ, start_response)
            # What the test looks at is what the kit sent.
            sent = Request(environ.copy())
            sent.body = request.body
            if before is not None:
                before(request)
            answer = request.get_response(app)
            return (after(sent, answer) or answer)(environ, start_response)

        return changed

    return middleware


def answer(status: int, **members: Any) -> Response:
    """A JSON answer of ours that is not ours."""
    return Response(json.dumps(members), status=status, content_type="application/json", charset="UTF-8")


def told_in_documents(server: str) -> dict[str, str]:
    """The results of a server by document, as docs/conformance.md has them."""
    (table,) = re.findall(r"^\| document .*?\n\n", DOCS, re.DOTALL | re.MULTILINE)
    head, _, *rows = [[cell.strip() for cell in line.strip("| ").split("|")] for line in table.strip().splitlines()]
    return {row[0]: row[head.index(server)] for row in rows}


def results(found: dict[str, Finding]) -> dict[str, str]:
    """By document: met of tried, for each level that was, and how many were not."""
    every: dict[str, list[Finding]] = {}
    for one in found.values():
        every.setdefault(one.requirement.source.partition(" §")[0], []).append(one)
    return {name: _result(every[name]) for name in sorted(every, key=lambda name: int(name.split()[1]))}


def _result(found: list[Finding]) -> str:
    scores = [(level, score(found, level)) for level in (Level.MUST, Level.SHOULD)]
    told = [f"{level} {of.passed}/{of.tried}" for level, of in scores if of.tried]
    left = sum(one.outcome in (Outcome.NOT_APPLICABLE, Outcome.NOT_TRIED) for one in found)
    return ", ".join([*told, *([f"{left} n/a"] if left else [])])
