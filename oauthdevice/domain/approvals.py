"""What the person drives: look a user_code up, open it, approve or deny it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from . import codes
from .audit import Audit, AuditEvent, Event, SessionFacts
from .clients import Client, Clients
from .device_authorization import (
    CONFIRMATION_TRIES,
    AuthorizationRequest,
    DeviceAuthorization,
    State,
    approve,
    claim,
    deny,
    miss_number,
)
from .errors import (
    AlreadyResolved,
    ConfirmationFailed,
    ConfirmationRequired,
    ExpiredOrUnknown,
    NotOpened,
    NoTriesLeft,
    OtherNetworkBlocked,
    lost_every_race,
)
from .other_network import NOTHING, Confirmation, OtherNetwork, SignInAgain, demanded, digits, is_right_number
from .places import Place, Places, is_same_country
from .ports import AuthorizationStore, Clock, Stored
from .rate_limits import UNKNOWN, RateLimits, is_same_network, network
from .scopes import Scope, Scopes
from .subjects import Account, AccountSubject, Approval, Decider, Subject
from .user_codes import UserCodes

TRIES = 5
# What becomes of a record; raises where it may not.
Decision = Callable[[Stored, Client], DeviceAuthorization]


@dataclass(frozen=True, slots=True)
class LookedUp:
    """What anyone may know of a user_code. `client_id` is None where the code is unknown or expired."""

    valid: bool
    expires_in_remaining: int
    client_id: str | None


@dataclass(frozen=True, slots=True)
class Opened:
    """What a person sees before deciding.

    `user_code` is formatted. `address` is where the request came from, `network` all that counts as one
    address with it, "" where that is no more; `same_network` says whether the person's browser shares
    it. `place` is None where no database knows it, `same_country` where none knows it of both.
    `other_network` is what an approval from there still takes: less than the client demands, where
    `signed_in_again`. `has_number` says whether the tool has a number to show. `age` and `remaining` are
    by the store's clock.
    """

    user_code: str
    client: Client
    device_label: str | None
    scopes: tuple[Scope, ...]
    address: str
    network: str
    same_network: bool
    place: Place | None
    same_country: bool | None
    other_network: OtherNetwork
    signed_in_again: bool
    has_number: bool
    issued_at: datetime
    age: timedelta
    remaining: timedelta


class Approvals:
    """What people decide, with an account or with an approval of their identity provider."""

    def __init__(
        self,
        *,
        store: AuthorizationStore,
        user_codes: UserCodes,
        clients: Clients,
        scopes: Scopes,
        limits: RateLimits,
        places: Places,
        audit: Audit,
        clock: Clock,
    ) -> None:
        self._store = store
        self._user_codes = user_codes
        self._clients = clients
        self._scopes = scopes
        self._limits = limits
        self._places = places
        self._audit = audit
        # Of sign-ins, whose time is ours to say; that of a code is the store's.
        self._clock = clock

    def lookup(self, user_code: str, address: str) -> LookedUp:
        """Whether a user_code waits for a decision, and how many true seconds are left.

        Raises RateLimited, StoreUnavailable.
        """
        self._limits.hit("lookup", network(address))
        stored = self._find(user_code)
        if stored is None:
            self._limits.count_wrong_code()
            return LookedUp(False, 0, None)
        record = stored.record
        if record.state is not State.PENDING:
            return LookedUp(False, 0, record.request.client_id)
        remaining = int((record.expires_at - stored.now).total_seconds())
        return LookedUp(True, remaining, record.request.client_id)

    def enter(self, user_code: str, account: Account | None, address: str) -> str:
        """The normalised user_code of a person who typed it, if it still waits for a decision.

        Raises ExpiredOrUnknown, AlreadyResolved, RateLimited, StoreUnavailable.
        """
        self._limits.hit("lookup", network(address))
        stored = self._find_or_count(user_code, account)
        if stored.record.state is not State.PENDING:
            raise AlreadyResolved()
        return codes.normalise_user_code(user_code) or ""

    def waiting(self, user_code: str) -> AuthorizationRequest:
        """What a code that still waits for a decision asks for.

        Raises ExpiredOrUnknown, AlreadyResolved, StoreUnavailable.
        """
        stored = self._find_or_count(user_code, None)
        if stored.record.state is not State.PENDING:
            raise AlreadyResolved()
        return stored.record.request

    def facts(self, user_code: str) -> SessionFacts:
        """What an audit event tells of the request behind a code; nothing where there is none."""
        stored = self._find(user_code)
        if stored is None:
            return {}
        asked = stored.record.request
        return {"token_id": asked.id, "client_id": asked.client_id, "device_label": asked.device_label}

    def sign_in_again(self, user_code: str, subject: Subject) -> SignInAgain | None:
        """What the sign-in that `subject` has just made is worth for a code; None unless it had opened the code before.

        Whoever signs in without having seen what asks, and from where, has confirmed nothing.
        """
        stored = self._find(user_code)
        if stored is None or stored.record.claimed_by != subject.key:
            return None
        return SignInAgain(stored.record.request.id, subject.key, self._clock())

    def open(self, user_code: str, decider: Decider, address: str, sign_in_again: SignInAgain | None = None) -> Opened:
        """What the code asks for; from now on it is this person's to decide.

        Raises ExpiredOrUnknown, AlreadyClaimed, AlreadyResolved, InvalidScope, RateLimited.
        Source: RFC 8628 §3.3, §5.4.
        """
        subject = decider.subject
        for _ in range(TRIES):
            stored = self._find_or_count(user_code, decider)
            claimed = claim(stored.record, subject.key, stored.now)
            opened = self._opened(user_code, stored, decider, address, sign_in_again)
            if claimed == stored.record or self._store.swap(stored, claimed) is not None:
                return opened
        raise lost_every_race()

    def approve(
        self,
        user_code: str,
        decider: Decider,
        address: str,
        ticked: frozenset[str] | None = None,
        *,
        confirmation: Confirmation = NOTHING,
        on_page: bool = False,
        language: str | None = None,
        linked: bool = False,
    ) -> Client:
        """Let the client, which is returned, have a token. Of any number of decisions one wins.

        `ticked` are the optional scopes that the person left in; None leaves all. `on_page`: only
        a code that this person has opened. `language` is the locale that the person reads; `linked`: a page
        of another site sent them here, which is audited. A wrong number is counted in the record, by the
        same swap as a decision: no race lets anybody guess once more. Raises as `open` does, and NotOpened,
        ApprovalConsumed, OtherNetworkBlocked, ConfirmationRequired, ConfirmationFailed, NoTriesLeft.
        """
        subject = decider.subject

        def approved(stored: Stored, client: Client) -> DeviceAuthorization:
            requested = stored.record.request.scopes
            granted = self._scopes.granted(requested, client.scopes, subject.subject_type, ticked)
            if on_page and stored.record.claimed_by is None:
                raise NotOpened()
            decided = approve(stored.record, subject, granted, stored.now, _approval_id(decider))
            decided = replace(decided, language=language)
            demand = self._demanded(stored.record, client, decider, address, confirmation.sign_in_again)
            if demand is OtherNetwork.BLOCK:
                raise OtherNetworkBlocked()
            if demand is not OtherNetwork.CONFIRM:
                return decided
            if not digits(confirmation.number):
                raise ConfirmationRequired()
            if is_right_number(stored.record.request.confirmation_number, confirmation.number):
                return decided
            return miss_number(stored.record, subject, stored.now, _approval_id(decider))

        decided, client = self._decide(user_code, decider, address, approved, linked)
        if decided.state is State.DENIED:
            raise NoTriesLeft(client.name)
        if decided.state is State.PENDING:
            raise ConfirmationFailed(CONFIRMATION_TRIES - decided.wrong_numbers)
        return client

    def deny(self, user_code: str, decider: Decider, address: str, *, linked: bool = False) -> Client:
        """Refuse the client, which is returned. `linked` as in `approve`. Raises as `open`, and ApprovalConsumed."""

        def denied(stored: Stored, _: Client) -> DeviceAuthorization:
            return deny(stored.record, decider.subject, stored.now, _approval_id(decider))

        return self._decide(user_code, decider, address, denied, linked)[1]

    def _decide(
        self, user_code: str, decider: Decider, address: str, decision: Decision, linked: bool
    ) -> tuple[DeviceAuthorization, Client]:
        for lost in range(TRIES):
            stored = self._find_or_count(user_code, decider)
            client = self._client_of(stored.record)
            decided = decision(stored, client)
            if not lost:
                # One decision, however many races it takes.
                self._limits.hit(*decisions_of(decider.subject))
            events = self._events(decided, decider.subject, address, linked)
            if self._store.swap(stored, decided, events=events) is not None:
                for event in events:
                    self._audit.recorded(event)
                return decided, client
        raise lost_every_race()

    def _events(
        self, decided: DeviceAuthorization, subject: Subject, address: str, linked: bool
    ) -> Sequence[AuditEvent]:
        if decided.state is State.PENDING:
            return ()
        reason = "opened by a link on another site" if linked else ""
        if decided.wrong_numbers >= CONFIRMATION_TRIES:
            reason = "wrong confirmation numbers"
        approved = decided.state is State.APPROVED
        event = self._audit.drawn_up(
            Event.APPROVED if approved else Event.DENIED,
            token_id=decided.request.id,
            client_id=decided.request.client_id,
            subject=subject,
            device_label=decided.request.device_label,
            scopes=decided.granted if approved else decided.request.scopes,
            address=address,
            reason=reason,
        )
        return (event,)

    def _demanded(
        self,
        record: DeviceAuthorization,
        client: Client,
        decider: Decider,
        address: str,
        sign_in_again: SignInAgain | None,
    ) -> OtherNetwork:
        """What an approval by this person from `address` still takes."""
        demand = demanded(client.other_network, record.request.address, address)
        if demand is OtherNetwork.CONFIRM and self._has_signed_in_again(record, decider, sign_in_again):
            return OtherNetwork.WARN
        return demand

    def _has_signed_in_again(
        self, record: DeviceAuthorization, decider: Decider, sign_in_again: SignInAgain | None
    ) -> bool:
        if isinstance(decider, Approval):
            # It is for this one code, and over after five minutes.
            return decider.signed_in_again
        return sign_in_again is not None and sign_in_again.counts(record.request.id, decider.subject.key, self._clock())

    def _find(self, user_code: str) -> Stored | None:
        return self._user_codes.find(user_code)

    def _find_or_count(self, user_code: str, decider: Decider | None) -> Stored:
        if isinstance(decider, Approval):
            return self._find_approved(user_code, decider)
        if decider is not None:
            self._limits.reserve("guesses", decider.id)
        stored = self._find(user_code)
        if stored is None:
            self._limits.count_wrong_code()
            raise ExpiredOrUnknown()
        if decider is not None:
            self._limits.refund("guesses", decider.id)
        return stored

    def _find_approved(self, user_code: str, approval: Approval) -> Stored:
        # Whoever holds an approval has nothing to guess: it is for one code.
        stored = self._find(user_code)
        if stored is None or stored.record.request.id != approval.authorization_id:
            raise ExpiredOrUnknown()
        return stored

    def _client_of(self, record: DeviceAuthorization) -> Client:
        client = self._clients.get(record.request.client_id)
        if client is None:
            raise ExpiredOrUnknown(detail="its client is no longer declared")
        return client

    def _opened(
        self, user_code: str, stored: Stored, decider: Decider, address: str, sign_in_again: SignInAgain | None
    ) -> Opened:
        record, subject = stored.record, decider.subject
        client = self._client_of(record)
        source = record.request.address
        place = self._places.find(source)
        return Opened(
            user_code=codes.format_user_code(codes.normalise_user_code(user_code) or ""),
            client=client,
            device_label=record.request.device_label,
            scopes=tuple(
                self._scopes.described(self._scopes.granted(record.request.scopes, client.scopes, subject.subject_type))
            ),
            address=source,
            network="" if network(source) in (source, UNKNOWN) else network(source),
            same_network=is_same_network(source, address),
            place=place,
            same_country=is_same_country(place, self._places.find(address)),
            other_network=self._demanded(record, client, decider, address, sign_in_again),
            signed_in_again=self._has_signed_in_again(record, decider, sign_in_again),
            has_number=record.request.confirmation_number is not None,
            issued_at=record.issued_at,
            age=stored.now - record.issued_at,
            remaining=record.expires_at - stored.now,
        )


def _approval_id(decider: Decider) -> str | None:
    return decider.id if isinstance(decider, Approval) else None


def decisions_of(subject: Subject) -> tuple[str, str]:
    """The limit on the decisions of one person, and its key."""
    if isinstance(subject, AccountSubject):
        return "decide", subject.account_id
    return "approve_external", subject.email.casefold()
