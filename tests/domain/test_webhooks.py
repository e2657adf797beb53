"""Webhooks without HTTP and SQL: what is sent, how it is signed, and when it is tried again."""

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest
from standardwebhooks import Webhook

from oauthdevice.domain.audit import AuditEvent
from oauthdevice.domain.audit_chain import Link
from oauthdevice.domain.webhooks import (
    CLAIM,
    JITTER,
    WAITS,
    Delivery,
    NoSuchDelivery,
    Reply,
    Subscription,
    Webhooks,
    payload,
    wait,
)

NOW = datetime(2026, 5, 17, 9, 30, 12, 250_000, tzinfo=UTC)
URL, OTHER = "https://hooks.example.com/a", "https://hooks.example.com/b"
SECRET = "whsec_" + base64.b64encode(b"thirty-two bytes of a webhook key").decode()
NEXT_SECRET = "whsec_" + base64.b64encode(b"a later key of at least 24 bytes").decode()
EVENT = AuditEvent(id="5f0c", at=NOW, event="approved", client_id="difyctl", subject="account:ada", device_label="Ω")
LINK = Link(7, "a" * 64, "12345678")


@dataclass
class Waiting:
    """A DeliveryStore in memory."""

    rows: dict[str, Delivery] = field(default_factory=dict)

    def add(self, *ids: str, url: str = URL) -> "Waiting":
        for one in ids:
            self.rows[one] = Delivery(one, url, replace(EVENT, id=one), LINK, 0, NOW)
        return self

    def claim(self, url: str, now: datetime, until: datetime) -> Delivery | None:
        due = [
            one for one in self.rows.values() if one.url == url and one.next_attempt_at and one.next_attempt_at <= now
        ]
        if not due:
            return None
        claimed = replace(due[0], attempts=due[0].attempts + 1, next_attempt_at=until)
        self.rows[claimed.id] = claimed
        return claimed

    def done(self, delivery: Delivery) -> None:
        del self.rows[delivery.id]

    def put_off(self, delivery: Delivery, until: datetime | None, problem: str) -> None:
        self.rows[delivery.id] = replace(delivery, next_attempt_at=until, problem=problem)

    def waiting(self, *, failed: bool) -> Iterator[Delivery]:
        return (one for one in self.rows.values() if (one.next_attempt_at is None) == failed)

    def renew(self, delivery_id: str | None, now: datetime) -> int:
        chosen = [one for one in self.rows.values() if one.id == delivery_id]
        self.rows |= {one.id: replace(one, attempts=0, next_attempt_at=now) for one in chosen}
        return len(chosen)

    def forget(self, delivery_id: str | None) -> int:
        return len([self.rows.pop(one) for one in list(self.rows) if one == delivery_id])

    def counts(self) -> tuple[int, int]:
        return len(list(self.waiting(failed=False))), len(list(self.waiting(failed=True)))


@dataclass
class Scripted:
    """Receivers that answer as they are told to, and then 204."""

    replies: list[Reply] = field(default_factory=list)
    got: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)

    def post(self, url: str, headers: dict[str, str], body: bytes) -> Reply:
        self.got.append((url, headers, body))
        return self.replies.pop(0) if self.replies else Reply(204)


@dataclass
class Moving:
    """A clock."""

    now: datetime = NOW

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def store() -> Waiting:
    return Waiting()


@pytest.fixture
def receivers() -> Scripted:
    return Scripted()


@pytest.fixture
def clock() -> Moving:
    return Moving()


def webhooks(store: Waiting, receivers: Scripted, clock: Moving, *secrets: str, chance: float = 0.0) -> Webhooks:
    return Webhooks(store, receivers, secrets or (SECRET,), clock, chance=lambda: chance)


def always() -> bool:
    return True


