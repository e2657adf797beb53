"""The one answer with the token is lost on its way, or somebody replays the code."""

from typing import Any

import pytest
from cryptography.fernet import InvalidToken as WrongKey

from oauthdevice.domain.device_authorization import DeviceAuthorization, State
from oauthdevice.domain.errors import AccessDenied, StoreUnavailable
from oauthdevice.domain.keys import unseal
from oauthdevice.domain.ports import Stored
from oauthdevice.domain.sessions import NewSession
from oauthdevice.stores.redis import RedisAuthorizationStore
from oauthdevice.stores.sessions import SQLSessionStore

from ..factories import Device, World, keys_in


def redeemed(world: World, **parameters: str) -> tuple[Device, dict]:
    device = world.device().ask(**parameters)
    world.person().allow(device.user_code)
    return device, device.poll().json


class TestTheAnswerIsLost:
    def test_the_same_client_gets_the_same_answer_for_thirty_seconds(self, world: World) -> None:
        device, first = redeemed(world)
        assert device.poll().json == first
        world.clock.pass_seconds(29)
        assert device.poll().json == first
        assert device.poll_original().json == first
        assert device.account(first["access_token"]).status_int == 200

    def test_afterwards_a_replay_is_refused_and_revokes(self, world: World) -> None:
        device, first = redeemed(world)
        world.clock.pass_seconds(30)
        assert device.account(first["access_token"]).status_int == 200
        answer = device.poll()
        assert (answer.status_int, answer.json["error"]) == (400, "invalid_grant")
        assert device.account(first["access_token"]).status_int == 401
        assert device.poll_original().json["error"] == "expired_token"

    def test_another_client_gets_nothing_and_revokes_nothing(self, make, tmp_path) -> None:
        ini = tmp_path / "two.ini"
        ini.write_text("[client:difyctl]\nname = difyctl\nscopes = full\n[client:tv]\nname = TV\nscopes = full\n")
        world = make(ini_file=str(ini))
        device, first = redeemed(world)
        for seconds in (0, 40):
            world.clock.pass_seconds(seconds)
            answer = device.poll(client_id="tv")
            assert (answer.status_int, answer.json["error"]) == (400, "invalid_grant")
            assert device.account(first["access_token"]).status_int == 200

    def test_it_is_kept_only_under_a_key_that_the_server_does_not_store(self, world: World) -> None:
        device, first = redeemed(world)
        (key,) = keys_in(world.redis, "*:answer:*")
        sealed = world.redis.get(key)
        assert 0 < world.redis.pttl(key) <= 30_000
        assert unseal(device.device_code, sealed) == first
        with pytest.raises(WrongKey):
            unseal(world.device().ask().device_code, sealed)

    def test_it_can_be_turned_off(self, make) -> None:
        world = make(redelivery_seconds="0")
        device, first = redeemed(world)
        assert not keys_in(world.redis, "*:answer:*")
        assert device.poll().json["error"] == "invalid_grant"
        assert device.account(first["access_token"]).status_int == 401

    def test_the_account_is_disabled_between_approval_and_token(self, world: World) -> None:
        device, person = world.device().ask(), world.person()
        person.allow(device.user_code)
        world.services.accounts.set_active(person.account.email, False)
        for _ in range(2):
            answer = device.poll()
            assert (answer.status_int, answer.json["error"]) == (400, "access_denied")
        world.services.accounts.set_active(person.account.email, True)
        assert device.poll().json["error"] == "access_denied"

    def test_a_disabled_account_ends_its_tokens_at_once(self, world: World) -> None:
        device, person = world.device().ask(), world.person()
        person.allow(device.user_code)
        token = device.poll().json["access_token"]
        world.services.accounts.set_active(person.account.email, False)
        assert device.account(token).status_int == 401
        world.services.accounts.set_active(person.account.email, True)
        assert device.account(token).status_int == 401

    def test_a_token_ends_with_its_lifetime(self, world: World) -> None:
        device, first = redeemed(world)
        world.clock.pass_seconds(14 * 86400 - 5)
        assert device.account(first["access_token"]).status_int == 200
        world.clock.pass_seconds(6)
        assert device.account(first["access_token"]).status_int == 401


