"""Every state and every event of one device authorization."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from oauthdevice.domain import device_authorization as machine
from oauthdevice.domain.device_authorization import AuthorizationRequest, DeviceAuthorization, State, Verdict
from oauthdevice.domain.errors import (
    AlreadyClaimed,
    AlreadyResolved,
    ApprovalConsumed,
    DomainError,
    ExpiredOrUnknown,
    NotOpened,
)
from oauthdevice.domain.subjects import AccountSubject, ExternalSubject, Subject

ISSUED_AT = datetime(2026, 1, 31, 12, tzinfo=UTC)
LIFETIME_SECONDS = 900
ADA, BOB = AccountSubject("ada"), AccountSubject("bob")
EVE = ExternalSubject("https://idp.example", "eve", "eve@example.com")
FULL = frozenset({"full"})
DECIDED = [State.APPROVED, State.REDEEMING, State.CONSUMED, State.DENIED]


def after(seconds: float) -> datetime:
    """`seconds` after the authorization was issued."""
    return ISSUED_AT + timedelta(seconds=seconds)


def authorization(
    state: State = State.PENDING,
    *,
    interval: int = 5,
    claimed_by: Subject | None = None,
    lease_until: datetime | None = None,
    attempt: int = 0,
) -> DeviceAuthorization:
    """Of the client `tool`; decided by Ada, where its state is a decided one."""
    request = AuthorizationRequest(
        id="one",
        client_id="tool",
        scopes=FULL,
        device_label="laptop",
        address="192.0.2.7",
        lifetime_seconds=LIFETIME_SECONDS,
    )
    owner = claimed_by or (None if state is State.PENDING else ADA)
    return DeviceAuthorization(
        request=request,
        issued_at=ISSUED_AT,
        interval_seconds=interval,
        state=state,
        claimed_by=owner.key if owner else None,
        subject=ADA if state in (State.APPROVED, State.REDEEMING, State.CONSUMED) else None,
        granted=FULL if state in (State.APPROVED, State.REDEEMING, State.CONSUMED) else frozenset(),
        attempt=attempt,
        lease_until=lease_until,
    )


class TestExpiry:
    @pytest.mark.parametrize(("seconds", "expired"), [(0, False), (899.999, False), (900, True), (1e6, True)])
    def test_a_code_is_expired_from_its_last_second_on(self, seconds: float, expired: bool) -> None:
        assert authorization().expires_at == after(LIFETIME_SECONDS)
        assert authorization().is_expired(after(seconds)) is expired


OWN, FOREIGN = "tool", "other"
LAST, EXPIRED = 899.999, 900.0

# state, client, seconds after issue, on time, verdict
POLLS = [
    (State.PENDING, OWN, 0, True, Verdict.PENDING),
    (State.PENDING, OWN, LAST, True, Verdict.PENDING),
    (State.PENDING, OWN, 0, False, Verdict.TOO_FAST),
    (State.PENDING, OWN, LAST, False, Verdict.TOO_FAST),
    (State.APPROVED, OWN, 0, True, Verdict.REDEEM),
    (State.APPROVED, OWN, LAST, True, Verdict.REDEEM),
    (State.APPROVED, OWN, 0, False, Verdict.REDEEM),
    (State.DENIED, OWN, 0, True, Verdict.DENIED),
    (State.DENIED, OWN, 0, False, Verdict.DENIED),
    (State.CONSUMED, OWN, 0, True, Verdict.CONSUMED),
    (State.CONSUMED, OWN, 0, False, Verdict.CONSUMED),
    # RFC 8628 §3.5: a code that has expired is expired_token, whatever was decided and never fetched.
    (State.PENDING, OWN, EXPIRED, True, Verdict.EXPIRED),
    (State.PENDING, OWN, EXPIRED, False, Verdict.EXPIRED),
    (State.APPROVED, OWN, EXPIRED, True, Verdict.EXPIRED),
    (State.REDEEMING, OWN, EXPIRED, True, Verdict.EXPIRED),
    (State.DENIED, OWN, EXPIRED, True, Verdict.EXPIRED),
    # A spent code is a replay even then.
    (State.CONSUMED, OWN, EXPIRED, True, Verdict.CONSUMED),
    *[(state, FOREIGN, 0, True, Verdict.FOREIGN) for state in State],
    *[(state, FOREIGN, 0, False, Verdict.FOREIGN) for state in State],
    *[(state, FOREIGN, EXPIRED, True, Verdict.FOREIGN) for state in State],
]


class TestPoll:
    @pytest.mark.parametrize(("state", "client_id", "seconds", "on_time", "told"), POLLS)
    def test_each_state_has_one_verdict(
        self, state: State, client_id: str, seconds: float, on_time: bool, told: Verdict
    ) -> None:
        record = authorization(state, lease_until=after(2000))
        assert machine.verdict(record, client_id, after(seconds), on_time=on_time) is told

    @pytest.mark.parametrize("on_time", [True, False])
    @pytest.mark.parametrize(
        ("lease_until", "told"),
        [
            (after(100.001), Verdict.BUSY),
            (after(100), Verdict.REDEEM),
            (after(99), Verdict.REDEEM),
            (None, Verdict.REDEEM),
        ],
    )
    def test_a_lapsed_lease_lets_the_next_poll_redeem(
        self, lease_until: datetime | None, told: Verdict, on_time: bool
    ) -> None:
        record = authorization(State.REDEEMING, lease_until=lease_until)
        assert machine.verdict(record, OWN, after(100), on_time=on_time) is told

    def test_no_state_is_forgotten(self) -> None:
        assert {(state, client_id) for state, client_id, *_ in POLLS} == {
            (state, client_id) for state in State for client_id in (OWN, FOREIGN)
        }


class TestSlowDown:
    def test_it_adds_five_seconds_up_to_sixty_and_never_more(self) -> None:
        record, seen = authorization(), [5]
        for _ in range(15):
            record = machine.slow_down(record)
            seen.append(record.interval_seconds)
        assert seen == [5, 10, 15, 20, 25, 30, 35, 40, 45, 50, 55, 60, 60, 60, 60, 60]

    @pytest.mark.parametrize(("interval", "then"), [(1, 6), (56, 60), (58, 60), (60, 60), (61, 61), (90, 90)])
    def test_a_clients_own_longer_interval_is_kept(self, interval: int, then: int) -> None:
        assert machine.slow_down(authorization(interval=interval)).interval_seconds == then

    def test_it_changes_nothing_else(self) -> None:
        record = authorization(claimed_by=ADA)
        assert machine.slow_down(record) == replace(record, interval_seconds=10)

    @pytest.mark.parametrize(("interval", "seconds"), [(5, 4), (10, 8), (60, 48), (1, 0.8)])
    def test_a_fifth_of_the_interval_is_forgiven(self, interval: int, seconds: float) -> None:
        assert machine.spacing_seconds(interval) == pytest.approx(seconds)


class TestClaim:
    def test_the_first_to_open_a_code_keeps_it(self) -> None:
        claimed = machine.claim(authorization(), ADA.key, after(1))
        assert claimed == replace(authorization(), claimed_by=ADA.key)
        assert machine.claim(claimed, ADA.key, after(2)) == claimed
        with pytest.raises(AlreadyClaimed):
            machine.claim(claimed, BOB.key, after(2))

    def test_an_account_and_an_external_subject_are_two(self) -> None:
        claimed = machine.claim(authorization(), EVE.key, after(1))
        with pytest.raises(AlreadyClaimed):
            machine.claim(claimed, AccountSubject("eve").key, after(1))


def claim(record: DeviceAuthorization, subject: Subject, now: datetime) -> DeviceAuthorization:
    return machine.claim(record, subject.key, now)


def approve(record: DeviceAuthorization, subject: Subject, now: datetime) -> DeviceAuthorization:
    return machine.approve(record, subject, FULL, now)


Decide = Callable[[DeviceAuthorization, Subject, datetime], DeviceAuthorization]
DECISIONS = [claim, approve, machine.deny, machine.miss_number]


class TestDecide:
    @pytest.mark.parametrize("subject", [ADA, EVE])
    @pytest.mark.parametrize("seconds", [0, LAST])
    def test_a_pending_code_can_be_approved(self, subject: Subject, seconds: float) -> None:
        approved = machine.approve(authorization(), subject, FULL, after(seconds))
        assert approved == replace(
            authorization(), state=State.APPROVED, claimed_by=subject.key, subject=subject, granted=FULL
        )

    @pytest.mark.parametrize("subject", [ADA, EVE])
    @pytest.mark.parametrize("seconds", [0, LAST])
    def test_a_pending_code_can_be_denied(self, subject: Subject, seconds: float) -> None:
        denied = machine.deny(authorization(), subject, after(seconds))
        assert denied == replace(authorization(), state=State.DENIED, claimed_by=subject.key)

    def test_a_denied_code_has_no_subject(self) -> None:
        assert machine.deny(authorization(), ADA, after(1)).subject is None

    @pytest.mark.parametrize("decide", DECISIONS)
    @pytest.mark.parametrize("state", DECIDED)
    def test_a_decided_code_is_decided_for_good(self, decide: Decide, state: State) -> None:
        with pytest.raises(AlreadyResolved):
            decide(authorization(state), ADA, after(1))

    @pytest.mark.parametrize("decide", DECISIONS)
    @pytest.mark.parametrize("state", list(State))
    def test_anothers_code_is_not_ours_to_decide(self, decide: Decide, state: State) -> None:
        with pytest.raises(AlreadyClaimed):
            decide(authorization(state, claimed_by=ADA), BOB, after(1))

    @pytest.mark.parametrize("decide", DECISIONS)
    @pytest.mark.parametrize("state", list(State))
    @pytest.mark.parametrize("subject", [ADA, BOB])
    def test_an_expired_code_is_nobodys(self, decide: Decide, state: State, subject: Subject) -> None:
        with pytest.raises(ExpiredOrUnknown):
            decide(authorization(state, claimed_by=ADA), subject, after(EXPIRED))

    @pytest.mark.parametrize("decide", DECISIONS)
    def test_a_refused_decision_leaves_the_record_alone(self, decide: Decide) -> None:
        record = authorization(State.APPROVED)
        with pytest.raises(DomainError):
            decide(record, ADA, after(1))
        assert record == authorization(State.APPROVED)


class TestAnApproval:
    """What an external subject decides with: spent by a decision that counts, and by nothing else."""

    @pytest.mark.parametrize("then", [machine.deny, lambda *args: machine.approve(args[0], EVE, FULL, *args[2:])])
    @pytest.mark.parametrize("seconds", [1, LAST, EXPIRED])
    def test_is_spent_by_its_decision(self, then: Callable[..., DeviceAuthorization], seconds: float) -> None:
        for decided in (
            machine.approve(authorization(), EVE, FULL, after(1), "once"),
            machine.deny(authorization(), EVE, after(1), "once"),
        ):
            with pytest.raises(ApprovalConsumed):
                then(decided, EVE, after(seconds), "once")

    def test_is_not_spent_by_a_refusal(self) -> None:
        record = authorization(claimed_by=ADA)
        with pytest.raises(AlreadyClaimed):
            machine.approve(record, EVE, FULL, after(1), "once")
        assert record.approval_id is None

    def test_another_one_is_told_that_the_code_is_decided(self) -> None:
        decided = machine.deny(authorization(), EVE, after(1), "once")
        with pytest.raises(AlreadyResolved):
            machine.deny(decided, EVE, after(2), "another")

    def test_an_account_needs_none(self) -> None:
        assert machine.deny(authorization(), ADA, after(1)).approval_id is None
        with pytest.raises(AlreadyResolved):
            machine.deny(machine.deny(authorization(), ADA, after(1)), ADA, after(2))


def miss(record: DeviceAuthorization, subject: Subject, now: datetime) -> DeviceAuthorization:
    return machine.miss_number(record, subject, now)


class TestAWrongNumber:
    @pytest.mark.parametrize("subject", [ADA, EVE])
    @pytest.mark.parametrize("seconds", [0, LAST])
    def test_is_counted_and_the_third_denies(self, subject: Subject, seconds: float) -> None:
        record = authorization()
        for count in (1, 2):
            record = machine.miss_number(record, subject, after(seconds), "once")
            assert record == replace(authorization(), claimed_by=subject.key, wrong_numbers=count)
        denied = machine.miss_number(record, subject, after(seconds), "once")
        assert denied == replace(record, state=State.DENIED, wrong_numbers=3, approval_id="once")
        with pytest.raises(ApprovalConsumed):
            machine.approve(denied, subject, FULL, after(seconds), "once")

    def test_before_a_decision_leaves_it_as_it_would_be(self) -> None:
        missed = miss(authorization(), ADA, after(1))
        assert machine.approve(missed, ADA, FULL, after(2)).state is State.APPROVED
        assert machine.deny(missed, ADA, after(2)).state is State.DENIED

    def test_does_not_come_back_with_a_slower_interval(self) -> None:
        assert machine.slow_down(miss(authorization(), ADA, after(1))).wrong_numbers == 1


class TestRedemption:
    def test_a_lease_counts_the_attempt_and_ends_by_itself(self) -> None:
        leased = machine.lease(authorization(State.APPROVED), after(10))
        assert leased == replace(
            authorization(State.APPROVED),
            state=State.REDEEMING,
            attempt=1,
            lease_until=after(10 + machine.LEASE_SECONDS),
        )
        assert machine.verdict(leased, OWN, after(10), on_time=True) is Verdict.BUSY
        assert machine.verdict(leased, OWN, after(10 + machine.LEASE_SECONDS), on_time=True) is Verdict.REDEEM

    def test_a_lapsed_lease_can_be_taken_over(self) -> None:
        first = machine.lease(authorization(State.APPROVED), after(10))
        second = machine.lease(first, after(30))
        assert (second.attempt, second.lease_until) == (2, after(30 + machine.LEASE_SECONDS))

    def test_a_released_one_waits_for_the_next_poll_and_keeps_its_attempt(self) -> None:
        leased = machine.lease(authorization(State.APPROVED), after(10))
        assert machine.release(leased) == replace(authorization(State.APPROVED), attempt=1)

    def test_a_refused_one_is_denied(self) -> None:
        leased = machine.lease(authorization(State.APPROVED), after(10))
        refused = machine.refuse(leased)
        assert (refused.state, refused.lease_until) == (State.DENIED, None)
        assert machine.verdict(refused, OWN, after(11), on_time=False) is Verdict.DENIED

    def test_a_consumed_one_stays_so(self) -> None:
        leased = machine.lease(authorization(State.APPROVED), after(10))
        consumed = machine.consume(leased)
        assert consumed == replace(authorization(State.CONSUMED), attempt=1)
        assert machine.verdict(consumed, OWN, after(11), on_time=True) is Verdict.CONSUMED

    def test_a_record_is_never_changed_in_place(self) -> None:
        record = authorization(State.APPROVED)
        leased = machine.lease(record, after(10))
        for change in (machine.release, machine.refuse, machine.consume, machine.slow_down):
            change(leased)
        assert record == authorization(State.APPROVED)
        assert leased == machine.lease(record, after(10))


class TestDisown:
    @pytest.mark.parametrize(
        ("state", "becomes"),
        [
            (State.PENDING, State.DENIED),
            (State.APPROVED, State.DENIED),
            (State.REDEEMING, State.DENIED),
            (State.DENIED, State.DENIED),
            (State.CONSUMED, State.CONSUMED),
        ],
    )
    def test_undoes_whatever_its_person_decided(self, state: State, becomes: State) -> None:
        record = authorization(state, claimed_by=ADA, attempt=3, lease_until=after(10))
        disowned = machine.disown(record, ADA.key)
        assert disowned == replace(record, state=becomes, reported=True)
        assert machine.disown(disowned, ADA.key) == disowned

    @pytest.mark.parametrize("state", list(State))
    def test_is_for_nobody_else(self, state: State) -> None:
        for other in (BOB, EVE):
            with pytest.raises(AlreadyClaimed):
                machine.disown(authorization(state, claimed_by=ADA), other.key)

    def test_is_for_nobody_before_it_was_opened(self) -> None:
        with pytest.raises(NotOpened):
            machine.disown(authorization(), ADA.key)

    def test_is_final(self) -> None:
        disowned = machine.disown(authorization(claimed_by=ADA), ADA.key)
        assert machine.verdict(disowned, "tool", after(1), on_time=True) is Verdict.DENIED
        for decide in (machine.approve, machine.deny):
            arguments = (ADA, FULL, after(1)) if decide is machine.approve else (ADA, after(1))
            with pytest.raises(AlreadyResolved):
                decide(disowned, *arguments)


class TestBurn:
    @pytest.mark.parametrize("owner", [None, ADA])
    def test_denies_for_nobody_and_keeps_whose_it_is(self, owner: Subject | None) -> None:
        record = authorization(claimed_by=owner)
        burned = machine.burn(record)
        assert burned == replace(record, state=State.DENIED, burned=True)
        assert machine.verdict(burned, "tool", after(1), on_time=True) is Verdict.DENIED
