"""The events worth a row and a log line, and their fields. Never a code, a token or a digest."""

import logging
import uuid
from contextvars import ContextVar
from dataclasses import dataclass, fields
from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from .subjects import Subject

if TYPE_CHECKING:
    from .ports import AuditStore, Clock, Meter

log = logging.getLogger(__name__)

# Which request is being answered, for every line and row that it causes. Set by the HTTP side.
request_id: ContextVar[str | None] = ContextVar("request_id", default=None)


class Event(Enum):
    """What happened, as the row and the line name it."""

    STARTED = "started"
    APPROVED = "approved"
    DENIED = "denied"
    REPORTED = "reported"
    REJECTED = "rejected"
    REDEEMED = "redeemed"
    REDEEMED_ELSEWHERE = "redeemed_from_another_address"
    REPLAYED = "replayed"
    REFRESHED = "refreshed"
    REUSE_DETECTED = "reuse_detected"
    REVOKED = "revoked"
    EXPIRED = "expired"
    LOGIN = "login"
    LOGIN_FAILED = "login_failed"
    PASSKEY_ADDED = "passkey_added"
    PASSKEY_REMOVED = "passkey_removed"
    LIMITED = "limited"
    USER_CODES_LENGTHENED = "user_codes_lengthened"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEvent:
    """One event. What does not apply is None; `subject` is the key of a subject, or an e-mail that failed."""

    id: str
    at: datetime
    event: str
    token_id: str | None = None
    client_id: str | None = None
    subject: str | None = None
    device_label: str | None = None
    scopes: str | None = None
    address: str | None = None
    request_id: str | None = None
    reason: str | None = None

    def members(self) -> dict[str, Any]:
        """What applies, as JSON types."""
        told = {name: getattr(self, name) for name in MEMBERS if getattr(self, name) is not None}
        return told | {"at": self.at.isoformat().replace("+00:00", "Z")}


# The fields of an event, in order.
MEMBERS = tuple(one.name for one in fields(AuditEvent))


class SessionFacts(TypedDict, total=False):
    """What an event tells of the session it is about."""

    token_id: str
    client_id: str
    subject: Subject | str | None
    device_label: str | None


class Facts(SessionFacts, total=False):
    """What a caller tells of an event; what it leaves out does not apply."""

    scopes: frozenset[str]
    address: str
    reason: str


class Audit:
    """Records events: the log line at once, the row at once or, on hot paths, a little later."""

    def __init__(self, store: "AuditStore", clock: "Clock", meter: "Meter") -> None:
        self._store = store
        self._clock = clock
        self._meter = meter

    def record(
        self,
        event: Event,
        *,
        deferred: bool = False,
        **facts: Unpack[Facts],
    ) -> None:
        """`deferred` keeps the database off the caller's path.

        While the database is away, rows wait in Redis. Raises StoreUnavailable where that is away too.
        """
        happened = self.drawn_up(event, **facts)
        self._tell(happened)
        if deferred:
            self._store.defer(happened)
        else:
            self._store.append(happened)

    def recorded(self, happened: AuditEvent, waiting: int | None = None) -> None:
        """As `record`, of an event that its store has let wait together with what it tells of.

        `waiting`: so many wait now, and this one may too. None: its row comes at once.
        """
        self._tell(happened)
        if waiting is None:
            self._store.append(happened, waits=True)
        else:
            self._store.settle_when_due(waiting)

    def stored(self, happened: AuditEvent) -> None:
        """As `record`, of an event whose row its store has written together with what it tells of."""
        self._tell(happened)
        # Who found the end of the chain held by that transaction has left a row for it to look after.
        self._store.settle_left()

    def _tell(self, happened: AuditEvent) -> None:
        self._meter.happened(happened)
        if log.isEnabledFor(logging.INFO):
            log.info("%s", happened.event, extra={"audit": happened.members()})

    def drawn_up(self, event: Event, **facts: Unpack[Facts]) -> AuditEvent:
        """The event, recorded nowhere yet."""
        subject, scopes = facts.get("subject"), facts.get("scopes")
        return AuditEvent(
            id=str(uuid.uuid4()),
            at=self._clock(),
            event=event.value,
            token_id=facts.get("token_id"),
            client_id=facts.get("client_id"),
            subject=_printable(subject if isinstance(subject, str | None) else subject.key),
            device_label=facts.get("device_label"),
            scopes=None if scopes is None else " ".join(sorted(scopes)),
            address=facts.get("address"),
            request_id=request_id.get(),
            reason=facts.get("reason") or None,
        )


def _printable(text: str | None) -> str | None:
    """What a stranger typed, as one line that every database and log takes."""
    if text is None:
        return None
    return "".join(symbol if symbol.isprintable() else "\N{REPLACEMENT CHARACTER}" for symbol in text)[:600]
