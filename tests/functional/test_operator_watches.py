"""What monitoring sees: whether a process is there, whether it can work, and what it did."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import text

from oauthdevice.stores.migrate import alembic_config, upgrade
from oauthdevice.stores.migration_numbers import newest_migration

from ..conftest import WorldMaker
from ..factories import API, Stranger, World, unique_name
from ..scripted_providers import ScriptedProvider
from ..servers import PostgreSQLServer, RedisServer


def numbers(world: World) -> dict[str, float]:
    """Every sample at /metrics, by its name with labels."""
    answer = world.browser().get("/metrics", status=200)
    lines = (line.rpartition(" ") for line in answer.text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in lines}


def grown(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    """What was counted in between: the counters alone."""
    return {
        name: value - before.get(name, 0)
        for name, value in after.items()
        if value != before.get(name, 0) and "_total" in name
    }


def not_ready(world: World) -> bool:
    """For want of a database alone."""
    answer = world.browser().get("/readyz", status=503)
    return answer.json == {"status": "unavailable", "database": "away", "redis": "ok"}


class TestHealth:
    def test_a_process_that_answers_is_healthy(self, world: World) -> None:
        answer = world.browser().get("/healthz", status=200)
        assert answer.json == {"status": "ok"}
        assert answer.headers["Cache-Control"] == "no-store"

    def test_one_with_its_stores_is_ready(self, world: World) -> None:
        assert world.browser().get("/readyz", status=200).json == {"status": "ok", "database": "ok", "redis": "ok"}

    def test_without_redis_it_is_alive_and_not_ready(self, make: WorldMaker, own_redis_server: RedisServer) -> None:
        world = make(redis_url=own_redis_server.url)
        own_redis_server.stop()
        answer = world.browser().get("/readyz", status=503)
        assert answer.json == {"status": "unavailable", "database": "ok", "redis": "away"}
        assert answer.headers["Retry-After"] == "5"
        world.browser().get("/healthz", status=200)
        own_redis_server.start()
        world.browser().get("/readyz", status=200)

    def test_without_a_database_it_is_not_ready(self, make: WorldMaker) -> None:
        assert not_ready(make(database_url="postgresql+psycopg://nobody@/nothing?host=/nowhere"))

    @pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
    def test_it_is_ready_once_the_tables_are_no_older_than_the_release(
        self, make: WorldMaker, postgresql_server: PostgreSQLServer, tmp_path: Path, kind: str
    ) -> None:
        """Else a poll would be a 500. Those of a newer release will do: in mid-upgrade there are both."""
        sqlite_url = f"sqlite:///{tmp_path / 'empty.sqlite'}"
        url = sqlite_url if kind == "sqlite" else postgresql_server.create_database(unique_name("ready"))
        world = make(database_url=url)
        assert not_ready(world)
        older = f"{int(newest_migration()) - 1:04}"
        command.upgrade(alembic_config(url), older)
        assert not_ready(world)
        upgrade(url)
        assert world.browser().get("/readyz", status=200).json["database"] == "ok"
        for migration, status in (("9999", 200), ("10000", 200), ("1975ea83b712", 503)):
            with world.services.database.write() as sql:
                sql.execute(text("UPDATE alembic_version SET version_num = :at"), {"at": migration})
            world.browser().get("/readyz", status=status)

    @pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
    def test_it_is_only_read(self, world: World, path: str) -> None:
        answer = world.browser().post(path, status=405)
        assert answer.json["error"] == "invalid_request"
        assert "GET" in answer.headers["Allow"]


class TestMetrics:
    def test_a_flow_is_counted_step_by_step(self, world: World) -> None:
        before = numbers(world)
        device = world.device().ask()
        device.poll()
        device.poll()
        world.person().allow(device.user_code)
        world.clock.pass_seconds(40)
        token = device.poll().json["access_token"]
        device.account(token)
        after = numbers(world)
        counted = grown(before, after)
        for event in ("started", "approved", "redeemed"):
            assert counted[f'oauthdevice_events_total{{client_id="difyctl",event="{event}"}}'] == 1
        for status, error in (("400", "authorization_pending"), ("400", "slow_down"), ("200", "")):
            name = f'oauthdevice_answers_total{{error="{error}",route="device_token",status="{status}"}}'
            assert counted[name] == 1
        within = 'oauthdevice_code_to_token_seconds_bucket{client_id="difyctl",le="%s"}'
        assert after[within % "60.0"] - before.get(within % "60.0", 0) == 1
        assert after[within % "30.0"] == before.get(within % "30.0", 0)

    def test_every_refusal_of_a_limit_is_counted_not_only_the_first(self, make: WorldMaker) -> None:
        world = make(**{"limit.code": "1/hour"})
        before = numbers(world)
        device = world.device().ask()
        for _ in range(3):
            device.http.post(f"{API}/oauth/device/code", {"client_id": "difyctl"}, status=429)
        counted = grown(before, numbers(world))
        assert counted['oauthdevice_limit_refusals_total{limit="code"}'] == 3
        assert counted['oauthdevice_events_total{client_id="",event="limited"}'] == 1

    def test_a_login_that_fails_is_counted(self, world: World) -> None:
        person, before = world.person(), numbers(world)
        page = person.browser.get("/login").form
        page["email"], page["password"] = person.account.email, "wrong"
        page.submit(status=401)
        assert grown(before, numbers(world))['oauthdevice_events_total{client_id="",event="login_failed"}'] == 1

    def test_what_came_of_a_sign_in_elsewhere_is_counted(self, corp: World, provider: ScriptedProvider) -> None:
        before = numbers(corp)
        for changed in ({}, {"error": "access_denied", "code": None}, {"error": "server_error", "code": None}):
            ada = Stranger(corp)
            ada.come_back(provider.sign_in(ada.leave(corp.device().ask().user_code), **changed))
        after = numbers(corp)
        counted = grown(before, after)
        for error in ("", "sso_cancelled", "sso_failed"):
            assert counted[f'oauthdevice_answers_total{{error="{error}",route="sso_complete",status="302"}}'] == 1
        assert after['oauthdevice_store_seconds_count{method="complete",store="sso:corp"}'] >= 1

    def test_a_store_that_is_away_is_counted(self, make: WorldMaker, own_redis_server: RedisServer) -> None:
        world = make(redis_url=own_redis_server.url)
        before = numbers(world)
        own_redis_server.stop()
        world.browser().post(f"{API}/oauth/device/code", {"client_id": "difyctl"}, status=503)
        assert grown(before, numbers(world))['oauthdevice_store_failures_total{store="redis"}'] >= 1

    def test_no_label_comes_from_a_stranger(self, world: World) -> None:
        browser = world.browser()
        browser.get("/secret-of-a-stranger", status=404)
        browser.post(f"{API}/oauth/device/code", {"client_id": "secret-of-a-stranger"}, status=401)
        browser.get(f"{API}/oauth/device/lookup?user_code=BCDF-GHJK", status=200)
        told = browser.get("/metrics").text
        assert "stranger" not in told
        assert "BCDF" not in told

    def test_what_has_not_happened_is_told_as_zero(self, world: World) -> None:
        told = numbers(world)
        for client_id in ("", "difyctl"):
            assert f'oauthdevice_events_total{{client_id="{client_id}",event="reuse_detected"}}' in told
        assert 'oauthdevice_limit_refusals_total{limit="approve_external"}' in told

    def test_a_fault_of_ours_is_counted(self, make: WorldMaker) -> None:
        world = make()
        before = numbers(world)

        def broken(*_: object) -> None:
            raise RuntimeError("the fault under test")

        world.services.approvals.lookup = broken  # type: ignore[method-assign,assignment]  # the fault under test
        world.browser().get(f"{API}/oauth/device/lookup?user_code=BCDF-GHJK", status=500)
        assert grown(before, numbers(world))["oauthdevice_faults_total"] == 1

    def test_it_can_be_turned_off(self, make: WorldMaker) -> None:
        assert make(metrics="off").browser().get("/metrics", status=404).json["error"] == "not_found"

    def test_several_processes_are_told_as_one(self, tmp_path: Path) -> None:
        program = (
            "from oauthdevice.metrics import REFUSALS, exposition; REFUSALS.labels('code').inc();"
            "print(exposition().decode())"
        )
        environ = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path), "PYTHONWARNINGS": "ignore"}
        told = [
            subprocess.run([sys.executable, "-c", program], env=environ, capture_output=True, text=True, check=True)
            for _ in range(3)
        ]
        found = [re.search(r'limit_refusals_total\{limit="code"\} (\S+)', one.stdout) for one in told]
        assert [one and one[1] for one in found] == ["1.0", "2.0", "3.0"]
