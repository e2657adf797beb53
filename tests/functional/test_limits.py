"""Each bucket lets exactly as many through as it says, and no bucket answers for another (DESIGN.md §6)."""

import re
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest
from webtest import TestResponse

from oauthdevice.domain.codes import new_device_code
from oauthdevice.domain.token_endpoint import DEVICE_GRANT

from ..conftest import WorldMaker
from ..factories import API, APPROVE, CODE, DENY, LOOKUP, PASSWORD, TOKEN, Clock, Person, World, keys_in

MINUTE, HOUR = 60, 3600
UNKNOWN = "BCDF-GHJK"
HERE, ELSEWHERE = "192.0.2.7", "198.51.100.9"
Step = Callable[[], TestResponse]


def assert_limited(answer: TestResponse, period_seconds: int) -> int:
    """429 for a program. The seconds to wait."""
    assert answer.status_int == 429
    assert answer.content_type == "application/json"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.json == {"error": "rate_limited", "error_description": "Too many requests. Try again later."}
    return seconds_to_wait(answer, period_seconds)


def assert_page_limited(answer: TestResponse, period_seconds: int) -> int:
    """429 for a person. The seconds to wait."""
    assert answer.status_int == 429
    assert answer.content_type == "text/html"
    assert "<h1>Too many tries</h1>" in answer.text
    assert "Try again in" in answer.text
    return seconds_to_wait(answer, period_seconds)


def seconds_to_wait(answer: TestResponse, period_seconds: int) -> int:
    assert re.fullmatch(r"[1-9][0-9]*", answer.headers["Retry-After"])
    assert 1 <= int(answer.headers["Retry-After"]) <= period_seconds
    return int(answer.headers["Retry-After"])


def ask(world: World, address: str = HERE) -> Step:
    browser = world.browser(address)
    return lambda: browser.post(CODE, {"client_id": "difyctl"}, status="*")


def poll_unknown(world: World, address: str = HERE) -> Step:
    browser = world.browser(address)
    form = {"grant_type": DEVICE_GRANT, "client_id": "difyctl"}
    return lambda: browser.post(TOKEN, {**form, "device_code": new_device_code("00")}, status="*")


def look_up(world: World, address: str = HERE) -> Step:
    browser = world.browser(address)
    return lambda: browser.post_json(LOOKUP, {"user_code": UNKNOWN}, status="*")


def type_code(world: World, address: str = HERE) -> Step:
    browser = world.browser(address)
    form = browser.get("/device").form
    form["user_code"] = UNKNOWN
    return lambda: form.submit(status="*")


def guess(world: World, address: str = HERE) -> Step:
    """By a person of its own, over the JSON service."""
    person = world.person(address=address).sign_in()
    headers = {"X-CSRF-Token": person.csrf_token()}
    return lambda: person.browser.post_json(APPROVE, {"user_code": UNKNOWN}, headers=headers, status="*")


def decide(world: World, address: str = HERE) -> Step:
    """By a person of its own; each time about another code, allowing and denying in turn."""
    person = world.person(address=address).sign_in()
    paths = [DENY, APPROVE]

    def step() -> TestResponse:
        paths.reverse()
        return person.post(paths[0], world.device(address="203.0.113.5").ask().user_code)

    return step


def use_token(world: World, address: str = HERE) -> Step:
    """With a token of its own."""
    device, person = world.device(address="203.0.113.5").ask(), world.person(address="203.0.113.5")
    person.allow(device.user_code)
    token, reader = device.poll().json["access_token"], world.device(address=address)
    return lambda: reader.account(token)


def log_in_to(world: World, person: Person, password: str = "wrong", address: str = HERE) -> TestResponse:
    form = world.browser(address).get("/login").form
    form["email"], form["password"] = person.account.email, password
    return form.submit(status="*")


def fail_at_one_account(world: World, address: str = HERE) -> Step:
    person = world.person()
    return lambda: log_in_to(world, person, address=address)


