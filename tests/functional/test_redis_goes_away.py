"""Redis stops in mid-story: 503 on what needs it, nothing half done, and no restart of ours afterwards."""

import re

import pytest
from sqlalchemy import text
from webtest import TestResponse

from oauthdevice.domain.codes import new_device_code

from ..conftest import WorldMaker
from ..factories import API, APPROVE, CODE, DENY, LOOKUP, Person, World
from ..servers import RedisServer, wait_until
from .test_person_signs_in_with_a_passkey import SIGN_IN, add, options_to_sign, send, signed_in_as


@pytest.fixture
def world(make: WorldMaker, own_redis_server: RedisServer) -> World:
    return make(redis_url=own_redis_server.url)


def stop(world: World, server: RedisServer) -> None:
    """Redis goes; what it held will be there again, as it would be in production."""
    world.redis.save()
    server.stop()


def assert_unavailable(answer: TestResponse) -> None:
    assert answer.status_int == 503
    assert answer.content_type == "application/json"
    assert answer.headers["Cache-Control"] == "no-store"
    assert re.fullmatch(r"[1-9][0-9]*", answer.headers["Retry-After"])
    assert "WWW-Authenticate" not in answer.headers
    assert answer.json == {
        "error": "temporarily_unavailable",
        "error_description": "The service is temporarily unavailable. Try again shortly.",
    }


def assert_page_unavailable(answer: TestResponse) -> None:
    assert answer.status_int == 503
    assert answer.content_type == "text/html"
    assert answer.headers["Cache-Control"] == "no-store"
    assert re.fullmatch(r"[1-9][0-9]*", answer.headers["Retry-After"])
    assert "<h1>The server has trouble</h1>" in answer.text
    for inner in ("redis", "Redis", "ConnectionError", "Traceback", "sock"):
        assert inner not in answer.text


def sessions(world: World) -> int:
    with world.services.database.engine.connect() as sql:
        return int(sql.execute(text("select count(*) from sessions")).scalar_one())


def start_sign_in(person: Person) -> TestResponse:
    form = person.browser.get("/login").form
    form["email"], form["password"] = person.account.email, "correct horse battery staple"
    return form.submit(status="*")


class TestRedisGoesAway:
    def test_nobody_signs_in_with_a_passkey_and_afterwards_the_same_answer_counts(
        self, world: World, own_redis_server: RedisServer
    ) -> None:
        passkey = add(world.person().sign_in())
        browser = world.browser()
        answer = passkey.get(options_to_sign(browser))
        stop(world, own_redis_server)
        assert_unavailable(send(browser, SIGN_IN, credential=answer))
        assert signed_in_as(browser) == ""
        own_redis_server.start()
        assert send(browser, SIGN_IN, credential=answer).status_int == 200

    def test_a_device_cannot_start_and_can_afterwards(self, world: World, own_redis_server: RedisServer) -> None:
        stop(world, own_redis_server)
        for _ in range(3):
            assert_unavailable(world.browser().post(CODE, {"client_id": "difyctl"}, status="*"))
            assert_unavailable(world.browser().post_json(CODE, {"client_id": "difyctl"}, status="*"))
        own_redis_server.start()
        assert world.redis.keys("*") == []
        device = world.device().ask()
        assert device.poll().json["error"] == "authorization_pending"

    def test_a_poll_finds_everything_as_it_was(self, world: World, own_redis_server: RedisServer) -> None:
        device = world.device().ask()
        stop(world, own_redis_server)
        assert_unavailable(device.poll())
        assert_unavailable(device.poll_original())
        own_redis_server.start()
        # Neither was a poll, so this one is not too early.
        assert device.poll().json == {
            "error": "authorization_pending",
            "error_description": "The person has not decided yet. Poll again after the interval.",
            "interval": 5,
        }

    def test_what_was_allowed_is_delivered_once_afterwards(self, world: World, own_redis_server: RedisServer) -> None:
        device = world.device().ask()
        world.person().allow(device.user_code)
        stop(world, own_redis_server)
        assert_unavailable(device.poll())
        assert sessions(world) == 0
        own_redis_server.start()
        answer = device.poll()
        assert answer.status_int == 200
        assert device.account(answer.json["access_token"]).status_int == 200
        assert device.poll().json == answer.json
        assert sessions(world) == 1

    def test_a_lookup_is_refused(self, world: World, own_redis_server: RedisServer) -> None:
        device = world.device().ask()
        stop(world, own_redis_server)
        assert_unavailable(world.browser().post_json(LOOKUP, {"user_code": device.user_code}, status="*"))
        assert_unavailable(world.browser().get(LOOKUP, {"user_code": device.user_code}, status="*"))
        own_redis_server.start()
        answer = world.browser().get(LOOKUP, {"user_code": device.user_code}, status=200)
        assert answer.json["valid"] is True

    @pytest.mark.parametrize(("path", "outcome"), [(APPROVE, 200), (DENY, 400)])
    def test_a_decision_is_not_half_made(
        self, world: World, own_redis_server: RedisServer, path: str, outcome: int
    ) -> None:
        device, person = world.device().ask(), world.person().sign_in()
        stop(world, own_redis_server)
        assert_unavailable(person.post(path, device.user_code))
        own_redis_server.start()
        assert device.poll().json["error"] == "authorization_pending"
        assert person.post(path, device.user_code).status_int == 200
        assert device.poll().status_int == outcome

    def test_a_token_opens_nothing_unlimited(self, world: World, own_redis_server: RedisServer) -> None:
        device = world.device().ask()
        world.person().allow(device.user_code)
        token = device.poll().json["access_token"]
        stop(world, own_redis_server)
        assert_unavailable(device.account(token))
        own_redis_server.start()
        assert device.account(token).status_int == 200

    def test_what_needs_no_redis_goes_on(self, world: World, own_redis_server: RedisServer) -> None:
        device = world.device().ask()
        stop(world, own_redis_server)
        browser = world.browser()
        assert browser.get("/.well-known/oauth-authorization-server").status_int == 200
        assert browser.get("/static/device.css").status_int == 200
        for page in ("/device", "/login", "/logout", f"/device?user_code={device.user_code}"):
            assert browser.get(page).status_int == 200
        assert browser.get(f"{API}/account", status=401).json["error"] == "invalid_token"
        assert browser.post(CODE, {}, status=400).json["error"] == "invalid_request"
        assert browser.post(CODE, {"client_id": "nobody"}, status=401).json["error"] == "invalid_client"
        assert device.poll(device_code="dc_nonsense").json["error"] == "invalid_grant"
        assert device.account("dfoa_nonsense").status_int == 401

    def test_a_code_that_is_well_formed_may_not_be_called_unknown(
        self, world: World, own_redis_server: RedisServer
    ) -> None:
        device = world.device().ask()
        stop(world, own_redis_server)
        assert_unavailable(device.poll(device_code=new_device_code("00")))


