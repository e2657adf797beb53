"""What the server must answer, as plain Python: people, codes with the sessions that they gave, and the audit.

No HTTP, no store, no clock. What a step may be told is asked first (`answers_to_…`), then told (`…ed`).
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from ..moments import MOVED_SECONDS, Span, over

LIFETIME_SECONDS, RETENTION_SECONDS, REDELIVERY_SECONDS, LEASE_SECONDS = 900, 600, 30, 10
ACCESS_SECONDS, SESSION_SECONDS = 600, 3000
# How far back a report ends what a network got.
BACK_SECONDS = 3600
TOKEN = "the token"

# Where a state may go in one step; what was decided stays so.
MOVES = {
    "pending": {"pending", "approved", "denied"},
    "approved": {"approved", "redeeming", "consumed", "denied"},
    "redeeming": {"approved", "redeeming", "consumed", "denied"},
    "consumed": {"consumed"},
    "denied": {"denied"},
}
# Rows of which one code has at most one, whatever happens.
ONCE = ("started", "approved", "denied", "reported", "rejected", "redeemed", "reuse_detected", "replayed")


class Seen(NamedTuple):
    """What the stores hold of one code. `live` is None where it has no session; `renewals` counts refreshes."""

    state: str
    claimed_by: str | None
    granted: frozenset[str]
    interval: int
    reported: bool
    live: bool | None
    renewals: int


NEW = Seen("pending", None, frozenset(), 5, False, None, 0)


@dataclass(eq=False)
class Person:
    """Somebody with an account."""

    key: str
    active: bool = True
    signed_in: bool = False


class Access(NamedTuple):
    """An access token: how many refreshes came before it."""

    renewals: int
    issued: Span
    scopes: frozenset[str]


@dataclass(eq=False)
class Code:
    """One device authorization and the session that came of it.

    `wanted` is what an approval of all grants. `gates` are the last poll that was on time, with the spacing after it,
    and those of which a fault has hidden whether they were seen. `access` and `refresh` are the tokens that
    the client holds, the latter by how many refreshes came before; `spent`, when each of those was used.
    """

    id: str
    client: str
    label: str | None
    network: str
    wanted: frozenset[str]
    asked: Span
    seen: Seen = NEW
    burned: bool = False
    gates: list[tuple[Span, float] | None] = field(default_factory=lambda: [None])
    leased: Span | None = None
    consumed: Span | None = None
    minted: Span | None = None
    token: str | None = None
    access: dict[str, Access] = field(default_factory=dict)
    refresh: dict[int, str] = field(default_factory=dict)
    spent: dict[int, Span] = field(default_factory=dict)

    def on_time(self, now: Span) -> set[bool]:
        return {one for gate in self.gates for one in ({True} if gate is None else over(gate[1], gate[0], now))}

    def stamp(self, now: Span) -> tuple[Span, float]:
        """A poll that is on time."""
        return now, self.seen.interval * 0.8

    def expired(self, now: Span) -> set[bool]:
        return over(LIFETIME_SECONDS, self.asked, now)

    def gone(self, now: Span) -> set[bool]:
        return over(LIFETIME_SECONDS + RETENTION_SECONDS, self.asked, now, MOVED_SECONDS)

    def session_over(self, now: Span) -> set[bool]:
        return over(SESSION_SECONDS, self.minted, now) if self.minted is not None else {True}

    def change(self, **facts: object) -> None:
        self.seen = self.seen._replace(**facts)


class Model:
    """The whole server."""

    def __init__(self, people: Iterable[Person], optional: frozenset[str]) -> None:
        self.people = {person.key: person for person in people}
        self.codes: list[Code] = []
        self.burned: dict[str, Span] = {}
        self.audit: Counter[tuple[str, str]] = Counter()
        # Rows that a fault may have kept from being written.
        self.perhaps: Counter[tuple[str, str]] = Counter()
        self._optional = optional

    def told(self, event: str, code: Code) -> None:
        self.audit[event, code.id] += 1

    def end(self, code: Code, event: str) -> None:
        """The session of a code ends, if it lives."""
        if code.seen.live:
            code.change(live=False)
            self.told(event, code)

    # What a device is told

    def answers_to_poll(self, code: Code, now: Span, *, outage: bool = False) -> set[str]:
        """What the client of the code may be told.

        In an `outage` of the database a lost answer is given again unlooked: its token is looked at where it is used.
        """
        told = {"invalid_grant"} if True in code.gone(now) else set()
        if code.gone(now) == {True}:
            return told
        if code.seen.state == "consumed":
            assert code.consumed is not None
            lapsed = over(REDELIVERY_SECONDS, code.consumed, now, MOVED_SECONDS)
            if not code.seen.live:
                lapsed = lapsed | {True} if outage else {True}
            return told | {"invalid_grant" if one else TOKEN for one in lapsed}
        if True in code.expired(now):
            told.add("expired_token")
        if code.expired(now) == {True}:
            return told
        if code.seen.state == "denied":
            return told | {"access_denied"}
        if code.seen.state == "pending":
            return told | {"authorization_pending" if one else "slow_down" for one in code.on_time(now)}
        if code.seen.state == "redeeming":
            assert code.leased is not None
            lapsed = over(LEASE_SECONDS, code.leased, now)
            return told | {self._answer_to_redeemer(code) if one else "authorization_pending" for one in lapsed}
        return told | {self._answer_to_redeemer(code)}

    def _answer_to_redeemer(self, code: Code) -> str:
        ended_before_it_was_delivered = code.seen.live is False
        active = self.people[code.seen.claimed_by or ""].active
        return TOKEN if active and not ended_before_it_was_delivered else "access_denied"

    def polled(self, code: Code, told: str, now: Span) -> None:
        """The client of the code was told so, in a poll that no fault struck."""
        state = code.seen.state
        if told == TOKEN and state != "consumed":
            self.minted(code, now)
            code.consumed = now
            code.change(state="consumed", renewals=0)
            self.told("redeemed", code)
        elif told == "access_denied" and state in ("approved", "redeeming"):
            code.change(state="denied")
            self.told("rejected", code)
        elif told == "access_denied" and code.seen.reported:
            self.end(code, "revoked")
        elif told == "invalid_grant" and state == "consumed" and False in code.gone(now):
            self.end(code, "replayed")
        elif told == "expired_token":
            # Of a redemption that nobody finished, and that nobody may finish any more.
            if state == "redeeming":
                code.change(state="denied")
            self.end(code, "revoked")
        elif told == "authorization_pending" and state == "pending":
            code.gates = [code.stamp(now)]
        elif told == "slow_down":
            code.change(interval=min(60, code.seen.interval + 5))

    def minted(self, code: Code, now: Span) -> None:
        """A session came of the code: the last one of the same device, if it has a name, ends untold."""
        code.minted = now
        code.change(live=True)
        for other in self.codes:
            if self.is_replaced(other, code) and other.seen.live:
                other.change(live=False)

    def is_replaced(self, other: Code, code: Code) -> bool:
        """Whether a session of the one ends that of the other."""
        device, same = (
            (code.client, code.label, code.seen.claimed_by),
            (other.client, other.label, other.seen.claimed_by),
        )
        return code.label is not None and other is not code and device == same

    def delivered(self, code: Code, access_token: str, refresh_token: str, now: Span) -> None:
        """The client holds its first tokens."""
        code.token = access_token
        code.access.setdefault(access_token, Access(0, code.minted or now, code.seen.granted))
        code.refresh[0] = refresh_token

    def answers_to_refresh(self, code: Code, renewals: int, now: Span) -> set[str]:
        """What is told to who brings the refresh token that came after so many refreshes."""
        if not code.seen.live or code.session_over(now) == {True}:
            return {"invalid_grant"}
        told = {"invalid_grant"} if True in code.session_over(now) else set()
        if renewals == code.seen.renewals:
            return told | {TOKEN}
        lapsed = over(REDELIVERY_SECONDS, code.spent[renewals], now)
        return told | {"invalid_grant" if one else TOKEN for one in lapsed}

    def refreshed(self, code: Code, renewals: int, told: str, now: Span) -> None:
        if told == TOKEN and renewals == code.seen.renewals:
            code.spent[renewals] = now
            code.change(renewals=renewals + 1)
            self.told("refreshed", code)
        elif told != TOKEN and renewals < code.seen.renewals and False in code.session_over(now):
            self.end(code, "reuse_detected")

    def renewed(self, code: Code, renewals: int, answer: Mapping[str, str], scopes: frozenset[str]) -> None:
        """The client holds the next tokens, or the same ones again."""
        code.access.setdefault(answer["access_token"], Access(renewals + 1, code.spent[renewals], scopes))
        held = code.refresh.setdefault(renewals + 1, answer["refresh_token"])
        assert held == answer["refresh_token"], "a refresh token is traded in once"

    def opens(self, code: Code, access_token: str, now: Span) -> set[bool]:
        """Whether an access token is accepted."""
        token = code.access[access_token]
        if not code.seen.live or token.renewals < code.seen.renewals - 1:
            return {False}
        past = [over(ACCESS_SECONDS, token.issued, now), code.session_over(now)]
        return {False} if {True} in past else {not one for answers in past for one in answers}

    # What a person is told

    def find(self, code: Code, now: Span) -> set[bool]:
        """Whether somebody who has the user_code finds it; a reported network loses it by that."""
        if code.burned:
            return {False}
        found = {not one for one in code.expired(now)}
        if True in found and code.seen.state == "pending" and self.is_reported(code):
            code.burned = True
            code.change(state="denied")
            self.told("denied", code)
            return {False}
        return found

    def is_reported(self, code: Code) -> bool:
        """Whether somebody has reported its network since it was asked for."""
        burned = self.burned.get(code.network)
        return burned is not None and code.asked.latest <= burned.latest

    def refusals(self, code: Code, person: Person, now: Span) -> set[str]:
        """What this person may be told who opens or decides the code; "" where they may."""
        found = self.find(code, now)
        told = {"expired_or_unknown"} if False in found else set()
        if found == {False}:
            return told
        if code.seen.claimed_by not in (None, person.key):
            return told | {"already_claimed"}
        return told | {"" if code.seen.state == "pending" else "already_resolved"}

    def granted(self, code: Code, ticked: frozenset[str] | None) -> frozenset[str]:
        """What an approval grants: of what was asked for, the mandatory and the ticked."""
        return code.wanted if ticked is None else code.wanted - (self._optional - ticked)

    def decided(self, code: Code, person: Person, state: str, granted: frozenset[str]) -> None:
        code.change(state=state, claimed_by=person.key, granted=granted)
        self.told(state, code)

    def answers_to_report(self, code: Code, person: Person, now: Span) -> set[str]:
        """What is told to who says that it was not theirs; "" where that counts."""
        if not person.signed_in:
            return {"login_required"}
        told = {"expired_or_unknown"} if True in code.gone(now) else set()
        if code.gone(now) == {True}:
            return told
        if code.seen.claimed_by is None:
            return told | {"not opened"}
        return told | {"" if code.seen.claimed_by == person.key else "already_claimed"}

    def disowned(self, code: Code, person: Person, own_network: str, now: Span) -> None:
        """A person who has opened the code says that it was not theirs."""
        if not code.seen.reported:
            self.told("reported", code)
        if code.seen.state not in ("denied", "consumed"):
            code.change(state="denied")
            self.told("denied", code)
        code.change(reported=True)
        if code.network != own_network:
            self.burned[code.network] = now
        for one in self.ended_by_report(code, person, now):
            self.end(one, "revoked")

    def ended_by_report(self, code: Code, person: Person, now: Span) -> list[Code]:
        """The session of the code, and what its network got in the last hour in the name of this person."""
        return [
            one
            for one in self.codes
            if one.seen.live
            and one.minted is not None
            and (
                one is code
                or (
                    (one.seen.claimed_by, one.network) == (person.key, code.network)
                    and over(BACK_SECONDS, one.minted, now) == {False}
                    and one.session_over(now) == {False}
                )
            )
        ]

    # What is found after a fault

    def adopt(self, code: Code, found: Seen, now: Span, person: Person | None, *, decides: bool) -> None:
        """After a fault struck a step about this code: what the stores hold, which such a step can have left.

        `decides`: whether the step is one that changes the state.
        """
        before = code.seen
        assert found.state in (MOVES[before.state] if decides else {before.state}), (before, found)
        assert not (before.live is False and found.live), "an ended session lives again"
        assert found.interval in (before.interval, min(60, before.interval + 5))
        assert found.reported >= before.reported
        if found.claimed_by != before.claimed_by:
            assert before.claimed_by is None, "whoever opened it first keeps it"
            assert person is not None
            assert found.claimed_by == person.key
        if found.state == "redeeming":
            code.leased = now
        if found.state == "consumed" and before.state != "consumed":
            code.consumed = now
        if found.live and code.token is None:
            first = code.minted.earliest if code.minted is not None and before.live else now.earliest
            code.minted = Span(first, now.latest)
        if found.live and found.renewals > before.renewals:
            code.spent[before.renewals] = now
        if before.state == "pending":
            code.gates.append(code.stamp(now))
            code.burned = found.state == "denied" and found.claimed_by == before.claimed_by and self.is_reported(code)
        code.seen = found

    def adopt_beside(self, code: Code, found: Seen, *, ends: bool) -> None:
        """As `adopt`, of a code that the step was not about; `ends`: whether it may have ended the session."""
        may_be = {code.seen, code.seen._replace(live=False)} if ends and code.seen.live else {code.seen}
        assert found in may_be, (code.seen, found)
        code.seen = found

    def maybe_told(self, codes: Iterable[Code], events: Iterable[str]) -> None:
        """These rows may have been written, or not."""
        codes = list(codes)
        for event in events:
            for code in codes:
                self.perhaps[event, code.id] += 1

    def wrong_rows(self, rows: Counter[tuple[str, str]]) -> list[str]:
        """What the audit tells more or less often than it happened."""
        known = {code.id for code in self.codes}
        wrong = []
        for key in rows.keys() | self.audit.keys():
            event, about = key
            if event == "expired" or about not in known:
                continue
            most = self.audit[key] + self.perhaps[key]
            if not self.audit[key] <= rows[key] <= (min(most, 1) if event in ONCE else most):
                wrong.append(f"{event}: {self.audit[key]} to {most} times, told {rows[key]} times")
        return wrong
