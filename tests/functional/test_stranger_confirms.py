"""As test_person_confirms_a_number.py, of people known only to an identity provider.

Their sign-in on the way to the consent page is no confirmation: the provider may have let them pass unasked, and the
page had told nothing yet. A second one, at a provider that was told to ask, is.
"""

import re
import time
from pathlib import Path

import pytest
from webtest import TestResponse

from ..conftest import WorldMaker
from ..factories import APPROVE_EXTERNAL, DENY_EXTERNAL, Device, Stranger, World
from ..scripted_providers import ADA, CLIENT_ID, CLIENT_SECRET, ScriptedBroker, ScriptedProvider
from .test_broker_signs_in import Corp, callback
from .test_person_confirms_a_number import ELSEWHERE, FIELD, send, wrong

DONE = "You have signed in again. Now decide."
AGAIN = re.escape("/login/sso?provider=corp&again=1")


@pytest.fixture
def confirming(make: WorldMaker, tmp_path: Path, provider: ScriptedProvider) -> World:
    return of_provider(make, tmp_path, provider, other_network="confirm")


def of_provider(make: WorldMaker, folder: Path, provider: ScriptedProvider, **options: str) -> World:
    ini = folder / "corp.ini"
    section = f"[sso:corp]\nissuer = {provider.url}\nclient_id = {CLIENT_ID}\nclient_secret = {CLIENT_SECRET}\n"
    ini.write_text(section, "utf-8")
    return make(edition="enterprise", ini_file=str(ini), **{"limit.approve_external": "off", **options})


def opened(stranger: Stranger) -> TestResponse:
    """The consent page, on the way back from the provider."""
    return stranger.browser.get("/device?sso_verified=1", status=303).follow(status=200)


def sign_in_again(stranger: Stranger, page: TestResponse, provider: ScriptedProvider) -> TestResponse:
    """By the link of the consent page, and back."""
    there = page.click(href=AGAIN).headers["Location"]
    return stranger.come_back(provider.sign_in(there)).follow(status="*")


class TestEachPolicy:
    @pytest.mark.parametrize("policy", ["off", "warn", "confirm", "block"])
    def test_on_the_page_and_of_a_program(
        self, make: WorldMaker, tmp_path: Path, provider: ScriptedProvider, policy: str
    ) -> None:
        world = of_provider(make, tmp_path, provider, other_network=policy)
        device, near = world.device().ask(), world.device(address=ELSEWHERE).ask()
        ada = Stranger(world, ELSEWHERE).sign_in(provider, device.user_code)
        page, context = opened(ada), ada.context()
        assert (context["same_network"], context["other_network"]) == (False, policy)
        assert (FIELD in page) is (policy == "confirm")
        assert ('value="approve"' in page) is (policy != "block")
        answer = ada.decide(APPROVE_EXTERNAL, device.user_code, context["csrf_token"])
        error = {"confirm": "confirmation_required", "block": "other_network_blocked"}.get(policy)
        assert (answer.status_int, answer.json.get("error")) == (403 if error else 200, error)
        ada.sign_in(provider, near.user_code)
        context = ada.context()
        assert (context["same_network"], context["other_network"]) == (True, "off")
        assert ada.decide(APPROVE_EXTERNAL, near.user_code, context["csrf_token"]).status_int == 200

    @pytest.mark.parametrize("policy", ["confirm", "block"])
    def test_denying_takes_nothing(
        self, make: WorldMaker, tmp_path: Path, provider: ScriptedProvider, policy: str
    ) -> None:
        world = of_provider(make, tmp_path, provider, other_network=policy)
        for by_page in (True, False):
            device = world.device().ask()
            ada = Stranger(world, ELSEWHERE).sign_in(provider, device.user_code)
            page = opened(ada)
            denied = send(page, "deny") if by_page else ada.decide(DENY_EXTERNAL, device.user_code)
            assert denied.status_int == (303 if by_page else 200)
            assert device.poll().json["error"] == "access_denied"


class TestTheNumber:
    def test_allows_on_the_page(self, confirming: World, provider: ScriptedProvider) -> None:
        device = confirming.device().ask()
        ada = Stranger(confirming, ELSEWHERE).sign_in(provider, device.user_code)
        page = send(opened(ada), "approve", wrong(device.number))
        assert "You can try 2 more times" in page
        assert send(page, "approve", device.number).follow().request.path == "/device/approved"
        assert device.poll().json["subject_email"] == ADA["email"]

    def test_allows_a_program(self, confirming: World, provider: ScriptedProvider) -> None:
        device = confirming.device().ask()
        ada = Stranger(confirming, ELSEWHERE).sign_in(provider, device.user_code)
        answer = ada.decide(APPROVE_EXTERNAL, device.user_code, confirmation_number=wrong(device.number))
        assert (answer.status_int, answer.json["error"], answer.json["tries_left"]) == (403, "confirmation_failed", 2)
        answer = ada.decide(APPROVE_EXTERNAL, device.user_code, confirmation_number=device.number)
        assert answer.json == {"status": "approved"}

    @pytest.mark.parametrize("by_page", [True, False])
    def test_wrong_for_the_third_time_denies_and_spends_the_approval(
        self, confirming: World, provider: ScriptedProvider, by_page: bool
    ) -> None:
        device = confirming.device().ask()
        ada = Stranger(confirming, ELSEWHERE).sign_in(provider, device.user_code)
        page, context, guess = opened(ada), ada.context(), wrong(device.number)
        told: list[TestResponse] = []
        for _ in range(3):
            told.append(
                send(page, "approve", guess)
                if by_page
                else ada.decide(APPROVE_EXTERNAL, device.user_code, context["csrf_token"], confirmation_number=guess)
            )
        assert [one.status_int for one in told] == [403, 403, 303 if by_page else 403]
        if by_page:
            assert "The number was wrong three times" in told[-1].follow()
            assert ada.approval == ""
        else:
            assert [one.json["tries_left"] for one in told] == [2, 1, 0]
            after = ada.decide(APPROVE_EXTERNAL, device.user_code, context["csrf_token"])
            assert after.json["error"] == "session_already_consumed"
        assert device.poll().json["error"] == "access_denied"


