"""Real servers, started by the tests and ended with them; a world per test, a clock that tests move.

Each story is told over every kind of database and Redis; `--kinds` names fewer. Where it names the
embedded kind alone, nothing that needs a server or a browser is run.
"""

import contextlib
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from cornice.service import clear_services
from hypothesis import HealthCheck, settings
from sqlalchemy import create_engine, text

from oauthdevice.stores.connections import EMBEDDED
from oauthdevice.stores.migrate import upgrade
from oauthdevice.stores.models import Base

from .factories import Clock, World, make_world, unique_name
from .redis_servers import RedisCluster, running_together
from .scripted_providers import CLIENT_ID, CLIENT_SECRET, ScriptedBroker, ScriptedProvider, running
from .servers import PostgreSQLServer, RedisServer, running_postgresql, serve_in_thread

# What a story is told over: the fixtures of a database and of a Redis.
KINDS = {
    "embedded": ("sqlite_url", "embedded_url"),
    "postgresql-redis": ("postgresql_url", "redis_url"),
    "postgresql-cluster": ("postgresql_url", "cluster_url"),
}
# What a test finds beside the server or browser that it asks for by name; such a test is told once.
BESIDE = "sqlite-redis"
ADDRESSES = {**KINDS, BESIDE: ("sqlite_url", "redis_url")}
BY_NAME = {
    "redis_server", "own_redis_server", "redis_cluster", "own_redis_cluster", "own_redis_sentinels",
    "postgresql_server", "own_postgresql_server", "chromium", "device_provider", "short_provider",
    "openid_client", "tmux",
}  # fmt: skip
# Their stories are about HTTP or about what identity providers say, and many: told over the first kind.
ABOUT_HTTP = {
    "test_bad_input", "test_broker_lies", "test_headers", "test_openapi_document", "test_original_paths",
    "test_other_origins", "test_provider_has_a_bad_certificate", "test_provider_lies", "test_provider_misbehaves",
    "test_proof_is_forged", "test_operations",
}  # fmt: skip

# Their stories are about programs that speak HTTP with a server.
TOOLS = {"cli", "conformance"}

# How long an example takes is a matter of what else the machine does.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--kinds", default=",".join(KINDS), help=f"some of {','.join(KINDS)}, with commas")


def kinds(config: pytest.Config) -> list[str]:
    chosen = str(config.getoption("kinds")).split(",")
    if not set(chosen) <= KINDS.keys():
        raise pytest.UsageError(f"--kinds takes some of {','.join(KINDS)}, with commas")
    return chosen


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "store_kind" not in metafunc.fixturenames:
        return
    chosen = kinds(metafunc.config)
    if BY_NAME & set(metafunc.fixturenames):
        chosen = [BESIDE]
    elif metafunc.definition.get_closest_marker("shared_redis"):
        chosen = [one for one in chosen if one != "embedded"] or [BESIDE]
    elif metafunc.module.__name__.rpartition(".")[2] in ABOUT_HTTP or set(metafunc.module.__name__.split(".")) & TOOLS:
        chosen = chosen[:1]
    metafunc.parametrize("store_kind", chosen)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "shared_redis: several servers of ours on one Redis, so not the embedded one")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if kinds(config) == ["embedded"]:
        left_out = {item for item in items if needs_programs(item)}
        config.hook.pytest_deselected(items=list(left_out))
        items[:] = [item for item in items if item not in left_out]


def needs_programs(item: pytest.Item) -> bool:
    """Whether this cannot run without a server or another program that pip does not bring."""
    asks = BY_NAME & set(getattr(item, "fixturenames", ()))
    # Each test of some stores is told over SQLite and over PostgreSQL.
    over = (
        {one for one in item.callspec.params.values() if isinstance(one, str)} if hasattr(item, "callspec") else set()
    )
    return bool(
        asks
        or over & {"postgresql", "postgresql_url", "redis_url", "cluster_url"}
        or item.get_closest_marker("shared_redis")
        or "tests/deploy/" in item.nodeid
    )


@pytest.fixture(scope="session")
def _may_start_servers(request: pytest.FixtureRequest) -> None:
    """Of a test that asks for its server in mid-run: too late to leave it out."""
    if kinds(request.config) == ["embedded"]:
        pytest.skip("needs a server")


