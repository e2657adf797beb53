"""What a thief, a phisher or a broken authenticator may try with a passkey: one refusal for all of it."""

import base64
import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from webtest import TestApp, TestResponse

from ..authenticators import CREATE, GET, PRESENT, VERIFIED, Authenticator, base64url
from ..conftest import WorldMaker
from ..factories import World
from .test_person_signs_in_with_a_passkey import (
    PASSKEYS,
    SIGN_IN,
    add,
    csrf_token,
    events,
    names,
    options_to_add,
    options_to_sign,
    send,
    sign_in,
    signed_in_as,
)

REFUSED = {"error": "passkey_refused", "error_description": "The passkey was not accepted."}
Change = Callable[[Authenticator], None]


def refused(answer: TestResponse) -> bool:
    """Nobody can tell one refusal from another."""
    assert (answer.status_int, answer.json) == (403, REFUSED)
    return True


def change(**members: Any) -> Change:
    """An authenticator that is otherwise, after it made its passkey."""

    def changed(one: Authenticator) -> None:
        for name, value in members.items():
            setattr(one, name, value)

    return changed


# What is wrong with an answer, and why it is refused, as the audit has it.
LIES = {
    "another origin": (change(origin="https://login.example.net"), "Unexpected client data origin"),
    "another port": (change(origin="http://localhost:8000"), "Unexpected client data origin"),
    "an origin that begins as ours": (change(origin="http://localhost.evil.example"), "Unexpected client data origin"),
    "no origin": (change(client_data={"origin": None}), "Unexpected client data origin"),
    "another relying party": (change(rp_id="evil.example"), "Unexpected RP ID hash"),
    "in a frame of another origin": (change(client_data={"crossOrigin": True}), "frame of another origin"),
    "another challenge": (change(client_data={"challenge": base64url(bytes(64))}), "the challenge is not ours"),
    "a challenge of no bytes": (change(client_data={"challenge": ""}), "the challenge is not ours"),
    "a challenge that is none": (change(client_data={"challenge": 7}), "Error"),
    "the other ceremony": (change(client_data={"type": CREATE}), "Unexpected client data type"),
    "a person who was not verified": (change(flags=PRESENT), "User verification is required"),
    "a person who was not there": (change(flags=VERIFIED), "User was not present"),
    "backed up, yet not able to be": (change(flags=PRESENT | VERIFIED | 0x10), "InvalidBackupFlags"),
    "an unknown credential": (change(credential_id=b"unknown"), "the passkey is unknown"),
    "another user handle": (change(user_handle=b"somebody else"), "the user handle"),
    "no user handle": (change(user_handle=b""), "the user handle"),
}


class TestALyingAuthenticator:
    @pytest.mark.parametrize("lie", LIES)
    def test_signs_nobody_in(self, world: World, lie: str) -> None:
        passkey = add(world.person().sign_in())
        LIES[lie][0](passkey)
        browser = world.browser()
        assert refused(sign_in(browser, passkey))
        assert signed_in_as(browser) == ""
        told = events(world)[-1]
        assert told["event"] == "login_failed"
        assert told["reason"].startswith("passkey: ")

    @pytest.mark.parametrize("lie", LIES)
    def test_why_is_in_the_log_alone(self, world: World, caplog: pytest.LogCaptureFixture, lie: str) -> None:
        passkey = add(world.person().sign_in())
        lying, why = LIES[lie]
        lying(passkey)
        caplog.set_level("INFO")
        sign_in(world.browser(), passkey)
        (line,) = [one for one in caplog.messages if one.startswith("passkey_refused: ")]
        assert why in line

    def test_with_another_key_signs_nobody_in(self, world: World) -> None:
        real = add(world.person().sign_in())
        forged = Authenticator(credential_id=real.credential_id, user_handle=real.user_handle, sign_count=7)
        assert refused(sign_in(world.browser(), forged))

    def test_of_one_account_does_not_open_another(self, world: World) -> None:
        mine, theirs = add(world.person().sign_in()), add(world.person().sign_in())
        mine.user_handle = theirs.user_handle
        assert refused(sign_in(world.browser(), mine))

    @pytest.mark.parametrize(
        "lie", sorted(set(LIES) - {"an unknown credential", "another user handle", "no user handle"})
    )
    def test_adds_nothing(self, world: World, lie: str) -> None:
        person, one = world.person().sign_in(), Authenticator()
        LIES[lie][0](one)
        if lie == "the other ceremony":
            one.client_data = {"type": GET}
        assert refused(send(person.browser, PASSKEYS, name="x", credential=one.create(options_to_add(person))))
        assert names(person) == []

    def test_of_an_algorithm_that_we_did_not_ask_for_adds_nothing(self, world: World) -> None:
        person = world.person().sign_in()
        credential = Authenticator(algorithm=-35).create(options_to_add(person))
        assert refused(send(person.browser, PASSKEYS, name="x", credential=credential))

    def test_with_a_credential_that_is_known_adds_nothing(self, world: World) -> None:
        person, other = world.person().sign_in(), world.person().sign_in()
        known = add(person).credential_id
        for one in (person, other):
            credential = Authenticator(credential_id=known).create(options_to_add(one))
            assert refused(send(one.browser, PASSKEYS, name="x", credential=credential))
        assert (names(person), names(other)) == (["laptop"], [])

    def test_with_a_credential_id_that_is_too_long_adds_nothing(self, world: World) -> None:
        person = world.person().sign_in()
        add(person, Authenticator(credential_id=bytes(1023)))
        credential = Authenticator(credential_id=bytes(1024)).create(options_to_add(person))
        assert refused(send(person.browser, PASSKEYS, name="x", credential=credential))


