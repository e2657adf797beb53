"""A person says that a request was not theirs: it is undone, and so is what else came from there."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from .approvals import TRIES, decisions_of
from .audit import Audit, AuditEvent, Event, SessionFacts
from .clients import Clients
from .device_authorization import DeviceAuthorization, State, disown
from .errors import ExpiredOrUnknown, lost_every_race
from .ports import AuthorizationStore, BurnStore, Clock, SessionStore, Stored
from .rate_limits import UNKNOWN, RateLimits, is_same_network, network
from .sessions import Session, facts
from .subjects import AccountSubject, Subject
from .user_codes import UserCodes

# What a network got in the name of the person is ended as far back as this.
BACK = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Report:
    """What came of a report. `ended` counts sessions of the person.

    `spared`: the network that the request came from was left alone, because it is the person's own, or
    because it is not known.
    """

    client_name: str
    ended: int
    spared: bool


@dataclass(frozen=True, slots=True)
class _Request:
    """The request that is reported. `is_news` is False where it was reported before."""

    about: SessionFacts
    source: str
    is_news: bool


class Reports:
    """What people say was not theirs, with an account or through their identity provider."""

    def __init__(
        self,
        *,
        store: AuthorizationStore,
        user_codes: UserCodes,
        burns: BurnStore,
        sessions: SessionStore,
        clients: Clients,
        limits: RateLimits,
        audit: Audit,
        clock: Clock,
    ) -> None:
        self._store = store
        self._user_codes = user_codes
        self._burns = burns
        self._sessions = sessions
        self._clients = clients
        self._limits = limits
        self._audit = audit
        self._clock = clock

    def report(self, user_code: str, subject: Subject, address: str, token_id: str | None = None) -> Report:
        """Undo the request that `subject` has opened, and what its network did; the same again does no harm.

        `token_id` is given where we know which request it is, and not merely the person; the record may
        then be gone already. Others in that network lose no more than codes that wait: who shares the
        person's own network loses nothing. Raises ExpiredOrUnknown, NotOpened, AlreadyClaimed,
        RateLimited, StoreUnavailable.
        """
        # Asked first: while the database is away, nothing is half done.
        recent = self._sessions.live(
            self._clock(), account_id=None, client_id=None, subject_key=subject.key, since=self._clock() - BACK
        )
        request = self._disowned(user_code, subject, address, token_id)
        source = network(request.source)
        spared = source in (UNKNOWN, network(address))
        client = self._clients.get(request.about["client_id"])
        if request.is_news:
            self._audit.record(
                Event.REPORTED,
                **request.about,
                address=request.source,
                reason="network spared" if spared else "network burned",
            )
        if not spared:
            self._burns.burn(source)
            if request.is_news:
                self._limits.use_up("code", source)
        ended = self._end(recent, request, address)
        return Report(client.name if client else request.about["client_id"], ended, spared)

    def _disowned(self, user_code: str, subject: Subject, address: str, token_id: str | None) -> _Request:
        for lost in range(TRIES):
            stored = self._find(user_code, subject, token_id)
            if stored is None:
                return self._gone(subject, token_id)
            disowned = disown(stored.record, subject.key)
            if not lost:
                self._limits.hit(*decisions_of(subject))
            if disowned == stored.record:
                return _Request(_facts(disowned, subject), disowned.request.address, is_news=False)
            events = self._events(stored.record, disowned, subject, address)
            if self._store.swap(stored, disowned, events=events) is not None:
                for event in events:
                    self._audit.recorded(event)
                return _Request(_facts(disowned, subject), disowned.request.address, is_news=not stored.record.reported)
        raise lost_every_race()

    def _find(self, user_code: str, subject: Subject, token_id: str | None) -> Stored | None:
        """The record, or None where it is gone and `token_id` is all that is left."""
        guesser = subject.account_id if token_id is None and isinstance(subject, AccountSubject) else None
        if guesser is not None:
            self._limits.reserve("guesses", guesser)
        stored = self._user_codes.find_any(user_code)
        if stored is not None and token_id in (None, stored.record.request.id):
            if guesser is not None:
                self._limits.refund("guesses", guesser)
            return stored
        if token_id is None:
            self._limits.count_wrong_code()
            raise ExpiredOrUnknown()
        return None

    def _gone(self, subject: Subject, token_id: str | None) -> _Request:
        """What is left of a request once its record is gone: the session that it gave, if it gave one."""
        session = self._sessions.get(token_id) if token_id else None
        if session is None or session.subject.key != subject.key or session.expires_at <= self._clock():
            raise ExpiredOrUnknown()
        self._limits.hit(*decisions_of(subject))
        return _Request(facts(session), session.address or "", is_news=True)

    def _events(
        self, before: DeviceAuthorization, after: DeviceAuthorization, subject: Subject, address: str
    ) -> Sequence[AuditEvent]:
        if after.state is not State.DENIED or before.state is State.DENIED:
            return ()
        event = self._audit.drawn_up(
            Event.DENIED,
            **_facts(after, subject),
            scopes=after.granted or after.request.scopes,
            address=address,
            reason="reported",
        )
        return (event,)

    def _end(self, recent: Sequence[Session], request: _Request, address: str) -> int:
        """End the session that came of the request, and of `recent` those that its network got; how many."""
        own = self._sessions.get(request.about["token_id"])
        ending = {one.id: one for one in recent if is_same_network(one.address or "", request.source)}
        if own is not None:
            ending[own.id] = own
        ended = 0
        for session in ending.values():
            reason = "reported by its owner"
            event = self._audit.drawn_up(Event.REVOKED, address=address, reason=reason, **facts(session))
            if self._sessions.revoke(session.id, self._clock(), event):
                self._audit.stored(event)
                ended += 1
        return ended


def _facts(record: DeviceAuthorization, subject: Subject) -> SessionFacts:
    asked = record.request
    return {
        "token_id": asked.id,
        "client_id": asked.client_id,
        "subject": subject,
        "device_label": asked.device_label,
    }
