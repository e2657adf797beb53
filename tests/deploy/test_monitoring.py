"""The alert rules and the dashboard: every expression is understood, and asks for what the server tells."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ..conftest import WorldMaker
from ..factories import Stranger, World
from ..ports import free_port
from ..scripted_providers import ScriptedProvider
from ..servers import CHECKOUT
from .picture import prometheus

RULES = CHECKOUT / "deploy/prometheus/alerts.yml"
DASHBOARD = CHECKOUT / "deploy/grafana/oauthdevice.json"
# Labels that are "" where there is nothing to say: no error, no client.
MAY_BE_EMPTY = ("error", "client_id")


def promtool(*arguments: str | Path) -> str:
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def panels() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(DASHBOARD.read_text("utf-8"))["panels"]
    return found


def expressions() -> list[str]:
    """Every query of the dashboard."""
    return [target["expr"] for panel in panels() for target in panel["targets"]]


def watched_routes(text: str) -> list[str]:
    """The routes that a text asks for, each a regular expression."""
    return re.findall(r'route=~?"([^"]+)"', text)


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

    def test_the_original_paths_are_watched_too(self) -> None:
        (routes,) = watched_routes(RULES.read_text("utf-8"))
        for name in ("device_code", "device_token", "legacy_device_code", "legacy_device_token"):
            assert re.fullmatch(routes, name)


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
        cells = [
            (panel["gridPos"]["x"] + x, panel["gridPos"]["y"] + y)
            for panel in panels()
            for x in range(panel["gridPos"]["w"])
            for y in range(panel["gridPos"]["h"])
        ]
        assert len(set(cells)) == len(cells)
        assert max(x for x, _ in cells) < 24
        assert len({panel["id"] for panel in panels()}) == len(panels())

    def test_every_line_has_a_name(self) -> None:
        # Prometheus drops a label that is empty, and Grafana then calls the line "Value".
        for panel in panels():
            for target in panel["targets"]:
                for label in re.findall(r"{{(\w+)}}", target["legendFormat"]):
                    assert f"by ({label}) " in target["expr"] or f", {label}) " in target["expr"], panel["title"]
                    assert label not in MAY_BE_EMPTY or f'{label}!=""' in target["expr"], panel["title"]

    def test_it_watches_routes_by_each_of_their_names(self, make: WorldMaker) -> None:
        world = make(edition="enterprise", legacy_mounts="on")
        names = {route.name for route in world.app.routes_mapper.get_routes()}
        patterns = watched_routes(" ".join(expressions()))
        for pattern in patterns:
            assert any(re.fullmatch(pattern, name) for name in names), pattern
        for watched in ("device_code", "device_token", "sso_complete"):
            for name in names:
                if watched in name:
                    assert any(re.fullmatch(pattern, name) for pattern in patterns), name

    def test_each_panel_can_be_drawn(self, tmp_path: Path) -> None:
        target = tmp_path / "empty.svg"
        with prometheus(tmp_path, f"127.0.0.1:{free_port()}") as url:
            script = CHECKOUT / "deploy/grafana/draw.py"
            subprocess.run([sys.executable, script, url, target, "5"], check=True)
        drawn = target.read_text("utf-8")
        for panel in panels():
            assert f">{panel['title']}</text>" in drawn
        assert drawn.count(">no data</text>") == len(panels())


class TestPicture:
    def test_it_is_of_this_dashboard(self) -> None:
        picture = (CHECKOUT / "docs/dashboard.svg").read_text("utf-8")
        assert re.findall(r'class="title"[^>]*>([^<]+)<', picture) == [panel["title"] for panel in panels()]
        assert "no data" not in picture
