"""An operator lists, ends and forgets sessions and reads what happened, beside a server that runs."""

import gc
import json
import re
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, text, update

from oauthdevice.admin import main
from oauthdevice.domain.credentials import credential_digest
from oauthdevice.stores.models import AccessTokenRow, RefreshTokenRow, SessionRow

from ..conftest import WorldMaker
from ..factories import API, PASSWORD, SECRET, TOKEN, Clock, Device, Person, World
from ..servers import wait_until
from ..stores.query_plans import PURGE_BATCH, fill
from .test_many_at_once import at_once

INI = """
[app:main]
use = egg:oauthdevice
oauthdevice.mode = development
oauthdevice.public_url = http://localhost
oauthdevice.database_url = {database_url}
oauthdevice.redis_url = {redis_url}
oauthdevice.secret = {secret}
oauthdevice.argon2_memory_kib = 32
oauthdevice.argon2_time_cost = 1

[client:cli]
name = CLI
scopes = full
refresh = on
refresh_token_lifetime_seconds = 1296000
[client:tv]
name = TV
scopes = full
"""
UNLIMITED = {"limit.decide": "off", "limit.code": "off", "limit.bearer": "off"}


@dataclass
class Result:
    """What one run of the program printed, and its exit status."""

    status: int
    out: str
    err: str

    @property
    def lines(self) -> list[list[str]]:
        return [line.split("\t") for line in self.out.splitlines()]


Admin = Callable[..., Result]


@dataclass
class SignedIn:
    """One device of somebody, and the answer that it got."""

    device: Device
    answer: dict[str, Any]

    @property
    def id(self) -> str:
        return str(self.answer["token_id"])

    def status(self) -> int:
        return int(self.device.account(self.answer["access_token"]).status_int)


@pytest.fixture
def clock() -> Clock:
    """It begins a hundred days ago: what has to be old by now can happen first."""
    one = Clock()
    one.offset = -timedelta(days=100)
    return one


@pytest.fixture(params=["sqlite_url"])
def database_url(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue(request.param))


ON_POSTGRESQL = pytest.mark.parametrize("database_url", ["postgresql_url"], indirect=True)
ON_BOTH = pytest.mark.parametrize("database_url", ["sqlite_url", "postgresql_url"], indirect=True)