class TestSigningInAgain:
    def test_at_a_provider_that_is_told_to_ask_confirms_the_code(
        self, confirming: World, provider: ScriptedProvider
    ) -> None:
        device = confirming.device().ask()
        ada = Stranger(confirming, ELSEWHERE).sign_in(provider, device.user_code)
        assert "prompt" not in provider.asked
        provider.claims = {"auth_time": int(time.time())}
        page = sign_in_again(ada, opened(ada), provider).follow(status=200)
        assert provider.asked["prompt"] == "login"
        assert DONE in page
        assert FIELD not in page
        assert ada.context()["other_network"] == "warn"
        assert send(page, "approve").follow().request.path == "/device/approved"
        assert device.poll().json["subject_email"] == ADA["email"]

    def test_confirms_it_for_a_program_too(self, confirming: World, provider: ScriptedProvider) -> None:
        device = confirming.device().ask()
        ada = Stranger(confirming, ELSEWHERE).sign_in(provider, device.user_code)
        sign_in_again(ada, opened(ada), provider)
        assert ada.decide(APPROVE_EXTERNAL, device.user_code).json == {"status": "approved"}

    def test_does_not_count_where_the_provider_did_not_ask(self, confirming: World, provider: ScriptedProvider) -> None:
        device = confirming.device().ask()
        provider.claims = {"auth_time": int(time.time()) - 301}
        # The first one need not be fresh.
        ada = Stranger(confirming, ELSEWHERE).sign_in(provider, device.user_code)
        there = opened(ada).click(href=AGAIN).headers["Location"]
        answer = ada.come_back(provider.sign_in(there))
        assert answer.headers["Location"].endswith("/device?sso_error=sso_failed")
        assert ada.approval == ""
        assert device.poll().json["error"] == "authorization_pending"

    def test_does_not_count_before_the_code_was_opened(self, confirming: World, provider: ScriptedProvider) -> None:
        device = confirming.device().ask()
        ada = Stranger(confirming, ELSEWHERE)
        form = ada.browser.get("/device").form
        form["user_code"] = device.user_code
        form.submit(status=303)
        there = ada.browser.get("/login/sso?provider=corp&again=1", status=302).headers["Location"]
        page = ada.come_back(provider.sign_in(there)).follow().follow(status=200)
        assert FIELD in page
        assert ada.decide(APPROVE_EXTERNAL, device.user_code).json["error"] == "confirmation_required"

    def test_does_not_count_of_another_person(self, confirming: World, provider: ScriptedProvider) -> None:
        device = confirming.device().ask()
        ada = Stranger(confirming, ELSEWHERE).sign_in(provider, device.user_code)
        page = opened(ada)
        provider.person = {**ADA, "sub": "eve-1", "email": "eve@corp.example"}
        assert "Another account" in sign_in_again(ada, page, provider).follow(status=409)
        assert device.poll().json["error"] == "authorization_pending"

    def test_does_not_count_for_another_code(self, confirming: World, provider: ScriptedProvider) -> None:
        one, other = confirming.device().ask(), confirming.device().ask()
        ada = Stranger(confirming, ELSEWHERE).sign_in(provider, one.user_code)
        sign_in_again(ada, opened(ada), provider)
        assert ada.decide(APPROVE_EXTERNAL, other.user_code).json["error"] == "user_code_mismatch"
        ada.sign_in(provider, other.user_code)
        assert FIELD in opened(ada)

    def test_does_not_count_after_five_minutes(self, confirming: World, provider: ScriptedProvider) -> None:
        device = confirming.device().ask()
        ada = Stranger(confirming, ELSEWHERE).sign_in(provider, device.user_code)
        page = sign_in_again(ada, opened(ada), provider).follow(status=200)
        confirming.clock.pass_seconds(300)
        assert "Your sign-in is over" in send(page, "approve")
        assert device.poll().json["error"] == "authorization_pending"

    def test_of_the_sign_in_of_an_account_is_another_persons(
        self, confirming: World, provider: ScriptedProvider
    ) -> None:
        device, bob = confirming.device().ask(), confirming.person(address=ELSEWHERE)
        Stranger(confirming, ELSEWHERE).sign_in(provider, device.user_code).context()
        assert "Another account" in bob.open(device.user_code)


class TestBehindABroker:
    """It cannot be told to ask the person again: there is the number, and nothing instead."""

    def test_only_the_number_confirms(self, make: WorldMaker, tmp_path: Path, broker: ScriptedBroker) -> None:
        world = Corp(make, tmp_path, broker).start(options={"other_network": "confirm"})
        device: Device = world.device().ask()
        ada = Stranger(world, ELSEWHERE)
        ada.leave(device.user_code)
        ada.come_back(callback(broker.assertion()))
        page = opened(ada)
        assert FIELD in page
        assert "Sign in again" not in page
        assert send(page, "approve", device.number).follow().request.path == "/device/approved"
