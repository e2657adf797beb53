"""The chain of the audit rows: each is signed together with the one before it, so that none can be removed or changed.

Row n has a hash, HMAC-SHA-256 over what it tells, its position and the seal of row n-1. A seal is made from a hash
with another key, and only the newest is kept, in the head. So whoever can write to the database and does not hold
the secret can neither make a row nor cut the newest off and put the head back: the seal that the head needs then
is nowhere. docs/audit.md says what this proves and what not.
"""

import hmac
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import orjson

from .audit import MEMBERS, AuditEvent
from .keys import derive_key


@dataclass(frozen=True, slots=True)
class Anchor:
    """A position (1 is the first) and the hash of the row there, 64 hexadecimal digits: to be noted elsewhere."""

    position: int
    hash: str

    def __str__(self) -> str:
        return f"{self.position}:{self.hash}"


@dataclass(frozen=True, slots=True)
class Link:
    """Where a row stands in the chain. `key_id` tells which secret it was signed with, and nothing about it."""

    position: int
    hash: str
    key_id: str

    @property
    def anchor(self) -> Anchor:
        """What of it is worth noting."""
        return Anchor(self.position, self.hash)


@dataclass(frozen=True, slots=True)
class Head:
    """The end of the chain, 0 where it has no row. `seal` is None before the first row, "" where it got lost."""

    position: int
    seal: str | None
    begun_at: datetime


@dataclass(frozen=True, slots=True)
class ChainedEvent:
    """A row of the chain, as it was found."""

    event: AuditEvent
    link: Link


class Chain:
    """Signs rows with the secret in force, and knows the links of earlier ones too."""

    def __init__(self, secrets: Sequence[str]) -> None:
        """`secrets`: the one in force, then earlier ones."""
        keys = [_Key(secret.encode()) for secret in secrets]
        self._now = keys[0]
        self._keys = {key.id: key for key in reversed(keys)}

    def knows(self, key_id: str) -> bool:
        """Whether the secret with which a row was signed is among ours."""
        return key_id in self._keys

    def extend(self, head: Head, events: Sequence[AuditEvent]) -> tuple[list[Link], Head]:
        """The links of further rows, in order, and the head after them."""
        seal = self.opening(head.begun_at, self._now.id) if head.seal is None else head.seal
        links = []
        for position, event in enumerate(events, head.position + 1):
            links.append(Link(position, self._now.hash(position, seal, event), self._now.id))
            seal = self._now.seal(position, links[-1].hash)
        return links, replace(head, position=head.position + len(events), seal=seal if links else head.seal)

    def opening(self, begun_at: datetime, key_id: str) -> str:
        """What stands for the seal before the first row. Raises KeyError where the secret is not known."""
        return self._keys[key_id].seal(0, _moment(begun_at))

    def seals(self, anchor: Anchor) -> list[str]:
        """What the seal of a row may be that was deleted on purpose: one for each secret."""
        return [key.seal(anchor.position, anchor.hash) for key in self._keys.values()]

    def seal(self, link: Link) -> str:
        """The seal of a row. Raises KeyError where the secret is not known."""
        return self._keys[link.key_id].seal(link.position, link.hash)

    def fits(self, row: ChainedEvent, seal: str) -> bool:
        """Whether the row tells what was signed, after the row of that seal. Raises KeyError as above."""
        expected = self._keys[row.link.key_id].hash(row.link.position, seal, row.event)
        return hmac.compare_digest(expected, row.link.hash.encode("ascii", "replace").decode())


class _Key:
    """What is derived from one secret."""

    def __init__(self, secret: bytes) -> None:
        self.id = derive_key(secret, "audit_key_id")[:4].hex()
        self._rows = derive_key(secret, "audit_chain")
        self._seals = derive_key(secret, "audit_head")

    def hash(self, position: int, seal: str, event: AuditEvent) -> str:
        return _sign(self._rows, [position, seal, _told(event)])

    def seal(self, position: int, text: str) -> str:
        return _sign(self._seals, [position, text])


def _told(event: AuditEvent) -> dict[str, str]:
    """What is signed of an event: what applies, so that a later release may tell more of other events."""
    told = {name: getattr(event, name) for name in MEMBERS if getattr(event, name) is not None}
    return told | {"at": _moment(event.at)}


def _moment(at: datetime) -> str:
    """As every database gives it back: UTC, in microseconds."""
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def _sign(key: bytes, told: Any) -> str:
    # The same bytes for the same content, whoever writes them: RFC 8785, for the names, texts and numbers that we have.
    return hmac.digest(key, orjson.dumps(told, option=orjson.OPT_SORT_KEYS), "sha256").hex()
