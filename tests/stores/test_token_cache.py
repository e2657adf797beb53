"""RedisTokenCache: what it keeps of a token that is bound to a key, and of one of another release."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import redis

from oauthdevice.domain.bearers import Bearer
from oauthdevice.domain.sessions import Session
from oauthdevice.domain.subjects import ExternalSubject
from oauthdevice.stores.connections import connect
from oauthdevice.stores.token_cache import RedisTokenCache

from ..factories import keys_in

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
SESSION = Session(
    id="one",
    subject=ExternalSubject("https://idp.example", "eve", "eve@example.com"),
    account=None,
    client_id="tool",
    label="laptop",
    scopes=frozenset({"full"}),
    prefix="dfoe_",
    created_at=NOW,
    last_used_at=None,
    expires_at=NOW + timedelta(days=1),
    jkt="m" * 43,
)
BEARER = Bearer(session=SESSION, scopes=frozenset({"full"}), issued_at=NOW, expires_at=NOW + timedelta(hours=1))


@pytest.fixture
def client(any_redis_url: str) -> Iterator[redis.Redis]:
    one = connect(any_redis_url)
    one.flushall()
    yield one
    one.close()


@pytest.mark.parametrize("jkt", ["m" * 43, None])
def test_the_key_of_a_token_comes_back(client: redis.Redis, jkt: str | None) -> None:
    cache, bearer = RedisTokenCache(client, "test"), replace(BEARER, session=replace(SESSION, jkt=jkt))
    cache.put("digest", bearer, cache.get("digest").ticket, 60)
    assert cache.get("digest").bearer == bearer


def test_what_a_release_without_keys_kept_is_not_believed(client: redis.Redis) -> None:
    """It knew of none, so it kept a bound token as if it were not."""
    cache = RedisTokenCache(client, "test")
    cache.put("digest", BEARER, cache.get("digest").ticket, 60)
    (key,) = keys_in(client)
    entry = json.loads(str(client.get(key)))
    del entry["session"]["jkt"]
    client.set(key, json.dumps(entry), ex=60)
    assert not cache.get("digest").known
