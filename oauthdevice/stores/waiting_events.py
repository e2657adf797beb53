"""The audit rows that wait in Redis for the table: where they lie, and how each is written."""

import orjson

from ..domain.audit import AuditEvent


def waiting_key(prefix: str) -> str:
    """A hash of id -> row."""
    return f"{prefix}:audit"


def dump_event(event: AuditEvent) -> tuple[str, bytes]:
    """Its id, and the row as JSON text."""
    return event.id, orjson.dumps(event.members())
