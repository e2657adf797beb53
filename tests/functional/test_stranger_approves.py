"""A person without an account here: known to the company's identity provider, and to nobody else."""

from ..factories import APPROVE_EXTERNAL, DENY_EXTERNAL, Stranger, World
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