def fail_at_many_accounts(world: World, address: str = HERE) -> Step:
    return lambda: log_in_to(world, world.person(), address=address)


Start = Callable[..., Step]


@dataclass(frozen=True)
class Bucket:
    """`count` requests of `start` in `period_seconds` are answered with `status`."""

    name: str
    start: Start
    count: int
    period_seconds: int
    status: int

    def let_pass(self, step: Step, count: int) -> None:
        assert [step().status_int for _ in range(count)] == [self.status] * count


JSON_BUCKETS = [
    Bucket("code", ask, 60, HOUR, 200),
    Bucket("token_unknown", poll_unknown, 60, MINUTE, 400),
    Bucket("lookup", look_up, 60, 5 * MINUTE, 200),
    Bucket("guesses", guess, 10, 15 * MINUTE, 404),
    Bucket("decide", decide, 10, HOUR, 200),
    Bucket("bearer", use_token, 60, MINUTE, 200),
]
PAGE_BUCKETS = [
    Bucket("lookup", type_code, 60, 5 * MINUTE, 404),
    Bucket("login_account", fail_at_one_account, 5, 15 * MINUTE, 401),
    Bucket("login_address", fail_at_many_accounts, 20, 15 * MINUTE, 401),
]
BUCKETS = JSON_BUCKETS + PAGE_BUCKETS
OF_ADDRESSES = [one for one in BUCKETS if one.name in ("code", "token_unknown", "lookup", "login_address")]
OF_WHOM = [one for one in BUCKETS if one not in OF_ADDRESSES]


def named(value: object) -> str | None:
    return f"{value.name} {value.start.__name__}" if isinstance(value, Bucket) else None


