"""Two processes of the server over one Redis and one database, of which one answers; and what these stores hold."""

from collections import Counter
from datetime import timedelta
from pathlib import Path

from sqlalchemy import text

from oauthdevice import make_app
from oauthdevice.domain.codes import device_code_digest, shard_of_device_code
from oauthdevice.domain.device_authorization import DeviceAuthorization
from oauthdevice.domain.ports import Handle
from oauthdevice.stores.models import Base
from oauthdevice.stores.redis import RedisAuthorizationStore

from ..factories import Clock, World, make_world
from .faulty_stores import Faults
from .model_of_the_server import ACCESS_SECONDS, SESSION_SECONDS, Seen

# What waits for the database must not go before it has come there.
WITHOUT_TTL = "oauthdevice:audit"
SESSIONS = """
SELECT id, revoked_at IS NULL,
    (SELECT count(*) FROM refresh_tokens WHERE session_id = sessions.id),
    (SELECT count(*) FROM access_tokens WHERE session_id = sessions.id)
FROM sessions
"""
GROW_OLD = """
for _, name in ipairs(redis.call('KEYS', '*')) do
  local left = redis.call('PTTL', name)
  if left >= 0 then redis.call('PEXPIRE', name, left - ARGV[1]) end
end
"""
FOR_EVER = """
local found = {}
for _, name in ipairs(redis.call('KEYS', '*')) do
  if redis.call('PTTL', name) == -1 then table.insert(found, name) end
end
return found
"""
LIMITS = ("code", "token_unknown", "lookup", "guesses", "decide", "bearer", "login_account", "login_address")
# An application takes half a second to make: after so many deaths a new one comes, and until then the other process.
DEATHS_UNTIL_NEW = 50


class WatchedServer:
    """Made once for all stories: `clear` before each."""

    def __init__(self, database_url: str, redis_url: str, ini: Path, faults: Faults) -> None:
        self.faults = faults
        self.clock = Clock()
        options = {"ini_file": str(ini), **{f"limit.{name}": "off" for name in LIMITS}}
        options |= {
            "access_token_lifetime_seconds": str(ACCESS_SECONDS),
            "refresh_token_lifetime_seconds": str(SESSION_SECONDS),
            "sign_in_lifetime_seconds": str(30 * 86400),
        }
        self._processes = [make_world(database_url, redis_url, clock=self.clock, **options) for _ in range(2)]
        # One Redis, whose keys are to grow old once.
        del self.clock.stores[1:]
        self._records = RedisAuthorizationStore(self.world.redis, "oauthdevice", self.clock.store_offset)
        # One round trip each: they come after every step.
        self._grow_old = self.world.redis.register_script(GROW_OLD)
        self._for_ever = self.world.redis.register_script(FOR_EVER)
        self._sql = self.world.services.database.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        self._deaths = 0

    @property
    def world(self) -> World:
        """The process that answers."""
        return self._processes[0]

    def die(self) -> None:
        """The process that answers is no more; another takes over."""
        self._deaths += 1
        self._processes.reverse()
        if self._deaths % DEATHS_UNTIL_NEW == 0:
            self.world.app = make_app(self.world.settings, self.world.services)

    def clear(self) -> None:
        """Both stores, empty."""
        self.world.redis.flushall()
        for table in reversed(Base.metadata.sorted_tables):
            self._sql.execute(text(f"DELETE FROM {table.name}"))

    def close(self) -> None:
        self._sql.close()
        for world in self._processes:
            world.services.redis.close()
            world.services.database.engine.dispose()

    def pass_seconds(self, seconds: float) -> None:
        """Time goes by, as `Clock.pass_seconds` has it."""
        self.clock.offset += timedelta(seconds=seconds)
        self._grow_old(args=[int(seconds * 1000)])

    def record(self, device_code: str) -> DeviceAuthorization | None:
        """What Redis holds of a code."""
        stored = self._records.look(Handle(shard_of_device_code(device_code), device_code_digest(device_code)))
        return stored.record if stored is not None else None

    def sessions(self) -> dict[str, tuple[bool, int, int]]:
        """Of each session: whether it lives, and how many refresh and access tokens it has."""
        return {one[0]: (bool(one[1]), one[2], one[3]) for one in self._sql.execute(text(SESSIONS))}

    def seen(self, device_code: str, before: Seen, session: tuple[bool, int, int] | None) -> Seen:
        """What the stores hold of a code. Of a record that is gone, what was `before`."""
        record = self.record(device_code)
        found = before
        if record is not None:
            found = Seen(
                record.state.value,
                record.claimed_by,
                record.granted,
                record.interval_seconds,
                record.reported,
                before.live,
                before.renewals,
            )
        if session is None:
            return found._replace(live=None)
        # An ended session has no refresh tokens left to count.
        return found._replace(live=session[0], renewals=session[1] - 1 if session[0] else before.renewals)

    def rows(self) -> Counter[tuple[str, str]]:
        """How often the audit tells which event of which code, after all that waited was moved."""
        events = self.world.services.ledger.all()
        return Counter((one.event, one.token_id) for one in events if one.token_id is not None)

    def without_ttl(self) -> list[str]:
        """Keys in Redis that never go by themselves."""
        found: list[str] = self._for_ever()
        return found
