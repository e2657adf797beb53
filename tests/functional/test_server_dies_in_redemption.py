"""A worker is killed before and after each call that a poll makes of a store: the next polls end as they should.

The calls are not listed here: each poll is told as often as it makes calls, and dies at the next one each time.
"""

import itertools
import json
import shutil
import signal
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from oauthdevice.domain.device_authorization import LEASE_SECONDS
from oauthdevice.domain.subjects import Account
from oauthdevice.domain.token_endpoint import DEVICE_GRANT

from ..crashing_server import CALLS, DIE, store_methods
from ..factories import API, SECRET, TOKEN, World, keys_in, make_world
from ..installations import BIN
from ..ports import free_port
from ..servers import CHECKOUT, RedisServer, wait_until

INI = """
[app:main]
paste.app_factory = tests.crashing_server:main
oauthdevice.mode = development
oauthdevice.public_url = http://127.0.0.1:{port}
oauthdevice.database_url = {database_url}
oauthdevice.redis_url = {redis_url}
oauthdevice.secret = {secret}
oauthdevice.limit.token_unknown = off
oauthdevice.limit.bearer = off
[client:difyctl]
name = difyctl
scopes = full
refresh = on
"""
LIFETIME_SECONDS = 900


class Mortal:
    """A server whose worker dies when it is told to; its master forks another, as in production."""

    def __init__(self, folder: Path, world: World, port: int) -> None:
        self.world = world
        self.url = f"http://127.0.0.1:{port}"
        self.account: Account = world.person("ada@example.com").account
        self._folder = folder
        command = [BIN / "gunicorn", "--paste", folder / "server.ini", "--bind", f"127.0.0.1:{port}"]
        command += ["--workers", "1", "--preload", "--no-control-socket", "--worker-tmp-dir", folder]
        with (folder / "server.log").open("wb") as log:
            self._process = subprocess.Popen(command, cwd=CHECKOUT, stdout=log, stderr=subprocess.STDOUT)
        wait_until(
            self._is_up, f"the server; its log: {folder / 'server.log'}", lambda: self._process.poll() is not None
        )

    def stop(self) -> None:
        # At once: nobody is being served.
        self._process.send_signal(signal.SIGQUIT)
        self._process.wait(10)

    def _is_up(self) -> bool:
        try:
            return requests.get(f"{self.url}/healthz", timeout=5).ok
        except (requests.ConnectionError, requests.Timeout):
            return False

    def poll(self, code: "Code") -> requests.Response:
        form = {"grant_type": DEVICE_GRANT, "client_id": "difyctl", "device_code": code.device_code}
        return requests.post(self.url + TOKEN, form, timeout=10)

    def dies(self, code: "Code", moment: str) -> bool:
        """Whether a poll comes to the moment, at which its worker is killed."""
        (self._folder / CALLS).write_text("")
        (self._folder / DIE).write_text(moment)
        try:
            self.poll(code)
        except requests.ConnectionError:
            return True
        finally:
            (self._folder / DIE).unlink(missing_ok=True)
        return False

    def calls(self) -> set[str]:
        """Of the last poll that was to die."""
        return set((self._folder / CALLS).read_text().split())

    def opens(self, token: str) -> bool:
        headers = {"Authorization": f"Bearer {token}"}
        return requests.get(f"{self.url}{API}/account", headers=headers, timeout=10).status_code == 200


class Code:
    """A device authorization that `ada` has approved."""

    def __init__(self, server: Mortal) -> None:
        self._world = server.world
        device = self._world.device().ask(device_label="laptop")
        self.device_code = device.device_code
        (self._key,) = (key for key in keys_in(self._world.redis, "*:authorization:*") if self._is_pending(key))
        self._world.services.approvals.approve(device.user_code, server.account, "192.0.2.7")
        self.token_id = json.loads(self._world.redis.hget(self._key, "record"))["id"]

    def _is_pending(self, key: str) -> bool:
        return json.loads(self._world.redis.hget(key, "record"))["state"] == "pending"

    def let_the_lease_lapse(self) -> None:
        """Another process has no clock of ours to move: its lease is made ten seconds older instead."""
        record = json.loads(self._world.redis.hget(self._key, "record"))
        if record["lease_until"]:
            lapsed = datetime.fromisoformat(record["lease_until"]) - timedelta(seconds=LEASE_SECONDS)
            self._world.redis.hset(self._key, "record", json.dumps(record | {"lease_until": lapsed.isoformat()}))

    def expire(self) -> None:
        self.let_the_lease_lapse()
        self._world.redis.hincrby(self._key, "issued_at", -1000 * LIFETIME_SECONDS)

    def forget_the_answer(self) -> None:
        """As half a minute later."""
        for key in keys_in(self._world.redis, "*:answer:*"):
            self._world.redis.delete(key)

    def events(self) -> Counter[str]:
        rows = self._world.services.ledger.newest(10_000)
        return Counter(row.event for row in rows if row.token_id == self.token_id)

    def is_live(self) -> bool:
        return self.token_id in {session.id for session in self._world.services.registry.live()}


