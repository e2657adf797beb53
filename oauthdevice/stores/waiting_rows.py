"""The audit rows that wait in Redis, for whoever moves them into the table."""

from collections.abc import Sequence
from dataclasses import dataclass

import redis

from ..domain.audit import AuditEvent
from .redis import read_script, unavailable
from .waiting_events import dump_event, waiting_key

# How many rows are looked at at once, about.
BATCH = 500
# How long a mark is kept: longer than anybody takes from one look to the next.
MARK_SECONDS = 600
NO_MARK = ""
_FROM_THE_START = "0"


@dataclass(frozen=True, slots=True)
class Seen:
    """Rows that wait, as JSON texts by their ids; the mark that stood there; where to look on for more."""

    rows: dict[str, str]
    mark: str
    cursor: str


class WaitingRows:
    """A hash of rows and a mark, which whoever leaves rows to somebody else replaces. Raises StoreUnavailable."""

    def __init__(self, client: redis.Redis, prefix: str) -> None:
        rows = waiting_key(prefix)
        # On a Cluster, the mark lies next to the rows.
        self._keys = [rows, f"{prefix}:{{{rows}}}:audit_mark"]
        self._wait = client.register_script(read_script("audit_wait"))
        self._mark = client.register_script(read_script("audit_mark"))
        self._look = client.register_script(read_script("audit_look"))

    @unavailable
    def add(self, event: AuditEvent) -> int:
        """Let it wait; how many do now."""
        return int(self._wait(self._keys[:1], dump_event(event)))

    @unavailable
    def mark(self) -> None:
        """Tell whoever moves rows to look once more."""
        self._mark(self._keys[1:], [MARK_SECONDS])

    @unavailable
    def look(self, *, known: str | None = None) -> Seen:
        """The first of those that wait; none where the mark is the `known` one."""
        return self._seen([], known, _FROM_THE_START)

    @unavailable
    def forget(self, moved: Seen) -> Seen:
        """Forget what was moved, and look on: from where that look ended or, where the mark is another, anew."""
        return self._seen(list(moved.rows), moved.mark, moved.cursor)

    def _seen(self, moved: Sequence[str], known: str | None, cursor: str) -> Seen:
        mark, cursor, rows = self._look(self._keys, [BATCH, int(known is not None), known or NO_MARK, cursor, *moved])
        return Seen(dict(zip(rows[::2], rows[1::2], strict=True)), mark, cursor)
