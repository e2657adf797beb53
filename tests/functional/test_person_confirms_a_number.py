"""A code was asked for from another network: what each client demands then, on the page and of a program.

The tool asks from 192.0.2.7; a person elsewhere sits at 203.0.113.9. Signing in again instead of the number:
test_person_signs_in_again.py; people of an identity provider: test_stranger_confirms.py.
"""

import json
from collections import Counter

import pytest
from webtest import TestResponse

from oauthdevice.domain.errors import AlreadyResolved, ConfirmationFailed, NoTriesLeft
from oauthdevice.domain.other_network import Confirmation

from ..conftest import WorldMaker
from ..factories import APPROVE, DENY, LOOKUP, Device, Person, World, keys_in
from .test_many_at_once import at_once

HERE, ELSEWHERE, UNKNOWN = "192.0.2.7", "203.0.113.9", ""
POLICIES = ["off", "warn", "confirm", "block"]
WARNING = "It comes from another network than this browser."
FIELD = 'name="confirmation_number"'


@pytest.fixture
def confirming(make: WorldMaker) -> World:
    return make(other_network="confirm", **{"limit.decide": "off"})


def wrong(number: str) -> str:
    return "11" if number != "11" else "12"


def send(page: TestResponse, decision: str, number: str = "") -> TestResponse:
    """The page's form of this button, with what was typed."""
    form = next(one for one in page.forms.values() if f'value="{decision}"' in one.text)
    if number:
        page.forms["decision"]["confirmation_number"] = number
    return form.submit("decision", value=decision, status="*")


def follow(answer: TestResponse) -> TestResponse:
    return answer.follow() if answer.status_int == 303 else answer


class TestEachPolicy:
    @pytest.mark.parametrize("policy", POLICIES)
    @pytest.mark.parametrize("decision", ["approve", "deny"])
    def test_demands_nothing_in_the_same_network(self, make: WorldMaker, policy: str, decision: str) -> None:
        world = make(other_network=policy)
        device, person = world.device().ask(), world.person()
        page = person.open(device.user_code)
        assert WARNING not in page
        assert FIELD not in page
        assert "This is the same network" in page
        done = page.form.submit("decision", value=decision, status=303).follow()
        assert done.request.path == ("/device/approved" if decision == "approve" else "/device/denied")
        second, path = world.device().ask(), APPROVE if decision == "approve" else DENY
        assert person.post(path, second.user_code).status_int == 200

    @pytest.mark.parametrize("policy", POLICIES)
    @pytest.mark.parametrize("address", [ELSEWHERE, UNKNOWN])
    def test_never_demands_anything_of_who_denies(self, make: WorldMaker, policy: str, address: str) -> None:
        world = make(other_network=policy)
        device, person = world.device().ask(), world.person(address=address)
        page = person.open(device.user_code)
        assert "Deny" in page
        assert send(page, "deny").follow().request.path == "/device/denied"
        assert device.poll().json["error"] == "access_denied"
        assert person.post(DENY, world.device().ask().user_code).json == {"status": "denied"}

    @pytest.mark.parametrize(("policy", "warns"), [("off", False), ("warn", True)])
    @pytest.mark.parametrize("address", [ELSEWHERE, UNKNOWN])
    def test_off_and_warn_take_one_click(self, make: WorldMaker, policy: str, warns: bool, address: str) -> None:
        world = make(other_network=policy)
        device, person = world.device().ask(), world.person(address=address)
        page = person.open(device.user_code)
        assert (WARNING in page) is warns
        assert "This is the same network" not in page
        assert page.form.submit("decision", value="approve", status=303).follow().request.path == "/device/approved"
        assert device.poll().status_int == 200
        assert person.post(APPROVE, world.device().ask().user_code).status_int == 200

    @pytest.mark.parametrize("address", [ELSEWHERE, UNKNOWN])
    def test_block_says_so_and_offers_no_button(self, make: WorldMaker, address: str) -> None:
        world = make(other_network="block")
        device, person = world.device().ask(), world.person(address=address)
        page = person.open(device.user_code)
        assert "It can be allowed only from the network of your device" in page
        assert 'value="approve"' not in page
        form = {"csrf_token": page.form["csrf_token"].value, "user_code": device.user_code, "decision": "approve"}
        forged = person.browser.post("/device/consent", form, status=403)
        assert "It can be allowed only from the network of your device" in forged
        answer = person.post(APPROVE, device.user_code, confirmation_number="47")
        assert (answer.status_int, answer.json["error"]) == (403, "other_network_blocked")
        assert device.poll().json["error"] == "authorization_pending"

    def test_block_lets_the_same_person_allow_from_there(self, make: WorldMaker) -> None:
        world = make(other_network="block")
        device, person = world.device().ask(), world.person(address=ELSEWHERE)
        person.open(device.user_code)
        assert world.person(person.account.email).allow(device.user_code).request.path == "/device/approved"

    def test_is_the_clients_own(self, make: WorldMaker, tmp_path) -> None:
        ini = tmp_path / "clients.ini"
        tool = "name = {0}\nscopes = full\n"
        ini.write_text(
            f"[client:strict]\n{tool.format('Strict')}other_network = block\n[client:usual]\n{tool.format('Usual')}",
            "utf-8",
        )
        world = make(ini_file=str(ini), other_network="off")
        person = world.person(address=ELSEWHERE).sign_in()
        assert person.post(APPROVE, world.device("strict").ask().user_code).status_int == 403
        assert person.post(APPROVE, world.device("usual").ask().user_code).status_int == 200
        assert "confirmation_number" not in world.device("strict").ask().poll().json


