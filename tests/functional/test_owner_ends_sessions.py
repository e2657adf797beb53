"""The owner of sessions lists and ends them with a bearer token."""

import uuid
from typing import Any

import pytest
from sqlalchemy import event

from ..factories import API, Device, Person, World

SESSIONS = f"{API}/account/sessions"


def signed_in(world: World, person: Person, label: str = "") -> tuple[Device, str]:
    device = world.device().ask(**({"device_label": label} if label else {}))
    world.services.approvals.approve(device.user_code, person.account, "192.0.2.7")
    return device, device.poll().json["access_token"]


def call(device: Device, method: str, path: str, token: str, status: int = 200) -> Any:
    headers = {"Authorization": f"Bearer {token}"}
    return device.http.request(path, method=method, headers=headers, status=status).json


class TestTheOwner:
    def test_sees_live_sessions_newest_first(self, world: World) -> None:
        person, stranger = world.person(), world.person()
        signed_in(world, stranger, "not mine")
        tokens = []
        for label in ("one", "two", "three"):
            world.clock.pass_seconds(1)
            device, token = signed_in(world, person, label)
            tokens.append(token)
        call(device, "DELETE", f"{SESSIONS}/self", tokens[1])
        told = call(device, "GET", SESSIONS, tokens[0])
        assert {name: told[name] for name in ("page", "limit", "total", "has_more")} == {
            "page": 1,
            "limit": 100,
            "total": 2,
            "has_more": False,
        }
        assert [one["device_label"] for one in told["data"]] == ["three", "one"]
        assert told["data"][1] == {
            "id": told["data"][1]["id"],
            "prefix": "dfoa_",
            "client_id": "difyctl",
            "device_label": "one",
            "name": None,
            "created_at": told["data"][1]["created_at"],
            "last_used_at": told["data"][1]["last_used_at"],
            "expires_at": told["data"][1]["expires_at"],
        }
        assert told["data"][1]["last_used_at"] is not None
        assert told["data"][0]["last_used_at"] is None

    def test_pages_through_them(self, world: World) -> None:
        person = world.person()
        for number in range(5):
            world.clock.pass_seconds(1)
            device, token = signed_in(world, person, str(number))
        first = call(device, "GET", f"{SESSIONS}?page=1&limit=2", token)
        last = call(device, "GET", f"{SESSIONS}?page=3&limit=2", token)
        beyond = call(device, "GET", f"{SESSIONS}?page=4&limit=2", token)
        assert [one["device_label"] for one in first["data"]] == ["4", "3"]
        assert (first["total"], first["has_more"]) == (5, True)
        assert [one["device_label"] for one in last["data"]] == ["0"]
        assert (last["has_more"], beyond["data"], beyond["has_more"]) == (False, [], False)

    def test_a_page_reads_no_more_rows_than_it_shows(self, world: World) -> None:
        person = world.person()
        for number in range(5):
            device, token = signed_in(world, person, str(number))
        call(device, "GET", SESSIONS, token)
        read: list[str] = []
        told: Any = world.services.database.engine, "before_cursor_execute", lambda *given: read.append(given[2])
        event.listen(*told)
        call(device, "GET", f"{SESSIONS}?page=2&limit=2", token)
        event.remove(*told)
        lists = [one for one in read if "FROM sessions" in one and "count(" not in one and "ORDER BY" in one]
        assert len(lists) == 1
        assert "LIMIT" in lists[0]
        assert "OFFSET" in lists[0]

    @pytest.mark.parametrize(
        "query", ["page=0", "page=-3", "page=abc", "limit=0", "limit=201", "limit=999", "page=1.5"]
    )
    def test_bad_paging_is_refused(self, world: World, query: str) -> None:
        device, token = signed_in(world, world.person())
        assert call(device, "GET", f"{SESSIONS}?{query}", token, 400)["error"] == "invalid_request"

    def test_ends_one_by_its_id(self, world: World) -> None:
        person = world.person()
        device, token = signed_in(world, person, "one")
        _, other = signed_in(world, person, "two")
        ids = {one["device_label"]: one["id"] for one in call(device, "GET", SESSIONS, token)["data"]}
        assert call(device, "DELETE", f"{SESSIONS}/{ids['two']}", token) == {"status": "revoked"}
        assert device.account(other).status_int == 401
        assert device.account(token).status_int == 200

    def test_foreign_unknown_ended_and_malformed_ids_are_one_and_the_same_404(self, world: World) -> None:
        person, stranger = world.person(), world.person()
        device, token = signed_in(world, person, "mine")
        foreign, foreign_token = signed_in(world, stranger, "not mine")
        foreign_id = call(foreign, "GET", SESSIONS, foreign_token)["data"][0]["id"]
        signed_in(world, person, "ended")
        ended_id = call(device, "GET", SESSIONS, token)["data"][0]["id"]
        call(device, "DELETE", f"{SESSIONS}/{ended_id}", token)
        told = [
            call(device, "DELETE", f"{SESSIONS}/{one}", token, 404)
            for one in (foreign_id, str(uuid.uuid4()), ended_id, "x", foreign_id.upper(), "%00", "a" * 5000)
        ]
        assert all(one == {"error": "not_found", "error_description": "There is no such session."} for one in told)
        assert foreign.account(foreign_token).status_int == 200

    def test_a_token_ends_itself(self, world: World) -> None:
        device, token = signed_in(world, world.person())
        assert call(device, "DELETE", f"{SESSIONS}/self", token) == {"status": "revoked"}
        for path in (SESSIONS, f"{API}/account"):
            assert call(device, "GET", path, token, 401)["error"] == "invalid_token"
        assert [one.event for one in world.services.ledger.newest(1)] == ["revoked"]

    @pytest.mark.parametrize(("method", "path"), [("GET", ""), ("DELETE", "/self"), ("DELETE", "/x")])
    def test_nobody_without_a_token(self, world: World, method: str, path: str) -> None:
        answer = world.browser().request(f"{SESSIONS}{path}", method=method, status=401)
        assert answer.headers["WWW-Authenticate"] == 'Bearer realm="oauthdevice"'
