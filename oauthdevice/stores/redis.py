"""Device authorizations and counters on Redis (or on the embedded one): one command or script a method."""

import functools
import queue
import secrets
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from typing import Any, ParamSpec, TypeVar, cast

import orjson
import redis
from limits import RateLimitItemPerSecond
from limits.storage import RedisStorage
from limits.strategies import FixedWindowRateLimiter, SlidingWindowCounterRateLimiter

from ..domain.audit import AuditEvent
from ..domain.codes import shard_of_user_code
from ..domain.device_authorization import AuthorizationRequest, DeviceAuthorization, State
from ..domain.errors import StoreUnavailable, UserCodeTaken
from ..domain.ports import Handle, Stored
from ..domain.rate_limits import Limit
from ..domain.subjects import AccountSubject, ExternalSubject, Subject
from .decisions import channel
from .waiting_events import dump_event, waiting_key, waits_with_its_record

P = ParamSpec("P")
R = TypeVar("R")

# A record outlives its code, so that the domain can still say expired_token or see a replay.
RETENTION_SECONDS = 600


# How many requests of one process speak to Redis at once: redis-py gives 100 connections, and refuses the next one.
# Threads are fewer. Greenlets may be thousands, and wait here for their turn, but not for ever where Redis hangs.
AT_ONCE, TURN_SECONDS = 64, 2
# A semaphore of Python's is written in Python, and costs a poll a fortieth.
_turns: queue.SimpleQueue[None] = queue.SimpleQueue()
for _ in range(AT_ONCE):
    _turns.put(None)


def unavailable(method: Callable[P, R]) -> Callable[P, R]:
    """Any failure of Redis, wrapped once as StoreUnavailable. No such method calls another."""

    @functools.wraps(method)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            _turns.get(timeout=TURN_SECONDS)
        except queue.Empty:
            raise StoreUnavailable(detail="redis: too many wait for it") from None
        try:
            return method(*args, **kwargs)
        except redis.RedisError as error:
            raise StoreUnavailable(detail=f"redis: {error}") from error
        finally:
            _turns.put(None)

    return wrapped


class RedisAuthorizationStore:
    """See `oauthdevice.domain.ports.AuthorizationStore`.

    `clock_offset` is added to the clock of Redis; only tests, which move time, give one.
    """

    def __init__(
        self,
        client: redis.Redis,
        prefix: str,
        clock_offset: Callable[[], timedelta] = lambda: timedelta(0),
    ) -> None:
        self._client = client
        self._prefix = prefix
        self._clock_offset = clock_offset
        self._channel = channel(prefix)
        self._waiting_key = waiting_key(prefix)
        self._rows_wait_with_records = waits_with_its_record(client)
        self._let_wait = client.register_script(read_script("audit_wait"))
        self._create = client.register_script(read_script("authorization_create"))
        self._touch = client.register_script(read_script("authorization_touch"))
        self._find = client.register_script(read_script("authorization_find"))
        self._swap = client.register_script(read_script("authorization_swap"))

    @unavailable
    def create(
        self,
        handle: Handle,
        user_code_digest: str,
        request: AuthorizationRequest,
        interval_seconds: int,
        spacing_seconds: float,
        *,
        event: AuditEvent | None = None,
    ) -> int:
        record = _dump(DeviceAuthorization(request=request, issued_at=_EPOCH, interval_seconds=interval_seconds))
        lifetime = (request.lifetime_seconds + RETENTION_SECONDS) * 1000
        spacing = int(spacing_seconds * 1000)
        keys = [self._record_key(handle), self._index_key(handle.shard, user_code_digest)]
        arguments: list[Any] = [record, spacing, lifetime, self._offset(), handle.digest, request.poller]
        if event is not None and self._rows_wait_with_records:
            keys, arguments = [*keys, self._waiting_key], [*arguments, *dump_event(event)]
        waiting = self._create(keys, arguments)
        if waiting is None:
            raise UserCodeTaken()
        if event is not None and not self._rows_wait_with_records:
            waiting = self._let_wait([self._waiting_key], dump_event(event))
        return cast("int", waiting)

    @unavailable
    def touch(self, handle: Handle, poller: str, keyless: str = "") -> Stored | None:
        found = self._touch([self._record_key(handle)], [poller, self._offset(), keyless])
        if found is None:
            return None
        text, issued_at, now, on_time = found
        return Stored(_load(text, _time(issued_at)), handle, _time(now), text, bool(on_time))

    @unavailable
    def find(self, user_code_digest: str) -> Stored | None:
        shard = shard_of_user_code(user_code_digest)
        digest = cast("str | None", self._client.get(self._index_key(shard, user_code_digest)))
        if digest is None:
            return None
        return self._look(Handle(shard, digest))

    @unavailable
    def look(self, handle: Handle) -> Stored | None:
        return self._look(handle)

    def _look(self, handle: Handle) -> Stored | None:
        found = self._find([self._record_key(handle)], [self._offset()])
        if found is None:
            return None
        text, issued_at, now = found
        return Stored(_load(text, _time(issued_at)), handle, _time(now), text)

    @unavailable
    def swap(
        self,
        seen: Stored,
        new: DeviceAuthorization,
        *,
        spacing_seconds: float | None = None,
        sealed_answer: str = "",
        sealed_answer_seconds: int = 0,
        events: Sequence[AuditEvent] = (),
    ) -> Stored | None:
        text = _dump(new)
        spacing = "" if spacing_seconds is None else int(spacing_seconds * 1000)
        keys = [self._record_key(seen.handle), self._answer_key(seen.handle)]
        # Whoever holds a poll of it is told.
        told = self._channel if new.state is not seen.record.state else ""
        milliseconds = sealed_answer_seconds * 1000
        arguments: list[Any] = [seen.version, text, spacing, sealed_answer, milliseconds, told, seen.handle.digest]
        arguments.append(secrets.token_hex(8))
        # On a Cluster they lie elsewhere: whoever records them brings them to the table.
        if events and self._rows_wait_with_records:
            keys.append(self._waiting_key)
            arguments += [part for event in events for part in dump_event(event)]
        if not self._swap(keys, arguments):
            return None
        return Stored(new, seen.handle, seen.now, text, seen.on_time)

    @unavailable
    def sealed_answer(self, handle: Handle) -> str | None:
        # The client decodes every answer; its types do not know.
        return cast("str | None", self._client.get(self._answer_key(handle)))

    def _record_key(self, handle: Handle) -> str:
        return f"{self._prefix}:{{{handle.shard}}}:authorization:{handle.digest}"

    def _index_key(self, shard: str, user_code_digest: str) -> str:
        return f"{self._prefix}:{{{shard}}}:user_code:{user_code_digest}"

    def _answer_key(self, handle: Handle) -> str:
        return f"{self._prefix}:{{{handle.shard}}}:answer:{handle.digest}"

    def _offset(self) -> int:
        return int(self._clock_offset().total_seconds() * 1000)


