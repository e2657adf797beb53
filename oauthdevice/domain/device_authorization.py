"""The state machine of one device authorization: a frozen record and pure functions over it.

`pending -> approved -> redeeming -> consumed` and `pending -> denied`; expiry is a fact of time.
No store, no clock: every function takes `now` (aware UTC). DeviceFlow, Approvals and Redeemer load
a record, apply one function and swap the result in if the record is still the one they read.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum

from .errors import AlreadyClaimed, AlreadyResolved, ApprovalConsumed, ExpiredOrUnknown, NotOpened
from .subjects import Subject

INTERVAL_STEP_SECONDS = 5
INTERVAL_MAX_SECONDS = 60
# A poll counts as on time after 80 % of its interval: networks and timers jitter.
LEEWAY = 0.8
# How long one redemption may take before another poll may try again.
LEASE_SECONDS = 10
# How many wrong confirmation numbers deny the request.
CONFIRMATION_TRIES = 3


class State(Enum):
    """What is stored. REDEEMING is APPROVED with a poll at work on it."""

    PENDING = "pending"
    APPROVED = "approved"
    REDEEMING = "redeeming"
    CONSUMED = "consumed"
    DENIED = "denied"


class Verdict(Enum):
    """What one poll is to be told, in the order in which it is asked (DESIGN.md §3)."""

    FOREIGN = "of another client"
    CONSUMED = "already redeemed"
    EXPIRED = "expired"
    DENIED = "denied"
    REDEEM = "approved: redeem it"
    BUSY = "approved: another poll is redeeming it"
    TOO_FAST = "pending, and polled too fast"
    PENDING = "pending"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorizationRequest:
    """What the client asked for; never changes.

    `id` is public: it becomes the token_id. `scopes` are empty where none were requested.
    `device_label` is what the device claims, None where it claims nothing. `address` is where the
    request came from. `confirmation_number` is what the tool shows and the person may have to type;
    None where the client has no use for one. `code_challenge` is that of PKCE, None without.
    `jkt` is the thumbprint of the key that it is bound to from its start (RFC 9449), None without.
    """

    id: str
    client_id: str
    scopes: frozenset[str]
    device_label: str | None
    address: str
    lifetime_seconds: int
    confirmation_number: str | None = None
    code_challenge: str | None = None
    jkt: str | None = None

    @property
    def poller(self) -> str:
        """Who may poll, as the store compares it: see `poller`."""
        return poller(self.client_id, self.code_challenge, self.jkt)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceAuthorization:
    """One run of the flow. `issued_at` comes from the store's clock, as does every `now`.

    `claimed_by` is the key of the subject who opened the code first, None while nobody has.
    `subject`, `granted` and, where it is known, `language` (the locale of whoever approved) are set by
    an approval; `approval_id` by a decision of an external subject, which is thereby spent.
    `wrong_numbers` counts the confirmation numbers that were wrong. `attempt` counts redemptions and fences
    the token store; `lease_until` is set while one is at work. `reported`: its person says that it was not
    theirs; `burned`: somebody said so of another one of its network.
    """

    request: AuthorizationRequest
    issued_at: datetime
    interval_seconds: int
    state: State = State.PENDING
    claimed_by: str | None = None
    subject: Subject | None = None
    granted: frozenset[str] = frozenset()
    approval_id: str | None = None
    wrong_numbers: int = 0
    language: str | None = None
    attempt: int = 0
    lease_until: datetime | None = None
    reported: bool = False
    burned: bool = False

    @property
    def expires_at(self) -> datetime:
        return self.issued_at + timedelta(seconds=self.request.lifetime_seconds)

    def is_expired(self, now: datetime) -> bool:
        """True from `expires_at` on."""
        return now >= self.expires_at


def poller(client_id: str, code_challenge: str | None, jkt: str | None) -> str:
    """Who polls: the client, the challenge whose verifier it knows, and the key that it has proved.

    A poll of anybody else stamps nothing: it must not slow down whom they robbed.
    """
    if code_challenge is None and jkt is None:
        return client_id
    return f"{client_id} {code_challenge or ''} {jkt or ''}"


def spacing_seconds(interval_seconds: int) -> float:
    """The least time between two polls that are on time under this interval."""
    return interval_seconds * LEEWAY


def verdict(record: DeviceAuthorization, client_id: str, now: datetime, *, on_time: bool) -> Verdict:
    """What a poll of `client_id` at `now` is to be told. A decided code is never slowed.

    Source: RFC 8628 §3.5.
    """
    if record.request.client_id != client_id:
        return Verdict.FOREIGN
    if record.state is State.CONSUMED:
        return Verdict.CONSUMED
    if record.is_expired(now):
        return Verdict.EXPIRED
    if record.state is State.DENIED:
        return Verdict.DENIED
    if record.state is State.APPROVED:
        return Verdict.REDEEM
    if record.state is State.REDEEMING:
        lapsed = record.lease_until is None or now >= record.lease_until
        return Verdict.REDEEM if lapsed else Verdict.BUSY
    return Verdict.PENDING if on_time else Verdict.TOO_FAST


def slow_down(record: DeviceAuthorization) -> DeviceAuthorization:
    """The record with an interval 5 s longer, for good, up to 60 s (RFC 8628 §3.5).

    A client whose own interval is longer than 60 s keeps it.
    """
    ceiling = max(INTERVAL_MAX_SECONDS, record.interval_seconds)
    return replace(record, interval_seconds=min(record.interval_seconds + INTERVAL_STEP_SECONDS, ceiling))


def claim(record: DeviceAuthorization, subject_key: str, now: datetime) -> DeviceAuthorization:
    """The record as this subject's alone: the first to open a code keeps it.

    Raises ExpiredOrUnknown, AlreadyClaimed, AlreadyResolved.
    """
    if record.is_expired(now):
        raise ExpiredOrUnknown()
    if record.claimed_by not in (None, subject_key):
        raise AlreadyClaimed()
    if record.state is not State.PENDING:
        raise AlreadyResolved()
    return replace(record, claimed_by=subject_key)


def approve(
    record: DeviceAuthorization,
    subject: Subject,
    granted: frozenset[str],
    now: datetime,
    approval_id: str | None = None,
) -> DeviceAuthorization:
    """The record approved by `subject`. Raises as `claim` does, and ApprovalConsumed."""
    claimed = _decidable(record, subject, now, approval_id)
    return replace(claimed, state=State.APPROVED, subject=subject, granted=granted)


def deny(
    record: DeviceAuthorization, subject: Subject, now: datetime, approval_id: str | None = None
) -> DeviceAuthorization:
    """The record denied by `subject`. Raises as `claim` does, and ApprovalConsumed."""
    return replace(_decidable(record, subject, now, approval_id), state=State.DENIED)


def miss_number(
    record: DeviceAuthorization, subject: Subject, now: datetime, approval_id: str | None = None
) -> DeviceAuthorization:
    """The record after one more wrong confirmation number of `subject`: the last of CONFIRMATION_TRIES denies it.

    Raises as `claim` does, and ApprovalConsumed.
    """
    decidable = replace(_decidable(record, subject, now, approval_id), wrong_numbers=record.wrong_numbers + 1)
    if decidable.wrong_numbers >= CONFIRMATION_TRIES:
        return replace(decidable, state=State.DENIED)
    # Nothing is decided, so no approval is spent.
    return replace(decidable, approval_id=record.approval_id)


def _decidable(
    record: DeviceAuthorization, subject: Subject, now: datetime, approval_id: str | None
) -> DeviceAuthorization:
    # Written by the very swap that decides, so an approval is spent by a decision and by nothing else.
    if approval_id is not None and record.approval_id == approval_id:
        raise ApprovalConsumed()
    return replace(claim(record, subject.key, now), approval_id=approval_id)


def disown(record: DeviceAuthorization, subject_key: str) -> DeviceAuthorization:
    """The record reported by the person who opened it: denied, even where they had approved it, at any time.

    Only what was redeemed stays so: its token is to be revoked. Raises NotOpened, AlreadyClaimed.
    """
    if record.claimed_by is None:
        raise NotOpened()
    if record.claimed_by != subject_key:
        raise AlreadyClaimed()
    state = State.CONSUMED if record.state is State.CONSUMED else State.DENIED
    return replace(record, state=state, reported=True)


def burn(record: DeviceAuthorization) -> DeviceAuthorization:
    """The pending record denied by nobody, for the network that it came from."""
    return replace(record, state=State.DENIED, burned=True)


def lease(record: DeviceAuthorization, now: datetime) -> DeviceAuthorization:
    """The record with one poll at work on it, until the lease lapses."""
    return replace(
        record,
        state=State.REDEEMING,
        attempt=record.attempt + 1,
        lease_until=now + timedelta(seconds=LEASE_SECONDS),
    )


def release(record: DeviceAuthorization) -> DeviceAuthorization:
    """The leased record back to approved. `attempt` stays: what it may have minted stays fenced."""
    return replace(record, state=State.APPROVED, lease_until=None)


def refuse(record: DeviceAuthorization) -> DeviceAuthorization:
    """The leased record denied, because its subject may no longer sign in."""
    return replace(record, state=State.DENIED, lease_until=None)


def consume(record: DeviceAuthorization) -> DeviceAuthorization:
    """The leased record redeemed."""
    return replace(record, state=State.CONSUMED, lease_until=None)
