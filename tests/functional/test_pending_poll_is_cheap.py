"""What a waiting device costs: one Redis command and no SQL statement."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import redis
from sqlalchemy import event
from webob import Request

from ..factories import TOKEN, World


@contextmanager
def commands_of(server_url: str) -> Iterator[list[str]]:
    """The commands that the Redis server received from clients, as its MONITOR tells them."""
    seen: list[str] = []
    watcher = redis.Redis.from_url(server_url, decode_responses=True)
    marker = redis.Redis.from_url(server_url)
    marker.ping()
    started, done = threading.Event(), threading.Event()

    def watch() -> None:
        with watcher.monitor() as monitor:
            started.set()
            for command in monitor.listen():
                if command["command"] == "ECHO done":
                    break
                # What a script calls is part of the one command that runs it.
                if command["client_type"] != "lua":
                    seen.append(command["command"])
        done.set()

    thread = threading.Thread(target=watch)
    thread.start()
    assert started.wait(5)
    try:
        yield seen
    finally:
        marker.echo("done")
        assert done.wait(5)
        thread.join()
        watcher.close()
        marker.close()


def test_an_on_time_pending_poll_is_one_redis_command_and_no_sql(make, redis_url: str) -> None:
    world: World = make()
    device = world.device().ask()
    device.poll()
    statements: list[str] = []
    event.listen(world.services.database.engine, "before_cursor_execute", lambda *args: statements.append(args[2]))
    event.listen(world.services.database.engine, "begin", lambda _: statements.append("BEGIN"))
    world.clock.pass_seconds(5)
    with commands_of(redis_url) as commands:
        assert device.poll().json["error"] == "authorization_pending"
    assert [command.split()[0] for command in commands] == ["EVALSHA"]
    assert statements == []


def test_a_malformed_code_costs_nothing_at_all(make, redis_url: str) -> None:
    world: World = make()
    device = world.device().ask()
    broken = device.device_code[:-1] + ("0" if device.device_code[-1] != "0" else "1")
    with commands_of(redis_url) as commands:
        assert device.poll(device_code=broken).json["error"] == "invalid_grant"
        assert device.poll(device_code="x").json["error"] == "invalid_grant"
    assert commands == []


def test_no_request_costs_a_class_or_an_event(world: World) -> None:
    """Pyramid makes a class for each request that has properties added, and looks for subscribers four times."""
    environ = Request.blank(TOKEN).environ
    with world.app.request_context(environ) as one, world.app.request_context(environ) as other:
        assert type(one) is type(other)
        assert one.token_endpoint is world.services.token_endpoint
    assert not world.app.registry.has_listeners