class TestACopyOfAnAuthenticator:
    @pytest.mark.parametrize("count", [0, 1, 2], ids=["from the start", "one behind", "the same"])
    def test_is_noticed_by_its_count(self, world: World, count: int) -> None:
        """WebAuthn §7.2 step 22, §6.1.1."""
        person = world.person().sign_in()
        real = add(person)
        copy = real.copy()
        for _ in range(2):
            sign_in(world.browser(), real)
        copy.sign_count = count - 1 if count else 0
        copy.counts = bool(count)
        assert refused(sign_in(world.browser(), copy))
        told = events(world)[-1]
        assert (told["subject"], told["reason"]) == (
            f"account:{person.account.id}",
            "passkey: cloned? the sign count has not grown",
        )
        assert sign_in(world.browser(), real).status_int == 200

    def test_that_signs_at_the_same_time_does_not_get_in_too(self, world: World) -> None:
        passkey = add(world.person().sign_in())
        browsers = [world.browser() for _ in range(4)]
        # Each with a challenge of its own, and the same count.
        answers = [passkey.copy().get(options_to_sign(browser)) for browser in browsers]
        tokens, barrier = [csrf_token(browser) for browser in browsers], threading.Barrier(4)

        def use(number: int) -> int:
            headers, body = {"X-CSRF-Token": tokens[number]}, {"credential": json.dumps(answers[number])}
            barrier.wait()
            return int(browsers[number].post_json(SIGN_IN, body, headers=headers, status="*").status_int)

        with ThreadPoolExecutor(4) as threads:
            assert sorted(threads.map(use, range(4))) == [200, 403, 403, 403]


class TestAnAnswerThatWasSeen:
    def test_cannot_be_used_again(self, world: World) -> None:
        passkey = add(world.person().sign_in(), Authenticator(counts=False))
        browser = world.browser()
        token, cookies = csrf_token(browser), dict(browser.cookies)
        answer = passkey.get(options_to_sign(browser))
        assert send(browser, SIGN_IN, credential=answer).status_int == 200
        # Not by the same browser, nor by whoever has its cookie of that time.
        assert refused(send(browser, SIGN_IN, credential=answer))
        thief = world.browser()
        for name, value in cookies.items():
            thief.set_cookie(name, value.strip('"'))
        body = {"credential": json.dumps(answer)}
        assert refused(thief.post_json(SIGN_IN, body, headers={"X-CSRF-Token": token}, status="*"))
        assert signed_in_as(thief) == ""

    def test_used_twice_at_once_counts_once(self, world: World) -> None:
        passkey = add(world.person().sign_in(), Authenticator(counts=False))
        browser = world.browser()
        token, cookies = csrf_token(browser), dict(browser.cookies)
        body, barrier = {"credential": json.dumps(passkey.get(options_to_sign(browser)))}, threading.Barrier(4)
        browsers = [world.browser() for _ in range(4)]
        for one in browsers:
            for name, value in cookies.items():
                one.set_cookie(name, value.strip('"'))

        def use(one: TestApp) -> int:
            barrier.wait()
            return int(one.post_json(SIGN_IN, body, headers={"X-CSRF-Token": token}, status="*").status_int)

        with ThreadPoolExecutor(4) as threads:
            assert sorted(threads.map(use, browsers)) == [200, 403, 403, 403]

    def test_is_of_no_use_in_another_browser(self, world: World) -> None:
        passkey = add(world.person().sign_in())
        victim, thief = world.browser(), world.browser()
        answer = passkey.get(options_to_sign(victim))
        assert refused(send(thief, SIGN_IN, credential=answer))
        # And a thief's challenge, signed by a person who was led on, is of no use to the person's browser.
        assert refused(send(victim, SIGN_IN, credential=passkey.get(options_to_sign(thief))))

    def test_is_of_no_use_after_five_minutes(self, world: World) -> None:
        passkey = add(world.person().sign_in())
        browser = world.browser()
        answer = passkey.get(options_to_sign(browser))
        world.clock.pass_seconds(301)
        assert refused(send(browser, SIGN_IN, credential=answer))

    def test_is_remembered_for_longer_than_it_is_good(self, world: World) -> None:
        passkey = add(world.person().sign_in(), Authenticator(counts=False))
        browser = world.browser()
        token, cookies = csrf_token(browser), dict(browser.cookies)
        answer = passkey.get(options_to_sign(browser))
        send(browser, SIGN_IN, credential=answer)
        for _ in range(2):
            world.clock.pass_seconds(299)
            thief = world.browser()
            for name, value in cookies.items():
                thief.set_cookie(name, value.strip('"'))
            body = {"credential": json.dumps(answer)}
            assert refused(thief.post_json(SIGN_IN, body, headers={"X-CSRF-Token": token}, status="*"))


