"""The database reads and writes nothing: read-only, or its disk is full. What was approved is kept; rows come later."""

import contextlib
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, event, text

from ..conftest import WorldMaker
from ..factories import PASSWORD, World
from ..servers import wait_until
from .test_database_goes_away import assert_page_unavailable, assert_unavailable, count, start_sign_in

Fault = Callable[[World], AbstractContextManager[None]]
TABLES = ("sessions", "audit_events", "sign_ins")
# What PostgreSQL does to a statement that finds no room, done by a trigger: 53100, disk_full. No disk is filled.
FULL = """
CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100';
END $$
"""


@contextmanager
def postgresql_is_read_only(world: World) -> Iterator[None]:
    """As a standby is: `default_transaction_read_only`, for every connection there is."""
    with administrator(world) as run:

        def tell(change: str, wanted: str) -> None:
            run(f"ALTER SYSTEM {change}")
            run("SELECT pg_reload_conf()")
            wait_until(lambda: seen(world) == wanted, "the settings to be read")

        tell("SET default_transaction_read_only = on", "on")
        try:
            yield
        finally:
            tell("RESET default_transaction_read_only", "off")


def seen(world: World) -> str:
    with world.services.database.engine.connect() as sql:
        return str(sql.scalar(text("SHOW default_transaction_read_only")))


@contextmanager
def postgresql_has_no_room(world: World) -> Iterator[None]:
    with administrator(world) as run:
        run(FULL)
        for table in TABLES:
            run(f"CREATE TRIGGER no_room BEFORE INSERT ON {table} EXECUTE FUNCTION no_room()")
        try:
            yield
        finally:
            run("DROP FUNCTION no_room CASCADE")


@contextmanager
def administrator(world: World) -> Iterator[Callable[[str], None]]:
    options = "-c default_transaction_read_only=off"
    engine = create_engine(world.settings.database_url, isolation_level="AUTOCOMMIT", connect_args={"options": options})
    with engine.connect() as sql:
        yield lambda statement: sql.execute(text(statement)) and None
    engine.dispose()


@contextmanager
def sqlite_is_read_only(world: World) -> Iterator[None]:
    """SQLITE_READONLY from every connection, as where the file may not be written."""
    engine, setting = world.services.database.engine, "on"

    def tell(connection: Any, *_: object) -> None:
        connection.execute(f"PRAGMA query_only = {setting}")

    event.listen(engine, "checkout", tell)
    yield
    setting = "off"
    engine.connect().close()
    event.remove(engine, "checkout", tell)


@contextmanager
def disk_is_full(world: World) -> Iterator[None]:
    """The one that the file lies on, to the last byte."""
    ballast = Path(str(world.services.database.engine.url.database)).with_name("ballast")
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    assert shutil.disk_usage(ballast.parent).free == 0
    yield
    ballast.unlink()


@pytest.fixture
def sqlite_url_on_a_small_disk(tmp_path: Path, migrated_sqlite: Path) -> Iterator[str]:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", disk], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no disk can be mounted here: {mounted.stderr}")
    yield f"sqlite:///{shutil.copy(migrated_sqlite, disk / 'oauthdevice.sqlite')}"
    subprocess.run(["umount", "--lazy", disk], check=True)


FAULTS = {
    "PostgreSQL is read-only": ("postgresql_url", postgresql_is_read_only),
    "PostgreSQL has no room": ("postgresql_url", postgresql_has_no_room),
    "SQLite is read-only": ("sqlite_url", sqlite_is_read_only),
    "the disk of SQLite is full": ("sqlite_url_on_a_small_disk", disk_is_full),
}


@pytest.fixture(params=FAULTS)
def fault(request: pytest.FixtureRequest) -> Fault:
    return FAULTS[request.param][1]


@pytest.fixture
def world(request: pytest.FixtureRequest, make: WorldMaker, fault: Fault, redis_server: object) -> World:
    url = next(url for url, one in FAULTS.values() if one is fault)
    return make(database_url=request.getfixturevalue(url))


def test_what_was_allowed_is_delivered_once_afterwards(world: World, fault: Fault) -> None:
    device = world.device().ask()
    world.person().allow(device.user_code)
    with fault(world):
        for _ in range(3):
            assert_unavailable(device.poll())
        assert count(world, "sessions") == 0
    answer = device.poll()
    assert answer.status_int == 200
    assert device.account(answer.json["access_token"]).status_int == 200
    assert device.poll().json == answer.json
    assert (count(world, "sessions"), count(world, "access_tokens")) == (1, 1)


def test_people_decide_and_the_rows_come_later(world: World, fault: Fault) -> None:
    person, waiting = world.person().sign_in(), world.device()
    with fault(world):
        waiting.ask()
        assert waiting.poll().json["error"] == "authorization_pending"
        assert person.allow(waiting.user_code).request.path == "/device/approved"
        denied = world.device().ask()
        assert person.deny(denied.user_code).request.path == "/device/denied"
        assert denied.poll().json["error"] == "access_denied"
        assert_unavailable(waiting.poll())
        written = count(world, "audit_events")
    assert waiting.poll().status_int == 200
    told = Counter(row.event for row in world.services.ledger.newest(1000))
    assert {name: told[name] for name in ("started", "approved", "denied", "redeemed")} == {
        "started": 2,
        "approved": 1,
        "denied": 1,
        "redeemed": 1,
    }
    assert count(world, "audit_events") > written
    assert not world.redis.exists("oauthdevice:audit")


def test_nobody_signs_in_and_nobody_is_counted_as_a_guesser(world: World, fault: Fault) -> None:
    person = world.person()
    with fault(world):
        for _ in range(6):
            assert_page_unavailable(start_sign_in(person, PASSWORD))
    assert start_sign_in(person, PASSWORD).status_int == 303


def test_a_token_opens_what_it_did(world: World, fault: Fault) -> None:
    device = world.device().ask()
    world.person().allow(device.user_code)
    token = device.poll().json["access_token"]
    with fault(world):
        # Whether it was used is not written down; that is no reason to refuse it.
        for _ in range(2):
            assert device.account(token).status_int == 200
            world.clock.pass_seconds(61)
    assert device.account(token).status_int == 200
