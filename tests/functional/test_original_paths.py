"""The paths of the original system answer as ours do (`oauthdevice.legacy_mounts`)."""

from typing import Any

import pytest

from oauthdevice.views.legacy import MOUNTS

from ..factories import API, World

PAIRS = [(path, f"{API}{service.path}") for path, service in MOUNTS.items()]


@pytest.fixture
def world(make: Any) -> World:
    return make(legacy_mounts="on")


@pytest.mark.parametrize(("original", "ours"), PAIRS)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "PUT"])
@pytest.mark.parametrize("body", [{}, {"client_id": "difyctl"}, {"user_code": "BCDF-GHJK"}])
def test_both_paths_answer_alike(world: World, original: str, ours: str, method: str, body: dict[str, str]) -> None:
    answers = []
    for path in (original, ours):
        answer = world.browser().request(path, method=method, POST=body or b"", status="*")
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


def test_they_are_not_there_by_default(make: Any) -> None:
    world: World = make()
    for path, _ in PAIRS:
        assert world.browser().post(path, status=404).content_type == "text/html"
