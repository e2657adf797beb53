"""The SSO branch is there in one edition alone, and on the original paths where they are mounted."""

import json
from pathlib import Path
from typing import Any

import pytest
from webtest import TestResponse

from ..conftest import WorldMaker
from ..factories import (
    API,
    APPROVAL_CONTEXT,
    APPROVE_EXTERNAL,
    DENY_EXTERNAL,
    SSO_COMPLETE,
    SSO_INITIATE,
    Stranger,
    World,
)
from ..scripted_providers import ScriptedProvider
from .test_approval_is_attacked import ini_file, opened
from .test_stranger_is_attacked import assert_refused

OURS = [SSO_INITIATE, SSO_COMPLETE, f"{SSO_COMPLETE}/corp", APPROVAL_CONTEXT, APPROVE_EXTERNAL, DENY_EXTERNAL]
ORIGINAL = [
    "/v1/oauth/device/sso-initiate",
    "/v1/device/sso-complete",
    "/v1/oauth/device/approval-context",
    "/v1/oauth/device/approve-external",
]
# One request of any kind and a bucket of ours would be full.
TIGHT = {f"limit.{name}": "1/hour" for name in ("sso_initiate", "approve_external", "lookup", "guesses", "bearer")}
NOTHING = {"error": "not_found", "error_description": "There is nothing at this address."}


def assert_nothing_there(answer: TestResponse) -> None:
    assert (answer.status_int, answer.content_type, answer.json) == (404, "application/json", NOTHING)
    assert "Set-Cookie" not in answer.headers
    assert "Retry-After" not in answer.headers


@pytest.fixture
def community(make: WorldMaker, tmp_path: Path, provider: ScriptedProvider) -> World:
    """The edition without SSO; that providers are declared changes nothing."""
    return make(ini_file=ini_file(tmp_path, provider), legacy_mounts="on", **TIGHT)


class TestInTheCommunityEdition:
    @pytest.mark.parametrize("path", [*OURS, *ORIGINAL])
    def test_no_route_is_there_whatever_is_sent_and_however_often(self, community: World, path: str) -> None:
        user_code, browser = community.device().ask().user_code, community.browser()
        for _ in range(3):
            assert_nothing_there(browser.get(path, {"user_code": user_code, "state": "x", "code": "x"}, status=404))
            assert_nothing_there(browser.post(path, {"user_code": user_code}, status=404))
            headers = {"X-CSRF-Token": "x"}
            assert_nothing_there(browser.post_json(path, {"user_code": user_code}, headers=headers, status=404))
            assert_nothing_there(browser.delete(path, status=404))
        assert [one.event for one in community.services.ledger.newest(100)] == ["started"]
        assert not list(community.redis.scan_iter("*sso_initiate*"))

    def test_the_sign_in_page_shows_no_button(self, community: World, corp: World) -> None:
        pages = []
        for world in (community, corp):
            browser = world.browser()
            form = browser.get("/device").form
            form["user_code"] = world.device().ask().user_code
            pages.append(form.submit(status=303).follow().text)
        assert ["Corp" in page and "/login/sso" in page for page in pages] == [False, True]
        assert "sso" not in pages[0].lower()

    def test_the_way_to_a_provider_is_no_page(self, community: World) -> None:
        browser = community.browser()
        form = browser.get("/device").form
        form["user_code"] = community.device().ask().user_code
        token = form.submit(status=303).follow().form["csrf_token"].value
        for answer in (
            browser.get("/login/sso?provider=corp", status=404),
            browser.post("/login/sso", {"email": "ada@corp.example", "csrf_token": token}, status=404),
        ):
            assert answer.content_type == "text/html"
            assert "corp" not in answer.text.lower()

    @pytest.mark.parametrize("query", ["sso_verified=1", "sso_error=sso_failed", "sso_error=sso_cancelled"])
    def test_the_way_back_is_the_page_for_a_code(self, community: World, query: str) -> None:
        page = community.browser().get(f"/device?{query}", status=200)
        assert page.form["user_code"].value == ""
        assert "sso" not in page.text.lower()

    @pytest.mark.parametrize("path", ["oauth-authorization-server", "openid-configuration"])
    def test_the_metadata_says_nothing_of_it(self, community: World, corp: World, path: str) -> None:
        told = [world.browser().get(f"/.well-known/{path}").json for world in (community, corp)]
        assert "sso" not in json.dumps(told[0])
        # Nor is anything of it for clients: they have nothing to do with how a person signs in.
        assert told[0] == told[1]

    def test_the_api_document_says_nothing_of_it(self, community: World) -> None:
        document = community.browser().get(f"{API}/openapi.json").json
        assert not [path for path in document["paths"] if "sso" in path or "external" in path or "approval" in path]


