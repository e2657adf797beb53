"""A stranger who may not come in: an e-mail that has an account, an issuer no longer declared, too many tries."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from webtest import TestResponse

from ..conftest import WorldMaker
from ..factories import APPROVE_EXTERNAL, DENY_EXTERNAL, SSO_INITIATE, TOKEN, Device, Stranger, World
from ..scripted_providers import CLIENT_ID, CLIENT_SECRET, ScriptedProvider
from .test_approval_is_attacked import decide, opened
from .test_stranger_is_attacked import assert_refused, assert_tells_nothing, waits

CLIENT = "[client:difyctl]\nname = difyctl\nscopes = full apps:run apps:read:permitted-external\nrefresh = on\n"
BELONGS = {
    "error": "email_belongs_to_account",
    "error_description": "This e-mail belongs to an account here. Sign in with that account.",
}
Enterprise = Callable[..., World]


@pytest.fixture
def enterprise(make: WorldMaker, tmp_path: Path, provider: ScriptedProvider) -> Enterprise:
    """Makes servers, all on one database and one Redis; with `declared` False, they know another provider."""

    def maker(*, declared: bool = True, **options: str) -> World:
        ini = tmp_path / f"{declared}.ini"
        issuer = provider.url if declared else "http://127.0.0.1:1"
        ini.write_text(
            f"{CLIENT}[sso:corp]\nissuer = {issuer}\nclient_id = {CLIENT_ID}\nclient_secret = {CLIENT_SECRET}\n",
            "utf-8",
        )
        return make(edition="enterprise", ini_file=str(ini), **options)

    return maker


@pytest.fixture
def corp(enterprise: Enterprise) -> World:
    return enterprise()


def subject(provider: ScriptedProvider) -> str:
    return f"external:{len(provider.url)}:{provider.url}:ada-1"


def rejected(world: World) -> list[dict[str, Any]]:
    return [one.members() for one in world.services.ledger.newest(1000) if one.event == "rejected"]


def assert_rejected_once(world: World, provider: ScriptedProvider, device: Device, reason: str) -> None:
    """Whom and why, for which request, and no code."""
    (event,) = rejected(world)
    about = {"subject": subject(provider), "reason": reason, "address": "192.0.2.7", "token_id": told_id(world)}
    assert about.items() <= event.items()
    assert event["request_id"]
    assert device.user_code not in repr(event)


def told_id(world: World) -> str | None:
    """The token_id that the device authorization of this world was started with."""
    return next(one.token_id for one in world.services.ledger.newest(1000) if one.event == "started")


def has_account(world: World, email: str, *, active: bool = True) -> None:
    world.services.accounts.add(email, "Ada Person", "correct horse battery staple")
    world.services.accounts.set_active(email, active)


def tokens(world: World) -> int:
    with world.services.database.engine.connect() as sql:
        return int(sql.execute(text("select count(*) from access_tokens")).scalar() or 0)


def refresh(device: Device, token: str) -> TestResponse:
    form = {"grant_type": "refresh_token", "client_id": device.client_id, "refresh_token": token}
    return device.http.post(TOKEN, form, status="*")


EMAILS = pytest.mark.parametrize(
    ("email", "told"),
    [
        ("ada@corp.example", "ada@corp.example"),
        ("Ada@Corp.Example", "ada@corp.example"),
        ("ada@corp.example", "ADA@CORP.EXAMPLE"),
        ("ad\u00c4@corp.example", "ad\u00e4@corp.example"),
    ],
)
STATES = pytest.mark.parametrize("active", [True, False], ids=["active", "disabled"])


class TestAnEmailOfAnAccount:
    @EMAILS
    @STATES
    def test_is_refused_at_the_sign_in(
        self, corp: World, provider: ScriptedProvider, email: str, told: str, active: bool
    ) -> None:
        has_account(corp, email, active=active)
        provider.person["email"] = told
        device, ada = corp.device().ask(device_label="laptop"), Stranger(corp)
        answer = ada.come_back(provider.sign_in(ada.leave(device.user_code)))
        assert_refused(answer, "email_belongs_to_account")
        assert_tells_nothing(answer, email, told)
        assert ada.approval == ""
        assert waits(corp, device.user_code)
        assert_rejected_once(corp, provider, device, "email_belongs_to_account")

    @EMAILS
    @STATES
    def test_is_refused_at_the_decision(
        self, corp: World, provider: ScriptedProvider, email: str, told: str, active: bool
    ) -> None:
        provider.person["email"] = told
        device = corp.device().ask(device_label="laptop")
        ada = Stranger(corp).sign_in(provider, device.user_code)
        approval = ada.approval
        has_account(corp, email, active=active)
        answer = ada.decide(APPROVE_EXTERNAL, device.user_code)
        assert (answer.status_int, answer.json) == (403, BELONGS)
        assert_tells_nothing(answer, device.user_code, email, told)
        assert ada.approval == approval
        assert waits(corp, device.user_code)
        assert_rejected_once(corp, provider, device, "email_belongs_to_account")

    @EMAILS
    @STATES
    def test_is_refused_at_the_redemption(
        self, corp: World, provider: ScriptedProvider, email: str, told: str, active: bool
    ) -> None:
        provider.person["email"] = told
        device = corp.device().ask(device_label="laptop")
        assert Stranger(corp).sign_in(provider, device.user_code).decide(APPROVE_EXTERNAL, device.user_code)
        has_account(corp, email, active=active)
        for _ in range(2):
            answer = device.poll()
            assert (answer.status_int, answer.json["error"]) == (400, "access_denied")
        assert tokens(corp) == 0
        assert_rejected_once(corp, provider, device, "email_belongs_to_account")

    @pytest.mark.parametrize("when", ["at the sign-in", "at the decision", "at the redemption"])
    def test_is_audited_with_its_client_and_device(self, corp: World, provider: ScriptedProvider, when: str) -> None:
        """DESIGN.md §6: what client, which label, whenever somebody is rejected."""
        device, ada = corp.device().ask(device_label="laptop"), Stranger(corp)
        if when == "at the sign-in":
            has_account(corp, "ada@corp.example")
        ada.come_back(provider.sign_in(ada.leave(device.user_code)))
        if when == "at the decision":
            has_account(corp, "ada@corp.example")
        if when != "at the sign-in":
            ada.decide(APPROVE_EXTERNAL, device.user_code)
        if when == "at the redemption":
            has_account(corp, "ada@corp.example")
            device.poll()
        (event,) = rejected(corp)
        assert (event.get("client_id"), event.get("device_label")) == ("difyctl", "laptop")

    def test_is_refused_at_the_refresh(self, corp: World, provider: ScriptedProvider) -> None:
        device, answer = redeemed(corp, provider)
        has_account(corp, "ADA@corp.example")
        refused = refresh(device, answer["refresh_token"])
        assert (refused.status_int, refused.json["error"]) == (400, "invalid_grant")
        assert tokens(corp) == 1

    def test_of_somebody_else_is_no_hindrance(self, corp: World, provider: ScriptedProvider) -> None:
        for email in ("ada@corp.example.org", "ada+1@corp.example", "a.da@corp.example", "da@corp.example"):
            has_account(corp, email)
        device, answer = redeemed(corp, provider)
        assert device.account(answer["access_token"]).json["subject_email"] == "ada@corp.example"


def redeemed(world: World, provider: ScriptedProvider) -> tuple[Device, dict[str, Any]]:
    """A device with the token of Ada, and the answer that brought it."""
    device = world.device().ask(device_label="laptop")
    Stranger(world).sign_in(provider, device.user_code).decide(APPROVE_EXTERNAL, device.user_code)
    answer = device.poll()
    assert answer.status_int == 200
    return device, answer.json


@pytest.mark.shared_redis
class TestAnIssuerThatIsNoLongerDeclared:
    """The operator took a provider out of the ini and restarted."""

    def test_completes_no_sign_in(self, enterprise: Enterprise, provider: ScriptedProvider) -> None:
        before, after = enterprise(), enterprise(declared=False)
        ada = Stranger(before)
        callback = provider.sign_in(ada.leave(before.device().ask().user_code))
        held = "; ".join(f"{one.name}={one.value}" for one in ada.browser.cookiejar)
        assert_refused(after.browser().get(callback, headers={"Cookie": held}, status=302))

    def test_decides_nothing(self, enterprise: Enterprise, provider: ScriptedProvider) -> None:
        before, after = enterprise(), enterprise(declared=False)
        device = before.device().ask(device_label="laptop")
        approval = Stranger(before).sign_in(provider, device.user_code).approval
        answer = decide(after, APPROVE_EXTERNAL, device.user_code, approval)
        # Of the errors that DESIGN.md §2.2 lists for this route, the one that says to sign in again.
        assert (answer.status_int, answer.json["error"]) == (401, "invalid_session")
        assert_tells_nothing(answer, device.user_code, provider.url)
        assert waits(before, device.user_code)

    def test_redeems_nothing(self, enterprise: Enterprise, provider: ScriptedProvider) -> None:
        before, after = enterprise(), enterprise(declared=False)
        device = before.device().ask(device_label="laptop")
        Stranger(before).sign_in(provider, device.user_code).decide(APPROVE_EXTERNAL, device.user_code)
        poller = after.device()
        poller.answer = device.answer
        for _ in range(2):
            answer = poller.poll()
            assert (answer.status_int, answer.json["error"]) == (400, "access_denied")
        assert tokens(before) == 0
        assert_rejected_once(after, provider, device, "sso_failed")

    @pytest.mark.parametrize("options", [{"declared": False}, {"edition": "community"}], ids=["issuer", "edition"])
    def test_refreshes_nothing(
        self,
        enterprise: Enterprise,
        make: WorldMaker,
        tmp_path: Path,
        provider: ScriptedProvider,
        options: dict[str, Any],
    ) -> None:
        before = enterprise()
        device, first = redeemed(before, provider)
        second = refresh(device, first["refresh_token"]).json
        edition = options.get("edition")
        after = enterprise(declared=False) if edition is None else community(make, tmp_path)
        later = after.device()
        answer = refresh(later, second["refresh_token"])
        assert (answer.status_int, answer.json["error"]) == (400, "invalid_grant")
        assert "access_token" not in answer.json
        # Declared again, the session is still there: the refusal did not spend the token.
        assert refresh(device, second["refresh_token"]).status_int == 200


def community(make: WorldMaker, folder: Path) -> World:
    """The same clients in the edition without the SSO branch."""
    return make(edition="community", ini_file=str(folder / "True.ini"))


class TestLimits:
    def test_of_an_address_at_the_way_out(self, enterprise: Enterprise) -> None:
        world = enterprise(**{"limit.sso_initiate": "3/hour"})
        user_code = world.device().ask().user_code
        browser, elsewhere = world.browser(), world.browser("198.51.100.9")
        # Whether or not there is such a code, whether by GET or by POST: all from one bucket.
        browser.get(SSO_INITIATE, {"user_code": user_code}, status=302)
        browser.get(SSO_INITIATE, {"user_code": "BCDF-GHJK"}, status=400)
        browser.post(SSO_INITIATE, {"user_code": user_code}, status=302)
        for send in (browser.get, browser.post, world.browser().get):
            answer = send(SSO_INITIATE, {"user_code": user_code}, status=429)
            assert_limited(answer, 3600)
            assert_tells_nothing(answer, user_code)
        form = browser.get("/device").form
        form["user_code"] = user_code
        form.submit(status=303)
        page = browser.get("/login/sso?provider=corp", status="*")
        assert (page.status_int, page.content_type) == (429, "text/html")
        elsewhere.get(SSO_INITIATE, {"user_code": user_code}, status=302)
        assert len(list(world.redis.scan_iter("*handshake*"))) == 3
        limited = [one.members() for one in world.services.ledger.newest(1000) if one.event == "limited"]
        assert [(one["reason"], one["address"]) for one in limited] == [("sso_initiate", "192.0.2.7")]

    def test_of_an_email_at_the_decision(self, enterprise: Enterprise, provider: ScriptedProvider) -> None:
        world = enterprise(**{"limit.approve_external": "2/minute"})
        for path, email in ((APPROVE_EXTERNAL, "ada@corp.example"), (DENY_EXTERNAL, "ADA@corp.example")):
            provider.person["email"] = email
            device = world.device().ask()
            assert Stranger(world).sign_in(provider, device.user_code).decide(path, device.user_code).status_int == 200
        provider.person["email"] = "Ada@Corp.Example"
        device = world.device().ask()
        ada = Stranger(world).sign_in(provider, device.user_code)
        approval = ada.approval
        for path in (APPROVE_EXTERNAL, DENY_EXTERNAL):
            answer = ada.decide(path, device.user_code)
            assert_limited(answer, 60)
            assert_tells_nothing(answer, device.user_code, "Ada@Corp.Example")
        # Somebody else is not kept out, and the approval is good once the minute is over.
        provider.person = {"sub": "eve-1", "email": "eve@corp.example", "email_verified": True}
        other = world.device().ask()
        assert Stranger(world).sign_in(provider, other.user_code).decide(DENY_EXTERNAL, other.user_code)
        assert waits(world, device.user_code)
        assert ada.approval == approval
        world.clock.pass_seconds(61)
        assert ada.decide(APPROVE_EXTERNAL, device.user_code).json == {"status": "approved"}

    def test_of_an_email_is_not_used_up_by_what_could_not_succeed(
        self, enterprise: Enterprise, provider: ScriptedProvider
    ) -> None:
        """Charged before the checks, it would let anybody with an approval of their own lock a person out (W54)."""
        world = enterprise(**{"limit.approve_external": "1/hour"})
        device = world.device().ask()
        approval = Stranger(world).sign_in(provider, device.user_code).approval
        send: Callable[..., TestResponse] = partial(decide, world, APPROVE_EXTERNAL)
        for _ in range(3):
            assert send(device.user_code, approval, "wrong").status_int == 403
            assert send("BCDF-GHJK", approval).status_int == 400
        assert opened(world, approval).subject.email == "ada@corp.example"
        assert send(device.user_code, approval).status_int == 200
        for _ in range(3):
            assert send(device.user_code, approval).json["error"] == "session_already_consumed"


def assert_limited(answer: TestResponse, period_seconds: int) -> None:
    assert (answer.status_int, answer.content_type) == (429, "application/json")
    assert answer.json == {"error": "rate_limited", "error_description": "Too many requests. Try again later."}
    assert 1 <= int(answer.headers["Retry-After"]) <= period_seconds