class TestWhatIsSent:
    def test_the_signature_is_that_of_the_specification(self) -> None:
        """Computed by hand: `{id}.{timestamp}.{body}` under the bytes behind whsec_."""
        store, receivers = Waiting().add("5f0c"), Scripted()
        webhooks(store, receivers, Moving()).deliver_due(URL, always)
        [(url, headers, body)] = receivers.got
        assert url == URL
        signed = b".".join([headers["webhook-id"].encode(), headers["webhook-timestamp"].encode(), body])
        key = base64.b64decode(SECRET.removeprefix("whsec_"))
        expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
        assert headers == {
            "content-type": "application/json",
            "webhook-id": "5f0c",
            "webhook-timestamp": str(int(NOW.timestamp())),
            "webhook-signature": f"v1,{expected}",
        }

    def test_the_body_is_the_event_and_where_it_stands_in_the_chain(self) -> None:
        told = json.loads(payload(EVENT, LINK))
        at = NOW.isoformat().replace("+00:00", "Z")
        assert told == {
            "type": "audit.approved",
            "timestamp": at,
            "data": {
                "id": "5f0c",
                "at": at,
                "event": "approved",
                "client_id": "difyctl",
                "subject": "account:ada",
                "device_label": "Ω",
                "position": 7,
                "hash": "a" * 64,
            },
        }

    def test_while_a_secret_is_replaced_both_sign(self, store: Waiting, receivers: Scripted, clock: Moving) -> None:
        store.add("a")
        clock.now = datetime.now(UTC)  # the library's receiver looks at the machine's clock
        webhooks(store, receivers, clock, NEXT_SECRET, SECRET).deliver_due(URL, always)
        [(_, headers, body)] = receivers.got
        assert headers["webhook-signature"].count("v1,") == 2
        for secret in (SECRET, NEXT_SECRET):
            assert Webhook(secret).verify(body, headers)["type"] == "audit.approved"

    def test_a_later_attempt_has_a_time_of_its_own_and_the_same_id(
        self, store: Waiting, receivers: Scripted, clock: Moving
    ) -> None:
        store.add("a")
        receivers.replies = [Reply(500)]
        for _ in range(2):
            webhooks(store, receivers, clock).deliver_due(URL, always)
            clock.now += WAITS[0]
        (_, first, body), (_, second, again) = receivers.got
        assert first["webhook-id"] == second["webhook-id"]
        assert int(second["webhook-timestamp"]) - int(first["webhook-timestamp"]) == 5
        assert body == again
        assert first["webhook-signature"] != second["webhook-signature"]


class TestWhoIsTold:
    def test_each_address_of_each_event(self) -> None:
        told = list(Subscription(frozenset([URL, OTHER])).deliveries(EVENT))
        assert [url for _, url in told] == [URL, OTHER]
        assert len({delivery for delivery, _ in told}) == 2

    def test_of_the_chosen_events_alone(self) -> None:
        chosen = Subscription(frozenset([URL]), frozenset(["approved"]))
        assert len(list(chosen.deliveries(EVENT))) == 1
        assert list(chosen.deliveries(replace(EVENT, event="denied"))) == []

    def test_nobody_where_nobody_subscribed(self) -> None:
        assert list(Subscription().deliveries(EVENT)) == []


