"""PostgreSQL stops in mid-story: 503 on what needs it, one token afterwards, and no restart of ours."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import text
from webtest import TestResponse

from oauthdevice.stores.migrate import upgrade

from ..conftest import WorldMaker
from ..crowds import UNLIMITED, Crowd
from ..factories import API, APPROVE, DENY, LOOKUP, PASSWORD, Person, World, unique_name
from ..servers import PostgreSQLServer, running_postgresql


@pytest.fixture(scope="module")
def own_postgresql_server() -> Iterator[PostgreSQLServer]:
    """One that these tests may stop and start."""
    with running_postgresql() as server:
        yield server


@pytest.fixture
def world(make: WorldMaker, own_postgresql_server: PostgreSQLServer) -> World:
    url = own_postgresql_server.create_database(unique_name("away"))
    upgrade(url)
    return make(database_url=url)


@contextmanager
def away(server: PostgreSQLServer) -> Iterator[None]:
    """While this lasts there is no PostgreSQL; its connections die in mid-air."""
    server.stop()
    try:
        yield
    finally:
        server.restart()


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
    for inner in ("psycopg", "sqlalchemy", "OperationalError", "Traceback", ".s.PGSQL"):
        assert inner not in answer.text


def count(world: World, table: str) -> int:
    with world.services.database.engine.connect() as sql:
        return int(sql.execute(text(f"select count(*) from {table}")).scalar_one())


def start_sign_in(person: Person, password: str = PASSWORD) -> TestResponse:
    form = person.browser.get("/login").form
    form["email"], form["password"] = person.account.email, password
    return form.submit(status="*")


class TestADeviceMeetsIt:
    def test_and_the_same_poll_delivers_one_token_afterwards(
        self, world: World, own_postgresql_server: PostgreSQLServer
    ) -> None:
        device = world.device().ask()
        person = world.person()
        person.allow(device.user_code)
        with away(own_postgresql_server):
            for _ in range(3):
                assert_unavailable(device.poll())
        answer = device.poll()
        assert answer.status_int == 200
        assert answer.json["account"]["id"] == person.account.id
        assert device.account(answer.json["access_token"]).status_int == 200
        assert device.poll().json == answer.json
        assert (count(world, "sessions"), count(world, "access_tokens")) == (1, 1)

    def test_in_the_original_dialect_too(self, world: World, own_postgresql_server: PostgreSQLServer) -> None:
        device = world.device().ask()
        world.person().allow(device.user_code)
        with away(own_postgresql_server):
            assert_unavailable(device.poll_original())
        assert device.poll_original().status_int == 200
        assert (count(world, "sessions"), count(world, "access_tokens")) == (1, 1)

    def test_who_came_by_first_is_not_slowed(self, world: World, own_postgresql_server: PostgreSQLServer) -> None:
        """A decided code is never slowed, however often it met a 503."""
        device = world.device().ask()
        world.person().allow(device.user_code)
        with away(own_postgresql_server):
            assert [device.poll().status_int for _ in range(10)] == [503] * 10
        assert device.poll().status_int == 200

    def test_and_waits_as_before_while_nobody_has_decided(
        self, world: World, own_postgresql_server: PostgreSQLServer
    ) -> None:
        device = world.device().ask()
        with away(own_postgresql_server):
            for _ in range(3):
                answer = device.poll()
                assert answer.status_int == 400
                assert answer.json["error"] == "authorization_pending"
                world.clock.pass_seconds(5)
            assert device.poll().status_int == 400
            assert device.poll().json["error"] == "slow_down"

    def test_and_can_start_and_be_looked_up(self, world: World, own_postgresql_server: PostgreSQLServer) -> None:
        with away(own_postgresql_server):
            device = world.device().ask()
            answer = world.browser().post_json(LOOKUP, {"user_code": device.user_code}, status=200)
            assert answer.json["valid"] is True
            assert answer.json["client_id"] == "difyctl"
        world.person().allow(device.user_code)
        assert device.poll().status_int == 200

    def test_a_denied_or_expired_code_is_told_all_the_same(
        self, world: World, own_postgresql_server: PostgreSQLServer
    ) -> None:
        denied, late = world.device().ask(), world.device().ask()
        world.person().deny(denied.user_code)
        with away(own_postgresql_server):
            assert denied.poll().json["error"] == "access_denied"
            world.clock.pass_seconds(901)
            assert late.poll().json["error"] == "expired_token"

    def test_a_lost_answer_is_told_again_all_the_same(
        self, world: World, own_postgresql_server: PostgreSQLServer
    ) -> None:
        device = world.device().ask()
        world.person().allow(device.user_code)
        answer = device.poll()
        with away(own_postgresql_server):
            assert device.poll().json == answer.json

    def test_a_token_opens_nothing_meanwhile_but_what_was_asked_a_minute_ago(
        self, world: World, own_postgresql_server: PostgreSQLServer
    ) -> None:
        device = world.device().ask()
        world.person().allow(device.user_code)
        token = device.poll().json["access_token"]
        assert device.account(token).status_int == 200
        with away(own_postgresql_server):
            assert device.account(token).status_int == 200
            world.clock.pass_seconds(60)
            for _ in range(3):
                assert_unavailable(device.account(token))
            assert device.account("dfoa_nonsense").status_int == 401
        assert device.account(token).status_int == 200

    def test_a_replay_revokes_as_soon_as_it_can(self, world: World, own_postgresql_server: PostgreSQLServer) -> None:
        device = world.device().ask()
        world.person().allow(device.user_code)
        token = device.poll().json["access_token"]
        world.clock.pass_seconds(31)
        with away(own_postgresql_server):
            assert_unavailable(device.poll())
        assert device.account(token).status_int == 200
        assert device.poll().json["error"] == "invalid_grant"
        assert device.account(token).status_int == 401


class TestAPersonMeetsIt:
    def test_at_sign_in(self, world: World, own_postgresql_server: PostgreSQLServer) -> None:
        person = world.person()
        with away(own_postgresql_server):
            assert world.browser().get("/login").status_int == 200
            assert_page_unavailable(start_sign_in(person))
            assert_page_unavailable(start_sign_in(person, "wrong"))
        assert start_sign_in(person).status_int == 303
        assert person.account.email in person.browser.get("/device").text

    def test_and_is_not_counted_as_a_guesser(self, world: World, own_postgresql_server: PostgreSQLServer) -> None:
        """No password was looked at: whoever tried while the database was away must not be shut out for it."""
        person = world.person()
        with away(own_postgresql_server):
            for _ in range(6):
                assert_page_unavailable(start_sign_in(person))
        assert start_sign_in(person).status_int == 303

    @pytest.mark.parametrize("page", ["/device", "/login", "/logout", "/device/consent"])
    def test_on_any_page_once_signed_in(self, world: World, own_postgresql_server: PostgreSQLServer, page: str) -> None:
        person, device = world.person().sign_in(), world.device().ask()
        person.open(device.user_code)
        with away(own_postgresql_server):
            assert_page_unavailable(person.browser.get(page, status="*"))
        assert device.user_code in person.browser.get("/device/consent", status=200).text

    @pytest.mark.parametrize("decision", ["approve", "deny"])
    def test_at_the_decision(self, world: World, own_postgresql_server: PostgreSQLServer, decision: str) -> None:
        person, device = world.person().sign_in(), world.device().ask()
        page = person.open(device.user_code)
        with away(own_postgresql_server):
            refused = page.form.submit("decision", value=decision, status="*")
            assert_page_unavailable(refused)
            assert device.poll().json["error"] == "authorization_pending"
        page = refused.click("Try again")
        assert page.request.path == "/device/consent"
        page.form.submit("decision", value=decision, status=303)
        assert device.poll().status_int == (200 if decision == "approve" else 400)

    @pytest.mark.parametrize("path", [APPROVE, DENY])
    def test_at_the_services_for_decisions(
        self, world: World, own_postgresql_server: PostgreSQLServer, path: str
    ) -> None:
        person, device = world.person().sign_in(), world.device().ask()
        headers = {"X-CSRF-Token": person.csrf_token()}
        body = {"user_code": device.user_code}
        with away(own_postgresql_server):
            assert_unavailable(person.browser.post_json(path, body, headers=headers, status="*"))
        assert device.poll().json["error"] == "authorization_pending"
        assert person.post(path, device.user_code).status_int == 200

    def test_at_sign_out_and_stays_signed_in(self, world: World, own_postgresql_server: PostgreSQLServer) -> None:
        """An answer of success would be a lie: the sign-in lives on where the server keeps it."""
        person = world.person().sign_in()
        page = person.browser.get("/logout")
        with away(own_postgresql_server):
            assert_page_unavailable(page.form.submit(status="*"))
        assert person.account.email in person.browser.get("/device").text
        person.browser.get("/logout").form.submit(status=303)
        assert person.account.email not in person.browser.get("/device").text

    def test_whoever_is_a_stranger_sees_the_pages(self, world: World, own_postgresql_server: PostgreSQLServer) -> None:
        with away(own_postgresql_server):
            for page in ("/device", "/login", "/logout", "/static/device.css", "/.well-known/openid-configuration"):
                assert world.browser().get(page).status_int == 200
            assert world.browser().get(f"{API}/account", status=401).json["error"] == "invalid_token"


@pytest.mark.timeout(300)
def test_a_thousand_meet_it_twice_and_each_gets_one_token(
    make: WorldMaker, own_postgresql_server: PostgreSQLServer
) -> None:
    url = own_postgresql_server.create_database(unique_name("crowd"))
    upgrade(url)
    crowd = Crowd(make(database_url=url, **UNLIMITED), 1000)
    with crowd.at_work():
        for share in (0.2, 0.6):
            crowd.wait_for(share)
            with away(own_postgresql_server):
                crowd.wait_for_outage()
    print(crowd.told)
    # Redis forgot nothing: nobody has to start again.
    crowd.check(starts_again_max=0)
    crowd.check_that_all_goes_on()
