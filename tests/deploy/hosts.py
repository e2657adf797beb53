"""Several machines on one: each a network namespace with an address of its own, all plugged into one switch.

The switch stands in the machine of the proxy, where the tests live too. Nothing outside can be
reached, so that any number of test runs may use the same addresses.
"""

import contextlib
import ctypes
import os
import shutil
import subprocess
from collections.abc import Iterator
from typing import IO

import pytest

from ..factories import unique_name

NETWORK = "10.77.0.{}"
# Of <sched.h>. Python has os.setns from 3.12 on.
CLONE_NEWNET = 0x40000000


class Lan:
    """A switch, on the host `front`, and the hosts that are plugged into it. They go with `stack`."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self._stack = stack
        self._prefix = unique_name("lan")
        self._hosts = 0
        self.front = self._host("front")
        self.ip("link", "add", "switch", "type", "bridge")
        self.ip("address", "add", f"{self.front.address}/24", "dev", "switch")
        self.ip("link", "set", "switch", "up")

    def add(self, name: str) -> "Host":
        host = self._host(name)
        self.ip("link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", self.namespace(name))
        self.ip("link", "set", name, "master", "switch", "up")
        self.ip("address", "add", f"{host.address}/24", "dev", "eth0", on=name)
        self.ip("link", "set", "eth0", "up", on=name)
        return host

    def namespace(self, name: str) -> str:
        return f"{self._prefix}_{name}"

    def ip(self, *arguments: str, on: str = "front") -> None:
        """One run of `ip` on a host."""
        _ip("-n", self.namespace(on), *arguments)

    def _host(self, name: str) -> "Host":
        _ip("netns", "add", self.namespace(name))
        self._stack.callback(_ip, "netns", "delete", self.namespace(name))
        self.ip("link", "set", "lo", "up", on=name)
        self._hosts += 1
        return Host(name, NETWORK.format(self._hosts), self)


class Host:
    """One machine."""

    def __init__(self, name: str, address: str, lan: Lan) -> None:
        self.name, self.address, self._lan = name, address, lan

    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        """While this lasts this thread lives on it, and the threads and processes that it starts."""
        with open("/proc/thread-self/ns/net") as home, open(f"/run/netns/{self._lan.namespace(self.name)}") as here:
            _enter(here)
            try:
                yield
            finally:
                _enter(home)

    @contextlib.contextmanager
    def unplugged(self) -> Iterator[None]:
        """While this lasts its cable is out at the switch: it runs on, and nobody is told."""
        self._lan.ip("link", "set", self.name, "down")
        try:
            yield
        finally:
            self._lan.ip("link", "set", self.name, "up")

    @contextlib.contextmanager
    def mute_towards(self, other: "Host") -> Iterator[None]:
        """While this lasts nothing that it sends reaches `other`; everybody else is reached as before."""
        self._lan.ip("route", "add", "blackhole", other.address, on=self.name)
        try:
            yield
        finally:
            self._lan.ip("route", "delete", "blackhole", other.address, on=self.name)


@contextlib.contextmanager
def running_lan() -> Iterator[Lan]:
    """One without hosts yet. Skips the test where this machine allows no namespaces."""
    with contextlib.ExitStack() as stack:
        try:
            lan = Lan(stack)
        except PermissionError as error:
            pytest.skip(f"network namespaces are not permitted here: {error}")
        yield lan


def _ip(*arguments: str) -> None:
    program = shutil.which("ip", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if program is None:
        raise RuntimeError("ip is not installed: run `make test`, which installs it")
    done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        refused = "not permitted" in done.stderr or "Permission denied" in done.stderr
        raise (PermissionError if refused else RuntimeError)(f"ip {' '.join(arguments)}: {done.stderr.strip()}")


def _enter(namespace: IO[str]) -> None:
    if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")
