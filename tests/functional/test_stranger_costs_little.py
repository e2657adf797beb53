"""What somebody who has nothing makes us do: no SQL, and a look into Redis at most.

The way back from an identity provider and the context of an approval have no limit of their own: who has not begun a
sign-in, which has one, gets no further than this.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import event

from oauthdevice.domain.credentials import new_credential

from ..conftest import WorldMaker
from ..factories import APPROVAL_CONTEXT, APPROVE_EXTERNAL, SSO_COMPLETE, World, keys_in
from ..scripted_providers import CLIENT_ID
from .test_pending_poll_is_cheap import commands_of
from .test_stranger_is_attacked import assert_refused

NEVER_BEGUN = "a" * 43


@pytest.fixture
def corp(make: WorldMaker, tmp_path: Path, redis_url: str) -> World:
    ini = tmp_path / "corp.ini"
    ini.write_text(f"[sso:corp]\nissuer = http://127.0.0.1:1\nclient_id = {CLIENT_ID}\n", "utf-8")
    world = make(edition="enterprise", ini_file=str(ini), redis_url=redis_url)
    # Its connection is there.
    world.redis.ping()
    return world


@contextmanager
def statements_of(world: World) -> Iterator[list[str]]:
    seen: list[str] = []
    listening = world.services.database.engine, "begin", lambda _: seen.append("BEGIN")
    event.listen(*listening)
    yield seen
    event.remove(*listening)


@pytest.mark.parametrize(
    ("query", "looks"),
    [
        (f"state={NEVER_BEGUN}&code=x", 1),
        (f"state={NEVER_BEGUN}&error=access_denied", 1),
        ("state=%C3%A9&code=x", 0),
        ("code=x", 0),
        ("sso_assertion=a.b.c", 0),
        ("", 0),
    ],
)
def test_on_the_way_back_from_no_sign_in(corp: World, redis_url: str, query: str, looks: int) -> None:
    with commands_of(redis_url) as commands, statements_of(corp) as statements:
        assert_refused(corp.browser().get(f"{SSO_COMPLETE}?{query}", status=302))
    assert [command.split()[0] for command in commands] == ["GET"] * looks
    assert statements == []
    assert corp.services.ledger.newest(10) == []


@pytest.mark.parametrize("cookie", ["", "oauthdevice_approval=forged", "oauthdevice_approval=" + "a" * 400])
@pytest.mark.parametrize("path", [APPROVAL_CONTEXT, APPROVE_EXTERNAL])
def test_without_an_approval(corp: World, redis_url: str, path: str, cookie: str) -> None:
    with commands_of(redis_url) as commands, statements_of(corp) as statements:
        headers = {"Cookie": cookie}
        if path == APPROVAL_CONTEXT:
            corp.browser().get(path, headers=headers, status=401)
        else:
            corp.browser().post_json(path, {"user_code": "BCDF-GHJK"}, headers=headers, status=401)
    assert commands == []
    assert statements == []


def test_who_guesses_tokens_leaves_no_more_than_the_limit(corp: World) -> None:
    guesser = corp.device()
    answers = [guesser.account(new_credential("dfoa_")).status_int for _ in range(65)]
    assert answers == [401] * 60 + [429] * 5
    assert len(keys_in(corp.redis, "*:token:*")) == 60
    # And garbage, in whatever amount, nothing at all.
    for _ in range(65):
        assert corp.device(address="198.51.100.9").account("dfoa_" + "A" * 49).status_int == 401
    assert len(keys_in(corp.redis, "*:token:*")) == 60
    corp.clock.pass_seconds(10)
    assert keys_in(corp.redis, "*:token:*") == []
