"""A report let loose at the same moment as an approval, a poll or another report; and one without a database."""

from collections import Counter
from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from oauthdevice.domain.errors import AlreadyResolved, DomainError

from ..conftest import WorldMaker
from ..factories import Person, World
from .test_many_at_once import at_once
from .test_person_reports import HERE, THERE, events, told, works

UNLIMITED = {"limit.decide": "off", "limit.code": "off", "limit.guesses": "off"}


class TestAtOnce:
    """Report against approval, poll and report: one decision counts, and no token is left."""

    ROUNDS = 15

    def services(self, world: World) -> tuple[Callable[..., Any], Callable[..., Any], Person]:
        person = world.person()
        approve = partial(world.services.approvals.approve, decider=person.account, address=HERE)
        undo = partial(world.services.reports.report, subject=person.account.subject, address=HERE)
        return approve, undo, person

    def sessions_of(self, world: World, person: Person) -> int:
        return world.services.sessions.page(person.account.subject, 1, 100).total

    def test_report_and_approval(self, make: WorldMaker) -> None:
        world = make(**UNLIMITED)
        approve, undo, person = self.services(world)
        won: Counter[bool] = Counter()
        for _ in range(self.ROUNDS):
            device = world.device(address=THERE).ask()
            world.services.approvals.open(device.user_code, person.account, HERE)
            first, second = at_once(partial(approve, device.user_code), partial(undo, device.user_code))
            assert not isinstance(second, DomainError)
            won[not isinstance(first, DomainError)] += 1
            assert isinstance(first, AlreadyResolved) or not isinstance(first, DomainError)
            assert told(device) == "access_denied"
        assert self.sessions_of(world, person) == 0
        assert len(events(world, "approved")) == won[True]
        assert len(events(world, "reported")) == self.ROUNDS

    def test_report_and_polls(self, make: WorldMaker) -> None:
        world = make(**UNLIMITED)
        approve, undo, person = self.services(world)
        for _ in range(self.ROUNDS):
            device = world.device(address=THERE).ask()
            approve(device.user_code)
            answers = at_once(device.poll, partial(undo, device.user_code), device.poll)
            tokens = [one.json["access_token"] for one in answers[::2] if one.status_int == 200]
            assert not any(works(device, token) for token in tokens)
            assert told(device) in ("access_denied", "invalid_grant")
            assert self.sessions_of(world, person) == 0

    def test_report_and_report(self, make: WorldMaker) -> None:
        world = make(**UNLIMITED)
        _, undo, person = self.services(world)
        for number in range(self.ROUNDS):
            device = world.device(address=THERE).ask()
            world.services.approvals.open(device.user_code, person.account, HERE)
            answers = at_once(*[partial(undo, device.user_code)] * 3)
            assert not any(isinstance(one, DomainError) for one in answers)
            assert len(events(world, "reported")) == number + 1

    def test_reported_while_the_token_is_minted(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        approve, undo, person = self.services(world)
        device = world.device(address=THERE).ask()
        approve(device.user_code)
        redeemer = world.services.device_flow._redeemer
        mint = redeemer._mint

        def slowly(*arguments: Any) -> Any:
            """Between the lease and the commit comes the report."""
            undo(device.user_code)
            return mint(*arguments)

        monkeypatch.setattr(redeemer, "_mint", slowly)
        assert told(device) == "access_denied"
        assert self.sessions_of(world, person) == 0
        assert [one["reason"] for one in events(world, "revoked")] == ["reported by its owner"]

    def test_reported_while_an_approval_looks_the_code_up(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """Between its look at the code and its look at the network comes the report; it is told of a decision."""
        approve, undo, person = self.services(world)
        device = world.device(address=THERE).ask()
        world.services.approvals.open(device.user_code, person.account, HERE)
        burns = world.services.approvals._user_codes._burns
        burned_at = burns.burned_at

        def slowly(network: str) -> datetime | None:
            monkeypatch.setattr(burns, "burned_at", burned_at)
            undo(device.user_code)
            return burned_at(network)

        monkeypatch.setattr(burns, "burned_at", slowly)
        with pytest.raises(AlreadyResolved):
            approve(device.user_code)
        assert told(device) == "access_denied"

    def test_burned_and_approved(self, make: WorldMaker) -> None:
        """Whichever comes first holds: a code that could be approved gives its token, another none."""
        world = make(**UNLIMITED)
        _, undo, person = self.services(world)
        other = world.person()
        for _ in range(self.ROUNDS):
            mine, theirs = world.device(address=THERE).ask(), world.device(address=THERE).ask()
            world.services.approvals.open(mine.user_code, person.account, HERE)
            accept = partial(world.services.approvals.approve, theirs.user_code, other.account, HERE)
            _, answer = at_once(partial(undo, mine.user_code), accept)
            assert told(theirs) == ("access_denied" if isinstance(answer, DomainError) else "token")


def test_without_the_database_nothing_is_half_done(make: WorldMaker, sqlite_url: str, tmp_path: Path) -> None:
    world = make(database_url=sqlite_url)
    device, person = world.device(address=THERE).ask(), world.person()
    world.services.approvals.open(device.user_code, person.account, HERE)
    database = tmp_path / "oauthdevice.sqlite"
    world.services.database.engine.dispose()
    database.rename(tmp_path / "away")
    undo = partial(world.services.reports.report, device.user_code, person.account.subject, HERE)
    with pytest.raises(DomainError):
        undo()
    assert told(device) == "authorization_pending"
    world.services.database.engine.dispose()
    database.unlink(missing_ok=True)
    (tmp_path / "away").rename(database)
    undo()
    assert told(device) == "access_denied"