class RedisLimitStore:
    """See `oauthdevice.domain.ports.LimitStore`. Counting is the library `limits`; see its strategies."""

    def __init__(self, client: redis.Redis, prefix: str) -> None:
        storage = RedisStorage("redis://", key_prefix=f"{prefix}:limit")
        # Our client instead of the one that it made, which never connected: that of a Cluster has no pool to share.
        storage.storage = client
        storage.initialize_storage("redis://")
        self._client = client
        self._prefix = prefix
        self._storage = storage
        self._sliding = SlidingWindowCounterRateLimiter(storage)
        # The one window of the library that can give a count back.
        self._fixed = FixedWindowRateLimiter(storage)

    @unavailable
    def hit(self, limit: Limit, key: str) -> int:
        item, names = _item(limit), (limit.name, key)
        if self._sliding.hit(item, *names):
            return 0
        return self._seconds_to_wait(limit, item.key_for(*names))

    @unavailable
    def reserve(self, limit: Limit, key: str) -> int:
        item, names = _item(limit), (limit.name, "attempts", key)
        if self._fixed.hit(item, *names):
            return 0
        # The refused attempt is not a failure: it must not eat what a refund gives back.
        self._fixed.hit(item, *names, cost=-1)
        # Its reset_time comes from a TTL that Redis rounds to the nearest second.
        reset_time = self._fixed.get_window_stats(item, *names).reset_time + 1
        return _bounded(reset_time - datetime.now(UTC).timestamp(), limit)

    @unavailable
    def refund(self, limit: Limit, key: str) -> None:
        self._fixed.hit(_item(limit), limit.name, "attempts", key, cost=-1)

    @unavailable
    def clear(self, limit: Limit, key: str) -> None:
        self._fixed.clear(_item(limit), limit.name, "attempts", key)

    @unavailable
    def use_up(self, limit: Limit, key: str, left: int) -> None:
        item, names = _item(limit), (limit.name, key)
        # Refused where somebody took one in between: then there is less to take.
        for _ in range(3):
            surplus = self._sliding.get_window_stats(item, *names).remaining - left
            if surplus <= 0 or self._sliding.hit(item, *names, cost=surplus):
                return

    @unavailable
    def wait(self, limit: Limit, key: str) -> int:
        item, names = _item(limit), (limit.name, key)
        if self._sliding.test(item, *names):
            return 0
        return self._seconds_to_wait(limit, item.key_for(*names))

    @unavailable
    def is_first(self, limit: Limit, key: str) -> bool:
        name = f"{self._prefix}:limited:{limit.name}:{key}"
        return bool(self._client.set(name, "1", nx=True, ex=limit.period_seconds))

    def _seconds_to_wait(self, limit: Limit, key: str) -> int:
        """Until the weighted count of the two windows lets one more in, rounded up."""
        window = limit.period_seconds
        previous, previous_ttl, current, current_ttl = self._storage.get_sliding_window(key, window)
        if current >= limit.count or not previous:
            # Full by itself: until it becomes the previous one, whose weight falls from then on.
            return _bounded(current_ttl - window, limit)
        return _bounded(previous_ttl - (limit.count - current) * window / previous, limit)


