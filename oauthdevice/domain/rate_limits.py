"""How many requests and guesses, per whom, for how long. The counting is the store's."""

import hashlib
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING

from .audit import Audit, Event, Facts
from .errors import RateLimited

if TYPE_CHECKING:
    from .ports import Clock, LimitStore, Meter


@dataclass(frozen=True, slots=True)
class Limit:
    """`count` in `period_seconds`, in a bucket of its own named `name`."""

    name: str
    count: int
    period_seconds: int


MINUTE, HOUR = 60, 3600

DEFAULT_LIMITS: Mapping[str, Limit] = {
    limit.name: limit
    for limit in (
        Limit("code", 60, HOUR),
        Limit("token_unknown", 60, MINUTE),
        Limit("lookup", 60, 5 * MINUTE),
        Limit("guesses", 10, 15 * MINUTE),
        Limit("decide", 10, HOUR),
        Limit("approve_external", 10, HOUR),
        Limit("sso_initiate", 60, HOUR),
        Limit("login_account", 5, 15 * MINUTE),
        Limit("login_address", 20, 15 * MINUTE),
        Limit("bearer", 60, MINUTE),
    )
}

# Above 1,000 wrong user_codes from everybody together, new codes grow. Nobody is locked out.
ALARM = Limit("wrong_codes_alarm", 1000 + 1, 5 * MINUTE)
# How long a process goes by what it last saw of the alarm: to look for each new code costs a third of making one.
ALARM_SEEN = timedelta(seconds=1)


class RateLimits:
    """The buckets of this server. A limit that is None is off."""

    def __init__(
        self,
        store: "LimitStore",
        limits: Mapping[str, Limit | None],
        audit: Audit,
        meter: "Meter",
        clock: "Clock",
    ) -> None:
        self._store = store
        self._clock = clock
        # Until when the alarm is known, and whether it rings.
        self._alarm: tuple[datetime, bool] | None = None
        self._meter = meter
        self._limits = limits
        self._audit = audit

    def hit(self, name: str, key: str) -> None:
        """Count one request of `key`. Raises RateLimited."""
        limit = self._limits[name]
        if limit is not None:
            self._refuse(self._store.hit(limit, _opaque(key)), name, key)

    def reserve(self, name: str, key: str) -> None:
        """Count one attempt before it is known whether it fails, so that parallel ones cannot overrun.

        Raises RateLimited.
        """
        limit = self._limits[name]
        if limit is not None:
            self._refuse(self._store.reserve(limit, _opaque(key)), name, key)

    def refund(self, name: str, key: str) -> None:
        """The reserved attempt did not fail: it does not count."""
        limit = self._limits[name]
        if limit is not None:
            self._store.refund(limit, _opaque(key))

    def clear(self, name: str, key: str) -> None:
        """Forget the failures of `key`."""
        limit = self._limits[name]
        if limit is not None:
            self._store.clear(limit, _opaque(key))

    def use_up(self, name: str, key: str) -> None:
        """Leave `key` a tenth of its limit for now: it is slowed down, not locked out."""
        limit = self._limits[name]
        if limit is not None:
            self._store.use_up(limit, _opaque(key), max(1, limit.count // 10))

    def count_wrong_code(self) -> None:
        """One more wrong user_code, by whomever."""
        self._store.hit(ALARM, "all")

    def is_alarmed(self) -> bool:
        """True while so many wrong user_codes come in that somebody must be guessing; seen within a second."""
        now, seen = self._clock(), self._alarm
        if seen is not None and now < seen[0]:
            return seen[1]
        alarmed = self._store.wait(ALARM, "all") > 0
        self._alarm = now + ALARM_SEEN, alarmed
        if alarmed and self._store.is_first(ALARM, "all"):
            self._audit.record(Event.USER_CODES_LENGTHENED, deferred=True)
        return alarmed

    def _refuse(self, retry_after_seconds: int, name: str, key: str) -> None:
        if not retry_after_seconds:
            return
        self._meter.refused(name)
        # One row for each bucket that overflows, not one for each refused request.
        limit = self._limits[name]
        if limit is not None and self._store.is_first(limit, _opaque(key)):
            self._audit.record(Event.LIMITED, deferred=True, **_about(name, key))
        raise RateLimited(retry_after_seconds, detail=f"limit {name}")


UNKNOWN = "unknown"


def is_same_network(address: str, other: str) -> bool:
    """True where both addresses are known and count as one."""
    return network(address) == network(other) != UNKNOWN


@lru_cache(10_000)
def network(address: str) -> str:
    """What counts as one address: an IPv4 address, or the /64 that one IPv6 subscriber has at will."""
    parsed = _parsed(address)
    if isinstance(parsed, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((int(parsed) >> 64 << 64, 64)))
    return UNKNOWN if parsed is None else str(parsed)


def is_within(address: str, networks: str) -> bool:
    """True where the address is in `networks`: an address, which stands for all that counts as one, or a range.

    Raises ValueError where that is neither.
    """
    ranged = ipaddress.ip_network(networks if "/" in networks else network(networks), strict=False)
    parsed = _parsed(address)
    return parsed is not None and parsed in ranged


def _parsed(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """An address without its zone, IPv4 as IPv4 however it was written; None where it is none."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return None
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return mapped or parsed


def _about(name: str, key: str) -> Facts:
    """Whom a bucket counts, as an audit event tells it."""
    if name in ("guesses", "decide"):
        return {"reason": name, "subject": f"account:{key}"}
    if name in ("login_account", "approve_external"):
        return {"reason": name, "subject": f"email:{key}"}
    if name == "bearer" and not key.startswith("address "):
        return {"reason": name, "token_id": key.removeprefix("refresh ")}
    return {"reason": name, "address": key.removeprefix("address ").partition(" ")[0]}


def _opaque(key: str) -> str:
    """No e-mail lies in a counter's name, and no key is longer than another."""
    return hashlib.sha256(key.encode()).hexdigest()[:32]
