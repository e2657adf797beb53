"""What the README tells a newcomer to run does run."""

import re
import subprocess
import sys
import threading
from pathlib import Path

from .conftest import WorldMaker
from .servers import CHECKOUT

README = (CHECKOUT / "README.md").read_text("utf-8")


def test_the_python_example_signs_in(make_live: WorldMaker, tmp_path: Path) -> None:
    world = make_live(interval_seconds="1")
    person = world.person()
    (example,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    script = tmp_path / "example.py"
    script.write_text(example.replace("http://localhost:6543", world.settings.public_url))
    with subprocess.Popen([sys.executable, "-u", script], stdout=subprocess.PIPE, text=True) as process:
        watchdog = threading.Timer(60, process.kill)
        watchdog.start()
        assert process.stdout is not None
        told = re.fullmatch(r"Open (\S+/device) and enter (\S+)\n", process.stdout.readline())
        assert told is not None
        person.allow(told[2])
        assert person.account.email in process.stdout.read()
        watchdog.cancel()
    assert process.returncode == 0


def test_every_path_it_names_is_there() -> None:
    for path in re.findall(r"\]\(([\w./-]+)\)|`([\w/]+\.(?:py|ini))`", README):
        name = path[0] or path[1]
        assert (CHECKOUT / name).exists() or (CHECKOUT / "oauthdevice" / name).exists(), name
