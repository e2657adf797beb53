"""On a Redis Cluster the keys of one command must lie on one node: so they do, whatever happens in a story."""

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from ..conftest import WorldMaker
from ..factories import API, APPROVE_EXTERNAL, CODE, DENY_EXTERNAL, LOOKUP, TOKEN, Stranger, World, keys_in
from ..redis_servers import RedisCluster
from ..scripted_providers import CLIENT_ID, CLIENT_SECRET, ScriptedProvider
from .test_pending_poll_is_cheap import commands_of

Step = Callable[[], object]
MakeCorp = Callable[..., World]
INI = """
[sso:corp]
issuer = {url}
client_id = {client_id}
client_secret = {client_secret}
[client:difyctl]
name = difyctl
scopes = full apps:run apps:read:permitted-external
refresh = on
"""
# The commands whose first word after the script and the number of keys is the first key.
SCRIPTS = {"EVALSHA", "EVAL"}
# Those that may name several keys, or none, and would then be of no use on a Cluster.
KEYS_ANYWHERE = {"MGET", "MSET", "RENAME", "SCAN", "KEYS", "MULTI", "EXEC", "WATCH", "PUBLISH", "SUBSCRIBE"}

ABOUT_NO_KEY = ("SCRIPT LOAD", "CLIENT", "HELLO", "CLUSTER", "COMMAND", "PING", "ASKING", "READONLY")


@pytest.fixture
def make_corp(make: WorldMaker, tmp_path: Path, provider: ScriptedProvider) -> MakeCorp:
    ini = tmp_path / "corp.ini"
    ini.write_text(INI.format(url=provider.url, client_id=CLIENT_ID, client_secret=CLIENT_SECRET), "utf-8")
    return lambda **options: make(edition="enterprise", ini_file=str(ini), **options)


def story(world: World, provider: ScriptedProvider) -> Iterator[object]:
    """Everything that Redis is used for, step by step."""
    device, denied, foreign = world.device().ask(device_label="laptop"), world.device().ask(), world.device().ask()
    person = world.person()
    yield [device.poll().json["error"] for _ in range(2)]
    yield world.browser().post_json(LOOKUP, {"user_code": device.user_code}, status=200)
    yield world.browser().post_json(LOOKUP, {"user_code": "BBBB-BBBB"}, status="*")
    yield person.open("BBBB-BBBB")
    yield person.allow(device.user_code)
    answer = device.poll().json
    yield answer
    yield device.poll().json["access_token"]
    yield [device.account(answer["access_token"]).status_int for _ in range(2)]
    yield person.deny(denied.user_code)
    yield denied.poll().json["error"]
    strange, burned = (world.device(address="198.51.100.2").ask() for _ in range(2))
    page = person.open(strange.user_code)
    page.form.action = "/device/report"
    yield page.form.submit(status=303)
    yield world.browser().post_json(LOOKUP, {"user_code": burned.user_code}, status=200)
    stranger = Stranger(world).sign_in(provider, foreign.user_code)
    yield stranger.context()
    assert stranger.decide(APPROVE_EXTERNAL, foreign.user_code).status_int == 200
    yield foreign.account(foreign.poll().json["access_token"]).status_int
    another = world.device().ask()
    assert Stranger(world).sign_in(provider, another.user_code).decide(DENY_EXTERNAL, another.user_code).json
    form = {"grant_type": "refresh_token", "client_id": "difyctl", "refresh_token": answer["refresh_token"]}
    renewed = device.http.post(TOKEN, form, status=200).json
    yield device.http.post(
        f"{API}/oauth/revoke", {"client_id": "difyctl", "token": renewed["access_token"]}, status=200
    )
    yield device.account(renewed["access_token"]).status_int == 401
    for _ in range(70):
        world.browser("198.51.100.1").post(CODE, {"client_id": "difyctl"}, status="*")
    yield world.browser("198.51.100.1").post(CODE, {"client_id": "difyctl"}, status=429)
    form = person.browser.get("/logout").form
    yield form.submit(status=303)
    page = person.browser.get("/login").form
    page["email"], page["password"] = person.account.email, "wrong"
    yield page.submit(status="*")
    yield list(world.services.ledger.all())


def tag(key: str) -> str:
    """What the slot of a key is made of, as Redis Cluster says it."""
    found = re.search(r"\{(.*?)\}", key)
    return found[1] if found is not None and found[1] else key


def keys_of(command: str) -> list[str]:
    """Those that a command names."""
    words = command.split(" ")
    if words[0].upper() in SCRIPTS:
        return words[3 : 3 + int(words[2])]
    return words[1:2]


def test_every_command_of_a_whole_story_names_keys_of_one_tag(
    make_corp: MakeCorp, provider: ScriptedProvider, sqlite_url: str, redis_cluster: RedisCluster, cluster_url: str
) -> None:
    world = make_corp(database_url=sqlite_url, redis_url=cluster_url)
    with ExitStack() as watching:
        seen = [watching.enter_context(commands_of(f"redis://{node.address}")) for node in redis_cluster.nodes]
        steps = list(story(world, provider))
    assert len(steps) > 15
    commands = [command for of_node in seen for command in of_node]
    named = [keys_of(command) for command in commands if not command.startswith(ABOUT_NO_KEY)]
    assert not {command.split(" ")[0].upper() for command in commands} & KEYS_ANYWHERE
    assert max(map(len, named)) == 2
    for keys in named:
        assert len({tag(key) for key in keys}) == 1, keys
    rooms = {re.sub(r"\{.*?\}:?", "", key).split(":")[1].partition("/")[0] for keys in named for key in keys}
    assert rooms >= {"authorization", "user_code", "limit", "token", "handshake", "audit", "burned"}


def test_a_whole_story_leaves_keys_on_every_master_with_at_most_one_tag(
    make_corp: MakeCorp, provider: ScriptedProvider, sqlite_url: str, redis_cluster: RedisCluster, cluster_url: str
) -> None:
    world = make_corp(database_url=sqlite_url, redis_url=cluster_url)
    assert len(list(story(world, provider))) > 15
    assert all(node.client.dbsize() > 0 for node in redis_cluster.nodes)
    assert all(key.count("{") == key.count("}") <= 1 for key in keys_in(world.redis))


def test_no_step_needs_a_script_that_redis_still_knows(make_corp: MakeCorp, provider: ScriptedProvider) -> None:
    """As after a restart or a fail-over: every node forgets all scripts before each step."""
    world = make_corp()
    count = 0
    for _ in story(world, provider):
        world.redis.script_flush()
        count += 1
    assert count > 15
