"""The chain of audit rows, without a database: what is found of everything that can be done to one."""

import hashlib
import hmac
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta, timezone

import pytest

from oauthdevice.domain.audit import AuditEvent
from oauthdevice.domain.audit_chain import Anchor, Chain, ChainedEvent, Head
from oauthdevice.domain.audit_proof import AuditProof
from oauthdevice.domain.keys import derive_key

BEGUN = datetime(2026, 1, 31, 12, tzinfo=UTC)
OLD, NEW = "the secret of last year, long enough", "the secret of this year, long enough"


def event(number: int, **told: str) -> AuditEvent:
    at = BEGUN + timedelta(seconds=number)
    return AuditEvent(**{"id": f"event-{number}", "event": "login", "subject": "account:ada", "at": at, **told})  # type: ignore[arg-type]  # of strings and one time


@dataclass
class Rows:
    """A ChainStore in memory."""

    rows: dict[int, ChainedEvent] = field(default_factory=dict)
    end: Head | None = field(default_factory=lambda: Head(0, None, BEGUN))
    unchained: list[AuditEvent] = field(default_factory=list)

    def add(self, chain: Chain, *events: AuditEvent) -> "Rows":
        assert self.end is not None
        links, self.end = chain.extend(self.end, events)
        self.rows |= {link.position: ChainedEvent(one, link) for one, link in zip(events, links, strict=True)}
        return self

    def head(self) -> tuple[Head | None, int]:
        return self.end, max(self.rows, default=0)

    def at(self, position: int) -> ChainedEvent | None:
        return self.rows.get(position)

    def chained(self, after: int, last: int) -> Iterator[ChainedEvent]:
        return (self.rows[position] for position in sorted(self.rows) if after < position <= last)

    def unchained_before(self, moment: datetime) -> int:
        return sum(one.at < moment for one in self.unchained)

    def unchained_since(self, moment: datetime) -> Iterator[AuditEvent]:
        return (one for one in self.unchained if one.at >= moment)

    def change(self, position: int, **told: str) -> None:
        row = self.rows[position]
        self.rows[position] = replace(row, event=replace(row.event, **told))  # type: ignore[arg-type]  # strings alone

    def anchor(self, position: int) -> Anchor:
        return self.rows[position].link.anchor


@pytest.fixture
def rows() -> Rows:
    """Ten rows under NEW."""
    return Rows().add(Chain([NEW]), *(event(number) for number in range(1, 11)))


def found(rows: Rows, *secrets: str, expected: tuple[Anchor, ...] = (), after: Anchor | None = None) -> list[str]:
    """What a walk finds, a line each."""
    proof = AuditProof(Chain(secrets or (NEW,)), rows)
    return [str(finding) for finding in proof.findings(expected=expected, after=after)]


