"""What happened, as rows and as JSON lines: who, for which client, from where, and never a secret."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from oauthdevice.logs import JSONFormatter

from ..factories import API, PASSWORD, World


@pytest.fixture
def lines() -> Iterator[list[dict[str, Any]]]:
    """The audit lines as the production log would have them."""
    stream, read = io.StringIO(), []
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JSONFormatter())

    class Lines(list):  # type: ignore[type-arg]  # read only, by its iterator
        def __iter__(self) -> Iterator[dict[str, Any]]:
            return iter([json.loads(line) for line in stream.getvalue().splitlines()])

    log = logging.getLogger("oauthdevice.domain.audit")
    log.addHandler(handler)
    log.setLevel("INFO")
    yield Lines(read)
    log.removeHandler(handler)


def rows(world: World) -> list[dict[str, Any]]:
    return [event.members() for event in world.services.ledger.newest(1000)]


class TestAWholeStory:
    def test_is_told_with_every_field(self, world: World, lines: list[dict[str, Any]]) -> None:
        device, person = world.device().ask(device_label="laptop"), world.person()
        person.allow(device.user_code)
        answer = device.poll().json
        device.http.delete(
            f"{API}/account/sessions/self", headers={"Authorization": f"Bearer {answer['access_token']}"}
        )
        told = rows(world)
        assert [one["event"] for one in told] == ["started", "login", "approved", "redeemed", "revoked"]
        about = {"token_id": answer["token_id"], "client_id": "difyctl", "device_label": "laptop"}
        subject = f"account:{person.account.id}"
        started, login, approved, redeemed, revoked = told
        assert {**about, "event": "started", "scopes": "", "address": "192.0.2.7"}.items() <= started.items()
        assert {"event": "login", "subject": subject, "address": "192.0.2.7"}.items() <= login.items()
        assert {**about, "subject": subject, "scopes": "full", "address": "192.0.2.7"}.items() <= approved.items()
        assert {**about, "subject": subject, "scopes": "full", "address": "192.0.2.7"}.items() <= redeemed.items()
        assert {**about, "subject": subject, "reason": "by its owner"}.items() <= revoked.items()
        assert len({one["request_id"] for one in told}) == 5
        members = [{name: line[name] for name in one} for one, line in zip(told, lines, strict=True)]
        assert members == told
        for secret in (device.user_code, device.device_code, answer["access_token"], PASSWORD):
            assert secret not in json.dumps(told)

    def test_the_request_id_is_that_of_the_answer(self, world: World) -> None:
        http = world.browser()
        answer = http.post(f"{API}/oauth/device/code", {"client_id": "difyctl"}, headers={"X-Request-ID": "forged"})
        assert [one["request_id"] for one in rows(world)] == [answer.headers["X-Request-ID"]]
        assert answer.headers["X-Request-ID"] != "forged"


class TestEachEvent:
    def test_denied(self, world: World) -> None:
        device, person = world.device().ask(), world.person()
        person.deny(device.user_code)
        assert rows(world)[-1]["event"] == "denied"
        assert rows(world)[-1]["subject"] == f"account:{person.account.id}"

    def test_login_failed(self, world: World) -> None:
        form = world.browser().get("/login").form
        form["email"], form["password"] = "Nobody@example.com", "wrong password"
        form.submit(status=401)
        assert {"event": "login_failed", "subject": "email:nobody@example.com"}.items() <= rows(world)[-1].items()

    def test_redeemed_from_another_address(self, world: World) -> None:
        device, elsewhere = world.device().ask(), world.device(address="198.51.100.9")
        world.person().allow(device.user_code)
        elsewhere.answer = device.answer
        elsewhere.poll()
        assert [one["event"] for one in rows(world)][-2:] == ["redeemed", "redeemed_from_another_address"]
        assert rows(world)[-1]["address"] == "198.51.100.9"

    def test_replayed(self, world: World) -> None:
        device = world.device().ask()
        world.person().allow(device.user_code)
        device.poll()
        world.clock.pass_seconds(31)
        device.poll()
        device.poll()
        assert [one["event"] for one in rows(world)].count("replayed") == 1

    def test_expired(self, world: World) -> None:
        device = world.device().ask()
        world.person().allow(device.user_code)
        token = device.poll().json["access_token"]
        world.clock.pass_seconds(14 * 86400)
        for _ in range(3):
            device.account(token)
        assert [one["event"] for one in rows(world)].count("expired") == 1

    def test_limited_once_for_each_bucket(self, make: Any) -> None:
        world: World = make(**{"limit.code": "2/hour"})
        for _ in range(5):
            world.browser().post(f"{API}/oauth/device/code", {"client_id": "difyctl"}, status="*")
        limited = [one for one in rows(world) if one["event"] == "limited"]
        assert [(one["reason"], one["address"]) for one in limited] == [("code", "192.0.2.7")]

    def test_revoked_by_disabling_the_account(self, world: World) -> None:
        device, person = world.device().ask(), world.person()
        person.allow(device.user_code)
        answer = device.poll().json
        world.services.accounts.set_active(person.account.email, False)
        expected = {"event": "revoked", "token_id": answer["token_id"], "reason": "account disabled"}
        assert expected.items() <= rows(world)[-1].items()


class TestTheDatabaseIsAway:
    def test_rows_wait_and_are_not_lost(self, make: Any, sqlite_url: str, tmp_path: Any) -> None:
        world: World = make(database_url=sqlite_url)
        database = tmp_path / "oauthdevice.sqlite"
        world.services.database.engine.dispose()
        database.rename(tmp_path / "away")
        device = world.device().ask()
        assert device.poll().json["error"] == "authorization_pending"
        world.services.database.engine.dispose()
        database.unlink(missing_ok=True)
        (tmp_path / "away").rename(database)
        assert [one["event"] for one in rows(world)] == ["started"]
        assert [one["event"] for one in rows(world)] == ["started"]
        assert not world.redis.exists("oauthdevice:audit")

    def test_all_that_waits_is_moved_before_it_is_read(self, make: Any) -> None:
        world: World = make()
        for number in range(1300):
            event = {"id": str(number), "at": "2026-01-01T00:00:00Z", "event": "started", "of_a_newer_release": 1}
            world.redis.hset("oauthdevice:audit", str(number), json.dumps(event))
        assert len(list(world.services.ledger.all())) == 1300

    def test_a_row_that_no_table_takes_stops_nothing(self, make: Any, postgresql_url: str) -> None:
        world: World = make(database_url=postgresql_url)
        for number, name in enumerate(["fine", "x" * 5000, "nul \x00", "fine"]):
            event = {"id": str(number), "at": "2026-01-01T00:00:00Z", "event": "started", "client_id": name}
            world.redis.hset("oauthdevice:audit", str(number), json.dumps(event))
        world.redis.hset("oauthdevice:audit", "9", "no JSON")
        world.person().sign_in()
        assert [one["event"] for one in rows(world)] == ["started", "started", "login"]
        assert not world.redis.exists("oauthdevice:audit")

    def test_a_hundred_that_wait_are_moved(self, make: Any, redis_url: str) -> None:
        world: World = make(redis_url=redis_url, **{"limit.code": "off"})
        for _ in range(99):
            world.device().ask()
        assert world.redis.hlen("oauthdevice:audit") == 99
        world.device().ask()
        assert world.redis.hlen("oauthdevice:audit") == 0
        assert len(rows(world)) == 100
