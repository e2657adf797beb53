"""Tells other programs of audit events, as https://www.standardwebhooks.com has it: what, signed how, and tried when.

What is to be delivered lies in the database from the transaction on that wrote the audit row, until its receiver
answered 2xx. To claim is to put off, as with mails: a process that dies leaves the delivery due again a little later.
So none is lost, and some may come twice, which a receiver knows by `webhook-id`.
"""

import json
import logging
import random
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from standardwebhooks import Webhook

from .audit import AuditEvent
from .audit_chain import Link
from .errors import DomainError

if TYPE_CHECKING:
    from .ports import Clock

log = logging.getLogger(__name__)

# How long one process may take for one delivery before another tries: longer than `webhook_timeout_seconds` can be.
CLAIM = timedelta(minutes=5)
# The waits after the first attempt, the second and so on: the schedule of the specification, three days in all.
WAITS = (
    timedelta(seconds=5),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=5),
    timedelta(hours=10),
    timedelta(hours=14),
    timedelta(hours=20),
    timedelta(hours=24),
)
# So that what failed together is not tried again together: each wait is longer by up to this part of it.
JITTER = 0.2
LONGEST_RETRY_AFTER = timedelta(days=1)
GONE = 410
# Answers by which a receiver says that it takes nothing now, whatever it is.
BUSY = {429, 502, 503, 504}


@dataclass(frozen=True, slots=True)
class Subscription:
    """Which addresses are told of which events (names, as in the audit; none: of all)."""

    urls: frozenset[str] = frozenset()
    events: frozenset[str] = frozenset()

    def deliveries(self, event: AuditEvent) -> Iterator[tuple[str, str]]:
        """An id and an address for each delivery of an event."""
        if not self.events or event.event in self.events:
            for url in sorted(self.urls):
                yield str(uuid.uuid4()), url


@dataclass(frozen=True, slots=True)
class Delivery:
    """An event on its way to one address. `attempts` counts this one too, where there is one.

    `next_attempt_at` is None where it was given up; `problem` tells how the last attempt ended, None before the first.
    """

    id: str
    url: str
    event: AuditEvent
    link: Link
    attempts: int
    next_attempt_at: datetime | None = None
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """What came of one request. `status` is None where there was no answer, and `problem` then says why."""

    status: int | None
    problem: str = ""
    retry_after_seconds: int = 0

    @property
    def taken(self) -> bool:
        """Whether the receiver has it now."""
        return self.status is not None and 200 <= self.status < 300

    @property
    def told(self) -> str:
        """The same in words."""
        return self.problem if self.status is None else f"status {self.status}"


class Receivers(Protocol):
    """What speaks HTTP with receivers."""

    def post(self, url: str, headers: dict[str, str], body: bytes) -> Reply:
        """One request. Follows no redirect and raises nothing: what goes wrong is in the reply."""


class DeliveryStore(Protocol):
    """Deliveries that wait. Each method is one transaction and may raise StoreUnavailable."""

    def claim(self, url: str, now: datetime, until: datetime) -> Delivery | None:
        """One that is due, for the caller alone until then; None where there is none."""

    def done(self, delivery: Delivery) -> None:
        """It arrived, whoever brought it."""

    def put_off(self, delivery: Delivery, until: datetime | None, problem: str) -> None:
        """Try again then; None: never. Nothing is changed where another has claimed it meanwhile."""

    def waiting(self, *, failed: bool) -> Iterator[Delivery]:
        """Those that wait, or those that were given up; the oldest event first."""

    def renew(self, delivery_id: str | None, now: datetime) -> int:
        """Begin anew with one delivery, or with all that were given up; with how many."""

    def forget(self, delivery_id: str | None) -> int:
        """Delete one delivery, or all that were given up; how many."""

    def counts(self) -> tuple[int, int]:
        """How many wait, and how many were given up."""


class NoSuchDelivery(DomainError):
    """An operator named a delivery that is not there: it arrived, or never was."""

    error = "no_such_delivery"
    description = "There is no such delivery: it arrived or never was."


