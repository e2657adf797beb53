"""Walks the chain of the audit rows and tells what does not hold. Reads alone; docs/audit.md says what it proves."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from .audit import AuditEvent
from .audit_chain import Anchor, Chain, ChainedEvent, Head, Link


class ChainStore(Protocol):
    """The rows of the audit, for whoever checks them. Each method may raise StoreUnavailable."""

    def head(self) -> tuple[Head | None, int]:
        """The head, None where it is gone, and the last position in the table, both as of one moment."""

    def at(self, position: int) -> ChainedEvent | None:
        """The row at a position; None where there is none."""

    def chained(self, after: int, last: int) -> Iterator[ChainedEvent]:
        """The rows between two positions, without the first, in order; a bounded number at once in memory."""

    def unchained_before(self, moment: datetime) -> int:
        """How many rows of before that moment are not in the chain."""

    def unchained_since(self, moment: datetime) -> Iterator[AuditEvent]:
        """The rows from that moment on which are not in the chain, oldest first."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What does not hold, at which position and of which event where that is known."""

    text: str
    position: int | None = None
    event_id: str | None = None

    def __str__(self) -> str:
        about = []
        if self.position is not None:
            about.append(f"position {self.position}")
        if self.event_id is not None:
            about.append(f"event {self.event_id}")
        return f"{', '.join(about) or 'chain'}: {self.text}"


class AuditProof:
    """One walk from the first row to the head as it was at the start."""

    def __init__(self, chain: Chain, store: ChainStore) -> None:
        self._chain = chain
        self._store = store

    def anchor(self, position: int | None = None) -> Anchor | None:
        """The anchor of a position, of the newest row where none is named; None where there is no such row."""
        head, _ = self._store.head()
        row = self._store.at(position if position is not None else head.position if head else 0)
        return row.link.anchor if row else None

    def before_the_chain(self, until: datetime | None) -> int:
        """How many rows are older than the chain, or than `until`, and in no chain: nothing is proven of them."""
        return self._store.unchained_before(self._begun_at(until))

    def findings(
        self, *, expected: Sequence[Anchor] = (), after: Anchor | None = None, unchained_until: datetime | None = None
    ) -> Iterator[Finding]:
        """What does not hold; nothing where all does.

        `expected` must be in the chain as they were noted. The rows up to `after` were deleted on purpose. Rows of
        before `unchained_until` may be in no chain: until then processes of a release without one were running.
        """
        head, last = self._store.head()
        if head is None:
            yield Finding("the head is gone, so that nothing tells whether the newest rows are there")
        elif last > head.position:
            yield Finding(f"the head was put back to position {head.position}, but there are later rows", last)
        walk = _Walk(self._chain, head, after, expected)
        for row in self._store.chained(after.position if after else 0, head.position if head else last):
            yield from walk.step(row)
        yield from walk.end()
        for event in self._store.unchained_since(self._begun_at(unchained_until)):
            yield Finding(f"is in no chain, though it is of {event.at.isoformat()}", event_id=event.id)

    def _begun_at(self, until: datetime | None) -> datetime:
        head, _ = self._store.head()
        begun = [moment for moment in (until, head.begun_at if head else None) if moment is not None]
        # Without a head nothing tells when it began: then every row should be in it.
        return max(begun, default=datetime.min.replace(tzinfo=UTC))


class _Walk:
    """Goes from row to row. `_seal` is that of the last one, None where it cannot be known."""

    def __init__(self, chain: Chain, head: Head | None, after: Anchor | None, expected: Sequence[Anchor]) -> None:
        self._chain = chain
        self._head = head
        self._after = after
        self._position = after.position if after else 0
        self._expected: dict[int, set[str]] = {}
        for one in expected:
            self._expected.setdefault(one.position, set()).add(one.hash)
        self._seal: str | None = None
        self._unknown_from: Link | None = None

    def step(self, row: ChainedEvent) -> Iterator[Finding]:
        link = row.link
        if link.position > self._position + 1:
            yield from self._unknown_to(self._position)
            yield _missing(self._position + 1, link.position - 1)
            yield Finding("cannot be checked, as the one before it is missing", link.position, row.event.id)
        elif not self._chain.knows(link.key_id):
            self._unknown_from = self._unknown_from or link
        else:
            yield from self._unknown_to(self._position)
            yield from self._check(row)
        for noted in sorted(self._expected.pop(link.position, set()) - {link.hash}):
            yield Finding(f"is not the row that was noted, whose hash is {noted}", link.position, row.event.id)
        self._position = link.position
        self._seal = self._chain.seal(link) if self._chain.knows(link.key_id) else None

    def _check(self, row: ChainedEvent) -> Iterator[Finding]:
        seals = self._seals_before(row.link)
        if not seals:
            yield Finding("cannot be checked, as what it follows is not known", row.link.position, row.event.id)
        elif not any(self._chain.fits(row, seal) for seal in seals):
            yield Finding("was changed, or the one before it was", row.link.position, row.event.id)

    def _seals_before(self, link: Link) -> list[str]:
        if link.position == 1:
            return [self._chain.opening(self._head.begun_at, link.key_id)] if self._head else []
        if self._after is not None and self._position == self._after.position:
            return self._chain.seals(self._after)
        return [] if self._seal is None else [self._seal]

    def _unknown_to(self, last: int) -> Iterator[Finding]:
        if self._unknown_from is not None:
            first, self._unknown_from = self._unknown_from, None
            yield Finding(
                f"{_span(first.position, last)} under a secret that is not given (key id {first.key_id})",
                first.position,
            )

    def end(self) -> Iterator[Finding]:
        yield from self._unknown_to(self._position)
        if self._head is not None:
            if self._head.position > self._position:
                yield _missing(self._position + 1, self._head.position)
            elif not self._is_sealed(self._head):
                yield Finding(
                    "the head does not fit this row: it was changed, or rows after it removed", self._position
                )
        for position, all_noted in sorted(self._expected.items()):
            for noted in sorted(all_noted):
                yield Finding(f"is not there; it was noted with the hash {noted}", position)

    def _is_sealed(self, head: Head) -> bool:
        if head.position == 0:
            return head.seal is None
        if self._after is not None and self._position == self._after.position:
            return head.seal in self._chain.seals(self._after)
        # Where it is not known because of its secret, that was told.
        return self._seal is None or head.seal == self._seal


def _missing(first: int, last: int) -> Finding:
    return Finding("is missing" if first == last else f"is missing, and so are all to {last}", first)


def _span(first: int, last: int) -> str:
    return "is" if first == last else f"and all to {last} are"
