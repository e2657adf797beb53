"""`make bench-check`: how many instructions a pending poll takes, against what was recorded.

Instructions, not time: they hardly depend on what else the machine does. callgrind counts them over 1,000 polls of
our WSGI application in this process, without a server; those of Redis are not among them.
"""

import argparse
import io
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from tests.ports import free_port

from .contenders import Place, Request
from .ours import Ours, device_codes, poll, services_at
from .servers import running_redis
from .wsgi_servers import CHECKOUT

RECORD = Path(__file__).parent / "instructions.json"
POLLS, WARM_UP = 1000, 20
TOLERANCE = 0.1
COUNTED = re.compile(r"Collected : (\d+)")
Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


def main() -> None:
    """See `--help`. Ends with 1 where the figure is too far from what was recorded."""
    parser = argparse.ArgumentParser(prog="python -m bench.check", description=__doc__)
    parser.add_argument("--record", action="store_true", help=f"write the figure to {RECORD.name}")
    parser.add_argument("--poll", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.poll:
        poll_all(given.poll)
        return
    found = round(instructions_per_poll())
    python = "{}.{}".format(*sys.version_info)
    recorded = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    print(f"{found:,} instructions a pending poll, Python {python}")
    if given.record:
        RECORD.write_text(json.dumps({**recorded, python: found}, indent=2, sort_keys=True) + "\n")
    elif python not in recorded:
        sys.exit(f"nothing is recorded for Python {python}: `python -m bench.check --record` does")
    else:
        change = found / recorded[python] - 1
        print(f"{change:+.1%} of the recorded {recorded[python]:,}")
        if abs(change) > TOLERANCE:
            sys.exit(f"more than {TOLERANCE:.0%} away: find out why, then record anew with --record")


def instructions_per_poll() -> float:
    """Over a Redis and an SQLite database of its own. Raises RuntimeError where a poll fails."""
    with tempfile.TemporaryDirectory(prefix="bench-") as temporary:
        folder = Path(temporary)
        with running_redis(folder, free_port()) as redis_url:
            place = Place(0, 1, f"{redis_url}/0", f"sqlite:///{folder / 'check.sqlite'}", folder)
            ours = Ours()
            ours.prepare(place)
            with services_at(place) as services:
                (folder / "codes").write_text("\n".join(device_codes(services, WARM_UP + POLLS)))
            return _count(folder, {**os.environ, **ours.command(place).environment}) / POLLS


def _count(folder: Path, environment: dict[str, str]) -> int:
    callgrind = ["valgrind", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={folder / 'callgrind'}"]
    polling = [sys.executable, "-W", "ignore", "-m", "bench.check", "--poll", str(folder / "codes")]
    # Sets are in the same order each time.
    environment = {**environment, "PYTHONHASHSEED": "0"}
    log = folder / "valgrind.log"
    with (
        log.open("w") as told,
        subprocess.Popen(
            [*callgrind, *polling],
            cwd=CHECKOUT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=told,
            text=True,
        ) as process,
    ):
        assert process.stdin
        assert process.stdout
        for says, counting in ("READY", "on"), ("DONE", "off"):
            if process.stdout.readline().strip() != says:
                process.kill()
                raise RuntimeError(log.read_text())
            control = ["callgrind_control", "-i", counting, str(process.pid)]
            subprocess.run(control, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
            process.stdin.write("\n")
            process.stdin.flush()
    counted = COUNTED.search(log.read_text())
    if counted is None:
        raise RuntimeError(log.read_text())
    return int(counted[1])


def poll_all(codes_file: Path) -> None:
    """Under callgrind: says READY and DONE on a line each, and goes on when it reads one. Raises RuntimeError."""
    # Imported by the process that polls, and by no other: it reads the environment.
    from oauthdevice.wsgi import application  # noqa: PLC0415

    polls = [poll(code) for code in codes_file.read_text().split()]
    _poll_each(application, polls[:WARM_UP])
    _wait_after("READY")
    _poll_each(application, polls[WARM_UP:])
    _wait_after("DONE")


def _wait_after(word: str) -> None:
    print(word, flush=True)
    sys.stdin.readline()


def _poll_each(application: Application, polls: Sequence[Request]) -> None:
    for one in polls:
        status = ""

        def start_response(given: str, _headers: list[tuple[str, str]], _error: Any = None) -> None:
            nonlocal status
            status = given

        body = b"".join(application(_environ(one), start_response))
        if not status.startswith("400") or b"authorization_pending" not in body:
            raise RuntimeError(f"{status} {body!r}")


def _environ(request: Request) -> dict[str, Any]:
    """What a server makes of the request (PEP 3333)."""
    body = request.body.encode()
    return {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": request.path,
        "QUERY_STRING": "",
        "CONTENT_TYPE": request.headers["Content-Type"],
        "CONTENT_LENGTH": str(len(body)),
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_HOST": "127.0.0.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": False,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }


if __name__ == "__main__":
    main()