class TestAPersonMeetsIt:
    def test_at_the_field_for_the_code(self, world: World, own_redis_server: RedisServer) -> None:
        device, person = world.device().ask(), world.person()
        stop(world, own_redis_server)
        assert_page_unavailable(person.open(device.user_code))
        own_redis_server.start()
        assert person.allow(device.user_code).request.path == "/device/approved"
        assert device.poll().status_int == 200

    def test_at_sign_in_which_stays_shut(self, world: World, own_redis_server: RedisServer) -> None:
        """Without a count of failures nobody may try a password, the right one included."""
        person = world.person()
        stop(world, own_redis_server)
        assert_page_unavailable(start_sign_in(person))
        answer = person.browser.get("/device")
        assert person.account.email not in answer.text
        own_redis_server.start()
        assert start_sign_in(person).status_int == 303
        assert person.account.email in person.browser.get("/device").text

    def test_on_the_way_to_consent(self, world: World, own_redis_server: RedisServer) -> None:
        device, person = world.device().ask(), world.person().sign_in()
        person.open(device.user_code)
        stop(world, own_redis_server)
        assert_page_unavailable(person.browser.get("/device/consent", status="*"))
        own_redis_server.start()
        # "Try again" leads here, and the code still waits.
        assert device.user_code in person.browser.get("/device/consent", status=200).text

    @pytest.mark.parametrize("decision", ["approve", "deny"])
    def test_at_the_decision(self, world: World, own_redis_server: RedisServer, decision: str) -> None:
        device, person = world.device().ask(), world.person().sign_in()
        page = person.open(device.user_code)
        stop(world, own_redis_server)
        refused = page.form.submit("decision", value=decision, status="*")
        assert_page_unavailable(refused)
        own_redis_server.start()
        assert device.poll().json["error"] == "authorization_pending"
        page = refused.click("Try again")
        assert page.request.path == "/device/consent"
        assert device.user_code in page.text
        page.form.submit("decision", value=decision, status=303)
        assert device.poll().status_int == (200 if decision == "approve" else 400)

    def test_signing_out_needs_no_redis(self, world: World, own_redis_server: RedisServer) -> None:
        person = world.person().sign_in()
        stop(world, own_redis_server)
        page = person.browser.get("/logout")
        assert page.form.submit(status=303).headers["Location"] == "http://localhost/login"
        assert person.account.email not in person.browser.get("/device").text


class TestRedisComesBackEmpty:
    """It kept nothing, its scripts included."""

    def test_all_can_start_anew(self, world: World, own_redis_server: RedisServer) -> None:
        before = world.device().ask()
        world.person().allow(before.user_code)
        own_redis_server.stop()
        own_redis_server.start()
        assert before.poll().json["error"] == "invalid_grant"
        device = world.device().ask()
        assert device.poll().json["error"] == "authorization_pending"
        world.person().allow(device.user_code)
        assert device.poll().status_int == 200

    def test_who_was_signed_in_still_is_and_tokens_go_on(self, world: World, own_redis_server: RedisServer) -> None:
        person, device = world.person().sign_in(), world.device().ask()
        person.allow(device.user_code)
        token = device.poll().json["access_token"]
        own_redis_server.stop()
        own_redis_server.start()
        assert person.account.email in person.browser.get("/device").text
        assert device.account(token).status_int == 200


class TestRedisHangs:
    def test_no_caller_waits_for_ever(self, world: World) -> None:
        """Two seconds, then 503; once it moves again, so do we."""
        world.device().ask()
        world.redis.client_pause(5000)
        assert_unavailable(world.browser().post(CODE, {"client_id": "difyctl"}, status="*"))
        wait_until(
            lambda: world.browser().post(CODE, {"client_id": "difyctl"}, status="*").status_int == 200,
            "Redis to move again",
        )
