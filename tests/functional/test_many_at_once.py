"""Threads and a barrier: of any number of decisions one wins, of any number of polls one token comes."""

import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import text

from oauthdevice.domain.clients import ClientCredentials
from oauthdevice.domain.errors import AlreadyClaimed, AlreadyResolved, AuthorizationPending, DomainError
from oauthdevice.domain.sessions import NewSession
from oauthdevice.domain.token_endpoint import DEVICE_GRANT, TokenRequest
from oauthdevice.stores.sessions import SQLSessionStore

from ..conftest import WorldMaker
from ..factories import Device, World

UNLIMITED = {"limit.decide": "off", "limit.guesses": "off", "limit.code": "off", "limit.bearer": "off"}


def at_once(*acts: Callable[[], Any]) -> list[Any]:
    """What each act returned or raised, all let loose in the same moment."""
    barrier, outcomes = threading.Barrier(len(acts)), [None] * len(acts)

    def run(index: int, act: Callable[[], Any]) -> None:
        barrier.wait()
        try:
            outcomes[index] = act()
        except DomainError as error:
            outcomes[index] = error

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(acts)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


def live_tokens(world: World) -> int:
    with world.services.database.engine.connect() as sql:
        return int(sql.execute(text("select count(*) from access_tokens")).scalar() or 0)


def poll(world: World, device: Device) -> dict[str, Any]:
    return world.services.token_endpoint.exchange(
        TokenRequest(
            credentials=ClientCredentials("difyctl"),
            grant_type=DEVICE_GRANT,
            device_code=device.device_code,
            address="192.0.2.7",
        )
    )


@pytest.fixture
def unlimited(make: WorldMaker) -> World:
    return make(**UNLIMITED)


class TestManyAtOnce:
    def test_fifty_polls_give_one_token(self, unlimited: World) -> None:
        device = unlimited.device().ask()
        unlimited.services.approvals.approve(device.user_code, unlimited.person().account, "192.0.2.7")
        outcomes = at_once(*[lambda: poll(unlimited, device)] * 50)
        tokens = {answer["access_token"] for answer in outcomes if isinstance(answer, dict)}
        others = [type(answer) for answer in outcomes if not isinstance(answer, dict)]
        assert len(tokens) == 1
        assert set(others) <= {AuthorizationPending}
        assert live_tokens(unlimited) == 1
        assert poll(unlimited, device)["access_token"] in tokens

    def test_fifty_polls_over_http_give_one_token(self, unlimited: World) -> None:
        device = unlimited.device().ask()
        unlimited.services.approvals.approve(device.user_code, unlimited.person().account, "192.0.2.7")
        pollers = [unlimited.device() for _ in range(50)]
        for poller in pollers:
            poller.answer = device.answer
        answers = at_once(*[poller.poll for poller in pollers])
        assert {answer.json.get("error") for answer in answers} <= {None, "authorization_pending"}
        assert len({answer.json["access_token"] for answer in answers if answer.status_int == 200}) == 1
        assert live_tokens(unlimited) == 1

    def test_approve_and_deny_at_once_exactly_one_wins(self, unlimited: World) -> None:
        account, approvals = unlimited.person().account, unlimited.services.approvals
        for _ in range(20):
            device = unlimited.device().ask()
            code = device.user_code
            outcomes = at_once(
                *[lambda code=code: approvals.approve(code, account, "192.0.2.7") and "approved"] * 3,
                *[lambda code=code: approvals.deny(code, account, "192.0.2.7") and "denied"] * 3,
            )
            won = [outcome for outcome in outcomes if isinstance(outcome, str)]
            assert len(won) == 1
            assert Counter(type(outcome) for outcome in outcomes)[AlreadyResolved] == 5
            assert (device.poll().status_int == 200) is (won == ["approved"])

    def test_two_people_at_once_exactly_one_claims(self, unlimited: World) -> None:
        approvals, people = unlimited.services.approvals, [unlimited.person().account for _ in range(4)]
        for _ in range(10):
            code = unlimited.device().ask().user_code
            outcomes = at_once(
                *[lambda one=one, code=code: approvals.open(code, one, "192.0.2.7") and "mine" for one in people]
            )
            assert outcomes.count("mine") == 1
            assert Counter(type(outcome) for outcome in outcomes)[AlreadyClaimed] == 3

    def test_a_slow_redemption_whose_lease_lapsed_never_makes_two_live_tokens(
        self, unlimited: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The slow one stops before it mints; the lease lapses; another poll redeems; the slow one goes on."""
        device, stalled, go_on = unlimited.device().ask(), threading.Event(), threading.Event()
        unlimited.services.approvals.approve(device.user_code, unlimited.person().account, "192.0.2.7")
        mint = SQLSessionStore.mint

        def stalling(store: SQLSessionStore, order: NewSession) -> None:
            if order.attempt == 1:
                stalled.set()
                go_on.wait(10)
            mint(store, order)

        monkeypatch.setattr(SQLSessionStore, "mint", stalling)
        slow: list[Any] = []
        thread = threading.Thread(target=lambda: slow.append(poll(unlimited, device)))
        thread.start()
        assert stalled.wait(10)
        with pytest.raises(AuthorizationPending):
            poll(unlimited, device)
        unlimited.clock.pass_seconds(11)
        quick = poll(unlimited, device)
        go_on.set()
        thread.join()
        assert slow == [quick]
        assert live_tokens(unlimited) == 1
        assert device.account(quick["access_token"]).status_int == 200

    def test_a_redemption_that_minted_and_lost_its_lease_leaves_only_the_later_token(
        self, unlimited: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The slow one stops after it minted: the later one ends that token in the same transaction."""
        device, stalled, go_on = unlimited.device().ask(), threading.Event(), threading.Event()
        unlimited.services.approvals.approve(device.user_code, unlimited.person().account, "192.0.2.7")
        mint = SQLSessionStore.mint

        def stalling(store: SQLSessionStore, order: NewSession) -> None:
            mint(store, order)
            if order.attempt == 1:
                stalled.set()
                go_on.wait(10)

        monkeypatch.setattr(SQLSessionStore, "mint", stalling)
        slow: list[Any] = []
        thread = threading.Thread(target=lambda: slow.append(poll(unlimited, device)))
        thread.start()
        assert stalled.wait(10)
        unlimited.clock.pass_seconds(11)
        quick = poll(unlimited, device)
        go_on.set()
        thread.join()
        assert slow == [quick]
        assert live_tokens(unlimited) == 1

    def test_polls_of_a_pending_code_at_once_all_hear_pending_or_slow_down(self, unlimited: World) -> None:
        device = unlimited.device().ask()
        answers = at_once(*[device.poll] * 4)
        told = Counter(answer.json["error"] for answer in answers)
        assert told["authorization_pending"] == 1
        assert told["slow_down"] == 3
        unlimited.clock.pass_seconds(60)
        assert device.poll().json == {
            "error": "authorization_pending",
            "error_description": "The person has not decided yet. Poll again after the interval.",
            "interval": 20,
        }
