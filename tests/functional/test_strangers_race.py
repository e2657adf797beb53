"""Tabs and people let loose in the same moment: one decides, and one callback gives one approval."""

from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from webtest import TestResponse

from ..conftest import WorldMaker
from ..factories import APPROVAL_CONTEXT, APPROVE, APPROVE_EXTERNAL, DENY_EXTERNAL, Stranger, World
from ..scripted_providers import ScriptedProvider
from .test_approval_is_attacked import cookies, decide, ini_file, opened
from .test_many_at_once import at_once
from .test_stranger_is_attacked import VERIFIED, assert_tells_nothing

UNLIMITED = {"limit.approve_external": "off", "limit.sso_initiate": "off", "limit.code": "off", "limit.decide": "off"}
ROUNDS = 20


@pytest.fixture
def unlimited(make: WorldMaker, tmp_path: Path, provider: ScriptedProvider) -> World:
    return make(edition="enterprise", ini_file=ini_file(tmp_path, provider), **UNLIMITED)


class TestDecisions:
    """One counts, and the device hears that one."""

    def test_two_tabs_of_one_person(self, unlimited: World, provider: ScriptedProvider) -> None:
        told: Counter[tuple[int, str]] = Counter()
        for _ in range(ROUNDS):
            device = unlimited.device().ask()
            approval = Stranger(unlimited).sign_in(provider, device.user_code).approval
            paths = [APPROVE_EXTERNAL, DENY_EXTERNAL] * 2
            acts = [partial(decide, unlimited, path, device.user_code, approval) for path in paths]
            answers = at_once(*acts)
            told.update((one.status_int, one.json.get("error", "")) for one in answers)
            (won,) = [one.json["status"] for one in answers if one.status_int == 200]
            assert ("access_token" in device.poll().json) is (won == "approved")
            events = [one.event for one in unlimited.services.ledger.newest(1000) if one.token_id is not None]
            assert events.count("approved") + events.count("denied") == told[200, ""]
        assert told.keys() <= {(200, ""), (401, "session_already_consumed"), (409, "user_code_not_pending")}
        assert told[200, ""] == ROUNDS

    def test_two_strangers(self, unlimited: World, provider: ScriptedProvider) -> None:
        for _ in range(ROUNDS):
            device = unlimited.device().ask()
            approvals = list(self._approvals(unlimited, provider, device.user_code))
            acts = [partial(decide, unlimited, APPROVE_EXTERNAL, device.user_code, one) for one in approvals]
            answers = at_once(*acts)
            self._assert_one_decided(answers)
            won = next(one for one, answer in zip(approvals, answers, strict=True) if answer.status_int == 200)
            assert device.poll().json["subject_email"] == opened(unlimited, won).subject.email

    def test_an_account_and_a_stranger(self, unlimited: World, provider: ScriptedProvider) -> None:
        person = unlimited.person().sign_in()
        headers, host = {"X-CSRF-Token": person.csrf_token()}, person.browser
        for _ in range(ROUNDS):
            device = unlimited.device().ask()
            code, approval = device.user_code, Stranger(unlimited).sign_in(provider, device.user_code).approval
            answers = at_once(
                partial(host.post_json, APPROVE, {"user_code": code}, headers=headers, status="*"),
                partial(decide, unlimited, APPROVE_EXTERNAL, code, approval),
            )
            self._assert_one_decided(answers)
            subject_type = device.poll().json["subject_type"]
            assert subject_type == ("account" if answers[0].status_int == 200 else "external_sso")

    def test_who_opened_first_decides(self, corp: World, provider: ScriptedProvider) -> None:
        device = corp.device().ask()
        first, second = self._approvals(corp, provider, device.user_code)
        corp.browser().get(APPROVAL_CONTEXT, headers=cookies(corp, first), status=200)
        for answer in (
            corp.browser().get(APPROVAL_CONTEXT, headers=cookies(corp, second), status=409),
            decide(corp, APPROVE_EXTERNAL, device.user_code, second),
            decide(corp, DENY_EXTERNAL, device.user_code, second),
            corp.person().sign_in().post(APPROVE, device.user_code),
        ):
            assert (answer.status_int, answer.json["error"]) == (409, "already_claimed")
            assert_tells_nothing(answer, device.user_code)
        assert decide(corp, APPROVE_EXTERNAL, device.user_code, first).status_int == 200
        assert device.poll().json["subject_email"] == "first@corp.example"

    def _approvals(self, world: World, provider: ScriptedProvider, user_code: str) -> Iterator[str]:
        """Of two people, for one code that neither has opened."""
        for name in ("first", "second"):
            provider.person = {"sub": f"{name}-1", "email": f"{name}@corp.example", "email_verified": True}
            yield Stranger(world).sign_in(provider, user_code).approval

    def _assert_one_decided(self, answers: list[TestResponse]) -> None:
        told = sorted((one.status_int, one.json.get("error", "")) for one in answers)
        assert told[0] == (200, "")
        assert told[1] in [(409, "already_claimed"), (409, "user_code_not_pending")]


class TestCallbacks:
    @pytest.mark.parametrize("codes_last", [True, False], ids=["a lax provider", "a strict provider"])
    def test_of_one_handshake_give_one_approval(
        self, unlimited: World, provider: ScriptedProvider, codes_last: bool
    ) -> None:
        """A browser that loads the address twice is the usual case; the person must get in."""
        provider.codes_last = codes_last
        for _ in range(ROUNDS):
            ada = Stranger(unlimited)
            callback = provider.sign_in(ada.leave(unlimited.device().ask().user_code))
            held = "; ".join(f"{one.name}={one.value}" for one in ada.browser.cookiejar)
            tabs = [unlimited.browser() for _ in range(3)]
            answers = at_once(*[partial(tab.get, callback, headers={"Cookie": held}, status=302) for tab in tabs])
            won = [one for one in answers if one.headers["Location"] == VERIFIED]
            lost = [one for one in answers if one.headers["Location"] != VERIFIED]
            assert len(won) == 1
            for answer in lost:
                assert answer.headers["Location"] == "http://localhost/device?sso_error=sso_failed"
                assert_tells_nothing(answer, callback)