class TestAChallengeOfOneCeremony:
    def test_does_not_serve_the_other(self, world: World) -> None:
        person = world.person().sign_in()
        passkey = add(person)
        options = options_to_add(person)
        assert refused(send(person.browser, SIGN_IN, credential=passkey.get(options)))
        options["challenge"] = options_to_sign(person.browser)["challenge"]
        assert refused(send(person.browser, PASSKEYS, name="x", credential=Authenticator().create(options)))
        assert names(person) == ["laptop"]

    def test_does_not_outlive_the_sign_in(self, world: World) -> None:
        person = world.person().sign_in()
        options = options_to_add(person)
        person.browser.get("/logout").form.submit(status=303)
        person.sign_in()
        assert refused(send(person.browser, PASSKEYS, name="x", credential=Authenticator().create(options)))

    def test_adds_to_the_account_that_gave_its_password(self, world: World) -> None:
        person, other = world.person().sign_in(), world.person().sign_in()
        credential = Authenticator().create(options_to_add(person))
        assert refused(send(other.browser, PASSKEYS, name="x", credential=credential))

    def test_adds_nothing_once_nobody_is_signed_in(self, world: World) -> None:
        person = world.person().sign_in()
        credential = Authenticator().create(options_to_add(person))
        world.services.accounts.set_active(person.account.email, False)
        answer = send(person.browser, PASSKEYS, name="x", credential=credential)
        assert (answer.status_int, answer.json["error"]) == (401, "login_required")
        answer = send(person.browser, f"{PASSKEYS}/options", password="whatever")
        assert (answer.status_int, answer.json["error"]) == (401, "login_required")


class TestADisabledAccount:
    def test_is_refused_in_the_same_words_until_it_is_enabled(self, world: World) -> None:
        person = world.person().sign_in()
        passkey = add(person)
        world.services.accounts.set_active(person.account.email, False)
        assert refused(sign_in(world.browser(), passkey))
        world.services.accounts.set_active(person.account.email, True)
        assert sign_in(world.browser(), passkey).status_int == 200


class TestTheLimitOfTheAddress:
    def test_counts_failures_with_passkeys_too(self, world: World) -> None:
        passkey = add(world.person().sign_in())
        forged = Authenticator(credential_id=passkey.credential_id, user_handle=passkey.user_handle)
        thief = "203.0.113.9"
        for _ in range(20):
            assert refused(sign_in(world.browser(thief), forged))
        answer = sign_in(world.browser(thief), passkey)
        assert (answer.status_int, answer.json["error"]) == (429, "rate_limited")
        assert int(answer.headers["Retry-After"]) > 0
        # A password is refused there too, and the owner is not locked out elsewhere.
        form = world.browser(thief).get("/login").form
        form["email"], form["password"] = "nobody@example.com", "whatever"
        form.submit(status=429)
        assert sign_in(world.browser(), passkey).status_int == 200

    def test_does_not_count_successes(self, make: WorldMaker) -> None:
        world = make(**{"limit.login_address": "2/hour"})
        passkey = add(world.person().sign_in())
        assert [sign_in(world.browser(), passkey).status_int for _ in range(5)] == [200] * 5


def from_page(browser: TestApp, path: str, body: dict[str, str], **headers: str) -> TestResponse:
    token = csrf_token(browser)
    return browser.post_json(path, body, headers={"X-CSRF-Token": token, **headers}, status="*")


PATHS = [SIGN_IN, f"{SIGN_IN}/options", PASSKEYS, f"{PASSKEYS}/options"]