class Webhooks:
    """Delivers what is due, and lets an operator see and decide about the rest."""

    def __init__(
        self,
        store: DeliveryStore,
        receivers: Receivers,
        secrets: Sequence[str],
        clock: "Clock",
        chance: Callable[[], float] = random.random,
    ) -> None:
        """`secrets` sign all of them, in the form whsec_BASE64; `chance` gives numbers from 0 to 1."""
        self._store = store
        self._receivers = receivers
        self._signers = [Webhook(secret) for secret in secrets]
        self._clock = clock
        self._chance = chance

    def deliver_due(self, url: str, go_on: Callable[[], bool]) -> int:
        """Deliver what is due at one address; how many arrived. Raises StoreUnavailable.

        Stops early when the receiver is away, so that not everything that waits is put off by hours, and where
        `go_on` says so.
        """
        arrived = 0
        while go_on() and (delivery := self._claim(url)):
            reply = self._receivers.post(url, *self._message(delivery))
            if reply.taken:
                self._store.done(delivery)
                arrived += 1
                continue
            self._failed(delivery, reply)
            if reply.status is None or reply.status in BUSY:
                break
        return arrived

    def waiting(self, *, failed: bool = False) -> Iterator[Delivery]:
        """What waits, or what was given up."""
        return self._store.waiting(failed=failed)

    def counts(self) -> tuple[int, int]:
        """How many wait, and how many were given up."""
        return self._store.counts()

    def retry(self, delivery_id: str | None) -> int:
        """Deliver one as if for the first time, or all that were given up. Raises NoSuchDelivery."""
        return self._found(delivery_id, self._store.renew(delivery_id, self._clock()))

    def forget(self, delivery_id: str | None) -> int:
        """Never deliver one, nor show it, or all that were given up. Raises NoSuchDelivery."""
        return self._found(delivery_id, self._store.forget(delivery_id))

    def _claim(self, url: str) -> Delivery | None:
        now = self._clock()
        return self._store.claim(url, now, now + CLAIM)

    def _message(self, delivery: Delivery) -> tuple[dict[str, str], bytes]:
        now, body = self._clock(), payload(delivery.event, delivery.link)
        signatures = (signer.sign(delivery.event.id, now.astimezone(UTC), body) for signer in self._signers)
        headers = {
            "content-type": "application/json",
            "webhook-id": delivery.event.id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": " ".join(signatures),
        }
        return headers, body.encode()

    def _failed(self, delivery: Delivery, reply: Reply) -> None:
        now, again = self._clock(), wait(delivery.attempts, reply, self._chance())
        self._store.put_off(delivery, now + again if again is not None else None, reply.told)
        # The address may hold a secret.
        about = (delivery.id, urlsplit(delivery.url).hostname, reply.told)
        if again is None:
            log.error("the webhook %s to %s is given up: %s", *about)
        else:
            log.warning("the webhook %s to %s waits: %s", *about)

    @staticmethod
    def _found(delivery_id: str | None, count: int) -> int:
        if delivery_id is not None and not count:
            raise NoSuchDelivery()
        return count


def wait(attempts: int, reply: Reply, chance: float) -> timedelta | None:
    """How long to wait after so many failed attempts; None: it is given up. `chance` is from 0 to 1."""
    if reply.status == GONE or attempts > len(WAITS):
        return None
    scheduled = WAITS[attempts - 1] * (1 + JITTER * chance)
    return max(scheduled, min(timedelta(seconds=reply.retry_after_seconds), LONGEST_RETRY_AFTER))


def payload(event: AuditEvent, link: Link) -> str:
    """The body: the event as the audit tells it, and where it stands in the chain, which makes it an anchor of it."""
    told = event.members()
    data = told | {"position": link.position, "hash": link.hash}
    return json.dumps({"type": f"audit.{event.event}", "timestamp": told["at"], "data": data}, separators=(",", ":"))
