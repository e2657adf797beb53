"""From an approved device authorization to the token, and to the same token again.

No token exists before the client fetches it. Redis does not roll back with SQL, so: lease the
record, mint in one SQL transaction, mark the record consumed. After a crash in between, the lease
lapses and the next poll redeems again; its higher attempt number makes the store end what the first
one minted, and keeps a first one that was merely slow from minting at all.
"""

from datetime import timedelta
from typing import Any

from .answers import NewTokens, token_answer
from .audit import Audit, AuditEvent, Event
from .clients import Client
from .credentials import credential_digest, new_credential
from .device_authorization import consume, lease, refuse, release
from .errors import AccessDenied, EmailBelongsToAccount, InvalidGrant, SSOFailed, StaleLease, StoreUnavailable
from .external_subjects import ExternalSubjects
from .keys import seal, unseal
from .ports import AccountStore, AuthorizationStore, Clock, Meter, SessionStore, Stored
from .rate_limits import is_same_network
from .sessions import NewSession, TokenPrefixes
from .subjects import Account, ExternalSubject, Subject


class Redeemer:
    """Mints the token of an approved device authorization, once.

    `redelivery_seconds` is how long the answer can be fetched again; 0 turns that off. With `notify`, the owner
    of a new device is told by mail.
    """

    def __init__(
        self,
        *,
        store: AuthorizationStore,
        sessions: SessionStore,
        accounts: AccountStore,
        external_subjects: ExternalSubjects,
        prefixes: TokenPrefixes,
        redelivery_seconds: int,
        notify: bool = False,
        audit: Audit,
        meter: Meter,
        clock: Clock,
    ) -> None:
        self._store = store
        self._sessions = sessions
        self._accounts = accounts
        self._external_subjects = external_subjects
        self._prefixes = prefixes
        self._redelivery_seconds = redelivery_seconds
        self._notify = notify
        self._audit = audit
        self._meter = meter
        self._clock = clock

    def redeem(
        self, seen: Stored, client: Client, device_code: str, address: str, jkt: str | None
    ) -> dict[str, Any] | None:
        """The token answer, or None where another poll was faster. `jkt` is the key that the tokens are bound to.

        Raises AccessDenied where the subject may no longer sign in, StoreUnavailable.
        """
        leased = self._store.swap(seen, lease(seen.record, seen.now))
        if leased is None:
            return None
        try:
            answer = self._mint(leased, client, jkt)
        except StaleLease:
            return None
        except AccessDenied as error:
            rejected = self._drawn_up(Event.REJECTED, leased, address, reason=error.detail)
            if self._store.swap(leased, refuse(leased.record), events=(rejected,)) is not None:
                self._audit.recorded(rejected)
                if leased.record.attempt > 1:
                    # What an earlier attempt minted, and could not tell, nobody will fetch any more.
                    self._end(leased, self._drawn_up(Event.REVOKED, leased, address, reason="never delivered"))
            raise
        except StoreUnavailable:
            # Nothing was answered, so the next poll need not wait for the lease to lapse.
            self._store.swap(leased, release(leased.record))
            raise
        sealed = seal(device_code, answer) if self._redelivery_seconds else ""
        events = [self._drawn_up(Event.REDEEMED, leased, address)]
        if not is_same_network(address, leased.record.request.address):
            events.append(self._drawn_up(Event.REDEEMED_ELSEWHERE, leased, address))
        consumed = self._store.swap(
            leased,
            consume(leased.record),
            sealed_answer=sealed,
            sealed_answer_seconds=self._redelivery_seconds,
            events=events,
        )
        if consumed is None:
            return None
        for event in events:
            self._audit.recorded(event)
        self._meter.redeemed(client.client_id, (leased.now - leased.record.issued_at).total_seconds())
        return answer

    def redeliver(self, seen: Stored, device_code: str, address: str) -> dict[str, Any]:
        """The same answer again while it is kept, for an answer that was lost on its way.

        Afterwards the code was replayed: what it gave is revoked, and InvalidGrant raised.
        """
        sealed = self._store.sealed_answer(seen.handle)
        if sealed is not None and self._is_live(seen):
            return unseal(device_code, sealed)
        self._end(seen, self._drawn_up(Event.REPLAYED, seen, address))
        raise InvalidGrant(detail="already redeemed")

    def abandon(self, seen: Stored, address: str) -> None:
        """The code expired with a redemption unfinished: what that may have minted reaches nobody, and ends."""
        # Without a lease it was given back, after an answer of the database that may have been lost.
        lapsed = seen.record.lease_until is None or seen.now >= seen.record.lease_until
        if seen.record.attempt > 0 and lapsed:
            if seen.record.lease_until is not None and self._store.swap(seen, refuse(seen.record)) is None:
                # Whoever held the lease has come to its end after all, or the next poll does this.
                return
            self._end(seen, self._drawn_up(Event.REVOKED, seen, address, reason="never delivered"))

    def undo(self, seen: Stored, address: str) -> None:
        """The person reported it while it was being redeemed: what that minted reaches nobody, and ends."""
        unfinished = seen.record.reported and seen.record.attempt > 0
        if unfinished:
            self._end(seen, self._drawn_up(Event.REVOKED, seen, address, reason="reported by its owner"))

    def _end(self, seen: Stored, event: AuditEvent) -> None:
        if self._sessions.revoke(seen.record.request.id, self._clock(), event):
            self._audit.stored(event)

    def _is_live(self, seen: Stored) -> bool:
        try:
            return self._sessions.get(seen.record.request.id) is not None
        except StoreUnavailable:
            # An approval must not be lost to an outage; the token itself is checked wherever it is used.
            return True

    def _drawn_up(self, event: Event, stored: Stored, address: str, reason: str = "") -> AuditEvent:
        record = stored.record
        return self._audit.drawn_up(
            event,
            token_id=record.request.id,
            client_id=record.request.client_id,
            subject=record.subject,
            device_label=record.request.device_label,
            scopes=record.granted,
            address=address,
            reason=reason,
        )

    def _admitted(self, subject: Subject) -> Account | None:
        """The account of a subject that may still come in; None for an external one. Raises AccessDenied."""
        if isinstance(subject, ExternalSubject):
            try:
                self._external_subjects.admit(subject)
            except (EmailBelongsToAccount, SSOFailed) as error:
                raise AccessDenied(detail=error.error) from error
            return None
        account = self._accounts.get(subject.account_id)
        if account is None or not account.active:
            raise AccessDenied(detail="the account is not active")
        return account

    def _mint(self, leased: Stored, client: Client, jkt: str | None) -> dict[str, Any]:
        record = leased.record
        subject = record.subject
        if subject is None:
            raise AccessDenied(detail="approved without a subject")
        account = self._admitted(subject)
        token = new_credential(self._prefixes.of(subject))
        refresh_token = new_credential(self._prefixes.refresh) if client.refresh else None
        issued_at = self._clock()
        token_expires_at = issued_at + timedelta(seconds=client.access_token_lifetime_seconds)
        session_seconds = client.refresh_token_lifetime_seconds if client.refresh else 0
        order = NewSession(
            id=record.request.id,
            attempt=record.attempt,
            subject=subject,
            client_id=client.client_id,
            label=record.request.device_label,
            address=record.request.address,
            scopes=record.granted,
            prefix=self._prefixes.of(subject),
            token_digest=credential_digest(token),
            refresh_digest=credential_digest(refresh_token) if refresh_token else None,
            issued_at=issued_at,
            expires_at=max(token_expires_at, issued_at + timedelta(seconds=session_seconds)),
            token_expires_at=token_expires_at,
            notify=self._notify,
            language=record.language,
            jkt=jkt,
        )
        self._sessions.mint(order)
        tokens = NewTokens(token, refresh_token, issued_at, token_expires_at, record.granted, jkt)
        return token_answer(tokens, order.id, subject, account)
