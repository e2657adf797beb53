"""What the programs of a signed-in person run against: ours, one that others wrote, and a bad network between."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..servers import CHECKOUT


class DeviceProvider:
    """`oidc-provider` from npm with its device flow, and a person who decides there."""

    def __init__(self, log: Path) -> None:
        node = shutil.which("node")
        folder = CHECKOUT / "tests" / "oidc_provider"
        if node is None or not (folder / "node_modules").is_dir():
            raise RuntimeError("oidc-provider is not installed: run `make test`, which installs it")
        self._log = log
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                [node, "--import", "./older_node.mjs", CHECKOUT / "tests" / "cli" / "device_provider.mjs"],
                cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True,
            )  # fmt: skip
        self.issuer = f"http://localhost:{int(self._line())}"

    def decide(self, user_code: str, allow: bool) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"user_code": user_code, "allow": allow}) + "\n")
        self._process.stdin.flush()
        status = self._line().strip()
        assert status in ("200", "400"), self._log.read_text()

    def stop(self) -> None:
        self._process.kill()
        self._process.communicate()

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"oidc-provider has died: {self._log.read_text()}")
        return line


@pytest.fixture(scope="session")
def device_provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DeviceProvider]:
    one = DeviceProvider(tmp_path_factory.mktemp("device-provider") / "log")
    yield one
    one.stop()
