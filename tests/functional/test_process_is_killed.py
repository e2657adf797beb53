"""The server is killed between two steps of a flow; started again, it goes on where it was.

What matters lies in Redis and in the database. The kill between the mint and the answer has a file of its own.
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ..factories import DENY, PASSWORD, SECRET, World
from ..installations import Visitor, account, ask, poll
from ..ports import free_port
from ..servers import ServerProcess

INI = """
[app:main]
use = egg:oauthdevice
oauthdevice.public_url = {url}
oauthdevice.database_url = {database_url}
oauthdevice.redis_url = {redis_url}
oauthdevice.secret = {secret}

[server:main]
use = egg:waitress#main
listen = 127.0.0.1:{port}
"""
EMAIL = "ada@example.com"


@pytest.fixture
def process(tmp_path: Path, sqlite_url: str, redis_url: str, make: Callable[..., World]) -> Iterator[ServerProcess]:
    """A server with one account, in a process that a test may kill."""
    make().person(EMAIL)
    port = free_port()
    process = ServerProcess(tmp_path / "production.ini", port)
    (tmp_path / "production.ini").write_text(
        INI.format(url=process.url, port=port, database_url=sqlite_url, redis_url=redis_url, secret=SECRET)
    )
    process.start()
    yield process
    process.kill()


@pytest.fixture
def visitor(process: ServerProcess) -> Visitor:
    """Somebody who is signed in."""
    one = Visitor(process.url)
    assert one.sign_in(EMAIL, PASSWORD).url == f"{process.url}/device"
    return one


def kill_and_start_again(process: ServerProcess) -> None:
    process.kill()
    process.start()


def access_tokens(sqlite_url: str) -> int:
    with closing(sqlite3.connect(sqlite_url.removeprefix("sqlite:///"))) as database:
        return int(database.execute("SELECT count(*) FROM access_tokens").fetchone()[0])


class TestTheProcessIsKilled:
    def test_between_approval_and_token(self, process: ServerProcess, visitor: Visitor, sqlite_url: str) -> None:
        asked = ask(process.url)
        assert poll(process.url, asked).json()["error"] == "authorization_pending"
        assert visitor.approve(asked["user_code"]).json() == {"status": "approved"}
        assert access_tokens(sqlite_url) == 0
        kill_and_start_again(process)
        answer = poll(process.url, asked)
        assert answer.status_code == 200
        assert answer.json()["account"]["email"] == EMAIL
        assert access_tokens(sqlite_url) == 1
        told = account(process.url, answer.json()["access_token"])
        assert told.status_code == 200
        assert told.json()["account"]["email"] == EMAIL

    def test_between_code_and_approval(self, process: ServerProcess, visitor: Visitor, sqlite_url: str) -> None:
        asked = ask(process.url)
        kill_and_start_again(process)
        assert poll(process.url, asked).json()["error"] == "authorization_pending"
        assert visitor.approve(asked["user_code"]).json() == {"status": "approved"}
        assert poll(process.url, asked).status_code == 200
        assert access_tokens(sqlite_url) == 1

    def test_after_the_token_was_given(self, process: ServerProcess, visitor: Visitor, sqlite_url: str) -> None:
        asked = ask(process.url)
        visitor.approve(asked["user_code"])
        answer = poll(process.url, asked).json()
        kill_and_start_again(process)
        assert account(process.url, answer["access_token"]).status_code == 200
        assert poll(process.url, asked).json() == answer
        assert access_tokens(sqlite_url) == 1

    def test_after_a_denial(self, process: ServerProcess, visitor: Visitor, sqlite_url: str) -> None:
        asked = ask(process.url)
        headers = {"X-CSRF-Token": visitor.csrf_token()}
        body = {"user_code": asked["user_code"]}
        visitor.http.post(f"{process.url}{DENY}", json=body, headers=headers, timeout=10).raise_for_status()
        kill_and_start_again(process)
        assert poll(process.url, asked).json()["error"] == "access_denied"
        assert access_tokens(sqlite_url) == 0
