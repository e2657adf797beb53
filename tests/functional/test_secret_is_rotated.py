"""The operator changes the secret while people and devices are in the middle of something."""

from pathlib import Path

import pytest

from ..conftest import WorldMaker
from ..factories import APPROVAL_CONTEXT, APPROVE_EXTERNAL, SECRET, SSO_COMPLETE, Device, Person, Stranger, World
from ..scripted_providers import CLIENT_ID, ScriptedProvider

NEW = "another secret for tests alone, as long"


pytestmark = pytest.mark.shared_redis


@pytest.fixture
def corp_ini(tmp_path: Path, provider: ScriptedProvider) -> str:
    path = tmp_path / "corp.ini"
    path.write_text(f"[sso:corp]\nissuer = {provider.url}\nclient_id = {CLIENT_ID}\n", "utf-8")
    return str(path)


@pytest.fixture
def make_corp(make: WorldMaker, corp_ini: str) -> WorldMaker:
    """Servers on one database and one Redis, as before and after a restart with other settings."""
    return lambda **options: make(edition="enterprise", ini_file=corp_ini, **options)


def moved(browser_of: Person | Stranger, world: World) -> None:
    """The same browser, cookies and all, meets a server with other settings."""
    browser = world.browser()
    browser.cookiejar = browser_of.browser.cookiejar
    browser_of.browser = browser


class TestTheSecretIsRotated:
    def test_who_is_signed_in_stays_so(self, make_corp: WorldMaker) -> None:
        person = make_corp().person().sign_in()
        moved(person, make_corp(secret=NEW, previous_secrets=SECRET))
        assert person.account.email in person.browser.get("/logout").text

    def test_a_code_that_waits_is_still_known(self, make_corp: WorldMaker) -> None:
        device: Device = make_corp().device().ask()
        after = make_corp(secret=NEW, previous_secrets=SECRET)
        assert after.person("bob@example.com").allow(device.user_code).status_int == 200
        assert "access_token" in device.poll().json

    def test_a_sign_in_under_way_is_completed(self, make_corp: WorldMaker, provider: ScriptedProvider) -> None:
        before = make_corp()
        device, ada = before.device().ask(), Stranger(before)
        callback = provider.sign_in(ada.leave(device.user_code))
        moved(ada, make_corp(secret=NEW, previous_secrets=SECRET))
        assert callback.startswith(SSO_COMPLETE)
        assert ada.come_back(callback).headers["Location"].endswith("sso_verified=1")

    def test_an_approval_still_decides(self, make_corp: WorldMaker, provider: ScriptedProvider) -> None:
        before = make_corp()
        device = before.device().ask()
        ada = Stranger(before).sign_in(provider, device.user_code)
        moved(ada, make_corp(secret=NEW, previous_secrets=f"{'x' * 32}\n{SECRET}"))
        assert ada.decide(APPROVE_EXTERNAL, device.user_code).json == {"status": "approved"}
        assert "access_token" in device.poll().json

    def test_what_is_made_now_is_made_with_the_new_one(self, make_corp: WorldMaker, provider: ScriptedProvider) -> None:
        during = make_corp(secret=NEW, previous_secrets=SECRET)
        device, person = during.device().ask(), during.person().sign_in()
        ada = Stranger(during).sign_in(provider, device.user_code)
        after = make_corp(secret=NEW)
        moved(person, after)
        moved(ada, after)
        assert person.account.email in person.browser.get("/logout").text
        assert ada.context()["user_code"] == device.user_code

    def test_a_secret_that_is_listed_no_more_opens_nothing(
        self, make_corp: WorldMaker, provider: ScriptedProvider
    ) -> None:
        before, after = make_corp(), make_corp(secret=NEW)
        device, person = before.device().ask(), before.person().sign_in()
        ada = Stranger(before).sign_in(provider, device.user_code)
        moved(person, after)
        moved(ada, after)
        assert person.account.email not in person.browser.get("/logout").text
        assert ada.browser.get(APPROVAL_CONTEXT, status=401).json["error"] == "no_session"
        assert "No device is waiting" in after.person("bob@example.com").open(device.user_code).text
