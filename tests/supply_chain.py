"""What the server is made of: `python -m tests.supply_chain audit | licences FILE`. See docs/supply-chain.md."""

import json
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from packaging.markers import Marker
from packaging.utils import canonicalize_name

from .servers import CHECKOUT

LOCK = CHECKOUT / "requirements.lock"
# What the server runs on in production, as the markers of the lock ask for it.
TARGETS = [
    {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix", "platform_machine": "x86_64"}
    | {"implementation_name": "cpython", "platform_python_implementation": "CPython"}
    | {"python_version": minor, "python_full_version": f"{minor}.9"}
    for minor in ("3.11", "3.12")
]
# What pip-audit raises, or says, where nobody answers.
UNREACHABLE = re.compile(r"ConnectionError|Could not connect|connection timed out|Connection refused", re.IGNORECASE)


@dataclass(frozen=True)
class Locked:
    """One package of the lock. `marker` is "" where it is for every platform."""

    name: str
    version: str
    marker: str
    hashes: int

    @property
    def is_for_us(self) -> bool:
        """Whether it is installed on any of TARGETS."""
        return not self.marker or any(Marker(self.marker).evaluate(target) for target in TARGETS)


def locked(text: str) -> list[Locked]:
    """Every package of a lock, in its order."""
    found = re.findall(
        r"^([\w.-]+)==([\w.+!-]+)(?: ; (.+?))? \\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n?)+)", text, re.M
    )
    return [Locked(name, number, marker, hashes.count("--hash=")) for name, number, marker, hashes in found]


def installed() -> dict[str, str]:
    """The version of each package of the lock that is installed in this environment."""
    found = {}
    for one in locked(LOCK.read_text("utf-8")):
        try:
            found[canonicalize_name(one.name)] = version(one.name)
        except PackageNotFoundError:
            continue
    return found


def audit(options: list[str]) -> int:
    """Look the lock up, and what is installed here in other versions; the exit status. `options` are pip-audit's."""
    pinned = {(canonicalize_name(one.name), one.version) for one in locked(LOCK.read_text("utf-8"))}
    others = [f"{name}=={number}\n" for name, number in installed().items() if (name, number) not in pinned]
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder) / "installed.txt"
        here.write_text("".join(others), "utf-8")
        status = _audit("requirements.lock", LOCK, ["--require-hashes"], options)
        if others:
            status |= _audit("installed here in other versions", here, ["--no-deps"], options)
    return status


def _audit(name: str, requirements: Path, how: list[str], options: list[str]) -> int:
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [sys.executable, "-m", "pip_audit", "--requirement", requirements, *how, "--disable-pip"]
        command += ["--progress-spinner", "off", "--format", "json", "--output", report, *options]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if not report.exists():
            if UNREACHABLE.search(done.stderr):
                print(f"{name}: SKIPPED, nothing was looked up: the database of known holes cannot be reached.")
                return 0
            print(f"{name}: pip-audit failed.\n{done.stderr}", file=sys.stderr)
            return 2
        packages = json.loads(report.read_text("utf-8"))["dependencies"]
    lines, status = summary(name, packages)
    print("\n".join(lines))
    return status


def summary(name: str, packages: list[dict[str, Any]]) -> tuple[list[str], int]:
    """What there is to tell of a report of pip-audit, and the exit status."""
    left_out = [one["name"] for one in packages if "skip_reason" in one]
    if len(left_out) == len(packages):
        # As where pip is told of a mirror, which has the packages and not what is known of them.
        return [f"{name}: SKIPPED, nothing was looked up: the database of known holes knows none of them."], 0
    holes = [(one, hole) for one in packages for hole in one.get("vulns", ())]
    lines = []
    for one, hole in holes:
        fixed = ", ".join(hole["fix_versions"]) or "nothing yet"
        lines.append(f"{name}: {one['name']} {one['version']}: {hole['id']}, fixed in {fixed}")
    if left_out:
        lines.append(f"{name}: not looked up, as the database does not know them: {', '.join(left_out)}")
    lines.append(f"{name}: {len(packages) - len(left_out)} packages looked up, {len(holes)} known holes.")
    return lines, int(bool(holes))


def licences(path: Path) -> int:
    """Write the table of names and licences below the heading of the document; the exit status."""
    names = sorted({one.name for one in locked(LOCK.read_text("utf-8")) if one.is_for_us})
    command = [
        Path(sys.executable).parent / "pip-licenses",
        "--from=mixed",
        "--format=markdown",
        "--no-version",
        "--with-system",
    ]
    done = subprocess.run([*command, "--packages", *names], capture_output=True, text=True, check=False)
    if done.returncode:
        print(done.stderr, file=sys.stderr)
        return done.returncode
    heading = path.read_text("utf-8").partition("\n| ")[0]
    rows = [re.sub(r" +\|", " |", re.sub(r"-{3,}", "---", line)) for line in done.stdout.strip().splitlines()]
    path.write_text(f"{heading.rstrip()}\n\n" + "\n".join(rows) + "\n", "utf-8")
    return 0


if __name__ == "__main__":
    command, *rest = sys.argv[1:] or [""]
    if command == "audit":
        sys.exit(audit(rest))
    if command == "licences" and len(rest) == 1:
        sys.exit(licences(Path(rest[0])))
    sys.exit(__doc__)
