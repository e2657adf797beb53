"""`oauthdevice-admin audit verify` and `audit head`: what an operator reads and what a script goes by."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import delete, select, update

from oauthdevice.admin import main
from oauthdevice.domain.audit import Event
from oauthdevice.stores.models import AuditRow

from .factories import SECRET, World, make_world
from .functional.test_webhooks_are_delivered import fail_to_sign_in

INI = """
[app:main]
use = egg:oauthdevice
oauthdevice.mode = development
oauthdevice.public_url = http://localhost
oauthdevice.database_url = {database_url}
oauthdevice.redis_url = embedded://
oauthdevice.secret = {secret}
oauthdevice.previous_secrets = {previous}
"""
GOOD = r"every row of the chain is there and unchanged; its newest is (\d+):[0-9a-f]{64}\n"


@pytest.fixture
def world(sqlite_url: str) -> Iterator[World]:
    """A server on which five things happened."""
    one = make_world(sqlite_url, "embedded://")
    fail_to_sign_in(one, 5)
    yield one
    one.services.redis.close()
    one.services.database.engine.dispose()


class Operator:
    """Somebody with the server's ini file."""

    def __init__(self, ini: Path, database_url: str, capsys: pytest.CaptureFixture[str]) -> None:
        self._ini, self._database_url, self._capsys = ini, database_url, capsys
        self.holds(SECRET)

    def holds(self, secret: str, previous: str = "") -> None:
        self._ini.write_text(INI.format(database_url=self._database_url, secret=secret, previous=previous), "utf-8")

    def audit(self, *arguments: str) -> tuple[int, str]:
        """The exit status and what was printed."""
        try:
            status = main(["-c", str(self._ini), "audit", *arguments])
        except SystemExit as ended:
            status = int(str(ended.code))
        out, err = self._capsys.readouterr()
        return status, out + err


@pytest.fixture
def operator(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Operator:
    for name in ("SECRET", "PREVIOUS_SECRETS", "DATABASE_URL", "REDIS_URL"):
        monkeypatch.delenv(f"OAUTHDEVICE_{name}", raising=False)
    return Operator(tmp_path / "server.ini", world.settings.database_url, capsys)


def change(world: World, position: int, **told: object) -> str:
    """Change a row behind the server's back; the id of its event."""
    with world.services.database.write() as sql:
        sql.execute(update(AuditRow).where(AuditRow.position == position).values(told))
        return sql.scalars(select(AuditRow.id).where(AuditRow.position == position)).one()


class TestVerify:
    def test_where_all_is_there_it_says_so_and_where_it_ends(self, operator: Operator) -> None:
        status, printed = operator.audit("verify")
        assert status == 0
        found = re.fullmatch(GOOD, printed)
        assert found is not None
        assert found[1] == "5"

    def test_a_changed_row_is_named(self, operator: Operator, world: World) -> None:
        event_id = change(world, 3, subject="email:somebody-else@example.com")
        assert operator.audit("verify") == (
            1,
            f"position 3, event {event_id}: was changed, or the one before it was\n1 finding\n",
        )

    def test_a_removed_row_is_named(self, operator: Operator, world: World) -> None:
        with world.services.database.write() as sql:
            sql.execute(delete(AuditRow).where(AuditRow.position == 2))
        status, printed = operator.audit("verify")
        assert status == 1
        first, second, count = printed.splitlines()
        assert first == "position 2: is missing"
        assert second.startswith("position 3, event ")
        assert count == "2 findings"

    def test_rows_of_before_the_chain_are_counted(self, operator: Operator, world: World) -> None:
        with world.services.database.write() as sql:
            sql.add(AuditRow(id="old", at=datetime(2020, 1, 1, tzinfo=UTC), event=Event.LOGIN.value))
        status, printed = operator.audit("verify")
        assert status == 0
        assert printed.startswith("1 row is older than the chain: nothing is proven of it\nevery row of the chain")

    def test_rows_of_an_old_process_are_findings_unless_the_operator_knows_of_it(
        self, operator: Operator, world: World
    ) -> None:
        with world.services.database.write() as sql:
            sql.add(AuditRow(id="old process", at=datetime(2999, 1, 1, tzinfo=UTC), event=Event.LOGIN.value))
        told = "event old process: is in no chain, though it is of 2999-01-01T00:00:00+00:00\n1 finding\n"
        assert operator.audit("verify") == (1, told)
        assert operator.audit("verify", "--unchained-until", "2998-01-01T00:00:00Z") == (1, told)
        for time in ("2999-01-01T00:00:01Z", "2999-01-01T00:00:01", "3000-01-01"):
            assert operator.audit("verify", "--unchained-until", time)[0] == 0

    def test_an_anchor_that_was_noted_must_be_there(self, operator: Operator, world: World) -> None:
        status, anchor = operator.audit("head")
        assert status == 0
        assert re.fullmatch(r"5:[0-9a-f]{64}\n", anchor)
        fail_to_sign_in(world, 2)
        assert operator.audit("verify", "--expect", anchor.strip())[0] == 0
        other = "4:" + "0" * 64
        status, printed = operator.audit("verify", "--expect", anchor.strip(), "--expect", other)
        assert status == 1
        assert f"is not the row that was noted, whose hash is {'0' * 64}" in printed

    def test_old_rows_may_be_deleted_on_purpose(self, operator: Operator, world: World) -> None:
        _, anchor = operator.audit("head", "--position", "2")
        with world.services.database.write() as sql:
            sql.execute(delete(AuditRow).where(AuditRow.position <= 2))
        assert operator.audit("verify")[0] == 1
        status, printed = operator.audit("verify", "--after", anchor.strip())
        assert status == 0
        assert re.fullmatch(GOOD, printed)

    def test_rows_under_an_earlier_secret_need_it(self, operator: Operator) -> None:
        operator.holds("another secret for tests alone, as long")
        status, printed = operator.audit("verify")
        assert status == 1
        assert re.match(
            r"position 1: and all to 5 are under a secret that is not given \(key id [0-9a-f]{8}\)", printed
        )
        operator.holds("another secret for tests alone, as long", SECRET)
        assert operator.audit("verify")[0] == 0

    def test_an_empty_chain_holds(self, operator: Operator, world: World) -> None:
        with world.services.database.write() as sql:
            sql.execute(delete(AuditRow))
            sql.execute(delete(AuditRow.metadata.tables["audit_head"]))
            sql.execute(
                AuditRow.metadata.tables["audit_head"].insert(), {"id": 1, "position": 0, "begun_at": datetime.now(UTC)}
            )
        assert operator.audit("verify") == (0, "the chain is empty\n")
        assert operator.audit("head") == (1, "oauthdevice-admin: The chain has no such row.\n")

    @pytest.mark.parametrize(
        "arguments",
        [
            ("--expect", "5"),
            ("--expect", "0:" + "0" * 64),
            ("--expect", "5:" + "0" * 63),
            ("--expect", "5:" + "G" * 64),
            ("--after", "5:"),
            ("--unchained-until", "yesterday"),
        ],
    )
    def test_what_is_no_anchor_and_no_time_is_wrong_usage(self, operator: Operator, arguments: tuple[str, str]) -> None:
        status, printed = operator.audit("verify", *arguments)
        assert status == 2
        assert f"argument {arguments[0]}: must be " in printed

    def test_a_position_without_a_row_has_no_anchor(self, operator: Operator) -> None:
        assert operator.audit("head", "--position", "6")[0] == 1
        assert operator.audit("head", "--position", "0")[0] == 1
