"""A client for any kind of Redis (or Valkey): one server, watched by Sentinels, a Cluster, embedded.

The client of a Cluster takes the same commands as that of one server; every key of ours is alone in
its command or shares its hash tag with the others.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast
from urllib.parse import parse_qsl, unquote

import redis
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.connection import parse_url
from redis.exceptions import ClusterDownError, RedisClusterException, SlotNotCoveredError
from redis.retry import Retry
from redis.sentinel import Sentinel

from .quick_scripts import QuickClient

EMBEDDED = "embedded://"
TIMEOUT_SECONDS = 2
SCHEMES = ("redis://", "rediss://", "unix://", "redis+sentinel://", "redis+cluster://")

# By hand: urlsplit takes an IPv6 address for the only host.
_SEVERAL_HOSTS = re.compile(r"redis\+(sentinel|cluster)://(?:([^/?#]*)@)?([^/?#@]+)/?([^/?#]*)(?:\?([^#]*))?")
_SENTINEL_OPTIONS = {"ssl", "db", "sentinel_username", "sentinel_password"}
_SSL = {"on": True, "true": True, "1": True, "off": False, "false": False, "0": False}

Options = dict[str, Any]
Node = tuple[str, int]


def connect(url: str) -> redis.Redis:
    """A client with pools of its own. Connects on first use, but to a Cluster at once.

    `embedded://` is a Redis inside this process, for development: one process, lost at exit.
    `redis+sentinel://[user:password@]host:port,host:port/NAME` and `redis+cluster://[…]host:port,host:port`
    take `?ssl=on`, and Sentinel `?db=N` and the credentials of the Sentinels themselves as
    `?sentinel_username=…&sentinel_password=…`. Raises redis.RedisError where a Cluster cannot be
    reached, ValueError where the address is malformed.
    """
    if url == EMBEDDED:
        # Imported here: production has no use for it.
        from fakeredis import FakeServer, FakeStrictRedis  # noqa: PLC0415

        return FakeStrictRedis(server=FakeServer(), decode_responses=True)
    if url.startswith("redis+sentinel://"):
        return _watched(url)
    if url.startswith("redis+cluster://"):
        return _clustered(url)
    return QuickClient.from_url(url, **_options())


def _options() -> Options:
    # A connection that died while it was idle is retried once; a timeout never, as the script may have run.
    return {
        "decode_responses": True,
        "socket_timeout": TIMEOUT_SECONDS,
        "socket_connect_timeout": TIMEOUT_SECONDS,
        "retry": Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,)),
    }


def _watched(url: str) -> redis.Redis:
    nodes, credentials, query, name = parse(url)
    of_sentinels = {
        option: query[f"sentinel_{option}"] for option in ("username", "password") if f"sentinel_{option}" in query
    }
    sentinel = Sentinel(  # type: ignore[no-untyped-call]  # redis-py has no types here
        nodes,
        # The next Sentinel is asked at once: by default, one that is away is tried for seconds.
        sentinel_kwargs={**_options(), "retry": Retry(NoBackoff(), 0), **_tls(query), **of_sentinels},
        **_options(),
        **_tls(query),
        **credentials,
    )
    primary = sentinel.master_for(name, QuickClient, db=int(query.get("db", "0")))  # type: ignore[no-untyped-call]  # redis-py has no types here
    return cast("redis.Redis", primary)


def _clustered(url: str) -> redis.Redis:
    nodes, credentials, query, _ = parse(url)
    client = _Cluster(
        startup_nodes=[ClusterNode(*node) for node in nodes],  # type: ignore[no-untyped-call]  # redis-py has no types here
        **_options(),
        **_tls(query),
        **credentials,
    )
    return cast("redis.Redis", client)


class _Cluster(RedisCluster):
    # As that of one server: what timed out may have run, and is not sent again.
    ERRORS_ALLOW_RETRY = (redis.ConnectionError, ClusterDownError, SlotNotCoveredError)  # type: ignore[assignment]  # fewer than the base

    def __init__(self, **options: Any) -> None:
        with _as_redis_error():
            super().__init__(**options)
        # Every command and pipeline asks for the nodes anew once one of them fails.
        manager = self.nodes_manager
        manager.initialize = _as_redis_error()(manager.initialize)  # type: ignore[method-assign]  # on purpose: wrapped


@contextmanager
def _as_redis_error() -> Iterator[None]:
    """Where no node answers, or some slots have none, redis-py raises what is no RedisError."""
    try:
        yield
    except RedisClusterException as error:
        raise NoNodeAnswers(str(error)) from error


class NoNodeAnswers(redis.ConnectionError):
    """Of a Cluster. A class of its own, as the client sends again what met a ConnectionError.

    It looks for the nodes after any failure: a command may have timed out, and run, before.
    """


def _tls(query: Options) -> Options:
    return {"ssl": True} if _SSL[query.get("ssl", "off")] else {}


def check(url: str) -> None:
    """Raises ValueError where `connect` would not understand the address. What it says repeats no part of it."""
    try:
        if url.startswith(("redis+sentinel://", "redis+cluster://")):
            parse(url)
        elif url != EMBEDDED:
            parse_url(url)  # type: ignore[no-untyped-call]  # redis-py has no types here
    except ValueError:
        raise ValueError("malformed") from None


def parse(url: str) -> tuple[Sequence[Node], Options, Options, str]:
    """The nodes, credentials, options and name in an address with several hosts. Raises ValueError."""
    found = _SEVERAL_HOSTS.fullmatch(url)
    if found is None:
        raise ValueError("malformed")
    kind, userinfo, hosts, name, options = found.groups(default="")
    username, _, password = userinfo.partition(":")
    credentials = {"username": unquote(username), "password": unquote(password)}
    nodes = [_node(host) for host in hosts.split(",")]
    query = dict(parse_qsl(options, strict_parsing=bool(options)))
    known = _SENTINEL_OPTIONS if kind == "sentinel" else {"ssl"}
    if bool(name) != (kind == "sentinel") or not set(query) <= known or not query.get("db", "0").isdecimal():
        raise ValueError("malformed")
    if query.get("ssl", "off") not in _SSL:
        raise ValueError("malformed")
    return nodes, {option: value for option, value in credentials.items() if value}, query, unquote(name)


def _node(text: str) -> Node:
    found = re.fullmatch(r"(\[[0-9a-fA-F:.]+\]|[^\s:\[\]]+)(?::([0-9]{1,5}))?", text)
    if found is None:
        raise ValueError("malformed")
    port = int(found[2] or 6379)
    if not 0 < port < 65536:
        raise ValueError("malformed")
    return found[1].strip("[]"), port