@pytest.fixture
def ini(tmp_path: Path, database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for name in ("SECRET", "DATABASE_URL", "REDIS_URL"):
        monkeypatch.delenv(f"OAUTHDEVICE_{name}", raising=False)
    path = tmp_path / "server.ini"
    path.write_text(INI.format(database_url=database_url, redis_url=redis_url, secret=SECRET))
    yield path
    if database_url.startswith("postgresql"):
        gc.collect()


@pytest.fixture
def world(make: WorldMaker, ini: Path, database_url: str) -> World:
    """The server that runs beside the program, on the same file."""
    return make(database_url=database_url, ini_file=str(ini), **UNLIMITED)


@pytest.fixture
def now(world: World) -> None:
    """Nothing of the story is old."""
    pass_to(world, 0)


@pytest.fixture
def admin(ini: Path, capsys: pytest.CaptureFixture[str]) -> Admin:
    def run(*arguments: str) -> Result:
        capsys.readouterr()
        try:
            status = main(["-c", str(ini), *arguments])
        except SystemExit as stopped:
            status = int(stopped.code or 0)
        return Result(status, *capsys.readouterr())

    return run


def pass_to(world: World, days_ago: float) -> None:
    """Time goes by until then."""
    world.clock.pass_seconds((-timedelta(days=days_ago) - world.clock.offset).total_seconds())


def signed_in(
    world: World, person: Person, client_id: str = "cli", label: str = "", address: str = "192.0.2.7"
) -> SignedIn:
    device = world.device(client_id, address).ask(**({"device_label": label} if label else {}))
    world.services.approvals.approve(device.user_code, person.account, "192.0.2.7")
    return SignedIn(device, device.poll().json)


def end(one: SignedIn) -> None:
    headers = {"Authorization": f"Bearer {one.answer['access_token']}"}
    one.device.http.delete(f"{API}/account/sessions/self", headers=headers, status=200)


def refresh(one: SignedIn) -> Any:
    form = {"grant_type": "refresh_token", "client_id": "cli", "refresh_token": one.answer["refresh_token"]}
    return one.device.http.post(TOKEN, form, status="*")


def rows(world: World, table: type[SessionRow] | type[AccessTokenRow] | type[RefreshTokenRow]) -> set[str]:
    """The sessions that have rows in a table."""
    column = table.id if table is SessionRow else table.session_id
    with world.services.database.read() as sql:
        return set(sql.scalars(select(column)))


@pytest.mark.usefixtures("now")
class TestListing:
    def test_shows_every_live_session_newest_first(self, world: World, admin: Admin) -> None:
        ada, bob = world.person("ada@example.com"), world.person("bob@example.com")
        first = signed_in(world, ada, "cli", "laptop")
        world.clock.pass_seconds(1)
        second = signed_in(world, bob, "tv")
        assert first.status() == 200
        told = admin("token", "list")
        assert (told.status, told.err) == (0, "")
        assert [line[:4] for line in told.lines] == [
            [second.id, "bob@example.com", "tv", ""],
            [first.id, "ada@example.com", "cli", "laptop"],
        ]
        (_, _, _, _, created, used, expires), (*_, used_first, _) = told.lines
        assert used == "never"
        assert datetime.fromisoformat(used_first) > datetime(2020, 1, 1, tzinfo=UTC)
        lifetime = datetime.fromisoformat(expires) - datetime.fromisoformat(created)
        assert lifetime == timedelta(days=14)

    def test_shows_those_of_an_account_or_a_client_or_both(self, world: World, admin: Admin) -> None:
        ada, bob = world.person("ada@example.com"), world.person("bob@example.com")
        ids = {
            (person, client): signed_in(world, who, client).id
            for person, who in (("ada", ada), ("bob", bob))
            for client in ("cli", "tv")
        }

        def listed(*arguments: str) -> set[str]:
            told = admin("token", "list", *arguments)
            assert told.status == 0
            return {line[0] for line in told.lines}

        assert listed() == set(ids.values())
        assert listed("--account", "Ada@Example.com") == {ids["ada", "cli"], ids["ada", "tv"]}
        assert listed("--client", "tv") == {ids["ada", "tv"], ids["bob", "tv"]}
        assert listed("--account", "bob@example.com", "--client", "cli") == {ids["bob", "cli"]}
        assert listed("--client", "nobody") == set()

    def test_leaves_out_what_is_over(self, world: World, admin: Admin) -> None:
        person = world.person()
        end(signed_in(world, person))
        live = signed_in(world, person)
        assert [line[0] for line in admin("token", "list").lines] == [live.id]

    def test_shows_nothing_secret(self, world: World, admin: Admin) -> None:
        one = signed_in(world, world.person())
        told = admin("token", "list").out
        for secret in (one.answer["access_token"], one.answer["refresh_token"]):
            assert secret not in told
            assert credential_digest(secret) not in told

    def test_of_an_unknown_account_is_one(self, admin: Admin) -> None:
        told = admin("token", "list", "--account", "nobody@example.com")
        assert (told.status, told.out) == (1, "")
        assert re.fullmatch(r"oauthdevice-admin: .+\n", told.err)


def test_what_expired_is_not_listed(world: World, admin: Admin) -> None:
    signed_in(world, world.person())
    pass_to(world, 0)
    assert admin("token", "list").out == ""


@pytest.mark.usefixtures("now")
class TestEnding:
    @ON_BOTH
    def test_one_by_its_id_is_in_force_at_once(self, world: World, admin: Admin) -> None:
        person = world.person()
        one, other = signed_in(world, person), signed_in(world, person)
        assert (one.status(), other.status()) == (200, 200)
        told = admin("token", "revoke", one.id)
        assert (told.status, told.out) == (0, f"ended {one.id}\n")
        assert (one.status(), other.status()) == (401, 200)
        assert refresh(one).json["error"] == "invalid_grant"
        event = json.loads(admin("audit", "tail", "-n", "1").out)
        about = {"event": "revoked", "token_id": one.id, "reason": "by an administrator", "client_id": "cli"}
        assert about.items() <= event.items()

    @pytest.mark.parametrize(
        ("arguments", "ended"),
        [
            (["--account", "ada@example.com"], {"ada cli", "ada tv"}),
            (["--client", "cli"], {"ada cli", "bob cli"}),
            (["--account", "ada@example.com", "--client", "cli"], {"ada cli"}),
            (["--client", "nobody"], set()),
        ],
    )
    def test_all_of_an_account_a_client_or_both(
        self, world: World, admin: Admin, arguments: list[str], ended: set[str]
    ) -> None:
        people = {"ada": world.person("ada@example.com"), "bob": world.person("bob@example.com")}
        held = {
            f"{name} {client}": signed_in(world, people[name], client) for name in people for client in ("cli", "tv")
        }
        assert {one.status() for one in held.values()} == {200}
        told = admin("token", "revoke", *arguments)
        assert (told.status, told.out) == (0, f"ended {len(ended)} sessions\n")
        assert {name for name, one in held.items() if one.status() == 401} == ended
        assert {name for name, one in held.items() if one.status() == 200} == held.keys() - ended

    @pytest.mark.parametrize("session_id", [str(uuid.UUID(int=7)), "x", "' or 1=1 --"])
    def test_an_unknown_id_is_one_and_ends_nothing(self, world: World, admin: Admin, session_id: str) -> None:
        one = signed_in(world, world.person())
        told = admin("token", "revoke", session_id)
        assert (told.status, told.out) == (1, "")
        assert re.fullmatch(r"oauthdevice-admin: .+\n", told.err)
        assert one.status() == 200

    def test_the_same_twice_is_one(self, world: World, admin: Admin) -> None:
        one = signed_in(world, world.person())
        assert admin("token", "revoke", one.id).status == 0
        assert admin("token", "revoke", one.id).status == 1

    def test_of_an_unknown_account_is_one(self, admin: Admin) -> None:
        assert admin("token", "revoke", "--account", "nobody@example.com").status == 1

    def test_nothing_named_is_two_and_ends_nothing(self, world: World, admin: Admin) -> None:
        one = signed_in(world, world.person())
        told = admin("token", "revoke")
        assert (told.status, told.out) == (2, "")
        assert "--account" in told.err
        assert one.status() == 200

    @ON_POSTGRESQL
    def test_goes_on_where_one_ends_by_itself_meanwhile(self, world: World, ini: Path) -> None:
        """Its owner ends the newest one while the operator ends all: the others must end too."""
        person = world.person("ada@example.com")
        held = []
        for _ in range(3):
            world.clock.pass_seconds(1)
            held.append(signed_in(world, person))
        statuses: list[int] = []
        command = ["-c", str(ini), "token", "revoke", "--account", "ada@example.com"]
        operator = threading.Thread(target=lambda: statuses.append(main(command)))
        with world.services.database.write() as sql:
            by_its_owner = update(SessionRow).where(SessionRow.id == held[-1].id)
            sql.execute(by_its_owner.values(revoked_at=datetime.now(UTC), device_key=None))
            operator.start()
            wait_until(lambda: is_somebody_waiting(world), "the operator to meet the owner")
        operator.join()
        assert statuses == [0]
        assert {one.status() for one in held} == {401}


def is_somebody_waiting(world: World) -> bool:
    """True while a transaction waits for the lock of another."""
    with world.services.database.engine.connect() as sql:
        return bool(sql.execute(text("SELECT count(*) FROM pg_locks WHERE NOT granted")).scalar())


class TestForgetting:
    @ON_BOTH
    def test_forgets_what_ended_more_than_thirty_days_ago_and_nothing_else(self, world: World, admin: Admin) -> None:
        person = world.person()
        pass_to(world, 60)
        expired_45_days_ago = signed_in(world, person, "cli")
        pass_to(world, 46)
        expired_32_days_ago = signed_in(world, person, "tv")
        pass_to(world, 43)
        expired_29_days_ago = signed_in(world, person, "tv")
        pass_to(world, 33)
        ended_31_days_ago, ended_29_days_ago = signed_in(world, person), signed_in(world, person)
        pass_to(world, 31)
        end(ended_31_days_ago)
        pass_to(world, 29)
        end(ended_29_days_ago)
        pass_to(world, 0)
        live = signed_in(world, person, "cli")
        assert len(rows(world, SessionRow)) == 6
        assert expired_45_days_ago.id in rows(world, AccessTokenRow) & rows(world, RefreshTokenRow)
        assert expired_32_days_ago.id in rows(world, AccessTokenRow)

        told = admin("purge")
        assert (told.status, told.out, told.err) == (0, "forgot 3 sessions that ended more than 30 days ago\n", "")
        assert rows(world, SessionRow) == {expired_29_days_ago.id, ended_29_days_ago.id, live.id}
        assert rows(world, AccessTokenRow) == {expired_29_days_ago.id, live.id}
        assert rows(world, RefreshTokenRow) == {live.id}

        assert admin("purge", "--days", "28").out.startswith("forgot 2 sessions ")
        assert admin("purge", "--days", "0").out.startswith("forgot 0 sessions ")
        assert rows(world, SessionRow) == {live.id}
        assert live.status() == 200
        assert refresh(live).status_int == 200

    def test_keeps_what_was_audited(self, world: World, admin: Admin) -> None:
        one = signed_in(world, world.person())
        pass_to(world, 0)
        assert admin("purge", "--days", "1").out.startswith("forgot 1 sessions ")
        told = [json.loads(line) for line in admin("audit", "export").out.splitlines()]
        assert [event["event"] for event in told if event.get("token_id") == one.id] == [
            "started",
            "approved",
            "redeemed",
        ]

    @pytest.mark.parametrize("days", ["-1", "x", ""])
    def test_of_a_wrong_number_of_days_is_two_and_forgets_nothing(self, world: World, admin: Admin, days: str) -> None:
        one = signed_in(world, world.person())
        pass_to(world, 0)
        told = admin("purge", f"--days={days}")
        assert (told.status, told.out) == (2, "")
        assert "--days" in told.err
        assert rows(world, SessionRow) == {one.id}


@ON_POSTGRESQL
class TestForgettingTwiceAtOnce:
    COMMAND = ("purge", "--days", "0")

    def test_shares_the_work_and_fails_nowhere(
        self, world: World, ini: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        due = filled(world)
        assert due > 10 * PURGE_BATCH
        command = ["-c", str(ini), *self.COMMAND]
        assert at_once(lambda: main(command), lambda: main(command)) == [0, 0]
        forgotten = [int(number) for number in re.findall(r"forgot (\d+) sessions", capsys.readouterr().out)]
        assert len(forgotten) == 2
        assert sum(forgotten) == due
        assert ended(world) == 0

    def test_does_not_wait_for_what_the_other_is_about_to_forget(self, world: World, admin: Admin) -> None:
        due = filled(world)
        with world.services.database.write() as sql:
            # The other takes its time.
            sql.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
            oldest = select(SessionRow.id).order_by(SessionRow.ends_at).limit(PURGE_BATCH)
            assert len(sql.scalars(oldest.with_for_update()).all()) == PURGE_BATCH
            assert admin(*self.COMMAND).out.startswith(f"forgot {due - PURGE_BATCH} sessions ")
        assert admin(*self.COMMAND).out.startswith(f"forgot {PURGE_BATCH} sessions ")
        assert ended(world) == 0


def filled(world: World) -> int:
    """How many of ten thousand sessions have ended."""
    fill(world.services.database, 10_000, datetime.now(UTC))
    return ended(world)


def ended(world: World) -> int:
    over = select(func.count()).select_from(SessionRow).where(SessionRow.ends_at < datetime.now(UTC))
    with world.services.database.read() as sql:
        return int(sql.scalar(over) or 0)


@pytest.mark.usefixtures("now")
class TestTheAudit:
    def test_is_exported_as_json_lines_oldest_first_without_secrets(self, world: World, admin: Admin) -> None:
        device, person = world.device("cli").ask(device_label="laptop"), world.person("ada@example.com")
        person.allow(device.user_code)
        one = SignedIn(device, device.poll().json)
        refreshed = refresh(one).json
        admin("token", "revoke", one.id)
        told = admin("audit", "export")
        assert (told.status, told.err) == (0, "")
        events = [json.loads(line) for line in told.out.splitlines()]
        assert [event["event"] for event in events] == [
            "started",
            "login",
            "approved",
            "redeemed",
            "refreshed",
            "revoked",
        ]
        times = [datetime.fromisoformat(event["at"]) for event in events]
        assert times == sorted(times)
        assert {event["token_id"] for event in events if event["event"] != "login"} == {one.id}
        secrets = [device.device_code, PASSWORD, SECRET]
        for answer in (one.answer, refreshed):
            secrets += [answer["access_token"], answer["refresh_token"]]
        secrets += [credential_digest(secret) for secret in secrets]
        for secret in (*secrets, device.user_code, device.user_code.replace("-", "")):
            assert secret not in told.out

    def test_tail_shows_the_newest_the_oldest_of_them_first(self, world: World, admin: Admin) -> None:
        for label in ("one", "two", "three"):
            world.clock.pass_seconds(1)
            world.device("tv").ask(device_label=label)

        def labels(*arguments: str) -> list[str]:
            told = admin("audit", "tail", *arguments)
            assert told.status == 0
            return [json.loads(line)["device_label"] for line in told.out.splitlines()]

        assert labels("-n", "2") == ["two", "three"]
        assert labels("-n", "1") == ["three"]
        assert labels("-n", "0") == []
        assert labels() == labels("-n", "100") == ["one", "two", "three"]

    def test_tail_of_what_is_no_number_is_two(self, admin: Admin) -> None:
        assert admin("audit", "tail", "-n", "many").status == 2

    def test_of_nothing_is_nothing(self, admin: Admin) -> None:
        for command in ("export", "tail"):
            assert admin("audit", command) == Result(0, "", "")


@pytest.mark.usefixtures("now")
class TestDisablingAnAccount:
    @ON_BOTH
    def test_ends_its_live_tokens_at_once_and_nobody_elses(self, world: World, admin: Admin) -> None:
        ada, bob = world.person("ada@example.com"), world.person("bob@example.com")
        held, other = [signed_in(world, ada), signed_in(world, ada, "tv")], signed_in(world, bob)
        assert {one.status() for one in (*held, other)} == {200}
        assert admin("account", "disable", "ada@example.com").status == 0
        assert [one.status() for one in (*held, other)] == [401, 401, 200]
        assert refresh(held[0]).json["error"] == "invalid_grant"
        assert [line[1] for line in admin("token", "list").lines] == ["bob@example.com"]
        events = [json.loads(line) for line in admin("audit", "tail", "-n", "2").out.splitlines()]
        assert {(one["event"], one["reason"], one["token_id"]) for one in events} == {
            ("revoked", "account disabled", one.id) for one in held
        }

    def test_and_enabling_it_revives_none(self, world: World, admin: Admin) -> None:
        one = signed_in(world, world.person("ada@example.com"))
        assert one.status() == 200
        for command in ("disable", "enable"):
            assert admin("account", command, "ada@example.com").status == 0
        assert one.status() == 401
        assert refresh(one).json["error"] == "invalid_grant"
        assert signed_in(world, Person(world, world.services.accounts.all()[0], "192.0.2.7")).status() == 200


class TestWhatANetworkGot:
    """After people have reported it: `--address NETWORK --since AGE`."""

    @pytest.fixture
    def held(self, world: World) -> dict[str, SignedIn]:
        ada, bob = world.person("ada@example.com"), world.person("bob@example.com")
        pass_to(world, 0.1)
        old = signed_in(world, ada, address="203.0.113.9")
        pass_to(world, 0)
        return {
            "old": old,
            "ada": signed_in(world, ada, address="203.0.113.9"),
            "bob": signed_in(world, bob, address="203.0.113.10"),
            "six": signed_in(world, bob, address="2001:db8:1:2::3"),
            "home": signed_in(world, ada),
        }

    @pytest.mark.parametrize(
        ("arguments", "meant"),
        [
            (["--address", "203.0.113.9"], {"old", "ada"}),
            (["--address", "203.0.113.9", "--since", "1h"], {"ada"}),
            (["--address", "203.0.113.9", "--since", "1d"], {"old", "ada"}),
            (["--address", "203.0.113.0/24", "--since", "30m"], {"ada", "bob"}),
            (["--address", "2001:db8:1:2::ffff"], {"six"}),
            (["--address", "2001:db8:1:2::/64", "--account", "ada@example.com"], set()),
            (["--account", "ada@example.com", "--since", "1h"], {"ada", "home"}),
        ],
    )
    def test_is_listed_and_ended(
        self, admin: Admin, held: dict[str, SignedIn], arguments: list[str], meant: set[str]
    ) -> None:
        listed = {line[0] for line in admin("token", "list", *arguments).lines}
        assert listed == {held[name].id for name in meant}
        assert admin("token", "revoke", *arguments).out == f"ended {len(meant)} sessions\n"
        assert {name for name, one in held.items() if one.status() == 401} == meant

    @pytest.mark.parametrize(
        "arguments",
        [
            ["--address", "example.com"],
            ["--address", "203.0.113.0/33"],
            ["--address", "203.0.113.9", "--since", "soon"],
            ["--address", "203.0.113.9", "--since", "1w"],
            ["--since", "1h"],
            ["some-id", "--since", "1h"],
            ["some-id", "--address", "203.0.113.9"],
        ],
    )
    def test_what_makes_no_sense_ends_nothing(
        self, admin: Admin, held: dict[str, SignedIn], arguments: list[str]
    ) -> None:
        assert admin("token", "revoke", *arguments).status == 2
        assert {one.status() for one in held.values()} == {200}
