"""Throwaway Redis servers that stand together: a Cluster, a primary with its Sentinels.

None listens on a fixed port or keeps anything on disk, and each ends with the tests.
"""

import contextlib
import signal
import subprocess
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from .ports import HOST, free_port
from .servers import wait_until

SLOTS = 16384


class Node:
    """One redis-server on a port of the loopback interface; can be killed and started again in mid-test."""

    def __init__(self, folder: Path, port: int, *options: str) -> None:
        self.port = port
        # Whoever waits for it asks again, and sooner.
        self.client = redis.Redis(HOST, port, socket_timeout=5, decode_responses=True, retry=Retry(NoBackoff(), 0))
        self._log = folder / f"{port}.log"
        self._command = ["redis-server", *options, "--port", str(port), "--bind", HOST, "--dir", str(folder)]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"{HOST}:{self.port}"

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)
        wait_until(self.answers, f"a redis-server to answer; its log: {self._log}", self._is_dead)

    def kill(self) -> None:
        """SIGKILL: what it had not sent to its replicas is lost."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def pause(self) -> None:
        """SIGSTOP: it keeps its connections and does nothing."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def answers(self) -> bool:
        try:
            return bool(self.client.ping())
        except redis.RedisError:
            return False

    def info(self, section: str) -> dict[str, object]:
        """Nothing while it is dead or loads."""
        try:
            return dict(self.client.info(section))
        except redis.RedisError:
            return {}

    def cluster_info(self) -> dict[str, str]:
        """Nothing while it is dead or loads."""
        try:
            return dict(self.client.execute_command("CLUSTER INFO"))
        except redis.RedisError:
            return {}

    def _is_dead(self) -> bool:
        return self._process is None or self._process.poll() is not None


def _nothing_on_disk() -> tuple[str, ...]:
    # A replica is to follow at once: nobody else will ask for the same copy.
    return ("--save", "", "--appendonly", "no", "--repl-diskless-sync-delay", "0")


