"""The server is killed at each step of a redemption: the next poll delivers, and one token lives."""

import json
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import redis
import requests
from sqlalchemy import create_engine, text

from oauthdevice.domain.device_authorization import LEASE_SECONDS
from oauthdevice.domain.token_endpoint import DEVICE_GRANT

from ..crashing_server import STEPS
from ..factories import CODE, SECRET, TOKEN, make_world
from ..servers import CHECKOUT, ServerProcess, free_port

INI = """
[app:main]
paste.app_factory = tests.crashing_server:main
oauthdevice.mode = development
oauthdevice.public_url = http://127.0.0.1:{port}
oauthdevice.database_url = {database_url}
oauthdevice.redis_url = {redis_url}
oauthdevice.secret = {secret}
oauthdevice.limit.token_unknown = off
[server:main]
use = egg:waitress#main
listen = 127.0.0.1:{port}
"""


def poll(server: ServerProcess, device_code: str) -> requests.Response:
    form = {"grant_type": DEVICE_GRANT, "client_id": "difyctl", "device_code": device_code}
    return requests.post(server.url + TOKEN, form, timeout=10)


def let_the_lease_lapse(store: redis.Redis) -> None:
    """Another process has no clock of ours to move: its lease is made ten seconds older instead."""
    (key,) = store.keys("*:authorization:*")
    record = json.loads(store.hget(key, "record"))
    lease_until = datetime.fromisoformat(record["lease_until"])
    record["lease_until"] = (lease_until - timedelta(seconds=LEASE_SECONDS)).isoformat()
    store.hset(key, "record", json.dumps(record))


@pytest.mark.parametrize("step", STEPS)
def test_the_next_poll_delivers(step: str, sqlite_url: str, redis_url: str, tmp_path: Path) -> None:
    port = free_port()
    ini = tmp_path / "server.ini"
    ini.write_text(INI.format(port=port, database_url=sqlite_url, redis_url=redis_url, secret=SECRET))
    server = ServerProcess(ini, port, {"PYTHONPATH": str(CHECKOUT)})
    server.start()
    try:
        started = requests.post(server.url + CODE, {"client_id": "difyctl"}, timeout=10).json()
        world = make_world(sqlite_url, redis_url)
        world.services.approvals.approve(started["user_code"], world.person().account, "192.0.2.7")
        (tmp_path / "die-after").write_text(step)
        with pytest.raises(requests.ConnectionError):
            poll(server, started["device_code"])
        server.wait_for_death()
        server.start()
        if step != "consume":
            # The dead process still holds the lease; only time frees it, and it is a process of its own.
            assert poll(server, started["device_code"]).json()["error"] == "authorization_pending"
            let_the_lease_lapse(world.redis)
        answer = poll(server, started["device_code"])
        assert answer.status_code == 200, answer.text
        token = answer.json()["access_token"]
        headers = {"Authorization": f"Bearer {token}"}
        assert requests.get(f"{server.url}/openapi/v1/account", headers=headers, timeout=10).status_code == 200
        with create_engine(sqlite_url).connect() as sql:
            assert sql.execute(text("select count(*) from access_tokens")).scalar() == 1
            assert sql.execute(text("select count(*) from sessions where revoked_at is null")).scalar() == 1
    finally:
        server.kill()