class TestWhenItIsTriedAgain:
    def test_the_schedule_is_that_of_the_specification(self) -> None:
        waits = [wait(attempts, Reply(500), 0) for attempts in range(1, 12)]
        seconds = [5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400]
        assert waits == [*(timedelta(seconds=one) for one in seconds), None, None]

    def test_chance_makes_each_wait_longer_by_a_fifth_at_most(self) -> None:
        for attempts, least in enumerate(WAITS, 1):
            assert wait(attempts, Reply(500), 1) == least * (1 + JITTER)
            middle = wait(attempts, Reply(500), 0.5)
            assert middle is not None
            assert least < middle < least * (1 + JITTER)

    def test_a_receiver_may_ask_for_more_time_up_to_a_day(self) -> None:
        assert wait(1, Reply(429, retry_after_seconds=60), 0) == timedelta(seconds=60)
        assert wait(3, Reply(503, retry_after_seconds=60), 0) == WAITS[2]
        assert wait(1, Reply(503, retry_after_seconds=10**8), 0) == timedelta(days=1)

    def test_one_that_is_gone_is_given_up_at_once(self) -> None:
        assert wait(1, Reply(410), 0) is None

    @pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
    def test_2xx_is_taken(self, store: Waiting, receivers: Scripted, clock: Moving, status: int) -> None:
        receivers.replies = [Reply(status)]
        assert webhooks(store.add("a"), receivers, clock).deliver_due(URL, always) == 1
        assert store.rows == {}

    @pytest.mark.parametrize("status", [199, 300, 301, 307, 400, 401, 404, 409, 500])
    def test_all_else_is_tried_again(self, store: Waiting, receivers: Scripted, clock: Moving, status: int) -> None:
        receivers.replies = [Reply(status)]
        assert webhooks(store.add("a", "b"), receivers, clock).deliver_due(URL, always) == 1
        assert store.rows["a"].next_attempt_at == NOW + WAITS[0]
        assert store.rows["a"].problem == f"status {status}"

    @pytest.mark.parametrize(
        "reply",
        [Reply(None, "ConnectTimeout"), Reply(429), Reply(502), Reply(503), Reply(504)],
        ids=lambda one: one.told,
    )
    def test_where_it_is_away_the_others_wait_their_turn(
        self, store: Waiting, receivers: Scripted, clock: Moving, reply: Reply
    ) -> None:
        """Or a minute of absence would put off everything that waits by hours."""
        receivers.replies = [reply]
        assert webhooks(store.add("a", "b"), receivers, clock).deliver_due(URL, always) == 0
        assert (store.rows["a"].problem, store.rows["b"].attempts) == (reply.told, 0)

    def test_after_three_days_it_is_given_up(
        self, store: Waiting, receivers: Scripted, clock: Moving, caplog: pytest.LogCaptureFixture
    ) -> None:
        store.add("a")
        one = webhooks(store, receivers, clock, chance=1.0)
        receivers.replies = [Reply(500)] * 10
        for attempt in range(1, 11):
            one.deliver_due(URL, always)
            assert store.rows["a"].attempts == attempt
            clock.now = store.rows["a"].next_attempt_at or clock.now
        assert store.rows["a"].next_attempt_at is None
        assert [delivery.id for delivery in one.waiting(failed=True)] == ["a"]
        assert one.counts() == (0, 1)
        assert timedelta(days=3) < clock.now - NOW < timedelta(days=4)
        assert caplog.messages[-1] == "the webhook a to hooks.example.com is given up: status 500"
        assert not any(URL in line for line in caplog.messages)

    def test_while_it_is_on_its_way_nobody_else_has_it(
        self, store: Waiting, receivers: Scripted, clock: Moving
    ) -> None:
        class Dies(Exception):
            pass

        class Killed(Scripted):
            def post(self, url: str, headers: dict[str, str], body: bytes) -> Reply:
                super().post(url, headers, body)
                raise Dies

        store.add("a")
        with pytest.raises(Dies):
            webhooks(store, Killed(), clock).deliver_due(URL, always)
        clock.now += CLAIM - timedelta(seconds=1)
        assert webhooks(store, receivers, clock).deliver_due(URL, always) == 0
        clock.now += timedelta(seconds=1)
        assert webhooks(store, receivers, clock).deliver_due(URL, always) == 1

    def test_who_is_told_to_stop_begins_nothing_more(self, store: Waiting, receivers: Scripted, clock: Moving) -> None:
        answers = iter([True, False])
        assert webhooks(store.add("a", "b"), receivers, clock).deliver_due(URL, lambda: next(answers)) == 1
        assert list(store.rows) == ["b"]

    def test_what_is_not_there_cannot_be_chosen(self, store: Waiting, receivers: Scripted, clock: Moving) -> None:
        one = webhooks(store, receivers, clock)
        for choose in (one.retry, one.forget):
            with pytest.raises(NoSuchDelivery):
                choose("nothing")
            assert choose(None) == 0
