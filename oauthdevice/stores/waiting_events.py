"""The audit rows that wait in Redis for the table: where they lie, and how each is written."""

import orjson
import redis

from ..domain.audit import AuditEvent


def waiting_key(prefix: str) -> str:
    """A hash of id -> row."""
    return f"{prefix}:audit"


def dump_event(event: AuditEvent) -> tuple[str, bytes]:
    """Its id, and the row as JSON text."""
    return event.id, orjson.dumps(event.members())


def waits_with_its_record(client: redis.Redis) -> bool:
    """Whether the script that writes a record lets its audit row wait as well: on a Cluster they lie on two nodes."""
    return not isinstance(client, redis.RedisCluster)
