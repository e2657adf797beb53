"""A token that was ended in one process is refused by every other one from the next request on."""

import threading
from typing import Any

import pytest

from oauthdevice.domain.bearers import Bearer
from oauthdevice.domain.credentials import credential_digest
from oauthdevice.stores.sessions import SQLSessionStore
from oauthdevice.stores.token_cache import NoTokenCache

from ..factories import World, audit_rows
from .test_owner_ends_sessions import signed_in


@pytest.mark.shared_redis
def test_a_second_process_believes_its_cache_no_longer(make: Any) -> None:
    one: World = make(**{"limit.bearer": "off", "limit.decide": "off"})
    other: World = make(**{"limit.bearer": "off"})
    person, address = one.person(), "192.0.2.7"
    for _ in range(50):
        _, token = signed_in(one, person)
        assert other.services.bearers.inspect(token) is not None
        assert other.redis.exists(f"oauthdevice:token:{credential_digest(token)}")
        held = one.services.bearers.authenticate(token, address)
        one.services.sessions.end(held.session.id, held.session.subject, address)
        assert other.services.bearers.inspect(token) is None
        assert one.services.bearers.inspect(token) is None


# The embedded Redis caches no token.
@pytest.mark.shared_redis
def test_a_valid_token_asks_the_database_once_a_minute(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    world: World = make(**{"limit.bearer": "off"})
    device, token = signed_in(world, world.person())
    asked: list[str] = []
    by_token = SQLSessionStore.by_token
    monkeypatch.setattr(
        SQLSessionStore, "by_token", lambda store, digest: asked.append(digest) or by_token(store, digest)
    )
    for _ in range(10):
        assert device.account(token).status_int == 200
    assert len(asked) == 1
    world.clock.pass_seconds(60)
    assert device.account(token).status_int == 200
    assert len(asked) == 2
    unknown = "dfoa_" + "A" * 43
    from oauthdevice.domain.credentials import checksum  # noqa: PLC0415

    for _ in range(5):
        assert device.account(unknown + checksum(unknown)).status_int == 401
    assert len(asked) == 3


def test_a_cached_token_does_not_outlive_itself(make: Any) -> None:
    world: World = make(access_token_lifetime_seconds="60")
    device, token = signed_in(world, world.person())
    world.clock.pass_seconds(50)
    assert device.account(token).status_int == 200
    world.clock.offset += world.clock.offset.__class__(seconds=11)  # The entry in Redis stays: only we grow older.
    assert device.account(token).status_int == 401


def test_an_answer_that_was_read_before_the_revocation_is_not_kept_after_it(
    make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The racing refill: read the row, be overtaken by the revocation, then write to the cache."""
    world: World = make(**{"limit.bearer": "off"})
    device, token = signed_in(world, world.person())
    read, go_on = threading.Event(), threading.Event()
    by_token = SQLSessionStore.by_token

    def stalling(store: SQLSessionStore, digest: str) -> Bearer | None:
        found = by_token(store, digest)
        if not read.is_set():
            read.set()
            assert go_on.wait(10)
        return found

    monkeypatch.setattr(SQLSessionStore, "by_token", stalling)
    late: list[Any] = []
    thread = threading.Thread(target=lambda: late.append(world.services.bearers.inspect(token)))
    thread.start()
    assert read.wait(10)
    held = by_token(
        SQLSessionStore(world.services.database, NoTokenCache(), audit_rows(world.services.database)),
        credential_digest(token),
    )
    assert held is not None
    world.services.sessions.end(held.session.id, held.session.subject, "192.0.2.7")
    go_on.set()
    thread.join()
    assert device.account(token).status_int == 401
    assert world.services.bearers.inspect(token) is None
    assert world.redis.get(f"oauthdevice:token:{credential_digest(token)}") in ("distrusted", None)


def test_last_used_is_written_at_most_once_a_minute(world: World) -> None:
    device, token = signed_in(world, world.person())
    device.account(token)
    held = world.services.registry.live()[0].last_used_at
    world.clock.pass_seconds(30)
    device.account(token)
    assert world.services.registry.live()[0].last_used_at == held
    world.clock.pass_seconds(31)
    device.account(token)
    assert world.services.registry.live()[0].last_used_at > held


def test_random_tokens_fill_no_bucket_but_their_address(make: Any) -> None:
    from oauthdevice.domain.credentials import new_credential  # noqa: PLC0415

    world: World = make()
    guesser, honest = world.device(address="198.51.100.1"), world.device(address="192.0.2.7")
    answers = [guesser.account(new_credential("dfoa_")).status_int for _ in range(61)]
    assert answers == [401] * 60 + [429]
    _, token = signed_in(world, world.person())
    assert honest.account(token).status_int == 200
