"""The connection of a client or a browser breaks after all is done and before the answer: it asks again."""

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from oauthdevice.domain.token_endpoint import DEVICE_GRANT

from ..conftest import WorldMaker
from ..cutting_proxy import CuttingProxy, proxied
from ..factories import API, APPROVE, CODE, DENY, PASSWORD, TOKEN, World
from ..installations import Visitor, account
from ..servers import RedisServer

EMAIL = "ada@example.com"
CLIENT = {"client_id": "difyctl"}


class Cut:
    """Whoever speaks to a server over a way that breaks."""

    def __init__(self, world: World, way: CuttingProxy) -> None:
        self.world = world
        self.url = f"http://127.0.0.1:{way.port}"
        self._way = way

    def post(self, path: str, **form: str) -> requests.Response:
        return requests.post(self.url + path, {**CLIENT, **form}, timeout=10)

    def twice(self, request: Callable[[], requests.Response]) -> requests.Response:
        """The answer to the second of two, of which the first is done and its answer is lost."""
        self._way.lose_answer(1)
        with pytest.raises(requests.ConnectionError):
            request()
        assert self._way.has_lost()
        return request()

    def poll(self, codes: dict[str, str]) -> requests.Response:
        return self.post(TOKEN, grant_type=DEVICE_GRANT, device_code=codes["device_code"])

    def tokens(self) -> dict[str, str]:
        codes = self.post(CODE).json()
        self.world.services.approvals.approve(codes["user_code"], self.world.person(EMAIL).account, "127.0.0.1")
        return self.poll(codes).json()

    def events(self) -> Counter[str]:
        return Counter(event.event for event in self.world.services.ledger.newest(1000))


@pytest.fixture
def cut(make_live: WorldMaker, tmp_path: Path, redis_server: RedisServer) -> Iterator[Cut]:
    (tmp_path / "clients.ini").write_text("[client:difyctl]\nname = difyctl\nscopes = full\nrefresh = on\n", "utf-8")
    world = make_live(ini_file=str(tmp_path / "clients.ini"))
    with proxied(urlsplit(world.settings.public_url).port or 0) as way:
        yield Cut(world, way)


def test_at_code_it_gets_others(cut: Cut) -> None:
    answer = cut.twice(lambda: cut.post(CODE))
    assert answer.status_code == 200
    assert cut.poll(answer.json()).json()["error"] == "authorization_pending"
    assert cut.events()["started"] == 2


def test_at_a_pending_poll_it_may_be_told_to_slow_down(cut: Cut) -> None:
    """RFC 8628 §3.5: whose connection broke is to poll less often, not at once."""
    codes = cut.post(CODE).json()
    assert cut.twice(lambda: cut.poll(codes)).json()["error"] == "slow_down"
    cut.world.clock.pass_seconds(10)
    assert cut.poll(codes).json()["error"] == "authorization_pending"


def test_at_the_token_it_gets_the_same(cut: Cut) -> None:
    codes = cut.post(CODE).json()
    cut.world.services.approvals.approve(codes["user_code"], cut.world.person(EMAIL).account, "127.0.0.1")
    answer = cut.twice(lambda: cut.poll(codes))
    assert answer.status_code == 200
    assert account(cut.url, answer.json()["access_token"]).status_code == 200
    assert len(cut.world.services.registry.live()) == 1
    assert cut.events()["redeemed"] == 1


@pytest.mark.parametrize(("path", "event"), [(APPROVE, "approved"), (DENY, "denied")])
def test_at_a_decision_a_program_is_told_that_it_was_made(cut: Cut, path: str, event: str) -> None:
    cut.world.person(EMAIL)
    visitor, codes = Visitor(cut.url), cut.post(CODE).json()
    visitor.sign_in(EMAIL, PASSWORD)
    headers, body = {"X-CSRF-Token": visitor.csrf_token()}, {"user_code": codes["user_code"]}
    # A connection of its own, as the former one may be closed.
    visitor.http.headers["Connection"] = "close"
    answer = cut.twice(lambda: visitor.http.post(cut.url + path, json=body, headers=headers, timeout=10))
    assert (answer.status_code, answer.json()["error"]) == (409, "already_resolved")
    polled = cut.poll(codes)
    assert polled.status_code == 200 if path == APPROVE else polled.json()["error"] == "access_denied"
    assert cut.events()[event] == 1


def test_at_a_decision_a_person_is_told_that_it_was_made(cut: Cut) -> None:
    cut.world.person(EMAIL)
    visitor, codes = Visitor(cut.url), cut.post(CODE).json()
    visitor.sign_in(EMAIL, PASSWORD)
    visitor.http.headers["Connection"] = "close"
    typed = {"csrf_token": visitor.csrf_token(), "user_code": codes["user_code"]}
    entered = visitor.http.post(f"{cut.url}/device", typed, timeout=10, allow_redirects=False)
    assert entered.headers["Location"].endswith("/device/consent")
    assert codes["user_code"] in visitor.http.get(f"{cut.url}/device/consent", timeout=10).text
    form = {**typed, "decision": "approve"}
    page = cut.twice(lambda: visitor.http.post(f"{cut.url}/device/consent", form, timeout=10, allow_redirects=False))
    assert page.status_code == 409
    assert "<h1>This code was used already</h1>" in page.text
    assert cut.poll(codes).status_code == 200
    assert cut.events()["approved"] == 1


def test_at_a_refresh_it_gets_the_same(cut: Cut) -> None:
    tokens = cut.tokens()
    answer = cut.twice(lambda: cut.post(TOKEN, grant_type="refresh_token", refresh_token=tokens["refresh_token"]))
    assert answer.status_code == 200
    assert account(cut.url, answer.json()["access_token"]).status_code == 200
    assert cut.events()["refreshed"] == 1
    assert cut.events()["reuse_detected"] == 0


def test_at_a_revocation_it_is_told_that_all_is_done(cut: Cut) -> None:
    tokens = cut.tokens()
    answer = cut.twice(lambda: cut.post(f"{API}/oauth/revoke", token=tokens["access_token"]))
    assert answer.status_code == 200
    assert account(cut.url, tokens["access_token"]).status_code == 401
    assert cut.events()["revoked"] == 1
