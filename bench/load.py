"""Load on a server: wrk with keep-alive, one thread, a fixed number of connections and of seconds."""

import http.client
import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .contenders import Place, Request

SCRIPT = Path(__file__).parent / "load.lua"
CONNECTIONS = 16


class LoadFailed(Exception):
    """A server did not do the work that it was asked for, so its figures mean nothing."""


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one load: how many answers, and how many a second; latencies in milliseconds."""

    answers: int
    per_second: float
    p50_ms: float
    p99_ms: float


def send(place: Place, request: Request) -> bytes:
    """One request, outside of any measure; its body. Raises LoadFailed where the status is another."""
    connection = http.client.HTTPConnection("127.0.0.1", place.port, timeout=30)
    try:
        connection.request(request.method, request.path, request.body or None, dict(request.headers))
        answer = connection.getresponse()
        body = answer.read()
    finally:
        connection.close()
    if answer.status != request.status:
        raise LoadFailed(f"{request.path}: {answer.status} {body[:200]!r}")
    return body


def load(place: Place, requests: Sequence[Request], seconds: int, connections: int = CONNECTIONS) -> Figures:
    """Drive `requests` through the server. Raises LoadFailed where any answer had another status."""
    script_input = place.folder / "requests.tsv"
    script_input.write_text("\n".join(map(_line, requests)) + "\n", "utf-8")
    wrk = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "30s", "-s", str(SCRIPT), place.url]
    done = subprocess.run([*wrk, "--", str(script_input)], capture_output=True, text=True, check=True)
    told = json.loads(done.stdout.strip().splitlines()[-1])
    # wrk counts every status from 400 on: of pending polls, all.
    expected = told["requests"] if requests[0].status >= 400 else 0
    if not told["requests"] or told["broken"] or told["refused"] != expected:
        raise LoadFailed(f"{requests[0].path}: {told}")
    return Figures(told["requests"], told["requests"] / told["seconds"], told["p50_ms"], told["p99_ms"])


def _line(request: Request) -> str:
    headers = "\1".join(f"{name}: {value}" for name, value in request.headers.items())
    return f"{request.method}\t{request.path}\t{headers}\t{request.body}"