class TestABucket:
    @pytest.mark.parametrize("bucket", JSON_BUCKETS, ids=named)
    def test_lets_its_count_pass_and_no_more(self, world: World, bucket: Bucket) -> None:
        step = bucket.start(world)
        bucket.let_pass(step, bucket.count)
        assert_limited(step(), bucket.period_seconds)
        assert_limited(step(), bucket.period_seconds)

    @pytest.mark.parametrize("bucket", PAGE_BUCKETS, ids=named)
    def test_of_people_tells_them_so_on_a_page(self, world: World, bucket: Bucket) -> None:
        step = bucket.start(world)
        bucket.let_pass(step, bucket.count)
        assert_page_limited(step(), bucket.period_seconds)
        assert_page_limited(step(), bucket.period_seconds)

    @pytest.mark.parametrize("late", [0, 0.6])
    @pytest.mark.parametrize("bucket", BUCKETS, ids=named)
    def test_is_open_again_after_the_time_it_told(
        self, world: World, clock: Clock, bucket: Bucket, late: float
    ) -> None:
        step = bucket.start(world)
        bucket.let_pass(step, bucket.count)
        clock.pass_seconds(late)
        refused = step()
        assert refused.status_int == 429
        clock.pass_seconds(seconds_to_wait(refused, bucket.period_seconds))
        assert step().status_int == bucket.status

    @pytest.mark.parametrize("bucket", BUCKETS, ids=named)
    def test_can_be_switched_off(self, make: WorldMaker, bucket: Bucket) -> None:
        # Where codes are decided, others ask for them.
        step = bucket.start(make(**{f"limit.{bucket.name}": "off", "limit.code": "off"}))
        bucket.let_pass(step, min(bucket.count + 5, 19 if bucket.name == "login_account" else 100))

    @pytest.mark.parametrize("bucket", BUCKETS, ids=named)
    def test_can_be_set(self, make: WorldMaker, bucket: Bucket) -> None:
        step = bucket.start(make(**{f"limit.{bucket.name}": "2/minute"}))
        bucket.let_pass(step, 2)
        refused = step()
        assert refused.status_int == 429
        seconds_to_wait(refused, MINUTE)

    @pytest.mark.parametrize("bucket", OF_ADDRESSES, ids=named)
    def test_of_an_address_leaves_other_addresses_alone(self, make: WorldMaker, bucket: Bucket) -> None:
        world = make(**{f"limit.{bucket.name}": "3/minute"})
        step, other = bucket.start(world), bucket.start(world, ELSEWHERE)
        bucket.let_pass(step, 3)
        assert step().status_int == 429
        bucket.let_pass(other, 3)
        assert other().status_int == 429

    @pytest.mark.parametrize("bucket", OF_WHOM, ids=named)
    def test_of_an_account_or_a_token_leaves_others_alone(self, make: WorldMaker, bucket: Bucket) -> None:
        world = make(**{f"limit.{bucket.name}": "3/minute"})
        step, other = bucket.start(world), bucket.start(world)
        bucket.let_pass(step, 3)
        assert step().status_int == 429
        bucket.let_pass(other, 3)
        assert other().status_int == 429

    @pytest.mark.parametrize("bucket", OF_WHOM, ids=named)
    def test_of_an_account_or_a_token_follows_to_another_address(self, make: WorldMaker, bucket: Bucket) -> None:
        world = make(**{f"limit.{bucket.name}": "3/minute"})
        addresses = iter(f"203.0.113.{number}" for number in range(100))
        inner = world.app

        def moving(environ: dict[str, str], start_response: object) -> object:
            environ["REMOTE_ADDR"] = next(addresses)
            return inner(environ, start_response)

        world.app = moving
        step = bucket.start(world)
        bucket.let_pass(step, 3)
        assert step().status_int == 429

    @pytest.mark.parametrize("bucket", OF_ADDRESSES, ids=named)
    def test_of_an_address_believes_no_header(self, make: WorldMaker, bucket: Bucket) -> None:
        world = make(**{f"limit.{bucket.name}": "3/minute"})
        addresses = iter(f"203.0.113.{number}" for number in range(100))
        inner = world.app

        def claiming(environ: dict[str, str], start_response: object) -> object:
            address = next(addresses)
            environ["HTTP_FORWARDED"] = f"for={address}"
            for name in ("X_FORWARDED_FOR", "X_REAL_IP", "TRUE_CLIENT_IP", "CLIENT_IP", "CF_CONNECTING_IP"):
                environ[f"HTTP_{name}"] = address
            return inner(environ, start_response)

        world.app = claiming
        step = bucket.start(world)
        bucket.let_pass(step, 3)
        assert step().status_int == 429

    @pytest.mark.parametrize("bucket", OF_ADDRESSES, ids=named)
    def test_of_an_address_counts_a_whole_ipv6_network_as_one(self, make: WorldMaker, bucket: Bucket) -> None:
        """One subscriber has 2^64 addresses at will."""
        world = make(**{f"limit.{bucket.name}": "3/minute"})
        steps = [bucket.start(world, f"2001:db8:1:2:{host}") for host in ("0:0:0:1", "ffff:ffff:ffff:ffff", ":42")]
        assert [step().status_int for step in steps] == [bucket.status] * 3
        assert [step().status_int for step in steps] == [429] * 3
        assert bucket.start(world, "2001:db8:1:3::1")().status_int == bucket.status
        assert bucket.start(world, "2001:db8:1:1:ffff:ffff:ffff:ffff")().status_int == bucket.status

    def test_counts_an_ipv4_address_in_ipv6_dress_as_itself(self, make: WorldMaker) -> None:
        world = make(**{"limit.code": "2/hour"})
        assert ask(world, "::ffff:192.0.2.7")().status_int == 200
        assert ask(world, "192.0.2.7")().status_int == 200
        assert ask(world, "::ffff:192.0.2.7")().status_int == 429
        assert ask(world, "::ffff:192.0.2.8")().status_int == 200