class TestNothingWasDone:
    def test_nothing_is_found(self, rows: Rows) -> None:
        assert found(rows) == []

    def test_an_empty_chain_holds(self) -> None:
        assert found(Rows()) == []

    def test_rows_added_one_by_one_are_those_added_together(self, rows: Rows) -> None:
        one_by_one = Rows()
        for number in range(1, 11):
            one_by_one.add(Chain([NEW]), event(number))
        assert one_by_one == rows

    def test_nothing_added_changes_nothing(self, rows: Rows) -> None:
        before = rows.end
        assert rows.add(Chain([NEW])).end == before

    def test_the_zone_of_a_time_does_not_count(self, rows: Rows) -> None:
        elsewhere = rows.rows[3].event.at.astimezone(timezone(timedelta(hours=9)))
        rows.rows[3] = replace(rows.rows[3], event=replace(rows.rows[3].event, at=elsewhere))
        assert found(rows) == []

    def test_the_hash_is_what_the_document_says(self, rows: Rows) -> None:
        """So that anybody who has the secret can compute it without us: docs/audit.md."""
        rows_key, seals_key = derive_key(NEW.encode(), "audit_chain"), derive_key(NEW.encode(), "audit_head")

        def signed(key: bytes, told: object) -> str:
            text = json.dumps(told, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
            return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()

        label = "".join(map(chr, range(0x20))) + '"\\/\x7f\x80\u2028é日\N{GRINNING FACE}'
        rows.add(Chain([NEW]), event(11, device_label=label))
        seal = signed(seals_key, [0, "2026-01-31T12:00:00.000000+00:00"])
        for position in range(1, 12):
            at = f"2026-01-31T12:00:{position:02}.000000+00:00"
            told = {"at": at, "event": "login", "id": f"event-{position}", "subject": "account:ada"}
            told |= {"device_label": label} if position == 11 else {}
            assert rows.rows[position].link.hash == signed(rows_key, [position, seal, told])
            seal = signed(seals_key, [position, rows.rows[position].link.hash])
        assert rows.end == Head(11, seal, BEGUN)


# What is done to ten rows -> where it is seen.
DONE: dict[str, tuple[Callable[[Rows], object], list[str]]] = {
    "changed": (lambda rows: rows.change(4, subject="account:eve"), ["position 4, event event-4: was changed"]),
    "something added to it": (lambda rows: rows.change(4, reason="x"), ["position 4, event event-4: was changed"]),
    "something taken from it": (lambda rows: rows.change(4, subject=None), ["position 4, event event-4: was changed"]),  # type: ignore[arg-type]  # None is what stays
    "another time": (lambda rows: rows.change(4, at=BEGUN), ["position 4, event event-4: was changed"]),  # type: ignore[arg-type]  # a time
    "the first changed": (lambda rows: rows.change(1, event="approved"), ["position 1, event event-1: was changed"]),
    "the last changed": (lambda rows: rows.change(10, event="approved"), ["position 10, event event-10: was changed"]),
    "the first removed": (
        lambda rows: rows.rows.pop(1),
        ["position 1: is missing", "position 2, event event-2: cannot be checked"],
    ),
    "one removed": (
        lambda rows: rows.rows.pop(5),
        ["position 5: is missing", "position 6, event event-6: cannot be checked"],
    ),
    "several removed": (
        lambda rows: [rows.rows.pop(position) for position in (5, 6, 7)],
        ["position 5: is missing, and so are all to 7", "position 8, event event-8: cannot be checked"],
    ),
    "the last removed": (lambda rows: rows.rows.pop(10), ["position 10: is missing"]),
    "all removed": (lambda rows: rows.rows.clear(), ["position 1: is missing, and so are all to 10"]),
}


class TestRowsAreTamperedWith:
    @pytest.mark.parametrize("done", DONE)
    def test_it_is_found_where_it_was_done(self, rows: Rows, done: str) -> None:
        do, expected = DONE[done]
        do(rows)
        told = found(rows)
        assert [line[: len(start)] for line, start in zip(told, expected, strict=True)] == expected

    def test_two_that_change_places_are_both_found(self, rows: Rows) -> None:
        third, fourth = rows.rows[3], rows.rows[4]
        rows.rows |= {3: replace(third, event=fourth.event), 4: replace(fourth, event=third.event)}
        assert [line[:10] for line in found(rows)] == ["position 3", "position 4"]

    def test_a_gap_that_is_closed_up_is_found(self, rows: Rows) -> None:
        for position in range(5, 10):
            later = rows.rows[position + 1]
            rows.rows[position] = replace(later, link=replace(later.link, position=position))
        del rows.rows[10]
        assert rows.end is not None
        rows.end = replace(rows.end, position=9)
        assert [line[:10] for line in found(rows)] == [f"position {position}" for position in (5, 6, 7, 8, 9, 9)]

    def test_a_hash_of_somebody_elses_is_found(self, rows: Rows) -> None:
        for forged in ("0" * 64, "", "é" * 64, rows.rows[3].link.hash):
            row = rows.rows[4]
            rows.rows[4] = replace(row, link=replace(row.link, hash=forged))
            assert [line[:10] for line in found(rows)] == ["position 4", "position 5"]
            rows.rows[4] = row

    def test_the_newest_cut_off_and_the_head_put_back_is_found(self, rows: Rows) -> None:
        del rows.rows[10]
        for seal in ("", rows.rows[9].link.hash, "0" * 64):
            rows.end = Head(9, seal, BEGUN)
            (line,) = found(rows)
            assert line.startswith("position 9: the head does not fit this row")

    def test_and_stays_found_however_much_is_added_then(self, rows: Rows) -> None:
        """Who writes next does not repair the head: nobody could tell then."""
        del rows.rows[10]
        rows.end = Head(9, rows.rows[9].link.hash, BEGUN)
        rows.add(Chain([NEW]), event(11), event(12))
        (line,) = found(rows)
        assert line == "position 10, event event-11: was changed, or the one before it was"

    def test_a_head_put_back_before_rows_that_are_there_is_found(self, rows: Rows) -> None:
        assert rows.end is not None
        rows.end = replace(rows.end, position=8)
        assert found(rows) == [
            "position 10: the head was put back to position 8, but there are later rows",
            "position 8: the head does not fit this row: it was changed, or rows after it removed",
        ]

    def test_a_head_of_nothing_over_rows_is_found(self, rows: Rows) -> None:
        rows.end = Head(0, None, BEGUN)
        assert found(rows) == ["position 10: the head was put back to position 0, but there are later rows"]

    def test_a_head_that_is_gone_is_found_and_the_rows_are_walked(self, rows: Rows) -> None:
        rows.end = None
        rows.change(4, subject="account:eve")
        assert [line[:30] for line in found(rows)] == [
            "chain: the head is gone, so th",
            "position 1, event event-1: can",
            "position 4, event event-4: was",
        ]

    def test_another_beginning_is_found(self, rows: Rows) -> None:
        """It tells which rows in no chain are older than the chain."""
        assert rows.end is not None
        rows.end = replace(rows.end, begun_at=BEGUN + timedelta(days=1))
        (line,) = found(rows)
        assert line.startswith("position 1, event event-1: was changed")

    def test_who_has_another_secret_makes_no_row(self, rows: Rows) -> None:
        rows.add(Chain(["a guess of somebody who may write"]), event(11))
        (unknown,) = found(rows)
        assert unknown.startswith("position 11: is under a secret that is not given (key id ")


class TestTheSecretIsRotated:
    @pytest.fixture
    def rotated(self) -> Rows:
        """Three rows under OLD, three under NEW, which knows OLD."""
        rows = Rows().add(Chain([OLD]), *(event(number) for number in (1, 2, 3)))
        return rows.add(Chain([NEW, OLD]), *(event(number) for number in (4, 5, 6)))

    def test_with_both_everything_is_proven(self, rotated: Rows) -> None:
        assert found(rotated, NEW, OLD) == []
        for position in range(1, 7):
            changed = Rows(dict(rotated.rows), rotated.end)
            changed.change(position, subject="account:eve")
            assert [line[:10] for line in found(changed, NEW, OLD)] == [f"position {position}"]

    def test_machines_that_change_it_one_after_another_make_one_chain(self) -> None:
        rows = Rows()
        for number in range(1, 9):
            rows.add(Chain([NEW, OLD] if number % 2 else [OLD, NEW]), event(number))
        assert found(rows, NEW, OLD) == []

    def test_without_the_old_one_what_it_signed_is_told_as_unproven(self, rotated: Rows) -> None:
        old_key = rotated.rows[1].link.key_id
        assert found(rotated, NEW) == [
            f"position 1: and all to 3 are under a secret that is not given (key id {old_key})",
            "position 4, event event-4: cannot be checked, as what it follows is not known",
        ]

    def test_without_the_new_one_its_rows_are(self, rotated: Rows) -> None:
        new_key = rotated.rows[6].link.key_id
        assert found(rotated, OLD) == [
            f"position 4: and all to 6 are under a secret that is not given (key id {new_key})"
        ]

    def test_the_key_id_tells_no_secret(self, rotated: Rows) -> None:
        ids = {row.link.key_id for row in rotated.rows.values()}
        assert len(ids) == 2
        assert all(len(one) == 8 and one not in OLD + NEW for one in ids)


class TestAnAnchorWasNoted:
    def test_one_that_is_in_the_chain_is_no_finding(self, rows: Rows) -> None:
        assert found(rows, expected=tuple(rows.anchor(position) for position in (1, 5, 10))) == []

    def test_who_has_the_secret_forges_and_the_anchor_shows_it(self, rows: Rows) -> None:
        anchors = rows.anchor(3), rows.anchor(8)
        told = (event(number, subject="account:eve" if number == 5 else "account:ada") for number in range(1, 11))
        forged = Rows().add(Chain([NEW]), *told)
        assert found(forged) == []
        assert found(forged, expected=anchors) == [
            f"position 8, event event-8: is not the row that was noted, whose hash is {anchors[1].hash}"
        ]

    def test_a_chain_that_was_begun_anew_lacks_it(self, rows: Rows) -> None:
        assert found(Rows(), expected=(rows.anchor(7),)) == [
            f"position 7: is not there; it was noted with the hash {rows.anchor(7).hash}"
        ]

    def test_a_back_up_played_back_over_it_lacks_it(self, rows: Rows) -> None:
        anchor = rows.anchor(10)
        back = Rows().add(Chain([NEW]), *(event(number) for number in range(1, 9)))
        assert found(back) == []
        assert found(back, expected=(anchor,))[0].startswith("position 10: is not there")

    def test_two_of_one_position_cannot_both_be(self, rows: Rows) -> None:
        other = Anchor(5, "0" * 64)
        for expected in ((rows.anchor(5), other), (other, rows.anchor(5))):
            assert found(rows, expected=expected) == [
                f"position 5, event event-5: is not the row that was noted, whose hash is {other.hash}"
            ]

    def test_it_is_written_as_it_is_read(self, rows: Rows) -> None:
        assert str(rows.anchor(10)) == f"10:{rows.rows[10].link.hash}"
        proof = AuditProof(Chain([NEW]), rows)
        assert (proof.anchor(), proof.anchor(4), proof.anchor(11)) == (rows.anchor(10), rows.anchor(4), None)
        assert AuditProof(Chain([NEW]), Rows()).anchor() is None


class TestOldRowsAreDeletedOnPurpose:
    @pytest.fixture
    def kept(self, rows: Rows) -> tuple[Rows, Anchor]:
        """Those after the sixth, and the anchor of that."""
        anchor = rows.anchor(6)
        for position in range(1, 7):
            del rows.rows[position]
        return rows, anchor

    def test_with_the_anchor_of_the_last_one_the_rest_is_proven(self, kept: tuple[Rows, Anchor]) -> None:
        rows, anchor = kept
        assert found(rows, after=anchor) == []
        rows.change(7, subject="account:eve")
        assert [line[:10] for line in found(rows, after=anchor)] == ["position 7"]

    def test_under_whichever_secret_it_was(self, kept: tuple[Rows, Anchor]) -> None:
        rows, anchor = kept
        assert found(rows, OLD, NEW, after=anchor) == []

    def test_without_it_they_are_missing(self, kept: tuple[Rows, Anchor]) -> None:
        assert found(kept[0])[0] == "position 1: is missing, and so are all to 6"

    def test_one_more_is_found(self, kept: tuple[Rows, Anchor]) -> None:
        rows, anchor = kept
        del rows.rows[7]
        assert found(rows, after=anchor)[0] == "position 7: is missing"

    def test_another_anchor_proves_nothing(self, kept: tuple[Rows, Anchor]) -> None:
        rows, anchor = kept
        (line,) = found(rows, after=replace(anchor, hash="0" * 64))
        assert line.startswith("position 7, event event-7: was changed, or the one before it was")

    def test_all_may_be_gone_but_the_head(self, rows: Rows) -> None:
        anchor = rows.anchor(10)
        rows.rows.clear()
        assert found(rows, after=anchor) == []
        assert found(rows, after=Anchor(10, "0" * 64))[0].startswith("position 10: the head does not fit")


class TestRowsInNoChain:
    def test_older_ones_are_counted_and_later_ones_are_found(self, rows: Rows) -> None:
        before, after = event(-5), event(5, id="of an old process")
        rows.unchained = [before, after]
        proof = AuditProof(Chain([NEW]), rows)
        assert proof.before_the_chain(None) == 1
        assert [str(one) for one in proof.findings()] == [
            "event of an old process: is in no chain, though it is of 2026-01-31T12:00:05+00:00"
        ]

    def test_an_operator_may_say_until_when_an_old_release_was_running(self, rows: Rows) -> None:
        rows.unchained = [event(-5), event(5), event(7)]
        proof, until = AuditProof(Chain([NEW]), rows), BEGUN + timedelta(seconds=6)
        assert proof.before_the_chain(until) == 2
        assert [one.event_id for one in proof.findings(unchained_until=until)] == ["event-7"]
        earlier = BEGUN - timedelta(days=1)
        assert [one.event_id for one in proof.findings(unchained_until=earlier)] == ["event-5", "event-7"]

    def test_without_a_head_none_is_older(self, rows: Rows) -> None:
        rows.unchained, rows.end = [event(-5)], None
        proof = AuditProof(Chain([NEW]), rows)
        assert proof.before_the_chain(None) == 0
        assert [one.event_id for one in proof.findings()][-1] == "event--5"
