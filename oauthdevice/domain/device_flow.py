"""What the client drives: start a device authorization and poll it. Decisions live in `approvals`."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from . import codes, pkce
from .audit import Audit, AuditEvent, Event
from .clients import Client, ClientCredentials, Clients, Policy
from .device_authorization import (
    AuthorizationRequest,
    DeviceAuthorization,
    State,
    Verdict,
    poller,
    slow_down,
    spacing_seconds,
    verdict,
)
from .dpop import DPoP, SentProof, SignedProof
from .errors import (
    AccessDenied,
    AuthorizationPending,
    DomainError,
    ExpiredToken,
    InvalidGrant,
    SlowDown,
    UnauthorizedClient,
    UserCodesExhausted,
    UserCodeTaken,
    lost_every_race,
)
from .held_polls import HeldPolls
from .other_network import OtherNetwork, new_confirmation_number
from .ports import AuthorizationStore, Handle, Stored
from .rate_limits import RateLimits, network
from .redemption import Redeemer
from .scopes import Scopes

# How often a lost race is run again, and how often a taken user_code is drawn again.
TRIES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class StartRequest:
    """A device authorization request (RFC 8628 §3.1). `scope` is as on the wire, "" for none.

    The challenge is that of RFC 7636 §4.3; `dpop_jkt` and `proof` are those of RFC 9449 §10.
    """

    credentials: ClientCredentials
    scope: str
    device_label: str | None
    address: str
    code_challenge: str | None = None
    code_challenge_method: str | None = None
    dpop_jkt: str | None = None
    proof: SentProof | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """The two codes of a new device authorization; both lifetimes in seconds (RFC 8628 §3.2)."""

    device_code: str
    user_code: str
    expires_in: int
    interval: int


class DeviceFlow:
    """The device grant as the client sees it."""

    def __init__(
        self,
        *,
        store: AuthorizationStore,
        clients: Clients,
        limits: RateLimits,
        redeemer: Redeemer,
        dpop: DPoP,
        user_code_key: bytes,
        scopes: Scopes,
        audit: Audit,
        held_polls: HeldPolls,
        draw_user_code: Callable[[int], str] = codes.new_user_code,
    ) -> None:
        self._store = store
        self._clients = clients
        self._limits = limits
        self._redeemer = redeemer
        self._dpop = dpop
        self._user_code_key = user_code_key
        self._scopes = scopes
        self._audit = audit
        self._held_polls = held_polls
        self._draw_user_code = draw_user_code

    def start(self, request: StartRequest) -> Started:
        """A new pending device authorization.

        Raises InvalidClient, InvalidScope, InvalidRequest, InvalidDPoPProof, RateLimited, UserCodesExhausted,
        StoreUnavailable.
        Source: RFC 8628 §3.1, §3.2.
        """
        client = self._clients.authenticate(request.credentials)
        if not client.device_flow:
            raise UnauthorizedClient()
        scopes = self._scopes.requested(request.scope, client.scopes)
        challenge = pkce.asked_challenge(client.pkce, request.code_challenge, request.code_challenge_method)
        self._limits.hit("code", network(request.address))
        wanted = AuthorizationRequest(
            id=str(uuid.uuid4()),
            client_id=client.client_id,
            scopes=scopes,
            device_label=request.device_label,
            address=request.address,
            lifetime_seconds=client.device_code_lifetime_seconds,
            confirmation_number=new_confirmation_number() if client.other_network is OtherNetwork.CONFIRM else None,
            code_challenge=challenge,
            jkt=self._dpop.key_at_start(client.dpop, request.dpop_jkt, request.proof),
        )
        started = self._audit.drawn_up(
            Event.STARTED,
            token_id=wanted.id,
            client_id=client.client_id,
            device_label=wanted.device_label,
            scopes=scopes,
            address=request.address,
        )
        device_code, user_code, waiting = self._create(wanted, client, started)
        self._audit.recorded(started, waiting)
        return Started(
            device_code=device_code,
            user_code=codes.format_user_code(user_code),
            expires_in=client.device_code_lifetime_seconds,
            interval=client.interval_seconds,
        )

    def _create(self, wanted: AuthorizationRequest, client: Client, started: AuditEvent) -> tuple[str, str, int]:
        """Both codes, and how many events wait."""
        length = codes.USER_CODE_LENGTH
        if self._limits.is_alarmed():
            length = codes.LONG_USER_CODE_LENGTH
        for _ in range(TRIES):
            user_code = self._draw_user_code(length)
            digest = codes.user_code_digest(self._user_code_key, user_code)
            device_code = codes.new_device_code(codes.shard_of_user_code(digest))
            try:
                waiting = self._store.create(
                    _handle(device_code),
                    digest,
                    wanted,
                    client.interval_seconds,
                    spacing_seconds(client.interval_seconds),
                    event=started,
                )
            except UserCodeTaken:
                continue
            return device_code, user_code, waiting
        raise UserCodesExhausted(detail=f"no free user_code in {TRIES} draws")

    def poll(
        self,
        client: Client,
        device_code: str,
        address: str,
        wait_seconds: float = 0,
        *,
        code_verifier: str | None = None,
        proof: SentProof | None = None,
    ) -> dict[str, Any]:
        """The token answer (DESIGN.md §2.4), or the error that says why there is none yet.

        `wait_seconds`: how long the client would rather wait for the decision than be told that there is none.
        Who has stolen the device_code and not what belongs to it is refused before anything is told, at each poll;
        the authorization goes on as if they had not been there.
        Raises InvalidGrant, InvalidDPoPProof, ExpiredToken, AccessDenied, AuthorizationPending, SlowDown,
        RateLimited, Unavailable. Source: RFC 8628 §3.4, §3.5.
        """
        if not codes.is_device_code(device_code):
            raise InvalidGrant(detail="malformed")
        # Before the poll is stamped: whoever is told a nonce comes back at once.
        proved = self._dpop.read(client.dpop, proof)
        handle, who = _handle(device_code), _pollers(client, code_verifier, proved)
        if wait_seconds and self._held_polls.bounded(wait_seconds):
            with self._held_polls.reading():
                stored = self._store.touch(handle, *who)
            jkt = self._key(stored, client, code_verifier, proved, address)
            if stored is not None:
                stored = self._hold(stored, client, wait_seconds)
        else:
            stored = self._store.touch(handle, *who)
            jkt = self._key(stored, client, code_verifier, proved, address)
        for _ in range(TRIES):
            if stored is None:
                self._limits.hit("token_unknown", network(address))
                raise InvalidGrant(detail="unknown")
            answer = self._answer(stored, client, device_code, address, jkt)
            if answer is not None:
                return answer
            stored = self._store.touch(handle, *who)
        raise lost_every_race()

    def _key(
        self, stored: Stored | None, client: Client, code_verifier: str | None, proved: SignedProof | None, address: str
    ) -> str | None:
        """The key that the tokens of this poll are bound to; None for none.

        Raises InvalidGrant, InvalidDPoPProof, RateLimited for a poll that is to be told nothing.
        """
        if stored is None or stored.record.request.client_id != client.client_id:
            return None
        request = stored.record.request
        try:
            pkce.check_verifier(client.pkce, request.code_challenge, code_verifier)
            return self._dpop.key_at_poll(client.dpop, request.jkt, proved)
        except InvalidGrant:
            # As with an unknown code: whoever tries is slowed down, and the code is not.
            self._limits.hit("token_unknown", network(address))
            raise

    def _hold(self, stored: Stored, client: Client, seconds: float) -> Stored | None:
        """The record as soon as it is decided, or as it is after so many seconds.

        Not held is who polls too fast, and who has yet to be told the number that it is to show.
        """
        if stored.record.request.confirmation_number is not None or not _is_pending(stored, client):
            return stored
        left = (stored.record.expires_at - stored.now).total_seconds()
        looked: Stored | None = stored
        with self._held_polls.hold(stored.handle, min(seconds, left)) as turns:
            for _ in turns:
                looked = self._store.look(stored.handle)
                if looked is None or not _is_pending(looked, client):
                    break
        return looked

    def _answer(
        self, stored: Stored, client: Client, device_code: str, address: str, jkt: str | None
    ) -> dict[str, Any] | None:
        """The token answer or the error of one poll; None where a race was lost and must be run again."""
        told = verdict(stored.record, client.client_id, stored.now, on_time=stored.on_time)
        if told is Verdict.REDEEM:
            return self._redeemer.redeem(stored, client, device_code, address, jkt)
        if told is Verdict.CONSUMED:
            return self._redeemer.redeliver(stored, device_code, address)
        if told is Verdict.EXPIRED:
            self._redeemer.abandon(stored, address)
        if told is Verdict.DENIED:
            self._redeemer.undo(stored, address)
        if told is Verdict.TOO_FAST and not self._slow_down(stored):
            return None
        raise _refusal(told, stored.record)

    def _slow_down(self, stored: Stored) -> bool:
        """False where the record changed meanwhile."""
        slowed = slow_down(stored.record)
        if slowed == stored.record:
            return True
        spacing = spacing_seconds(slowed.interval_seconds)
        return self._store.swap(stored, slowed, spacing_seconds=spacing) is not None


def _pollers(client: Client, code_verifier: str | None, proved: SignedProof | None) -> tuple[str, str]:
    """Who polls, with the key that they proved and without."""
    challenge = None
    if code_verifier is not None and client.pkce is not Policy.OFF:
        challenge = pkce.challenge_of(code_verifier)
    keyless = poller(client.client_id, challenge, None)
    return poller(client.client_id, challenge, proved.thumbprint) if proved else keyless, keyless


def _is_pending(stored: Stored, client: Client) -> bool:
    """Whether a poll would be told to come again, and not that it came too early."""
    return verdict(stored.record, client.client_id, stored.now, on_time=stored.on_time) is Verdict.PENDING


def _refusal(told: Verdict, record: DeviceAuthorization) -> DomainError:
    if told is Verdict.FOREIGN:
        return InvalidGrant(detail="of another client")
    if told is Verdict.EXPIRED:
        return ExpiredToken()
    if told is Verdict.DENIED:
        return AccessDenied()
    if told is Verdict.TOO_FAST:
        return SlowDown(interval=slow_down(record).interval_seconds, **_number(record))
    return AuthorizationPending(interval=record.interval_seconds, **_number(record))


def _number(record: DeviceAuthorization) -> dict[str, str]:
    """What the tool is to show while somebody may still have to type it. To the one who has the device_code alone."""
    number = record.request.confirmation_number
    return {} if number is None or record.state is not State.PENDING else {"confirmation_number": number}


def _handle(device_code: str) -> Handle:
    return Handle(codes.shard_of_device_code(device_code), codes.device_code_digest(device_code))