class TestTheRightNumber:
    @pytest.mark.parametrize("written", ["{}", " {} ", "{0[0]} {0[1]}", "{}.", "arabic"])
    def test_allows_on_the_page(self, confirming: World, written: str) -> None:
        device, person = confirming.device().ask(), confirming.person(address=ELSEWHERE)
        number = device.number
        page = person.open(device.user_code)
        assert WARNING in page
        typed = number.translate({48 + n: 0x660 + n for n in range(10)}) if written == "arabic" else ""
        done = send(page, "approve", typed or written.format(number)).follow()
        assert done.request.path == "/device/approved"
        assert device.poll().status_int == 200

    def test_allows_a_program(self, confirming: World) -> None:
        device, person = confirming.device().ask(), confirming.person(address=ELSEWHERE).sign_in()
        answer = person.post(APPROVE, device.user_code)
        assert (answer.status_int, answer.json["error"]) == (403, "confirmation_required")
        answer = person.post(APPROVE, device.user_code, confirmation_number=device.number)
        assert (answer.status_int, answer.json) == (200, {"status": "approved"})

    def test_is_of_no_other_code(self, confirming: World) -> None:
        one, person = confirming.device().ask(), confirming.person(address=ELSEWHERE).sign_in()
        other = next(device for device in iter(lambda: confirming.device().ask(), None) if device.number != one.number)
        assert person.post(APPROVE, one.user_code, confirmation_number=other.number).status_int == 403

    def test_keeps_what_was_unticked(self, make: WorldMaker, tmp_path) -> None:
        ini = tmp_path / "scopes.ini"
        ini.write_text(
            "[client:tool]\nname = Tool\nscopes = read write\nother_network = confirm\n"
            "[scope:read]\ntext = Read\n[scope:write]\ntext = Write\noptional = on\n",
            "utf-8",
        )
        world = make(ini_file=str(ini))
        device, person = world.device("tool").ask(scope="read write"), world.person(address=ELSEWHERE)
        page = person.open(device.user_code)
        page.forms["decision"]["scope"].checked = False
        page = send(page, "approve", wrong(device.number))
        assert page.status_int == 403
        assert page.forms["decision"]["scope"].checked is False
        send(page, "approve", device.number).follow()
        assert device.poll().json["scope"] == "read"