class RedisCluster:
    """Three masters, each with as many replicas; a master that is silent for so long is replaced by one."""

    MASTERS = 3

    def __init__(self, folder: Path, replicas: int = 0, node_timeout_milliseconds: int = 15_000) -> None:
        self._replicas = replicas
        self._options = (
            *_nothing_on_disk(),
            *("--cluster-enabled", "yes", "--cluster-node-timeout", str(node_timeout_milliseconds)),
        )
        self.nodes: list[Node] = []
        for _ in range(self.MASTERS * (1 + replicas)):
            port = free_port()
            self.nodes.append(Node(folder, port, *self._options, "--cluster-config-file", f"{port}.nodes"))

    @property
    def url(self) -> str:
        return "redis+cluster://" + ",".join(node.address for node in self.nodes[: self.MASTERS])

    def start(self) -> None:
        for number, node in enumerate(self.nodes, start=1):
            node.start()
            node.client.execute_command("CLUSTER SET-CONFIG-EPOCH", number)
        first, masters = self.nodes[0], self.nodes[: self.MASTERS]
        borders = pairwise(SLOTS * number // self.MASTERS for number in range(self.MASTERS + 1))
        for master, (start, end) in zip(masters, borders, strict=True):
            master.client.execute_command("CLUSTER ADDSLOTS", *range(start, end))
        for node in self.nodes[1:]:
            first.client.execute_command("CLUSTER MEET", HOST, node.port)
        wait_until(self.is_whole, "the nodes of the cluster to know each other")
        for number, node in enumerate(self.nodes[self.MASTERS :]):
            master = masters[number % self.MASTERS]
            node.client.execute_command("CLUSTER REPLICATE", master.client.execute_command("CLUSTER MYID"))
        self.wait_for_replicas()

    def stop(self) -> None:
        for node in self.nodes:
            node.kill()
            node.client.close()

    def masters(self) -> list[Node]:
        """Those that are alive and say so."""
        return [node for node in self.nodes if node.info("replication").get("role") == "master"]

    def is_whole(self) -> bool:
        """Every node that lives knows all others, and every slot is served."""
        return all(self._is_content(node) for node in self.nodes if node.answers())

    def wait_for_replicas(self) -> None:
        """Until each master has its replicas again, all of them up to date, and every node knows."""

        def are_there() -> bool:
            told = [master.info("replication").get("connected_slaves") for master in self.masters()]
            return told == [self._replicas] * self.MASTERS and self.is_whole()

        wait_until(are_there, "the replicas to follow their masters")
        wait_until(lambda: all(map(_is_up_to_date, self.nodes)), "the replicas to be up to date")

    @contextlib.contextmanager
    def losing_the_tail(self, pattern: str) -> Iterator[None]:
        """What the master of such a key takes while this lasts is sent to nobody, and dies with it at the end."""
        masters = self.masters()
        replicas = [node for node in self.nodes if node not in masters]
        wait_until(lambda: all(map(self._has_all, replicas)), "the replicas to have all that came before")
        for node in replicas:
            node.pause()
        for node in masters:
            node.client.execute_command("CLIENT KILL", "TYPE", "replica")
        yield
        next(node for node in masters if node.client.keys(pattern)).kill()
        for node in replicas:
            node.go_on()
        wait_until(lambda: len(self.masters()) == self.MASTERS and self.is_served(), "a replica to take over")

    def _has_all(self, replica: Node) -> bool:
        told = replica.info("replication")
        master = next(node for node in self.nodes if node.port == told.get("master_port"))
        return told.get("slave_repl_offset") == master.info("replication").get("master_repl_offset")

    def is_served(self) -> bool:
        """Every node that lives takes commands, whoever is dead."""
        return all(node.cluster_info().get("cluster_state") == "ok" for node in self.nodes if node.answers())

    def _is_content(self, node: Node) -> bool:
        told = node.cluster_info()
        return (told.get("cluster_state"), told.get("cluster_known_nodes")) == ("ok", str(len(self.nodes)))

    def flush(self) -> None:
        """Nothing lies there any more; scripts stay."""
        for node in self.nodes[: self.MASTERS]:
            node.client.flushall()


def _is_up_to_date(node: Node) -> bool:
    told = node.info("replication")
    return told.get("role") == "master" or told.get("master_link_status") == "up"


class RedisSentinels:
    """One primary, two replicas, and three Sentinels that watch them under the name `ours`."""

    NAME = "ours"

    def __init__(self, folder: Path, down_after_milliseconds: int = 1000) -> None:
        self.servers = [Node(folder, free_port(), *_nothing_on_disk()) for _ in range(3)]
        self.sentinels: list[Node] = []
        for _ in range(3):
            port = free_port()
            # They write what they learn into it.
            settings = folder / f"{port}.conf"
            settings.write_text(
                f"sentinel monitor {self.NAME} {HOST} {self.servers[0].port} 2\n"
                f"sentinel down-after-milliseconds {self.NAME} {down_after_milliseconds}\n"
                f"sentinel failover-timeout {self.NAME} 3000\n"
                f"sentinel parallel-syncs {self.NAME} 2\n",
                "utf-8",
            )
            self.sentinels.append(Node(folder, port, str(settings), "--sentinel"))

    @property
    def url(self) -> str:
        return f"redis+sentinel://{','.join(node.address for node in self.sentinels)}/{self.NAME}"

    def start(self) -> None:
        first, *others = self.servers
        first.start()
        for replica in others:
            replica.start()
            replica.client.replicaof(HOST, first.port)
        wait_until(lambda: all(map(_is_up_to_date, self.servers)), "the replicas to be up to date")
        for sentinel in self.sentinels:
            sentinel.start()
        wait_until(self.is_whole, "the Sentinels to know each other and the replicas")

    def stop(self) -> None:
        for node in (*self.sentinels, *self.servers):
            node.kill()
            node.client.close()

    def primary(self) -> Node:
        """The one that the first living Sentinel names."""
        sentinel = next(node for node in self.sentinels if node.answers())
        _, port = sentinel.client.execute_command("SENTINEL GET-MASTER-ADDR-BY-NAME", self.NAME)
        return next(node for node in self.servers if node.port == int(port))

    def is_whole(self) -> bool:
        """Each Sentinel knows the two others and a primary with two replicas, all of which live."""
        primary = self.primary().info("replication")
        known = [node.info("sentinel").get("master0", {}) for node in self.sentinels]
        return (
            primary.get("role") == "master"
            and primary.get("connected_slaves") == 2
            and all(isinstance(one, dict) and (one.get("slaves"), one.get("sentinels")) == (2, 3) for one in known)
        )


Together = TypeVar("Together", RedisCluster, RedisSentinels)


@contextlib.contextmanager
def running_together(servers: Together) -> Iterator[Together]:
    try:
        servers.start()
        yield servers
    finally:
        servers.stop()