class TestTheSameDeviceSignsInAgain:
    def test_the_same_label_replaces_the_session_once_the_token_is_delivered(self, world: World) -> None:
        person = world.person()
        old, new = world.device().ask(device_label="laptop"), world.device().ask(device_label="laptop")
        person.allow(old.user_code)
        token = old.poll().json["access_token"]
        person.allow(new.user_code)
        assert old.account(token).status_int == 200
        assert new.account(new.poll().json["access_token"]).status_int == 200
        assert old.account(token).status_int == 401

    def test_no_label_replaces_nothing(self, world: World) -> None:
        person, tokens = world.person(), []
        for _ in range(2):
            device = world.device().ask()
            person.allow(device.user_code)
            tokens.append(device.poll().json["access_token"])
        assert [device.account(token).status_int for token in tokens] == [200, 200]


class TestARedemptionThatNobodyFinished:
    def test_what_it_minted_ends_when_the_code_has_expired(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """The server dies after the token is committed, and the device comes back too late."""
        swap = RedisAuthorizationStore.swap

        def dying(store: RedisAuthorizationStore, seen: Stored, new: DeviceAuthorization, **more: Any) -> Stored | None:
            if new.state is State.CONSUMED:
                raise StoreUnavailable(detail="died here")
            return swap(store, seen, new, **more)

        # Before the first call: the world keeps what it has called.
        monkeypatch.setattr(RedisAuthorizationStore, "swap", dying)
        device = world.device().ask(device_label="laptop")
        world.person().allow(device.user_code)
        assert device.poll().status_int == 503
        monkeypatch.undo()
        assert len(world.services.registry.live()) == 1
        world.clock.pass_seconds(900)
        assert device.poll().json["error"] == "expired_token"
        assert world.services.registry.live() == []
        assert world.services.ledger.newest(1)[0].reason == "never delivered"

    def test_it_ends_too_where_the_answer_of_the_database_was_lost(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The token is committed, we do not hear of it and give the lease back, and the device comes back too late."""
        mint = SQLSessionStore.mint

        def unheard(store: SQLSessionStore, order: NewSession) -> None:
            mint(store, order)
            raise StoreUnavailable(detail="its answer was lost")

        monkeypatch.setattr(SQLSessionStore, "mint", unheard)
        device = world.device().ask(device_label="laptop")
        world.person().allow(device.user_code)
        assert device.poll().status_int == 503
        assert len(world.services.registry.live()) == 1
        world.clock.pass_seconds(900)
        assert device.poll().json["error"] == "expired_token"
        assert world.services.registry.live() == []
        assert world.services.ledger.newest(1)[0].reason == "never delivered"

    @pytest.mark.parametrize("minted", ["before", "afterwards"])
    def test_one_that_comes_to_its_end_too_late_gives_nothing(
        self, world: World, monkeypatch: pytest.MonkeyPatch, minted: str
    ) -> None:
        """The database takes its time; meanwhile the lease lapses, the code expires, and the device asks again."""
        mint = SQLSessionStore.mint
        device = world.device().ask(device_label="laptop")
        meanwhile: list[str] = []

        def slow(store: SQLSessionStore, order: NewSession) -> None:
            if minted == "before":
                mint(store, order)
            world.clock.pass_seconds(900)
            meanwhile.append(device.poll().json["error"])
            if minted == "afterwards":
                mint(store, order)

        monkeypatch.setattr(SQLSessionStore, "mint", slow)
        world.person().allow(device.user_code)
        assert device.poll().json["error"] == "expired_token"
        assert meanwhile == ["expired_token"]
        assert world.services.registry.live() == []
        assert "redeemed" not in [one.event for one in world.services.ledger.newest(10)]

    def test_what_it_minted_ends_where_the_next_attempt_is_refused(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        mint = SQLSessionStore.mint

        def unheard(store: SQLSessionStore, order: NewSession) -> None:
            if order.attempt > 1:
                raise AccessDenied(detail="no longer")
            mint(store, order)
            raise StoreUnavailable(detail="its answer was lost")

        monkeypatch.setattr(SQLSessionStore, "mint", unheard)
        device = world.device().ask(device_label="laptop")
        world.person().allow(device.user_code)
        assert [device.poll().json["error"] for _ in range(2)] == ["temporarily_unavailable", "access_denied"]
        assert world.services.registry.live() == []

    def test_a_session_that_was_ended_is_not_delivered_again(self, world: World) -> None:
        device, first = redeemed(world)
        world.services.registry.end(first["token_id"])
        answer = device.poll()
        assert (answer.status_int, answer.json["error"]) == (400, "invalid_grant")
