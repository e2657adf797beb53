"""The alert rules and the dashboard: every expression is understood, and asks for what the server tells."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ..conftest import WorldMaker
from ..factories import Stranger, World
from ..scripted_providers import ScriptedProvider
from ..servers import CHECKOUT

RULES = CHECKOUT / "deploy/prometheus/alerts.yml"
DASHBOARD = CHECKOUT / "deploy/grafana/oauthdevice.json"


def promtool(*arguments: str | Path) -> str:
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def expressions() -> list[str]:
    """Every query of the dashboard."""
    panels: list[dict[str, Any]] = json.loads(DASHBOARD.read_text("utf-8"))["panels"]
    return [target["expr"] for panel in panels for target in panel["targets"]]


def asked(text: str) -> set[str]:
    """The names of our metrics in a text."""
    return set(re.findall(r"oauthdevice_[a-z_]+", text))


@pytest.fixture
def told(make: WorldMaker, corp: World, provider: ScriptedProvider) -> str:
    """What a server tells at /metrics that has done a little of everything."""
    device = corp.device().ask()
    Stranger(corp).sign_in(provider, device.user_code)
    world = make(**{"limit.code": "1/hour"})
    one = world.device().ask()
    one.http.post("/openapi/v1/oauth/device/code", {"client_id": "difyctl"}, status=429)
    world.person("ada@example.com").allow(one.user_code)
    one.poll()
    return str(world.browser().get("/metrics").text)


class TestAlerts:
    def test_prometheus_takes_them(self) -> None:
        assert "8 rules found" in promtool("check", "rules", RULES)

    def test_each_fires_when_it_should_and_is_quiet_else(self) -> None:
        assert "SUCCESS" in promtool("test", "rules", CHECKOUT / "tests/deploy/alerts_test.yml")

    def test_they_ask_for_what_the_server_tells(self, told: str) -> None:
        assert asked(RULES.read_text("utf-8")) <= asked(told)


class TestDashboard:
    def test_prometheus_takes_every_query(self, tmp_path: Path) -> None:
        rules = [
            {"record": f"panel:query{number}", "expr": query.replace("$__rate_interval", "5m")}
            for number, query in enumerate(expressions())
        ]
        file = tmp_path / "queries.json"
        file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
        assert f"{len(rules)} rules found" in promtool("check", "rules", file)

    def test_it_asks_for_what_the_server_tells(self, told: str) -> None:
        assert expressions()
        assert asked(" ".join(expressions())) <= asked(told)

    def test_no_two_panels_lie_on_each_other(self) -> None:
        places = [tuple(panel["gridPos"].values()) for panel in json.loads(DASHBOARD.read_text("utf-8"))["panels"]]
        assert len({place[:2] for place in places}) == len(places)