class TestBucketsDoNotShare:
    @pytest.mark.parametrize("spent", [ask, poll_unknown, look_up, fail_at_many_accounts])
    def test_of_one_address(self, world: World, spent: Start) -> None:
        others = {ask: 200, poll_unknown: 400, look_up: 200, fail_at_many_accounts: 401, use_token: 200}
        del others[spent]
        steps = {start(world): status for start, status in others.items()}
        step = spent(world)
        while step().status_int != 429:
            pass
        for other, status in steps.items():
            assert other().status_int == status

    def test_but_lookup_and_code_entry_are_one(self, world: World) -> None:
        look, enter = look_up(world), type_code(world)
        for _ in range(30):
            assert look().status_int == 200
            assert enter().status_int == 404
        assert_limited(look(), 5 * MINUTE)
        assert_page_limited(enter(), 5 * MINUTE)

    def test_and_a_lookup_in_the_address_is_one_too(self, make: WorldMaker) -> None:
        browser = make(**{"limit.lookup": "2/minute"}).browser()
        browser.get(LOOKUP, {"user_code": UNKNOWN}, status=200)
        browser.post(LOOKUP, {"user_code": UNKNOWN}, status=200)
        browser.get(LOOKUP, {"user_code": UNKNOWN}, status=429)
        browser.post(LOOKUP, {"user_code": UNKNOWN}, status=429)

    def test_guesses_do_not_spend_decisions(self, make: WorldMaker) -> None:
        world = make(**{"limit.guesses": "3/minute", "limit.decide": "3/minute"})
        person = world.person().sign_in()
        assert [person.post(APPROVE, UNKNOWN).status_int for _ in range(2)] == [404] * 2
        codes = [world.device().ask().user_code for _ in range(4)]
        assert [person.post(APPROVE, code).status_int for code in codes] == [200, 200, 200, 429]

    def test_a_known_code_is_no_guess(self, make: WorldMaker) -> None:
        world = make(**{"limit.guesses": "3/minute"})
        person = world.person().sign_in()
        code = world.device().ask().user_code
        assert [person.open(code).status_int for _ in range(10)] == [200] * 10
        assert [person.post(APPROVE, UNKNOWN).status_int for _ in range(4)] == [404, 404, 404, 429]
        assert person.post(APPROVE, code).status_int == 429

    def test_a_right_code_gives_no_guess_back(self, make: WorldMaker) -> None:
        world = make(**{"limit.guesses": "3/minute", "limit.lookup": "6/minute"})
        person = world.person().sign_in()
        code = world.device().ask().user_code
        assert [person.post(APPROVE, UNKNOWN).status_int for _ in range(2)] == [404, 404]
        assert [person.open(code).status_int for _ in range(5)] == [200] * 5
        assert [person.post(APPROVE, UNKNOWN).status_int for _ in range(2)] == [404, 429]
        # Nor to its address.
        look = look_up(world)
        assert [look().status_int for _ in range(2)] == [200, 429]

    def test_a_poll_with_a_known_code_is_never_counted(self, make: WorldMaker) -> None:
        world = make(**{"limit.token_unknown": "1/minute"})
        device = world.device().ask()
        answers = [device.poll().json["error"] for _ in range(5)]
        assert answers == ["authorization_pending", "slow_down", "slow_down", "slow_down", "slow_down"]
        assert poll_unknown(world)().status_int == 400
        assert poll_unknown(world)().status_int == 429
        assert device.poll().json["error"] == "slow_down"
        world.person().allow(device.user_code)
        assert device.poll().status_int == 200

    def test_a_malformed_device_code_is_never_counted(self, make: WorldMaker) -> None:
        world = make(**{"limit.token_unknown": "1/minute"})
        device = world.device()
        device.answer = {"device_code": "dc_nonsense"}
        assert [device.poll().status_int for _ in range(3)] == [400] * 3
        assert poll_unknown(world)().status_int == 400

    def test_a_bad_token_never_spends_a_good_one(self, make: WorldMaker) -> None:
        world = make(**{"limit.bearer": "2/minute"})
        use = use_token(world)
        for _ in range(5):
            assert world.device().account("dfoa_nonsense").status_int == 401
        assert [use().status_int for _ in range(3)] == [200, 200, 429]

    def test_a_start_that_is_refused_is_not_counted(self, make: WorldMaker) -> None:
        world = make(**{"limit.code": "1/minute"})
        for form in ({}, {"client_id": "nobody"}, {"client_id": "difyctl", "scope": "nonsense"}):
            assert world.browser().post(CODE, form, status="*").status_int in (400, 401)
        assert ask(world)().status_int == 200
        assert ask(world)().status_int == 429

    def test_all_ways_to_decide_are_one(self, make: WorldMaker) -> None:
        world = make(**{"limit.decide": "4/hour"})
        person = world.person().sign_in()
        codes = [world.device().ask().user_code for _ in range(5)]
        assert person.post(APPROVE, codes[0]).status_int == 200
        assert person.post(DENY, codes[1]).status_int == 200
        assert person.allow(codes[2]).status_int == 200
        assert person.deny(codes[3]).status_int == 200
        assert_page_limited(person.allow(codes[4]), HOUR)
        assert_limited(person.post(DENY, codes[4]), HOUR)
        # Refused is not decided: somebody else may not, and this person may once the hour is over.
        assert world.browser().post(LOOKUP, {"user_code": codes[4]}).json["valid"] is True