@pytest.fixture(scope="session")
def redis_server(_may_start_servers: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def own_redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    """One that a test may stop and start."""
    server = RedisServer(tmp_path)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def redis_cluster(_may_start_servers: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisCluster]:
    with running_together(RedisCluster(tmp_path_factory.mktemp("cluster"))) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def postgresql_server(_may_start_servers: None) -> Iterator[PostgreSQLServer]:
    with running_postgresql() as server:
        yield server


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database file at the newest migration, to be copied."""
    path = tmp_path_factory.mktemp("sqlite") / "migrated.sqlite"
    upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture
def sqlite_url(migrated_sqlite: Path, tmp_path: Path) -> str:
    return f"sqlite:///{shutil.copy(migrated_sqlite, tmp_path / 'oauthdevice.sqlite')}"


@pytest.fixture(scope="session")
def migrated_postgresql(postgresql_server: PostgreSQLServer) -> str:
    """A database at the newest migration, to be emptied: a copy for each test would cost ten times as much."""
    url = postgresql_server.create_database(unique_name("test"))
    upgrade(url)
    return url


@pytest.fixture
def postgresql_url(migrated_postgresql: str) -> str:
    """The real PostgreSQL, its tables emptied."""
    # A transaction that another test left open is to fail this one, not to stop it for ever.
    engine = create_engine(migrated_postgresql, connect_args={"options": "-c statement_timeout=10000"})
    with engine.begin() as sql:
        for table in reversed(Base.metadata.sorted_tables):
            sql.execute(text(f"DELETE FROM {table.name}"))
    engine.dispose()
    return migrated_postgresql


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """The real Redis, emptied."""
    with redis.Redis.from_url(redis_server.url) as client:
        client.flushall()
    return redis_server.url


@pytest.fixture
def cluster_url(redis_cluster: RedisCluster) -> str:
    """The real Redis Cluster, emptied."""
    redis_cluster.flush()
    return redis_cluster.url


@pytest.fixture
def embedded_url() -> str:
    return EMBEDDED


@pytest.fixture
def any_redis_url(request: pytest.FixtureRequest, store_kind: str) -> str:
    """The Redis of each kind, emptied."""
    return str(request.getfixturevalue(ADDRESSES[store_kind][1]))


@pytest.fixture
def any_database_url(request: pytest.FixtureRequest, store_kind: str) -> str:
    """The database of each kind, migrated and empty."""
    return str(request.getfixturevalue(ADDRESSES[store_kind][0]))


@pytest.fixture
def clock() -> Clock:
    return Clock()


WorldMaker = Callable[..., World]


@pytest.fixture
def provider() -> Iterator[ScriptedProvider]:
    """An identity provider of the test's own."""
    with running(ScriptedProvider()) as one:
        yield one


@pytest.fixture
def broker() -> Iterator[ScriptedBroker]:
    """A broker of the test's own."""
    with running(ScriptedBroker()) as one:
        yield one


@pytest.fixture
def corp(make: WorldMaker, tmp_path: Path, provider: ScriptedProvider) -> World:
    """A server of the enterprise edition whose people may sign in at `provider`."""
    ini = tmp_path / "corp.ini"
    ini.write_text(
        f"[sso:corp]\nissuer = {provider.url}\nclient_id = {CLIENT_ID}\nclient_secret = {CLIENT_SECRET}\n", "utf-8"
    )
    return make(edition="enterprise", ini_file=str(ini))


@pytest.fixture
def make(any_database_url: str, any_redis_url: str, clock: Clock) -> Iterator[WorldMaker]:
    """Makes worlds over each kind with settings of the test's own."""
    made: list[World] = []

    def maker(**options: str) -> World:
        given = {"database_url": any_database_url, "redis_url": any_redis_url, **options}
        made.append(make_world(**given, clock=clock))
        return made[-1]

    yield maker
    for world in made:
        close(world)


@pytest.fixture
def world(make: WorldMaker) -> World:
    """A server with default settings, over each kind."""
    return make()


@pytest.fixture
def make_live(any_database_url: str, any_redis_url: str, clock: Clock) -> Iterator[WorldMaker]:
    """Makes worlds that listen on `world.settings.public_url`, by the name of `host`."""
    with contextlib.ExitStack() as stack:

        def maker(host: str = "127.0.0.1", **options: str) -> World:
            listener = stack.enter_context(socket.socket())
            listener.bind(("127.0.0.1", 0))
            url = f"http://{host}:{listener.getsockname()[1]}"
            given = {"database_url": any_database_url, "redis_url": any_redis_url, "public_url": url, **options}
            one = make_world(**given, clock=clock)
            stack.callback(close, one)
            stack.enter_context(serve_in_thread(one.app, listener))
            return one

        yield maker


@pytest.fixture
def live(make_live: WorldMaker) -> World:
    """A server with default settings, for clients and browsers that need a socket."""
    return make_live()


def close(world: World) -> None:
    if world.services.sender is not None:
        world.services.sender.stop()
    world.services.redis.close()
    world.services.database.engine.dispose()
    # Cornice keeps each application for ever: those of all tests would be gigabytes, and slow to walk through.
    clear_services()