@pytest.fixture(scope="module")
def server(
    redis_server: RedisServer, migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mortal]:
    folder, port = tmp_path_factory.mktemp("mortal"), free_port()
    database_url = f"sqlite:///{shutil.copy(migrated_sqlite, folder / 'oauthdevice.sqlite')}"
    ini = folder / "server.ini"
    ini.write_text(INI.format(port=port, database_url=database_url, redis_url=redis_server.url, secret=SECRET))
    unlimited = {f"limit.{name}": "off" for name in ("code", "decide", "guesses")}
    world = make_world(database_url, redis_server.url, ini_file=str(ini), **unlimited)
    world.redis.flushall()
    one = Mortal(folder, world, port)
    yield one
    one.stop()
    world.services.redis.close()
    world.services.database.engine.dispose()


def each_death(server: Mortal, prepared: Callable[[], Code]) -> Iterator[Code]:
    """A code whose poll was killed: before and after each call in turn, until a poll makes no more of them."""
    for when in ("before", "after"):
        for number in itertools.count(1):
            code = prepared()
            if not server.dies(code, f"{when} {number}"):
                break
            yield code


def final_answer(server: Mortal, code: Code) -> requests.Response:
    """Of the next poll; where the dead worker still holds the lease, of the next one once that has lapsed."""
    answer = server.poll(code)
    if answer.status_code == 400 and answer.json()["error"] == "authorization_pending":
        code.let_the_lease_lapse()
        answer = server.poll(code)
    return answer


def test_in_a_redemption_the_next_poll_delivers_one_token(server: Mortal) -> None:
    deaths = 0
    # Each takes the place of the session before: that one ends in the same transaction.
    for code in each_death(server, lambda: Code(server)):
        deaths += 1
        answer = final_answer(server, code)
        assert answer.status_code == 200, answer.text
        assert server.opens(answer.json()["access_token"])
        assert [one.id for one in server.world.services.registry.live()] == [code.token_id]
        assert code.events()["redeemed"] == 1
    assert server.calls() >= {"touch", "swap", "get", "mint", "append"}
    assert deaths >= 2 * len(server.calls())


def test_in_a_redemption_that_is_refused_the_next_poll_is_refused(server: Mortal) -> None:
    def refused() -> Code:
        server.world.services.accounts.set_active(server.account.email, True)
        code = Code(server)
        server.world.services.accounts.set_active(server.account.email, False)
        return code

    for code in each_death(server, refused):
        assert final_answer(server, code).json()["error"] == "access_denied"
        assert not code.is_live()
        assert code.events()["rejected"] == 1
    assert server.calls() >= {"touch", "swap", "get"}
    server.world.services.accounts.set_active(server.account.email, True)


def test_when_an_answer_is_told_again_the_next_poll_tells_it(server: Mortal) -> None:
    told: dict[str, Any] = {}

    def redeemed() -> Code:
        code = Code(server)
        told[code.device_code] = server.poll(code).json()
        return code

    for code in each_death(server, redeemed):
        assert server.poll(code).json() == told[code.device_code]
        assert code.is_live()
        assert code.events()["replayed"] == 0
    assert server.calls() >= {"touch", "sealed_answer", "get"}


def test_in_a_replay_the_session_ends_once(server: Mortal) -> None:
    def replayed() -> Code:
        code = Code(server)
        server.poll(code)
        code.forget_the_answer()
        return code

    for code in each_death(server, replayed):
        assert server.poll(code).json()["error"] == "invalid_grant"
        assert not code.is_live()
        assert code.events()["replayed"] == 1
    assert server.calls() >= {"touch", "sealed_answer", "revoke", "distrust"}


def test_when_an_unfinished_redemption_expires_its_session_ends_once(server: Mortal) -> None:
    def expired() -> Code:
        code = Code(server)
        assert server.dies(code, "after mint")
        code.expire()
        return code

    for code in each_death(server, expired):
        assert server.poll(code).json()["error"] == "expired_token"
        assert not code.is_live()
        assert code.events()["revoked"] == 1
    assert server.calls() >= {"touch", "revoke", "distrust"}


def test_the_calls_are_those_of_every_port_that_the_redeemer_has() -> None:
    named = {f"{owner.__name__}.{name}" for owner, name in store_methods()}
    assert named >= {
        "RedisAuthorizationStore.swap",
        "RedisAuthorizationStore.sealed_answer",
        "SQLSessionStore.mint",
        "SQLSessionStore.revoke",
        "SQLAccountStore.get",
        "RedisTokenCache.distrust",
        "AuditLedger.append",
    }