class TestSigningIn:
    def test_a_spent_account_stays_shut_for_the_right_password_too(self, world: World) -> None:
        person = world.person()
        for _ in range(5):
            assert log_in_to(world, person).status_int == 401
        assert_page_limited(log_in_to(world, person, PASSWORD), 15 * MINUTE)
        assert_page_limited(log_in_to(world, person, PASSWORD, ELSEWHERE), 15 * MINUTE)
        world.clock.pass_seconds(15 * MINUTE)
        assert log_in_to(world, person, PASSWORD).status_int == 303

    def test_a_success_clears_the_failures_of_the_account(self, world: World) -> None:
        person = world.person()
        for _ in range(3):
            assert [log_in_to(world, person).status_int for _ in range(4)] == [401] * 4
            assert log_in_to(world, person, PASSWORD).status_int == 303
        assert [log_in_to(world, person).status_int for _ in range(6)] == [401] * 5 + [429]

    def test_a_success_gives_the_address_only_its_own_attempt_back(self, make: WorldMaker) -> None:
        """A guesser who has one good account gains nothing by it."""
        world = make(**{"limit.login_address": "6/15 minutes"})
        own = world.person()
        for _ in range(2):
            assert [log_in_to(world, world.person()).status_int for _ in range(2)] == [401] * 2
            assert log_in_to(world, own, PASSWORD).status_int == 303
        assert [log_in_to(world, world.person()).status_int for _ in range(2)] == [401] * 2
        assert_page_limited(log_in_to(world, world.person()), 15 * MINUTE)
        assert_page_limited(log_in_to(world, own, PASSWORD), 15 * MINUTE)
        assert log_in_to(world, own, PASSWORD, ELSEWHERE).status_int == 303

    def test_successes_are_without_limit(self, world: World) -> None:
        person = world.person()
        assert [log_in_to(world, person, PASSWORD).status_int for _ in range(25)] == [303] * 25

    def test_an_account_that_is_none_is_limited_alike(self, world: World) -> None:
        """Otherwise the limit would tell which accounts there are."""
        form = world.browser().get("/login").form
        form["email"], form["password"] = "nobody@example.com", "wrong"
        assert [form.submit(status="*").status_int for _ in range(6)] == [401] * 5 + [429]

    @pytest.mark.parametrize("spelling", [str.upper, str.title, lambda email: f"  {email} "])
    def test_another_spelling_of_the_email_is_the_same_account(
        self, world: World, spelling: Callable[[str], str]
    ) -> None:
        person = world.person("ada@example.com")
        form = world.browser().get("/login").form
        form["email"], form["password"] = spelling(person.account.email), "wrong"
        assert [form.submit(status="*").status_int for _ in range(5)] == [401] * 5
        assert log_in_to(world, person, PASSWORD).status_int == 429

    def test_who_is_signed_in_already_is_left_alone(self, world: World) -> None:
        person = world.person().sign_in()
        code = world.device().ask().user_code
        for _ in range(6):
            log_in_to(world, person)
        assert person.allow(code).request.path == "/device/approved"


