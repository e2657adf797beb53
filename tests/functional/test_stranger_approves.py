"""A person without an account here: known to the company's identity provider, and to nobody else."""

from ..factories import APPROVE_EXTERNAL, DENY_EXTERNAL, SSO_INITIATE, Stranger, World
from ..scripted_providers import ScriptedProvider


class TestAPersonOfTheIdentityProvider:
    def test_approves_and_the_token_speaks_for_them(self, corp: World, provider: ScriptedProvider) -> None:
        device = corp.device().ask(device_label="laptop")
        ada = Stranger(corp).sign_in(provider, device.user_code)
        context = ada.context()
        assert (context["subject_email"], context["subject_issuer"]) == ("ada@corp.example", provider.url)
        answer = ada.decide(APPROVE_EXTERNAL, device.user_code)
        assert (answer.status_int, answer.json) == (200, {"status": "approved"})
        told = device.poll().json
        assert told["access_token"].startswith("dfoe_")
        assert device.account(told["access_token"]).json == {
            "subject_type": "external_sso",
            "subject_email": "ada@corp.example",
            "subject_issuer": provider.url,
            "account": None,
            "workspaces": [],
            "default_workspace_id": None,
        }

    def test_denies(self, corp: World, provider: ScriptedProvider) -> None:
        device = corp.device().ask()
        ada = Stranger(corp).sign_in(provider, device.user_code)
        answer = ada.decide(DENY_EXTERNAL, device.user_code)
        assert (answer.status_int, answer.json) == (200, {"status": "denied"})
        assert device.poll().json["error"] == "access_denied"

    def test_decides_on_the_page(self, corp: World, provider: ScriptedProvider) -> None:
        for decision, told in (("approve", "access_token"), ("deny", "error")):
            device, browser = corp.device().ask(), corp.browser()
            form = browser.get("/device").form
            form["user_code"] = device.user_code
            login = form.submit(status=303).follow()
            there = login.click(href="provider=corp").headers["Location"]
            consent = browser.get(provider.sign_in(there), status=302).follow(status=303).follow(status=200)
            assert "ada@corp.example" in consent.text
            done = consent.form.submit("decision", value=decision, status=303).follow(status=200)
            assert device.user_code not in done.text
            assert told in device.poll().json

    def test_gets_a_new_browser_session_and_keeps_an_account(self, corp: World, provider: ScriptedProvider) -> None:
        device, person = corp.device().ask(), corp.person("bob@example.com").sign_in()
        planted = person.csrf_token()
        there = person.browser.get(SSO_INITIATE, {"user_code": device.user_code}, status=302).headers["Location"]
        person.browser.get(provider.sign_in(there), status=302).follow(status=303).follow(status=200)
        form = {"csrf_token": planted, "user_code": device.user_code, "decision": "approve"}
        person.browser.post("/device/consent", form, status=403)
        assert "bob@example.com" in person.browser.get("/device").text

    def test_is_told_how_long_the_approval_lasts_not_the_code(self, corp: World, provider: ScriptedProvider) -> None:
        ada = Stranger(corp).sign_in(provider, corp.device().ask().user_code)
        assert 290 <= ada.context()["expires_in_remaining"] <= 300

    def test_whose_approval_is_over_is_told_that_nothing_was_decided(
        self, corp: World, provider: ScriptedProvider
    ) -> None:
        device = corp.device().ask()
        ada = Stranger(corp).sign_in(provider, device.user_code)
        consent = ada.browser.get("/device?sso_verified=1", status=303).follow(status=200)
        corp.clock.pass_seconds(301)
        told = consent.form.submit("decision", value="deny", status=401)
        assert "Nothing was allowed or denied" in told.text
        assert device.poll().json["error"] == "authorization_pending"

    def test_who_cannot_use_this_approval_is_not_led_back_to_it(self, corp: World, provider: ScriptedProvider) -> None:
        device = corp.device().ask()
        ada = Stranger(corp).sign_in(provider, device.user_code)
        consent = ada.browser.get("/device?sso_verified=1", status=303).follow(status=200)
        corp.person("ada@corp.example")
        consent.form.submit("decision", value="approve", status=403)
        assert ada.browser.get("/device/consent", status=303).headers["Location"].endswith("/login")

    def test_whose_browser_brings_a_strange_cookie_gets_a_good_one(
        self, corp: World, provider: ScriptedProvider
    ) -> None:
        device, ada = corp.device().ask(), Stranger(corp)
        for strange in ('"\\303\\251"', "short", "x" * 44):
            headers = {"Cookie": f"oauthdevice_sso={strange}"}
            answer = ada.browser.get(SSO_INITIATE, {"user_code": device.user_code}, headers=headers, status=302)
            (marked,) = [one for one in answer.headers.getall("Set-Cookie") if one.startswith("oauthdevice_sso=")]
            assert strange not in marked
        ada.sign_in(provider, device.user_code)