class TestAnotherOrigin:
    @pytest.mark.parametrize("path", PATHS)
    @pytest.mark.parametrize("headers", [{}, {"X-CSRF-Token": "wrong"}])
    def test_knows_no_csrf_token(self, world: World, path: str, headers: dict[str, str]) -> None:
        person = world.person().sign_in()
        answer = person.browser.post_json(path, {"password": "x", "credential": "{}"}, headers=headers, status=403)
        assert answer.json["error"] == "csrf_mismatch"

    @pytest.mark.parametrize("path", [*PATHS, "/passkeys"])
    def test_is_refused_with_one_too(self, make: WorldMaker, path: str) -> None:
        world = make(public_url="https://login.example.com", cors_allow_origins="https://console.example.com")
        person = world.person().sign_in()
        answer = from_page(person.browser, path, {"password": "x"}, Origin="https://evil.example")
        assert answer.status_int == 403
        assert [name for name in answer.headers if name.lower().startswith("access-control-")] == []

    @pytest.mark.parametrize("path", PATHS)
    def test_that_may_call_the_api_cannot_read_the_answers(self, make: WorldMaker, path: str) -> None:
        origin = "https://console.example.com"
        world = make(public_url="https://login.example.com", cors_allow_origins=origin)
        answer = from_page(world.person().sign_in().browser, path, {"password": "x"}, Origin=origin)
        assert [name for name in answer.headers if name.lower().startswith("access-control-")] == []

    def test_is_not_named_by_the_host_header(self, world: World) -> None:
        browser = world.browser()
        browser.extra_environ["HTTP_HOST"] = "evil.example"
        assert options_to_sign(browser)["rpId"] == "localhost"


GARBAGE: list[Any] = [
    "",
    "x",
    "null",
    "[]",
    "7",
    "{}",
    "[" * 15_000,
    {"id": 7},
    {"id": "AA", "rawId": "AA", "type": "public-key", "response": {}},
    {"id": "AA", "rawId": "AA", "type": "public-key", "response": {"clientDataJSON": "AA"}},
    {"id": "\u00e4", "rawId": "\u00e4", "type": "public-key", "response": {"clientDataJSON": "\u00e4"}},
]


class TestGarbage:
    @pytest.mark.parametrize("credential", GARBAGE, ids=repr)
    def test_is_refused(self, world: World, credential: Any) -> None:
        person = world.person().sign_in()
        for path in (SIGN_IN, PASSKEYS):
            answer = send(person.browser, path, name="x", credential=credential)
            assert answer.status_int in (400, 403)
            assert answer.json["error"] in ("invalid_request", "passkey_refused")

    @pytest.mark.parametrize("path", PATHS)
    @pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b'{"credential": {}, "password": []}'])
    def test_as_a_body_is_no_fault_of_ours(self, world: World, path: str, body: bytes) -> None:
        browser = world.person().sign_in().browser
        headers = {"X-CSRF-Token": csrf_token(browser), "Content-Type": "application/json"}
        answer = browser.post(path, body, headers=headers, status="*")
        assert answer.status_int < 500
        assert answer.content_type == "application/json"

    @pytest.mark.parametrize("passkey", ["", "x", "\x00", "\x00" * 36, "0" * 36, "../../etc/passwd", "A" * 36])
    def test_as_the_passkey_to_remove_is_no_fault_of_ours(self, world: World, passkey: str) -> None:
        browser = world.person().sign_in().browser
        answer = browser.post("/passkeys", {"csrf_token": csrf_token(browser), "passkey": passkey}, status="*")
        assert answer.status_int in (400, 404)
        assert answer.content_type == "text/html"

    @pytest.mark.parametrize("path", PATHS)
    def test_of_17_kib_is_too_large(self, world: World, path: str) -> None:
        browser = world.person().sign_in().browser
        answer = send(browser, path, credential="x" * 17 * 1024, password="x")
        assert (answer.status_int, answer.json["error"]) == (413, "invalid_request")

    @pytest.mark.parametrize("path", PATHS)
    def test_by_another_method_is_refused(self, world: World, path: str) -> None:
        for method in ("GET", "PUT", "DELETE"):
            answer = world.browser().request(path, method=method, status=405)
            assert (answer.headers["Allow"], answer.json["error"]) == ("POST", "invalid_request")

    def test_inside_of_an_attestation_is_refused(self, world: World) -> None:
        """CBOR in all depths, cut at every length."""
        person = world.person().sign_in()
        whole = Authenticator().create(options_to_add(person))
        attestation = base64.urlsafe_b64decode(whole["response"]["attestationObject"] + "===")
        bombs = [
            b"\x81" * 9_000,
            b"\xa1\x00" * 4_000,
            b"\xd8\x1c" * 4_000,
            b"\x9b" + b"\xff" * 8,
            b"\x5b" + b"\xff" * 8,
        ]
        for content in (*bombs, *(attestation[:length] for length in range(0, len(attestation), 7))):
            credential = Authenticator().create(options_to_add(person))
            credential["response"]["attestationObject"] = base64url(content)
            assert refused(send(person.browser, PASSKEYS, name="x", credential=credential))