class TestAWrongNumber:
    def test_is_told_below_the_field_and_not_kept(self, confirming: World) -> None:
        device, person = confirming.device().ask(), confirming.person(address=ELSEWHERE)
        page = person.open(device.user_code)
        for left in ("You can try 2 more times", "You can try once more"):
            page = send(page, "approve", wrong(device.number))
            assert page.status_int == 403
            assert left in page
            assert 'aria-invalid="true"' in page
            assert page.forms["decision"]["confirmation_number"].value == ""
            assert "<title>Error: " in page
        assert follow(send(page, "approve", device.number)).request.path == "/device/approved"

    def test_the_third_denies(self, confirming: World) -> None:
        device, person = confirming.device().ask(), confirming.person(address=ELSEWHERE)
        page, number = person.open(device.user_code), device.number
        for _ in range(2):
            page = send(page, "approve", wrong(number))
        done = send(page, "approve", wrong(number)).follow()
        assert done.request.path == "/device/denied"
        assert "The number was wrong three times" in done
        assert device.poll().json["error"] == "access_denied"
        assert person.post(APPROVE, device.user_code, confirmation_number=number).json["error"] == "already_resolved"
        told = [one.members() for one in confirming.services.ledger.newest(10)]
        (denied,) = [one for one in told if one["event"] == "denied"]
        assert denied["reason"] == "wrong confirmation numbers"
        assert denied["subject"] == person.account.subject.key
        # The next denial, by a button, is told as one.
        page = person.open(confirming.device().ask().user_code)
        assert "You denied <bdi>difyctl</bdi>" in send(page, "deny").follow()

    def test_is_counted_for_a_program_too(self, confirming: World) -> None:
        device, person = confirming.device().ask(), confirming.person(address=ELSEWHERE).sign_in()
        guess = wrong(device.number)
        for left in (2, 1, 0):
            answer = person.post(APPROVE, device.user_code, confirmation_number=guess)
            assert (answer.status_int, answer.json["error"]) == (403, "confirmation_failed")
            assert answer.json["tries_left"] == left
        answer = person.post(APPROVE, device.user_code, confirmation_number=guess)
        assert (answer.status_int, answer.json["error"]) == (409, "already_resolved")

    @pytest.mark.parametrize("nothing", ["", "  ", "?"])
    def test_no_number_at_all_is_asked_for_and_not_counted(self, confirming: World, nothing: str) -> None:
        device, person = confirming.device().ask(), confirming.person(address=ELSEWHERE)
        page = person.open(device.user_code)
        for _ in range(4):
            page = send(page, "approve", nothing)
            assert page.status_int == 403
            assert "Type the two-digit number that your device shows." in page
        for _ in range(4):
            assert person.post(APPROVE, device.user_code).json["error"] == "confirmation_required"
        assert follow(send(page, "approve", device.number)).request.path == "/device/approved"

    def test_is_a_decision_to_the_limit(self, make: WorldMaker) -> None:
        world = make(other_network="confirm", **{"limit.decide": "2/hour"})
        device, person = world.device().ask(), world.person(address=ELSEWHERE).sign_in()
        guess, number = wrong(device.number), device.number
        told = [person.post(APPROVE, device.user_code, confirmation_number=one) for one in (guess, guess, number)]
        assert [one.status_int for one in told] == [403, 403, 429]

    def test_of_another_person_counts_nothing(self, confirming: World) -> None:
        device, owner = confirming.device().ask(), confirming.person(address=ELSEWHERE)
        page, other = owner.open(device.user_code), confirming.person(address=ELSEWHERE).sign_in()
        for _ in range(4):
            answer = other.post(APPROVE, device.user_code, confirmation_number=wrong(device.number))
            assert answer.json["error"] == "already_claimed"
        assert follow(send(page, "approve", device.number)).request.path == "/device/approved"


class TestManyAtOnce:
    def guess(self, world: World, device: Device, person: Person, number: str) -> None:
        world.services.approvals.approve(
            device.user_code, person.account, ELSEWHERE, confirmation=Confirmation(number), on_page=False
        )

    def test_wrong_numbers_count_exactly(self, make: WorldMaker) -> None:
        world = make(other_network="confirm", **{"limit.decide": "off", "limit.guesses": "off"})
        device, person = world.device().ask(), world.person(address=ELSEWHERE)
        person.open(device.user_code)
        guess = wrong(device.number)
        told = at_once(*[lambda: self.guess(world, device, person, guess)] * 20)
        assert Counter(type(one) for one in told) == {ConfirmationFailed: 2, NoTriesLeft: 1, AlreadyResolved: 17}
        assert sorted(one.tries_left for one in told if isinstance(one, ConfirmationFailed)) == [0, 1, 2]
        assert device.poll().json["error"] == "access_denied"

    def test_every_number_at_once_gets_no_more_than_three_guesses(self, make: WorldMaker) -> None:
        world = make(other_network="confirm", **{"limit.decide": "off", "limit.guesses": "off"})
        device, person = world.device().ask(), world.person(address=ELSEWHERE)
        person.open(device.user_code)
        number = device.number
        others = [str(one) for one in range(10, 50) if str(one) != number]
        told = at_once(*[lambda one=one: self.guess(world, device, person, one) for one in (*others, number)])
        approved = told.count(None)
        failed = sum(isinstance(one, ConfirmationFailed) for one in told)
        assert (approved, failed) in [(0, 3), (1, 0), (1, 1), (1, 2)]
        assert device.poll().status_int == (200 if approved else 400)