def _item(limit: Limit) -> RateLimitItemPerSecond:
    return RateLimitItemPerSecond(limit.count, limit.period_seconds)


def _bounded(seconds: float, limit: Limit) -> int:
    return max(1, min(int(seconds) + 1, limit.period_seconds))


# issued_at is stamped by the store's own clock and kept beside the record.
_EPOCH = datetime.fromtimestamp(0, UTC)


def _time(milliseconds: str) -> datetime:
    return datetime.fromtimestamp(int(milliseconds) / 1000, UTC)


def _dump(record: DeviceAuthorization) -> str:
    request = record.request
    members = {
        "id": request.id,
        "client_id": request.client_id,
        "scopes": sorted(request.scopes),
        "device_label": request.device_label,
        "address": request.address,
        "lifetime": request.lifetime_seconds,
        "interval": record.interval_seconds,
        "state": record.state.value,
        "claimed_by": record.claimed_by,
        "subject": dump_subject(record.subject) if record.subject else None,
        "granted": sorted(record.granted),
        "attempt": record.attempt,
        "lease_until": record.lease_until.isoformat() if record.lease_until else None,
    }
    rare = {
        "confirmation_number": request.confirmation_number,
        "code_challenge": request.code_challenge,
        "jkt": request.jkt,
        "approval_id": record.approval_id,
        "wrong_numbers": record.wrong_numbers,
        "language": record.language,
        "reported": record.reported,
        "burned": record.burned,
    }
    # A code that waits has none of these, and a hundred thousand of them cost Redis what they write.
    return orjson.dumps(members | {name: value for name, value in rare.items() if value}).decode()


def _load(text: str, issued_at: datetime) -> DeviceAuthorization:
    # During an upgrade the former release runs beside this one. It reads what we write, writes it without
    # the members that it does not know, and what it wrote is read here: so those are read with `get`.
    data = orjson.loads(text)
    return DeviceAuthorization(
        request=AuthorizationRequest(
            id=data["id"],
            client_id=data["client_id"],
            scopes=frozenset(data["scopes"]),
            device_label=data["device_label"],
            address=data["address"],
            lifetime_seconds=data["lifetime"],
            confirmation_number=data.get("confirmation_number"),
            code_challenge=data.get("code_challenge"),
            jkt=data.get("jkt"),
        ),
        issued_at=issued_at,
        interval_seconds=data["interval"],
        state=State(data["state"]),
        claimed_by=data["claimed_by"],
        subject=load_subject(data["subject"]) if data["subject"] else None,
        granted=frozenset(data["granted"]),
        # A record of a version before these members may still be waiting.
        approval_id=data.get("approval_id"),
        wrong_numbers=data.get("wrong_numbers", 0),
        language=data.get("language"),
        reported=data.get("reported", False),
        burned=data.get("burned", False),
        attempt=data["attempt"],
        lease_until=datetime.fromisoformat(data["lease_until"]) if data["lease_until"] else None,
    )


def dump_subject(subject: Subject) -> dict[str, str]:
    """A subject as JSON types."""
    if isinstance(subject, AccountSubject):
        return {"account_id": subject.account_id}
    return {"issuer": subject.issuer, "subject_id": subject.subject_id, "email": subject.email}


def load_subject(data: dict[str, str]) -> Subject:
    """What `dump_subject` was given."""
    if "account_id" in data:
        return AccountSubject(data["account_id"])
    return ExternalSubject(data["issuer"], data["subject_id"], data["email"])


def read_script(name: str) -> str:
    """The text of one of the scripts beside this file."""
    return (files(__package__) / f"{name}.lua").read_text("utf-8")
