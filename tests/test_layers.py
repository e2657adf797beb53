"""Which room may know which: read from the imports, as STYLE.md draws the arrow."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import oauthdevice
from oauthdevice.domain.device_authorization import State

PACKAGE = Path(oauthdevice.__file__).parent
CHECKOUT = PACKAGE.parent
SOURCES = sorted(PACKAGE.rglob("*.py"))
SCRIPTS = sorted(PACKAGE.rglob("*.lua"))
ROOMS = {
    "domain", "schemas", "views", "stores", "identity_providers", "mail", "webhooks", "admin", "client", "cli",
    "conformance",
}  # fmt: skip
# HTTP, SQL, Redis and what speaks of them.
OUTSIDE = {
    "pyramid", "cornice", "colander", "webob", "sqlalchemy", "alembic", "redis", "fakeredis", "limits", "jinja2",
    "waitress", "psycopg", "sqlite3", "http", "socket", "requests", "authlib", "joserfc", "smtplib",
}  # fmt: skip
# Room -> the other rooms and modules of ours that it may import.
ALLOWED: dict[str, set[str]] = {
    "domain": set(),
    "schemas": {"domain"},
    "stores": {"domain"},
    "identity_providers": {"domain"},
    "mail": {"domain", "assets", "languages"},
    "webhooks": {"domain"},
    "views": {"domain", "schemas", "security", "sso_cookies", "settings", "metrics"},
    "admin": {"domain", "settings", "stores", "wiring"},
    # They run where there is no server, and speak HTTP with it.
    "client": set(),
    "cli": {"client"},
    "conformance": {"client"},
}
# What the server stands on, and a program that signs in does without.
OF_THE_SERVER = {
    "pyramid", "cornice", "colander", "webob", "sqlalchemy", "alembic", "redis", "fakeredis", "limits", "jinja2",
    "waitress", "psycopg", "authlib", "joserfc", "cryptography", "argon2", "babel", "prometheus_client",
}  # fmt: skip
# `development` runs the migrations as `admin` does; `settings` and `values` know the embedded Redis by its name.
SEES_STORES = {"wiring", "development", "settings", "values", "admin"}
NAMELESS = {"utils", "util", "helpers", "helper", "common", "misc", "manager", "managers", "base", "core"}
LINES_MAX = 400


def module_of(path: Path) -> tuple[str, ...]:
    """A file as the parts of its module name: ("oauthdevice", "domain", "codes")."""
    parts = path.relative_to(CHECKOUT).with_suffix("").parts
    return parts[:-1] if parts[-1] == "__init__" else parts


def imported(path: Path) -> Iterator[tuple[str, ...]]:
    """Every module that a file imports, anywhere in it, as the parts of its absolute name."""
    package = module_of(path) if path.name == "__init__.py" else module_of(path)[:-1]
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield tuple(alias.name.split("."))
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else ()
            named = tuple((node.module or "").split(".")) if node.module else ()
            # `from . import codes` imports a module too.
            for alias in node.names:
                yield (*start, *named, alias.name)


def ours(path: Path) -> Iterator[tuple[str, ...]]:
    """As `imported`: what of our own package, without its name."""
    return (parts[1:] for parts in imported(path) if parts[0] == "oauthdevice")


def room_of(path: Path) -> str:
    """The room of a file, or the name of the module that stands outside of all."""
    return (*module_of(path)[1:], "oauthdevice")[0]


def in_room(room: str) -> list[Path]:
    return [path for path in SOURCES if room_of(path) == room]


def named(path: Path) -> str:
    return str(path.relative_to(CHECKOUT))


class TestRooms:
    def test_every_room_is_there(self) -> None:
        assert {path.parent.name for path in SOURCES} >= ROOMS

    @pytest.mark.parametrize("path", in_room("domain"), ids=named)
    def test_the_domain_knows_no_http_no_sql_and_no_redis(self, path: Path) -> None:
        assert {parts[0] for parts in imported(path)} & OUTSIDE == set()

    @pytest.mark.parametrize("path", in_room("schemas"), ids=named)
    def test_schemas_know_no_database(self, path: Path) -> None:
        assert {parts[0] for parts in imported(path)} & (OUTSIDE - {"colander", "pyramid"}) == set()

    @pytest.mark.parametrize("path", in_room("views"), ids=named)
    def test_views_know_no_database(self, path: Path) -> None:
        assert {parts[0] for parts in imported(path)} & {"sqlalchemy", "alembic", "redis", "limits", "psycopg"} == set()

    @pytest.mark.parametrize("path", in_room("stores"), ids=named)
    def test_stores_know_no_http(self, path: Path) -> None:
        assert {parts[0] for parts in imported(path)} & {"pyramid", "cornice", "colander", "webob"} == set()

    @pytest.mark.parametrize("path", SOURCES, ids=named)
    def test_only_the_wiring_sees_what_speaks_to_identity_providers(self, path: Path) -> None:
        if room_of(path) not in ("wiring", "identity_providers"):
            assert not any(parts[:1] == ("identity_providers",) for parts in ours(path))

    @pytest.mark.parametrize("path", [path for room in ALLOWED for path in in_room(room)], ids=named)
    def test_imports_point_at_the_domain(self, path: Path) -> None:
        room = room_of(path)
        seen = {parts[0] for parts in ours(path) if parts} - {room}
        assert seen <= ALLOWED[room]

    @pytest.mark.parametrize("path", [*in_room("client"), *in_room("cli"), *in_room("conformance")], ids=named)
    def test_clients_know_nothing_that_the_server_stands_on(self, path: Path) -> None:
        # The kit signs proofs.
        signing = {"joserfc"} if named(path) == "oauthdevice/conformance/proofs.py" else set()
        assert {parts[0] for parts in imported(path)} & OF_THE_SERVER == signing

    @pytest.mark.parametrize(
        "module", ["oauthdevice", "oauthdevice.client", "oauthdevice.cli", "oauthdevice.conformance"]
    )
    def test_importing_a_client_imports_nothing_of_the_server(self, module: str) -> None:
        asked = f"import sys, {module}; print(*sorted(name for name in sys.modules))"
        done = subprocess.run(
            [sys.executable, "-c", asked], cwd=CHECKOUT, capture_output=True, text=True, check=True, timeout=60
        )
        seen = set(done.stdout.split())
        assert {name.partition(".")[0] for name in seen} & OF_THE_SERVER == set()
        ours = {name.split(".")[1] for name in seen if name.startswith("oauthdevice.")}
        assert ours <= {"client", "cli", "conformance"}

    @pytest.mark.parametrize("path", SOURCES, ids=named)
    def test_only_the_wiring_sees_the_stores(self, path: Path) -> None:
        if room_of(path) not in SEES_STORES | {"stores"}:
            assert not any(parts[:1] == ("stores",) for parts in ours(path))

    @pytest.mark.parametrize("module", ["settings", "values"])
    def test_the_settings_see_no_more_of_the_stores_than_the_form_of_an_address(self, module: str) -> None:
        [path] = in_room(module)
        seen = {parts for parts in ours(path) if parts[0] == "stores"}
        assert seen <= {("stores", "connections", name) for name in ("EMBEDDED", "SCHEMES", "check")}

    @pytest.mark.parametrize("room", ["development", "admin"])
    def test_operators_see_the_migrations_alone_of_the_stores(self, room: str) -> None:
        seen = {parts[:2] for path in in_room(room) for parts in ours(path) if parts[:1] == ("stores",)}
        assert seen == {("stores", "migrate")}

    def test_nothing_imports_the_views_or_the_wiring_but_the_entries(self) -> None:
        for path in SOURCES:
            seen = {parts[0] for parts in ours(path) if parts}
            if room_of(path) not in ("views", "bearer"):
                assert "views" not in seen
            if room_of(path) not in ("oauthdevice", "admin", "development", "bearer", "wiring"):
                assert "wiring" not in seen


class TestScripts:
    def test_there_are_some(self) -> None:
        assert len(SCRIPTS) >= 4

    @pytest.mark.parametrize("path", SCRIPTS, ids=named)
    def test_no_state_is_named_in_one(self, path: Path) -> None:
        words = set(re.findall(r"[a-z]+", path.read_text("utf-8").lower()))
        assert words & {state.value for state in State} == set()

    @pytest.mark.parametrize("path", SCRIPTS, ids=named)
    def test_each_opens_with_its_keys_arguments_and_return(self, path: Path) -> None:
        text = path.read_text("utf-8")
        comment = text[: re.search(r"^(?!--)", text, re.MULTILINE).start()]  # type: ignore[union-attr]  # every text has an end
        for word in ("KEYS[1]", "ARGV[1]", "Returns"):
            assert word in comment
        for used in set(re.findall(r"(?:KEYS|ARGV)\[\d\]", text)):
            assert used in comment


class TestNamesAndSizes:
    @pytest.mark.parametrize("path", SOURCES, ids=named)
    def test_no_module_is_a_drawer(self, path: Path) -> None:
        assert not set(module_of(path)) & NAMELESS

    @pytest.mark.parametrize("path", SOURCES + SCRIPTS, ids=named)
    def test_no_file_is_long(self, path: Path) -> None:
        assert len(path.read_text("utf-8").splitlines()) < LINES_MAX

    @pytest.mark.parametrize("path", [path for path in SOURCES if path.stat().st_size], ids=named)
    def test_every_module_says_what_it_is(self, path: Path) -> None:
        assert ast.get_docstring(ast.parse(path.read_text("utf-8")))


class TestTheCheckItself:
    def test_it_sees_imports_in_functions_and_relative_ones(self) -> None:
        assert ("fakeredis", "FakeServer") in set(imported(PACKAGE / "stores" / "connections.py"))
        found = set(imported(PACKAGE / "stores" / "redis.py"))
        assert ("oauthdevice", "domain", "ports", "Handle") in found
        assert ("oauthdevice", "domain", "codes") in set(imported(PACKAGE / "domain" / "device_flow.py"))