class TestOnTheOriginalPaths:
    @pytest.fixture
    def legacy(self, make: WorldMaker, tmp_path: Path, provider: ScriptedProvider) -> World:
        return make(edition="enterprise", legacy_mounts="on", ini_file=ini_file(tmp_path, provider))

    def test_a_whole_story(self, legacy: World, provider: ScriptedProvider) -> None:
        initiate, complete, context, approve = ORIGINAL
        device, browser = legacy.device().ask(), legacy.browser()
        there = browser.get(initiate, {"user_code": device.user_code}, status=302).headers["Location"]
        # What is registered at the provider is the address of today; the original's gateway calls its own.
        callback = provider.sign_in(there).replace(SSO_COMPLETE, complete)
        assert callback.startswith(complete + "?")
        answer = browser.get(callback, status=302)
        assert answer.headers["Location"] == "http://localhost/device?sso_verified=1"
        given = sorted(one.split("Path=")[1].split(";")[0] for one in answer.headers.getall("Set-Cookie"))
        assert given == ["/device", "/logout", "/openapi/v1/oauth/device", "/v1/oauth/device"]
        shown = browser.get(context, status=200).json
        assert shown["subject_email"] == "ada@corp.example"
        assert shown == {**browser.get(APPROVAL_CONTEXT, status=200).json, **changing(shown)}
        headers = {"X-CSRF-Token": shown["csrf_token"]}
        answer = browser.post_json(approve, {"user_code": device.user_code}, headers=headers)
        assert answer.json == {"status": "approved"}
        assert len([one for one in answer.headers.getall("Set-Cookie") if "Max-Age=0" in one]) == 4
        assert not [one for one in browser.cookiejar if one.name == "oauthdevice_approval"]
        browser.get(context, status=401)
        poll = {"client_id": "difyctl", "device_code": device.device_code}
        told = device.http.post_json("/v1/oauth/device/token", poll).json
        assert (told["subject_type"], told["subject_email"]) == ("external_sso", "ada@corp.example")
        me = device.http.get("/v1/me", headers={"Authorization": f"Bearer {told['token']}"}).json
        assert me["subject_issuer"] == provider.url

    def test_the_same_attacks_are_refused(self, legacy: World, provider: ScriptedProvider) -> None:
        _, complete, context, approve = ORIGINAL
        device, ada = legacy.device().ask(), Stranger(legacy)
        callback = provider.sign_in(ada.leave(device.user_code)).replace(SSO_COMPLETE, complete)
        assert_refused(legacy.browser().get(callback, status=302))
        assert ada.browser.get(callback, status=302).headers["Location"].endswith("/device?sso_verified=1")
        assert_refused(ada.browser.get(callback, status=302))
        approval, body = ada.approval, {"user_code": device.user_code}
        token = {"X-CSRF-Token": opened(legacy, approval).csrf_token}
        assert ada.browser.post_json(approve, body, status=403).json["error"] == "csrf_mismatch"
        answer = legacy.browser().post_json(approve, body, headers=token, status=401)
        assert answer.json["error"] == "invalid_session"
        assert legacy.browser().get(context, status=401).json["error"] == "no_session"
        kept = {**token, "Cookie": f"oauthdevice_approval={approval}"}
        assert legacy.browser().post_json(approve, body, headers=kept).json == {"status": "approved"}
        for path in (approve, APPROVE_EXTERNAL, DENY_EXTERNAL):
            again = legacy.browser().post_json(path, body, headers=kept, status=401)
            assert again.json["error"] == "session_already_consumed"

    def test_are_not_there_unless_mounted(self, corp: World) -> None:
        for path in ORIGINAL:
            assert corp.browser().get(path, status=404).content_type == "text/html"


def changing(shown: dict[str, Any]) -> dict[str, Any]:
    """What differs between two looks at one approval: the seconds that are left."""
    return {"expires_in_remaining": shown["expires_in_remaining"]}