class TestTheNumber:
    def test_is_told_to_the_tool_while_somebody_may_type_it(self, confirming: World) -> None:
        device, person = confirming.device().ask(), confirming.person(address=ELSEWHERE)
        assert "confirmation_number" not in device.answer
        first, early, original = device.poll(), device.poll(), device.poll_original()
        number = first.json["confirmation_number"]
        assert 10 <= int(number) <= 99
        assert [one.json["error"] for one in (first, early, original)] == ["authorization_pending"] + ["slow_down"] * 2
        assert [one.json["confirmation_number"] for one in (early, original)] == [number] * 2
        person.open(device.user_code)
        assert device.number == number
        send(person.browser.get("/device/consent"), "approve", number)
        assert "confirmation_number" not in device.poll().json

    def test_is_told_after_a_denial_to_nobody(self, confirming: World) -> None:
        device = confirming.device().ask()
        confirming.person(address=ELSEWHERE).sign_in().post(DENY, device.user_code)
        assert "confirmation_number" not in device.poll().json

    def test_is_of_another_client_to_nobody(self, make: WorldMaker, tmp_path) -> None:
        ini = tmp_path / "clients.ini"
        tool = "name = Tool\nscopes = full\nother_network = confirm\n"
        ini.write_text(f"[client:tool]\n{tool}[client:other]\n{tool}", "utf-8")
        device = make(ini_file=str(ini)).device("tool").ask()
        answer = device.poll(client_id="other")
        assert answer.json["error"] == "invalid_grant"
        assert "confirmation_number" not in answer.json

    @pytest.mark.parametrize("policy", ["off", "warn", "block"])
    def test_is_made_for_no_other_policy(self, make: WorldMaker, policy: str) -> None:
        device = make(other_network=policy).device().ask()
        assert "confirmation_number" not in device.poll().json

    def test_differs(self, confirming: World) -> None:
        assert len({confirming.device().ask().number for _ in range(12)}) > 3

    def test_is_on_no_page_and_in_no_record_of_what_happened(
        self, confirming: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # One that no time, address or id holds by chance.
        number = "3141592"
        monkeypatch.setattr("oauthdevice.domain.device_flow.new_confirmation_number", lambda: number)
        caplog.set_level("DEBUG")
        device, person = confirming.device().ask(), confirming.person(address=ELSEWHERE)
        assert device.number == number
        page = person.open(device.user_code)
        answers = [page, send(page, "approve", "47"), person.browser.get("/login?again=1")]
        answers.append(device.http.get(LOOKUP, {"user_code": device.user_code}))
        answers += [
            person.post(APPROVE, device.user_code),
            person.post(APPROVE, device.user_code, confirmation_number="1"),
        ]
        answers.append(follow(send(page, "approve", number)))
        assert answers[-1].request.path == "/device/approved"
        answers.append(device.poll())
        for answer in answers:
            assert number not in answer.text
            assert number not in str(answer.headers)
        assert number not in str([one.members() for one in confirming.services.ledger.newest(100)])
        assert number not in caplog.text


class TestARollingUpgrade:
    """The former release runs beside this one: it writes a record back without what it does not know."""

    def rewritten(self, world: World) -> None:
        (key,) = [one for one in keys_in(world.redis) if ":authorization:" in one]
        record = json.loads(world.redis.hget(key, "record"))
        del record["confirmation_number"]
        record.pop("wrong_numbers", None)  # written once there was one
        world.redis.hset(key, "record", json.dumps(record, separators=(",", ":")))

    def test_a_code_without_a_number_takes_a_sign_in(self, confirming: World) -> None:
        device, person = confirming.device().ask(), confirming.person(address=ELSEWHERE)
        self.rewritten(confirming)
        assert "confirmation_number" not in device.poll().json
        page = person.open(device.user_code)
        assert FIELD not in page
        assert 'value="approve"' not in page
        assert "Before you can allow it, sign in again." in page
        for guess in ("47", "None", "0"):
            answer = person.post(APPROVE, device.user_code, confirmation_number=guess)
            assert answer.json["error"] in ("confirmation_failed", "confirmation_required")
        assert send(page, "deny").status_int == 303

    @pytest.mark.shared_redis
    def test_a_code_of_before_the_policy_takes_one_too(self, make: WorldMaker) -> None:
        before, after = make(), make(other_network="confirm")
        device, person = before.device().ask(), after.person(address=ELSEWHERE)
        assert "Before you can allow it, sign in again." in person.open(device.user_code)
        assert person.post(APPROVE, device.user_code).json["error"] == "confirmation_required"
