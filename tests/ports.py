"""Ports for the servers of the tests: each is given out once.

They lie below those that the system takes for whoever names none: no client, and no test that listens on any port,
takes one that a server, or nobody, is to have. Each process of pytest has some of its own.
"""

import itertools
import os
import socket

HOST = "127.0.0.1"
FIRST, EACH, PROCESSES = 12_000, 1_000, 10
# A node of a Redis Cluster listens here too, so many ports above: 22,000 to 31,999.
BUS = 10_000

_process = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % PROCESSES
# Another run on this machine begins elsewhere.
_turns = itertools.count(os.getpid())


def free_port() -> int:
    """A port of the loopback interface that nobody listens on, nor on its bus port."""
    for _ in range(EACH):
        port = FIRST + _process * EACH + next(_turns) % EACH
        if _is_free(port) and _is_free(port + BUS):
            return port
    raise RuntimeError("each port of this process is taken")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True
