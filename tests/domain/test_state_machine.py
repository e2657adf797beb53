"""Any order of events over a real Redis and database, beside a small model of what must come of it."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import redis
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from oauthdevice.domain.clients import ClientCredentials
from oauthdevice.domain.device_flow import StartRequest
from oauthdevice.domain.errors import DomainError, InvalidToken
from oauthdevice.domain.token_endpoint import DEVICE_GRANT, TokenRequest

from ..factories import World, make_world
from ..moments import MOVED_SECONDS, Span, over
from ..servers import RedisServer

LIFETIME_SECONDS, RETENTION_SECONDS, REDELIVERY_SECONDS = 900, 600, 30
TOOL, OTHER = "tool", "other"
CLIENTS = "".join(f"[client:{name}]\nname = {name}\nscopes = full\n" for name in (TOOL, OTHER))
LIMITS_OFF = {f"limit.{name}": "off" for name in ("code", "lookup", "guesses", "decide", "token_unknown", "bearer")}

# Between polls, as parts of the interval in force.
PAUSES = st.lists(st.sampled_from([0, 0.2, 0.7, 0.8, 1]), min_size=2, max_size=8)
# Until the interval is at its longest; and an early poll, which must not move the time of the next.
TELLING: list[list[float]] = [[0] * 12, [1, 0.7, 0.2]]


@dataclass
class Servers:
    """What a machine, which hypothesis makes, is to use."""

    redis_url: str
    database: Path


SERVERS: list[Servers] = []


@pytest.fixture(scope="module", autouse=True)
def servers(redis_server: RedisServer, migrated_sqlite: Path) -> Iterator[None]:
    SERVERS.append(Servers(redis_server.url, migrated_sqlite))
    yield
    SERVERS.clear()


@dataclass
class Code:
    """One device authorization as the model sees it. `gate` is the last stamp with the spacing after it."""

    device_code: str
    user_code: str
    label: str | None
    asked: Span
    interval: int = 5
    state: str = "pending"
    claimed_by: int | None = None
    gate: tuple[Span, float] | None = None
    polled: Span | None = None
    consumed: Span | None = None
    tokens: set[str] = field(default_factory=set)
    live: bool = False

    def on_time(self, now: Span) -> set[bool]:
        return over(self.gate[1], self.gate[0], now) if self.gate is not None else {True}

    def expired(self, now: Span) -> set[bool]:
        return over(LIFETIME_SECONDS, self.asked, now)

    def gone(self, now: Span) -> set[bool]:
        return over(LIFETIME_SECONDS + RETENTION_SECONDS, self.asked, now, MOVED_SECONDS)

    def answers(self, now: Span) -> set[str]:
        """What a poll of the right client may be told."""
        told: set[str] = set()
        if True in self.gone(now):
            told.add("invalid_grant")
        if self.gone(now) == {True}:
            return told
        if self.consumed is not None:
            lapsed = over(REDELIVERY_SECONDS, self.consumed, now, MOVED_SECONDS)
            # What has ended is not told again.
            return told | {"invalid_grant" if one or not self.live else "the token" for one in lapsed}
        if True in self.expired(now):
            told.add("expired_token")
        if self.expired(now) == {True}:
            return told
        if self.state == "pending":
            return told | {"authorization_pending" if one else "slow_down" for one in self.on_time(now)}
        return told | {"the token" if self.state == "approved" else "access_denied"}

    def refusals(self, account: int, now: Span) -> set[str]:
        """What this account may be told that opens or decides the code; "" where it may."""
        told = {"expired_or_unknown"} if True in self.expired(now) else set()
        if self.expired(now) == {True}:
            return told
        if self.claimed_by not in (None, account):
            return told | {"already_claimed"}
        return told | {"" if self.state == "pending" else "already_resolved"}


class DeviceGrant(RuleBasedStateMachine):
    """Two clients, two accounts, any number of codes."""

    codes = Bundle("codes")
    accounts = st.integers(0, 1)

    def __init__(self) -> None:
        super().__init__()
        servers = SERVERS[-1]
        self.folder = Path(tempfile.mkdtemp(prefix="oauthdevice-"))
        (self.folder / "clients.ini").write_text(CLIENTS)
        shutil.copy(servers.database, self.folder / "database.sqlite")
        with redis.Redis.from_url(servers.redis_url) as client:
            client.flushall()
        self.world: World = make_world(
            f"sqlite:///{self.folder / 'database.sqlite'}",
            servers.redis_url,
            ini_file=str(self.folder / "clients.ini"),
            **LIMITS_OFF,
        )
        self.people = [self.world.person().account for _ in range(2)]
        self.all: list[Code] = []

    def teardown(self) -> None:
        self.world.services.redis.close()
        self.world.services.database.engine.dispose()
        shutil.rmtree(self.folder)

    def timed(self, call: Callable[[], Any]) -> tuple[Any, str, dict[str, Any], Span]:
        """What a call returned, or its error and that error's members; and when it happened."""
        before = self.world.clock()
        returned, error, members = None, "", {}
        try:
            returned = call()
        except DomainError as raised:
            error, members = raised.error, raised.members
        return returned, error, members, Span(before, self.world.clock())

    @rule(target=codes, label=st.sampled_from([None, None, "laptop"]))
    def ask(self, label: str | None) -> Code:
        request = StartRequest(credentials=ClientCredentials(TOOL), scope="", device_label=label, address="192.0.2.7")
        started, error, _, now = self.timed(lambda: self.world.services.device_flow.start(request))
        assert error == ""
        assert (started.expires_in, started.interval) == (LIFETIME_SECONDS, 5)
        code = Code(started.device_code, started.user_code, label, now)
        self.all.append(code)
        return code

    @rule(seconds=st.integers(1, 10))
    def pass_time(self, seconds: int) -> None:
        self.world.clock.pass_seconds(seconds)

    # A rule of its own, or few runs would live to see a code expire.
    @rule(seconds=st.sampled_from([30, 60, 150, 300, 400]) | st.integers(11, 400))
    def pass_long_time(self, seconds: int) -> None:
        self.world.clock.pass_seconds(seconds)

    @rule(code=codes)
    def poll(self, code: Code) -> None:
        self.answer(code)

    @rule(code=codes, pauses=PAUSES | st.sampled_from(TELLING))
    def poll_again_and_again(self, code: Code, pauses: list[float]) -> None:
        """With pauses that are parts of the interval in force."""
        for pause in pauses:
            self.answer(code)
            self.world.clock.pass_seconds(int(code.interval * pause))
        self.answer(code)

    @rule(code=codes)
    def poll_after_the_interval(self, code: Code) -> None:
        for _ in range(2):
            if code.polled is not None:
                waited = (self.world.clock() - code.polled.latest).total_seconds()
                self.world.clock.pass_seconds(max(0, int(code.interval - waited) + 1))
            told = self.answer(code)
            assert told != "slow_down", "a client that waits the interval is never slowed"

    @rule(code=codes)
    def poll_by_another_client(self, code: Code) -> None:
        _, error, _, _ = self.poll_as(OTHER, code)
        assert error == "invalid_grant"

    @rule(code=codes)
    def wait_for_the_last_second(self, code: Code) -> None:
        passed = (self.world.clock() - code.asked.earliest).total_seconds()
        self.world.clock.pass_seconds(max(0, int(LIFETIME_SECONDS - passed)))
        self.answer(code)
        self.world.clock.pass_seconds(1)
        self.answer(code)

    @rule(target=codes, account=accounts)
    def sign_in_on_one_device(self, account: int) -> Code:
        code = self.ask("laptop")
        self.approve(code, account)
        assert self.answer(code) == "the token"
        return code

    @rule(code=codes, account=accounts)
    def open(self, code: Code, account: int) -> None:
        person = self.people[account]
        approvals = self.world.services.approvals
        _, error, _, now = self.timed(lambda: approvals.open(code.user_code, person, "192.0.2.7"))
        assert error in code.refusals(account, now)
        if not error:
            code.claimed_by = account

    @rule(code=codes, account=accounts)
    def approve(self, code: Code, account: int) -> None:
        self.decide(code, account, "approve", "approved")

    @rule(code=codes, account=accounts)
    def deny(self, code: Code, account: int) -> None:
        self.decide(code, account, "deny", "denied")

    @rule(code=codes)
    def look_up(self, code: Code) -> None:
        found, error, _, now = self.timed(
            lambda: self.world.services.approvals.lookup(code.user_code.lower(), "192.0.2.7")
        )
        assert error == ""
        assert found.valid in {code.state == "pending" and not expired for expired in code.expired(now)}
        if found.valid:
            least = LIFETIME_SECONDS - (now.latest - code.asked.earliest).total_seconds()
            most = LIFETIME_SECONDS - (now.earliest - code.asked.latest).total_seconds()
            # It is rounded to whole seconds.
            assert least - 1 <= found.expires_in_remaining <= most + 1
            assert found.client_id == TOOL

    def decide(self, code: Code, account: int, verb: str, state: str) -> None:
        decision = getattr(self.world.services.approvals, verb)
        _, error, _, now = self.timed(lambda: decision(code.user_code, self.people[account], "192.0.2.7"))
        assert error in code.refusals(account, now)
        if not error:
            code.state, code.claimed_by = state, account

    def poll_as(self, client_id: str, code: Code) -> tuple[Any, str, dict[str, Any], Span]:
        request = TokenRequest(
            credentials=ClientCredentials(client_id),
            grant_type=DEVICE_GRANT,
            device_code=code.device_code,
            address="192.0.2.7",
        )
        return self.timed(lambda: self.world.services.token_endpoint.exchange(request))

    def answer(self, code: Code) -> str:
        """One poll of the right client, compared with the model, which then follows."""
        returned, error, members, now = self.poll_as(TOOL, code)
        told = error or "the token"
        assert told in code.answers(now)
        code.polled = now
        if told == "the token":
            self.deliver(code, returned, now)
        elif told == "invalid_grant" and code.consumed is not None and code.gone(now) != {True}:
            code.live = False
        if told in ("authorization_pending", "slow_down"):
            self.follow_interval(code, told, members["interval"], now)
        return told

    def follow_interval(self, code: Code, told: str, interval: int, now: Span) -> None:
        assert interval >= code.interval, "the interval never falls"
        if told == "authorization_pending":
            assert interval == code.interval
            code.gate = (now, code.interval * 0.8)
        else:
            assert interval == min(60, code.interval + 5)
            code.interval = interval

    def deliver(self, code: Code, answer: dict[str, Any], now: Span) -> None:
        code.tokens.add(answer["access_token"])
        assert answer["account"]["id"] == self.people[code.claimed_by or 0].id
        if code.consumed is not None:
            return
        code.consumed, code.live = now, True
        for other in self.all:
            same = other.label is not None and (other.label, other.claimed_by) == (code.label, code.claimed_by)
            if same and other is not code:
                other.live = False

    @invariant()
    def a_code_gives_at_most_one_token(self) -> None:
        assert all(len(code.tokens) <= 1 for code in self.all)

    @invariant()
    def a_code_that_was_not_approved_gives_none(self) -> None:
        assert all(code.state == "approved" for code in self.all if code.tokens)

    @invariant()
    def a_token_opens_what_the_model_says(self) -> None:
        for code in self.all:
            for token in code.tokens:
                assert self.opens(token) is code.live

    def opens(self, token: str) -> bool:
        try:
            self.world.services.bearers.authenticate(token, "192.0.2.7")
        except InvalidToken:
            return False
        return True


TestDeviceGrant = DeviceGrant.TestCase
TestDeviceGrant.settings = settings(max_examples=40, stateful_step_count=40, deadline=None, derandomize=True)


def test_another_client_cannot_slow_the_one_whose_code_it_is() -> None:
    machine = DeviceGrant()
    try:
        code = machine.ask(None)
        assert machine.answer(code) == "authorization_pending"
        machine.world.clock.pass_seconds(4)
        assert machine.poll_as(OTHER, code)[1] == "invalid_grant"
        machine.world.clock.pass_seconds(1)
        assert machine.poll_as(TOOL, code)[1] == "authorization_pending"
    finally:
        machine.teardown()
