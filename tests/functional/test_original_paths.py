"""The paths of the original system answer as ours do (`oauthdevice.legacy_mounts`)."""

from pathlib import Path

import pytest

from oauthdevice.views.legacy import MOUNTS, SSO_MOUNTS

from ..conftest import WorldMaker
from ..factories import API, Stranger, World
from ..scripted_providers import CLIENT_ID, ScriptedProvider

PAIRS = [(path, f"{API}{service.path}") for path, service in {**MOUNTS, **SSO_MOUNTS}.items()]


def declaring(tmp_path: Path, issuer: str) -> str:
    """An ini file with one identity provider."""
    path = tmp_path / "corp.ini"
    path.write_text(f"[sso:corp]\nissuer = {issuer}\nclient_id = {CLIENT_ID}\n", "utf-8")
    return str(path)


@pytest.fixture
def world(make: WorldMaker, tmp_path: Path) -> World:
    return make(legacy_mounts="on", edition="enterprise", ini_file=declaring(tmp_path, "http://127.0.0.1:1"))


@pytest.mark.parametrize(("original", "ours"), PAIRS)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "PUT"])
@pytest.mark.parametrize("body", [{}, {"client_id": "difyctl"}, {"user_code": "BCDF-GHJK"}])
def test_both_paths_answer_alike(world: World, original: str, ours: str, method: str, body: dict[str, str]) -> None:
    answers = []
    for path in (original, ours):
        answer = world.browser().request(path, method=method, POST=body or b"", status="*")
        if answer.status_int == 302:
            told = answer.headers["Location"]
        else:
            told = answer.json if answer.status_int != 200 else sorted(answer.json)
        answers.append((answer.status_int, told, answer.headers.get("Allow"), answer.headers["Cache-Control"]))
    assert answers[0] == answers[1]


def test_a_whole_story_on_the_original_paths(world: World) -> None:
    http, person = world.browser(), world.person().sign_in()
    started = http.post_json("/v1/oauth/device/code", {"client_id": "difyctl", "device_label": "laptop"}).json
    poll = {"client_id": "difyctl", "device_code": started["device_code"]}
    assert http.post_json("/v1/oauth/device/token", poll, status=400).json["error"] == "authorization_pending"
    assert http.get("/v1/oauth/device/lookup", {"user_code": started["user_code"]}).json["valid"] is True
    answer = person.post("/console/api/oauth/device/approve", started["user_code"])
    assert answer.json == {"status": "approved"}
    headers = {"Authorization": f"Bearer {http.post_json('/v1/oauth/device/token', poll).json['token']}"}
    assert http.get("/v1/me", headers=headers).json["account"]["email"] == person.account.email
    assert http.delete("/v1/oauth/authorizations/self", headers=headers).json == {"status": "revoked"}
    assert http.get("/v1/me", headers=headers, status=401).json["error"] == "invalid_token"


def test_a_story_of_sso_on_the_original_paths(make: WorldMaker, tmp_path: Path, provider: ScriptedProvider) -> None:
    world = make(legacy_mounts="on", edition="enterprise", ini_file=declaring(tmp_path, provider.url))
    device, ada = world.device().ask(), Stranger(world)
    there = ada.browser.get("/v1/oauth/device/sso-initiate", {"user_code": device.user_code}, status=302)
    ours = provider.sign_in(there.headers["Location"])
    original = ours.replace(f"{API}/oauth/device/sso-complete", "/v1/device/sso-complete")
    assert original != ours
    assert ada.come_back(original).headers["Location"] == "http://localhost/device?sso_verified=1"
    context = ada.browser.get("/v1/oauth/device/approval-context").json
    assert context["user_code"] == device.user_code
    answer = ada.browser.post_json(
        "/v1/oauth/device/approve-external",
        {"user_code": device.user_code},
        headers={"X-CSRF-Token": context["csrf_token"]},
    )
    assert answer.json == {"status": "approved"}
    ada.browser.get("/v1/oauth/device/approval-context", status=401)
    assert device.poll().json["subject_email"] == "ada@corp.example"


def test_they_are_not_there_by_default(make: WorldMaker) -> None:
    world = make(edition="enterprise")
    for path, _ in PAIRS:
        assert world.browser().post(path, status=404).content_type == "text/html"


@pytest.mark.parametrize("path", SSO_MOUNTS)
def test_those_of_sso_are_not_there_in_the_community_edition(make: WorldMaker, tmp_path: Path, path: str) -> None:
    world = make(legacy_mounts="on", ini_file=declaring(tmp_path, "http://127.0.0.1:1"))
    for method in ("GET", "POST"):
        assert world.browser().request(path, method=method, status=404).json["error"] == "not_found"