class TestAtOnce:
    """Many threads, one barrier: the count holds."""

    def race(self, step: Callable[[int], TestResponse], threads: int) -> list[int]:
        barrier = threading.Barrier(threads)

        def run(number: int) -> int:
            barrier.wait()
            return step(number).status_int

        with ThreadPoolExecutor(threads) as pool:
            return sorted(pool.map(run, range(threads)))

    def test_starts(self, make: WorldMaker) -> None:
        world = make(**{"limit.code": "5/hour"})
        steps = [ask(world) for _ in range(12)]
        assert self.race(lambda number: steps[number](), 12) == [200] * 5 + [429] * 7

    def test_failed_sign_ins(self, make: WorldMaker) -> None:
        world = make()
        person = world.person()
        forms = [world.browser().get("/login").form for _ in range(12)]
        for form in forms:
            form["email"], form["password"] = person.account.email, "wrong"
        assert self.race(lambda number: forms[number].submit(status="*"), 12) == [401] * 5 + [429] * 7

    def test_guesses(self, make: WorldMaker) -> None:
        world = make(**{"limit.guesses": "4/minute"})
        person = world.person().sign_in()
        headers = {"X-CSRF-Token": person.csrf_token(), "Cookie": f"oauthdevice_session={_session_of(person)}"}
        browsers = [world.browser() for _ in range(12)]

        def step(number: int) -> TestResponse:
            body = {"user_code": UNKNOWN}
            return browsers[number].post_json(APPROVE, body, headers=headers, status="*")

        assert self.race(step, 12) == [404] * 4 + [429] * 8


def _session_of(person: Person) -> str:
    return str(person.browser.cookies["oauthdevice_session"]).strip('"')


