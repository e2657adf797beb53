"""An approval under attack: used twice, for another code, forged, moved, without its CSRF token."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from webtest import TestResponse

from oauthdevice.domain.approval_seal import ApprovalSeal
from oauthdevice.domain.keys import key_ring
from oauthdevice.domain.subjects import Approval

from ..conftest import WorldMaker
from ..factories import APPROVAL_CONTEXT, APPROVE_EXTERNAL, DENY_EXTERNAL, SECRET, Person, Stranger, World
from ..scripted_providers import CLIENT_ID, CLIENT_SECRET, ScriptedProvider
from .test_stranger_is_attacked import assert_tells_nothing, waits

OTHER_SECRET = "quite another secret of quite another server"
HTTPS = "https://login.example.com"
WORDS = {
    "invalid_session": "There is no valid approval. Sign in at the identity provider first.",
    "no_session": "There is no valid approval. Sign in at the identity provider first.",
    "session_already_consumed": "This approval has already been used.",
    "csrf_mismatch": "The CSRF token is missing or wrong.",
    "user_code_mismatch": "The approval is for another user_code.",
    "user_code_not_pending": "The user_code is no longer waiting for a decision.",
}


def cookies(world: World, approval: str) -> dict[str, str]:
    """The headers of a client that keeps an approval, whatever it was told to do with it."""
    name = "__Secure-oauthdevice_approval" if world.settings.is_https else "oauthdevice_approval"
    return {"Cookie": f"{name}={approval}"}


def opened(world: World, approval: str) -> Approval:
    found = world.services.approval_seal.unseal(approval)
    assert found is not None
    return found


def decide(
    world: World, path: str, user_code: str, approval: str, csrf_token: str | None = None, **headers: str
) -> TestResponse:
    """By a client that keeps `approval`; with its CSRF token where none is given."""
    token = opened(world, approval).csrf_token if csrf_token is None else csrf_token
    given = {**cookies(world, approval), "X-CSRF-Token": token, **headers}
    return world.browser().post_json(path, {"user_code": user_code}, headers=given, status="*")


def assert_error(answer: TestResponse, status: int, error: str, *secrets: str) -> None:
    assert (answer.status_int, answer.json) == (status, {"error": error, "error_description": WORDS[error]})
    assert (answer.headers.get("WWW-Authenticate") is not None) is (status == 401)
    assert answer.headers["Cache-Control"] == "no-store"
    assert_tells_nothing(answer, *secrets)


def ini_file(folder: Path, provider: ScriptedProvider) -> str:
    path = folder / "sso.ini"
    path.write_text(
        f"[sso:corp]\nissuer = {provider.url}\nclient_id = {CLIENT_ID}\nclient_secret = {CLIENT_SECRET}\n", "utf-8"
    )
    return str(path)


@pytest.fixture
def enterprise(make: WorldMaker, tmp_path: Path, provider: ScriptedProvider) -> Callable[..., World]:
    """Makes servers that know the provider."""
    return partial(make, edition="enterprise", ini_file=ini_file(tmp_path, provider))


class TestASpentApproval:
    @pytest.mark.parametrize("first", [APPROVE_EXTERNAL, DENY_EXTERNAL])
    @pytest.mark.parametrize("second", [APPROVE_EXTERNAL, DENY_EXTERNAL])
    def test_decides_no_second_time(self, corp: World, provider: ScriptedProvider, first: str, second: str) -> None:
        device, told = corp.device().ask(), "access_token" if first == APPROVE_EXTERNAL else "error"
        ada = Stranger(corp).sign_in(provider, device.user_code)
        kept = ada.approval
        answer = ada.decide(first, device.user_code)
        assert answer.status_int == 200
        # Taken out of the browser, at every path.
        gone = answer.headers.getall("Set-Cookie")
        assert len(gone) == 3
        assert all("oauthdevice_approval=;" in one and "Max-Age=0" in one for one in gone)
        assert ada.approval == ""
        for _ in range(2):
            again = decide(corp, second, device.user_code, kept)
            assert_error(again, 401, "session_already_consumed", device.user_code, kept)
        context = corp.browser().get(APPROVAL_CONTEXT, headers=cookies(corp, kept), status=401)
        assert_error(context, 401, "no_session", device.user_code)
        assert told in device.poll().json
        assert_error(decide(corp, second, device.user_code, kept), 401, "session_already_consumed")
        assert told in device.poll().json

    def test_is_not_spent_by_what_was_refused(self, corp: World, provider: ScriptedProvider) -> None:
        device, other = corp.device().ask(), corp.device().ask()
        ada = Stranger(corp).sign_in(provider, device.user_code)
        assert ada.decide(APPROVE_EXTERNAL, device.user_code, "wrong").status_int == 403
        assert ada.decide(APPROVE_EXTERNAL, other.user_code).status_int == 400
        assert ada.decide(APPROVE_EXTERNAL, device.user_code).status_int == 200

    def test_leaves_a_later_approval_of_the_same_person_nothing_to_decide(
        self, corp: World, provider: ScriptedProvider
    ) -> None:
        device = corp.device().ask()
        one, two = (Stranger(corp).sign_in(provider, device.user_code) for _ in range(2))
        token = two.context()["csrf_token"]
        assert one.decide(DENY_EXTERNAL, device.user_code).status_int == 200
        answer = two.decide(APPROVE_EXTERNAL, device.user_code, token)
        assert_error(answer, 409, "user_code_not_pending", device.user_code)
        assert device.poll().json["error"] == "access_denied"


class TestAnApprovalForAnotherCode:
    @pytest.mark.parametrize("path", [APPROVE_EXTERNAL, DENY_EXTERNAL])
    @pytest.mark.parametrize("typed", [None, "BCDF-GHJK", "nonsense", "\u00e9", " ", "\x00"])
    def test_decides_nothing(self, corp: World, provider: ScriptedProvider, path: str, typed: str | None) -> None:
        device, other = corp.device().ask(), corp.device().ask()
        ada = Stranger(corp).sign_in(provider, device.user_code)
        answer = ada.decide(path, other.user_code if typed is None else typed)
        assert_error(answer, 400, "user_code_mismatch", device.user_code, other.user_code)
        assert waits(corp, device.user_code)
        assert waits(corp, other.user_code)

    @pytest.mark.parametrize("body", [{}, {"user_code": None}, {"user_code": 5}, {"user_code": ["x"]}, [], "x", None])
    def test_without_a_code_decides_nothing(self, corp: World, provider: ScriptedProvider, body: Any) -> None:
        device = corp.device().ask()
        ada = Stranger(corp).sign_in(provider, device.user_code)
        headers = {"X-CSRF-Token": ada.context()["csrf_token"]}
        answer = ada.browser.post_json(APPROVE_EXTERNAL, body, headers=headers, status=400)
        assert answer.json["error"] == "invalid_request"
        assert_tells_nothing(answer, device.user_code)
        assert waits(corp, device.user_code)

    def test_is_for_the_request_and_not_for_the_letters(self, corp: World, provider: ScriptedProvider) -> None:
        """A code is drawn again one day: an approval is for the request that it was given for."""
        device = corp.device().ask()
        ada = Stranger(corp).sign_in(provider, device.user_code)
        mine = opened(corp, ada.approval)
        moved = corp.services.approval_seal.seal(replace(mine, authorization_id="of another request"))
        assert_error(decide(corp, APPROVE_EXTERNAL, device.user_code, moved), 404, "user_code_not_pending")
        assert waits(corp, device.user_code)


def sealed_with(secret: str, purpose: str) -> Callable[[str], str]:
    """The same approval, encrypted under a key for another purpose or of another secret."""

    def resealed(approval: str) -> str:
        plain = key_ring([SECRET], "approval").decrypt(approval.encode())
        return key_ring([secret], purpose).encrypt(plain).decode()

    return resealed


FORGERIES: dict[str, Callable[[str], str]] = {
    "empty": lambda _: "",
    "garbage": lambda _: "garbage",
    "long garbage": lambda _: "gAAAAA" + "A" * 3000,
    "not ASCII": lambda _: "\xc3\xa9" * 100,
    "not UTF-8": lambda _: "\xff\xfe",
    "without its end": lambda approval: approval[:-1],
    "half": lambda approval: approval[: len(approval) // 2],
    "with more": lambda approval: approval + "A",
    "twice": lambda approval: approval + approval,
    "another first byte": lambda approval: "h" + approval[1:],
    "another time": lambda approval: approval[:8] + ("B" if approval[8] != "B" else "C") + approval[9:],
    "another middle": lambda approval: approval[:99] + ("B" if approval[99] != "B" else "C") + approval[100:],
    "another case": lambda approval: approval.swapcase(),
    "sealed under another secret": sealed_with(OTHER_SECRET, "approval"),
    "sealed for another purpose": sealed_with(SECRET, "redelivery"),
    "sealed for browser sessions": sealed_with(SECRET, "browser session"),
    "JSON in clear": lambda _: '{"id":"x","csrf_token":"x"}',
}


class TestAForgedApproval:
    @pytest.mark.parametrize("forge", FORGERIES.values(), ids=FORGERIES)
    def test_is_none(self, corp: World, provider: ScriptedProvider, forge: Callable[[str], str]) -> None:
        device = corp.device().ask()
        approval = Stranger(corp).sign_in(provider, device.user_code).approval
        token, headers = opened(corp, approval).csrf_token, cookies(corp, forge(approval))
        environ = {"HTTP_COOKIE": headers["Cookie"]}
        for path in (APPROVE_EXTERNAL, DENY_EXTERNAL):
            answer = corp.browser().post_json(
                path,
                {"user_code": device.user_code},
                headers={"X-CSRF-Token": token},
                extra_environ=environ,
                status="*",
            )
            assert_error(answer, 401, "invalid_session", device.user_code, token)
        answer = corp.browser().get(APPROVAL_CONTEXT, extra_environ=environ, status="*")
        assert_error(answer, 401, "no_session", device.user_code, token)
        assert waits(corp, device.user_code)
        # The real one was good all the time.
        assert decide(corp, APPROVE_EXTERNAL, device.user_code, approval).status_int == 200

    def test_lives_five_minutes(self, corp: World, provider: ScriptedProvider) -> None:
        device = corp.device().ask()
        approval = Stranger(corp).sign_in(provider, device.user_code).approval
        token = opened(corp, approval).csrf_token
        corp.clock.pass_seconds(295)
        assert corp.browser().get(APPROVAL_CONTEXT, headers=cookies(corp, approval), status=200)
        corp.clock.pass_seconds(5)
        answer = decide(corp, APPROVE_EXTERNAL, device.user_code, approval, token)
        assert_error(answer, 401, "invalid_session", device.user_code)
        answer = corp.browser().get(APPROVAL_CONTEXT, headers=cookies(corp, approval), status=401)
        assert_error(answer, 401, "no_session", device.user_code)
        assert waits(corp, device.user_code)

    def test_shows_nothing_to_who_holds_it(self, corp: World, provider: ScriptedProvider) -> None:
        user_code = corp.device().ask().user_code
        approval = Stranger(corp).sign_in(provider, user_code).approval
        for secret in ("ada", "corp.example", user_code, user_code.replace("-", ""), provider.url):
            assert secret not in approval

    @pytest.mark.shared_redis
    def test_opens_at_no_server_with_another_secret(
        self, enterprise: Callable[..., World], provider: ScriptedProvider
    ) -> None:
        corp, elsewhere = enterprise(), enterprise(secret=OTHER_SECRET)
        device = corp.device().ask()
        approval = Stranger(corp).sign_in(provider, device.user_code).approval
        token = opened(corp, approval).csrf_token
        answer = decide(elsewhere, APPROVE_EXTERNAL, device.user_code, approval, token)
        assert_error(answer, 401, "invalid_session", device.user_code)
        # The same server, after its secret changed.
        later = enterprise(secret=OTHER_SECRET, previous_secrets=SECRET)
        answer = decide(later, APPROVE_EXTERNAL, device.user_code, approval, token)
        assert answer.json == {"status": "approved"}

    def test_opens_nothing_in_the_other_edition(
        self, enterprise: Callable[..., World], provider: ScriptedProvider
    ) -> None:
        corp, community = enterprise(), enterprise(edition="community")
        device = corp.device().ask()
        approval = Stranger(corp).sign_in(provider, device.user_code).approval
        token = opened(corp, approval).csrf_token
        answer = decide(community, APPROVE_EXTERNAL, device.user_code, approval, token)
        assert (answer.status_int, answer.json["error"]) == (404, "not_found")
        page = community.browser().get("/device?sso_verified=1", headers=cookies(community, approval), status=200)
        assert device.user_code not in page.text
        assert waits(corp, device.user_code)


class TestWithoutItsCSRFToken:
    @pytest.mark.parametrize("path", [APPROVE_EXTERNAL, DENY_EXTERNAL])
    @pytest.mark.parametrize("sent", [None, "", " ", "wrong", "a" * 43, "a" * 9000, "\xe9" * 43, "\xff", "null"])
    def test_decides_nothing(self, corp: World, provider: ScriptedProvider, path: str, sent: str | None) -> None:
        device = corp.device().ask()
        ada = Stranger(corp).sign_in(provider, device.user_code)
        environ = {} if sent is None else {"HTTP_X_CSRF_TOKEN": sent}
        body = {"user_code": device.user_code, "csrf_token": opened(corp, ada.approval).csrf_token}
        answer = ada.browser.post_json(path, body, extra_environ=environ, status="*")
        assert_error(answer, 403, "csrf_mismatch", device.user_code)
        assert waits(corp, device.user_code)

    def test_decides_nothing_with_that_of_another_or_of_the_page(
        self, corp: World, provider: ScriptedProvider, corp_person: Person
    ) -> None:
        device, other = corp.device().ask(), corp.device().ask()
        ada, eve = Stranger(corp).sign_in(provider, device.user_code), Stranger(corp)
        provider.person = {"sub": "eve-1", "email": "eve@corp.example", "email_verified": True}
        eve.sign_in(provider, other.user_code)
        for token in (eve.context()["csrf_token"], corp_person.csrf_token()):
            answer = ada.decide(APPROVE_EXTERNAL, device.user_code, token)
            assert_error(answer, 403, "csrf_mismatch", device.user_code)

    @pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
    def test_decides_nothing_by_another_method(self, corp: World, provider: ScriptedProvider, method: str) -> None:
        device = corp.device().ask()
        ada = Stranger(corp).sign_in(provider, device.user_code)
        query = f"?user_code={device.user_code}"
        answer = ada.browser.request(APPROVE_EXTERNAL + query, method=method, status=405)
        assert "Set-Cookie" not in answer.headers
        assert waits(corp, device.user_code)

    @pytest.mark.parametrize(
        "headers",
        [
            {"Origin": "https://evil.example"},
            {"Origin": "null"},
            {"Origin": HTTPS.replace("https", "http")},
            {"Origin": f"{HTTPS}:8443"},
            {"Origin": f"{HTTPS}.evil.example"},
            {"Referer": "https://evil.example/device"},
        ],
    )
    def test_nor_with_it_from_another_origin(
        self, enterprise: Callable[..., World], provider: ScriptedProvider, headers: dict[str, str]
    ) -> None:
        corp = enterprise(public_url=HTTPS)
        device = corp.device().ask()
        browser = corp.browser()
        there = browser.get("/openapi/v1/oauth/device/sso-initiate", {"user_code": device.user_code}, status=302)
        answer = browser.get(provider.sign_in(there.headers["Location"]), status=302)
        assert answer.headers["Location"] == f"{HTTPS}/device?sso_verified=1"
        approval = next(one.value for one in browser.cookiejar if one.name == "__Secure-oauthdevice_approval")
        answer = decide(corp, APPROVE_EXTERNAL, device.user_code, approval, **headers)
        assert (answer.status_int, answer.json["error"]) == (403, "csrf_mismatch")
        assert_tells_nothing(answer, device.user_code, "evil.example")
        assert waits(corp, device.user_code)
        answer = decide(corp, APPROVE_EXTERNAL, device.user_code, approval, Origin=HTTPS)
        assert answer.json == {"status": "approved"}


@pytest.fixture
def corp_person(corp: World) -> Person:
    return corp.person().sign_in()


def test_an_approval_is_sealed_anew_each_time(corp: World, provider: ScriptedProvider) -> None:
    """Equal approvals cannot be told to be equal, and the newest secret seals."""
    mine = opened(corp, Stranger(corp).sign_in(provider, corp.device().ask().user_code).approval)
    seals = {corp.services.approval_seal.seal(mine) for _ in range(10)}
    assert len(seals) == 10
    assert {ApprovalSeal([SECRET], corp.clock).unseal(one) for one in seals} == {mine}
