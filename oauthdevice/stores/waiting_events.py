"""Audit rows: where they wait in Redis for the table, and how each is written there and in the table."""

from typing import Any

import orjson

from ..domain.audit import MEMBERS, AuditEvent


def waiting_key(prefix: str) -> str:
    """A hash of id -> row."""
    return f"{prefix}:audit"


def dump_event(event: AuditEvent) -> tuple[str, bytes]:
    """Its id, and the row as JSON text."""
    return event.id, orjson.dumps(event.members())


def audit_columns(event: AuditEvent) -> dict[str, Any]:
    """The row by its columns."""
    return {name: getattr(event, name) for name in MEMBERS}