class TestManyWrongCodes:
    SHORT = r"[A-Z0-9]{4}-[A-Z0-9]{4}"
    LONG = r"[A-Z0-9]{4}-[A-Z0-9]{4}-[A-Z0-9]{4}"

    @pytest.fixture
    def world(self, make: WorldMaker) -> World:
        return make(**{"limit.lookup": "off"})

    def type_wrong_codes(self, world: World, count: int) -> None:
        step = look_up(world, ELSEWHERE)
        for _ in range(count):
            step()
        # A process sees the alarm within a second.
        world.clock.pass_seconds(1)

    def test_make_new_codes_longer_until_it_calms(self, world: World, clock: Clock) -> None:
        self.type_wrong_codes(world, 990)
        assert re.fullmatch(self.SHORT, world.device().ask().user_code)
        self.type_wrong_codes(world, 11)
        device = world.device().ask()
        assert re.fullmatch(self.LONG, device.user_code)
        assert device.answer["verification_uri_complete"].endswith(f"?user_code={device.user_code}")
        clock.pass_seconds(5 * MINUTE + 1)
        assert re.fullmatch(self.SHORT, world.device().ask().user_code)

    def test_last_for_as_long_as_they_come(self, world: World, clock: Clock) -> None:
        self.type_wrong_codes(world, 1001)
        clock.pass_seconds(2 * MINUTE)
        self.type_wrong_codes(world, 1001)
        clock.pass_seconds(2 * MINUTE)
        assert re.fullmatch(self.LONG, world.device().ask().user_code)

    def test_lock_nobody_out(self, world: World) -> None:
        before = world.device().ask()
        self.type_wrong_codes(world, 1001)
        during = world.device().ask()
        assert re.fullmatch(self.SHORT, before.user_code)
        assert re.fullmatch(self.LONG, during.user_code)
        for device in (before, during):
            answer = world.browser().post(LOOKUP, {"user_code": device.user_code}, status=200)
            assert answer.json["valid"] is True
            assert device.poll().json["error"] == "authorization_pending"
            page = world.person().allow(device.user_code)
            assert page.request.path == "/device/approved"
            assert device.poll().status_int == 200
        # Not even whoever typed them, from the very address.
        assert world.browser(ELSEWHERE).post(LOOKUP, {"user_code": UNKNOWN}, status=200).json["valid"] is False
        assert world.person(address=ELSEWHERE).allow(world.device().ask().user_code).status_int == 200

    def test_a_long_code_may_be_typed_in_any_way(self, world: World) -> None:
        self.type_wrong_codes(world, 1001)
        device = world.device().ask()
        page = world.person().allow(f" {device.user_code.replace('-', ' ').lower()} ")
        assert page.request.path == "/device/approved"
        assert device.poll().status_int == 200

    def test_the_beginning_of_a_long_code_is_none(self, world: World) -> None:
        self.type_wrong_codes(world, 1001)
        device = world.device().ask()
        answer = world.browser().post(LOOKUP, {"user_code": device.user_code[:9]}, status=200)
        assert answer.json == {"valid": False, "expires_in_remaining": 0, "client_id": None}

    def test_right_codes_alarm_nobody(self, world: World) -> None:
        device = world.device().ask()
        browser = world.browser()
        for _ in range(1001):
            browser.post(LOOKUP, {"user_code": device.user_code})
        assert re.fullmatch(self.SHORT, world.device().ask().user_code)

    @pytest.mark.parametrize("start", [type_code, guess])
    def test_are_counted_wherever_they_are_typed(self, make: WorldMaker, start: Start) -> None:
        world = make(**{"limit.lookup": "off", "limit.guesses": "off"})
        step = start(world)
        for _ in range(500):
            step()
        self.type_wrong_codes(world, 501)
        assert re.fullmatch(self.LONG, world.device().ask().user_code)

    def test_alarm_switches_off_with_no_setting(self, make: WorldMaker) -> None:
        with pytest.raises(SystemExit, match="there is no such limit"):
            make(**{"limit.wrong_codes_alarm": "off"})


def test_a_counter_names_nobody(make: WorldMaker) -> None:
    """No e-mail, address or code lies in the name of a key."""
    world = make()
    person = world.person("somebody@example.com").sign_in()
    log_in_to(world, person)
    person.post(APPROVE, UNKNOWN)
    look_up(world)()
    names = " ".join(keys_in(world.redis, "*:limit*"))
    for word in ("somebody", "example", HERE, person.account.id, UNKNOWN, UNKNOWN.replace("-", "")):
        assert word not in names


def test_every_counter_expires(make: WorldMaker) -> None:
    world = make()
    for start in (ask, poll_unknown, look_up, type_code, guess, decide, use_token, fail_at_one_account):
        start(world)()
    keys = keys_in(world.redis)
    assert len(keys) > 8
    assert [key for key in keys if world.redis.ttl(key) < 0] == []


def test_the_page_that_says_so_leads_on(make: WorldMaker) -> None:
    """The way back works once there is time again."""
    world = make(**{"limit.lookup": "1/minute"})
    code = world.device().ask().user_code
    person = world.person().sign_in()
    type_code(world)()
    refused = person.open(code)
    assert_page_limited(refused, MINUTE)
    world.clock.pass_seconds(2 * MINUTE)
    assert person.open(code).request.path == "/device/consent"
    assert world.browser().get(f"{API}/account", status=401).json["error"] == "invalid_token"
