"""Real servers, started by the tests and ended with them; a world per test, a clock that tests move."""

import contextlib
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from oauthdevice.stores.migrate import upgrade

from .factories import Clock, World, make_world, unique_name
from .scripted_providers import CLIENT_ID, CLIENT_SECRET, ScriptedBroker, ScriptedProvider, running
from .servers import PostgreSQLServer, RedisServer, running_postgresql, serve_in_thread


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
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
def postgresql_server() -> Iterator[PostgreSQLServer]:
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


@pytest.fixture
def postgresql_url(postgresql_server: PostgreSQLServer) -> str:
    url = postgresql_server.create_database(unique_name("test"))
    upgrade(url)
    return url


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """The real Redis, emptied."""
    import redis  # noqa: PLC0415

    with redis.Redis.from_url(redis_server.url) as client:
        client.flushall()
    return redis_server.url


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["redis", "embedded"])
def any_redis_url(request: pytest.FixtureRequest) -> str:
    """Each story is told over the real Redis and over the embedded one."""
    return request.getfixturevalue("redis_url") if request.param == "redis" else "embedded://"


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
def make(sqlite_url: str, redis_url: str, clock: Clock) -> Iterator[WorldMaker]:
    """Makes worlds over the real Redis with settings of the test's own."""
    made: list[World] = []

    def maker(**options: str) -> World:
        given = {"database_url": sqlite_url, "redis_url": redis_url, **options}
        made.append(make_world(**given, clock=clock))
        return made[-1]

    yield maker
    for world in made:
        close(world)


@pytest.fixture
def world(sqlite_url: str, any_redis_url: str, clock: Clock) -> Iterator[World]:
    """A server with default settings, over each kind of Redis."""
    one = make_world(sqlite_url, any_redis_url, clock)
    yield one
    close(one)


@pytest.fixture
def make_live(sqlite_url: str, redis_url: str, clock: Clock) -> Iterator[WorldMaker]:
    """Makes worlds that listen on `world.settings.public_url`."""
    with contextlib.ExitStack() as stack:

        def maker(**options: str) -> World:
            listener = stack.enter_context(socket.socket())
            listener.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            one = make_world(sqlite_url, redis_url, clock, public_url=url, **options)
            stack.callback(close, one)
            stack.enter_context(serve_in_thread(one.app, listener))
            return one

        yield maker


@pytest.fixture
def live(make_live: WorldMaker) -> World:
    """A server with default settings, for clients and browsers that need a socket."""
    return make_live()


def close(world: World) -> None:
    world.services.redis.close()
    world.services.database.engine.dispose()
