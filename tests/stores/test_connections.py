"""Addresses of every kind of Redis, and a client for each that tries again only what cannot have run."""

import datetime
import ipaddress
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from oauthdevice.domain.codes import user_code_digest
from oauthdevice.domain.errors import StoreUnavailable
from oauthdevice.stores.connections import EMBEDDED, TIMEOUT_SECONDS, connect, parse
from oauthdevice.stores.heartbeat import Heartbeat
from oauthdevice.stores.redis import RedisAuthorizationStore
from oauthdevice.stores.sql import create_database
from oauthdevice.values import redis_url as checked

from ..factories import Clock
from ..ports import HOST, free_port
from ..redis_servers import Node, RedisCluster, RedisSentinels, running_together
from ..servers import wait_until

PASSWORD = "a%20b%40c%2Fd"


class TestAnAddress:
    @pytest.mark.parametrize(
        ("url", "nodes"),
        [
            ("redis+cluster://one", [("one", 6379)]),
            ("redis+cluster://one:7001,two.example:7002", [("one", 7001), ("two.example", 7002)]),
            ("redis+cluster://192.0.2.1:1/", [("192.0.2.1", 1)]),
            ("redis+cluster://[::1]:7001,[2001:db8::2]:7002", [("::1", 7001), ("2001:db8::2", 7002)]),
            ("redis+cluster://one:7001,[2001:db8::2]", [("one", 7001), ("2001:db8::2", 6379)]),
            ("redis+sentinel://one:26379,two:65535/ours", [("one", 26379), ("two", 65535)]),
        ],
    )
    def test_names_its_hosts(self, url: str, nodes: list[tuple[str, int]]) -> None:
        assert parse(url)[0] == nodes
        assert checked(url) == url

    @pytest.mark.parametrize(
        ("userinfo", "credentials"),
        [
            ("", {}),
            ("ada@", {"username": "ada"}),
            (f":{PASSWORD}@", {"password": "a b@c/d"}),
            (f"ada:{PASSWORD}@", {"username": "ada", "password": "a b@c/d"}),
            ("ada:a@b:c@", {"username": "ada", "password": "a@b:c"}),
        ],
    )
    @pytest.mark.parametrize("url", ["redis+cluster://{}[::1]:7001,two", "redis+sentinel://{}[::1]:7001,two/ours"])
    def test_holds_credentials(self, url: str, userinfo: str, credentials: dict[str, str]) -> None:
        nodes, given, _, _ = parse(url.format(userinfo))
        assert nodes == [("::1", 7001), ("two", 6379)]
        assert given == credentials

    def test_of_sentinels_holds_a_name_and_options(self) -> None:
        url = f"redis+sentinel://one/our%20name?db=3&ssl=on&sentinel_username=eve&sentinel_password={PASSWORD}"
        _, _, options, name = parse(url)
        assert name == "our name"
        assert options == {"db": "3", "ssl": "on", "sentinel_username": "eve", "sentinel_password": "a b@c/d"}

    @pytest.mark.parametrize(
        "url",
        [
            "redis+cluster://",
            "redis+cluster://:hunter2@",
            "redis+cluster://:hunter2@one:x",
            "redis+cluster://:hunter2@one:0",
            "redis+cluster://:hunter2@one:65536",
            "redis+cluster://:hunter2@one,,two",
            "redis+cluster://:hunter2@one two",
            "redis+cluster://:hunter2@2001:db8::1",
            "redis+cluster://:hunter2@[one]:1",
            "redis+cluster://:hunter2@one/0",
            "redis+cluster://:hunter2@one?db=1",
            "redis+cluster://:hunter2@one?ssl",
            "redis+cluster://:hunter2@one?ssl=maybe",
            "redis+cluster://:hunter2@one#two",
            "redis+sentinel://:hunter2@one",
            "redis+sentinel://:hunter2@one/",
            "redis+sentinel://:hunter2@one/ours/theirs",
            "redis+sentinel://:hunter2@one/ours?db=x",
            "redis+sentinel://:hunter2@one/ours?sentinel_pasword=hunter2",
            "redis://:hunter2@one:x/0",
            "redis://one:hunter2/x@two",
            "redis://:hunter2@one:65536",
            "redis://one?socket_timeout=hunter2",
            "http://:hunter2@one",
            "hunter2",
        ],
    )
    def test_that_is_malformed_is_refused_without_a_word_of_it(self, url: str) -> None:
        with pytest.raises(ValueError, match="must be") as raised:
            checked(url)
        assert "hunter2" not in str(raised.value)
        assert raised.value.__cause__ is None

    @pytest.mark.parametrize(
        "url",
        ["redis://one", f"redis://ada:{PASSWORD}@[::1]:1/2", "rediss://one", "unix:///run/redis.sock?db=1", EMBEDDED],
    )
    def test_of_one_server_is_taken_as_redis_py_reads_it(self, url: str) -> None:
        assert checked(url) == url


class TestAClient:
    @pytest.mark.parametrize(
        ("url", "options"),
        [
            ("redis://one:7/3", {"host": "one", "port": 7, "db": 3}),
            (f"redis://ada:{PASSWORD}@[::1]", {"host": "::1", "username": "ada", "password": "a b@c/d"}),
            (f"unix://:{PASSWORD}@/run/redis.sock?db=2", {"path": "/run/redis.sock", "password": "a b@c/d", "db": 2}),
        ],
    )
    def test_of_one_server_waits_two_seconds_and_decodes(self, url: str, options: dict[str, object]) -> None:
        given = connect(url).connection_pool.connection_kwargs
        assert {**options, "socket_timeout": 2, "socket_connect_timeout": 2, "decode_responses": True}.items() <= {
            name: value for name, value in given.items() if name != "retry"
        }.items()

    def test_of_sentinels_gives_each_kind_of_server_its_credentials(self) -> None:
        url = f"redis+sentinel://ada:{PASSWORD}@one,two:1/ours?db=3&ssl=on&sentinel_username=eve&sentinel_password=x"
        pool = connect(url).connection_pool
        given = pool.connection_kwargs
        assert (given["username"], given["password"], given["db"]) == ("ada", "a b@c/d", 3)
        assert issubclass(pool.connection_class, redis.SSLConnection)
        for sentinel, (host, port) in zip(pool.sentinel_manager.sentinels, [("one", 26379), ("two", 1)], strict=True):
            told = sentinel.connection_pool.connection_kwargs
            assert (told["host"], told["username"], told["password"]) == (host, "eve", "x")
            assert (told["socket_timeout"], told["socket_connect_timeout"]) == (2, 2)
            assert issubclass(sentinel.connection_pool.connection_class, redis.SSLConnection)
            assert port in (told["port"], 26379)

    def test_of_a_cluster_that_is_not_there_says_so_with_a_redis_error(self) -> None:
        with pytest.raises(redis.RedisError):
            connect(f"redis+cluster://{HOST}:{free_port()}")


class TestAClusterThatDies:
    @pytest.fixture
    def cluster(self, tmp_path: Path) -> Iterator[RedisCluster]:
        with running_together(RedisCluster(tmp_path)) as cluster:
            yield cluster

    def test_is_unavailable_and_comes_back(self, cluster: RedisCluster, sqlite_url: str, clock: Clock) -> None:
        """Commands, scripts, pipelines and the heartbeat alike."""
        client, database = connect(cluster.url), create_database(sqlite_url)
        store = RedisAuthorizationStore(client, "test", clock.store_offset)
        heartbeat = Heartbeat(database, client, "test")
        digest = user_code_digest(b"key", "BCDFGHJK")
        assert heartbeat.parts()["redis"]
        for node in cluster.nodes:
            node.kill()
        assert not heartbeat.parts()["redis"]
        with pytest.raises(StoreUnavailable):
            store.find(digest)
        pipeline = client.pipeline(transaction=False).set("key", "value")
        with pytest.raises(redis.RedisError):
            pipeline.execute()
        for node in cluster.nodes:
            node.start()
        wait_until(cluster.is_served, "the cluster to be whole again")
        assert store.find(digest) is None
        assert heartbeat.parts()["redis"]
        client.close()
        database.engine.dispose()


class TestAClusterWithoutOneMaster:
    @pytest.fixture
    def cluster(self, tmp_path: Path) -> Iterator[RedisCluster]:
        with running_together(RedisCluster(tmp_path, node_timeout_milliseconds=1500)) as cluster:
            yield cluster

    def test_is_away_for_the_heartbeat_though_its_nodes_answer(self, cluster: RedisCluster, sqlite_url: str) -> None:
        """Before the others have noticed, and when they refuse every key but answer PING."""
        client, database = connect(cluster.url), create_database(sqlite_url)
        heartbeat = Heartbeat(database, client, "test")
        for dying in cluster.nodes:
            others = [node for node in cluster.nodes if node is not dying]
            assert heartbeat.parts()["redis"]
            dying.kill()
            assert not heartbeat.parts()["redis"]
            wait_until(
                lambda others=others: {node.cluster_info().get("cluster_state") for node in others} == {"fail"},
                "the others to notice",
            )
            assert all(node.answers() for node in others)
            begun = time.monotonic()
            assert not heartbeat.parts()["redis"]
            assert time.monotonic() - begun < 5
            dying.start()
            wait_until(cluster.is_whole, "the cluster to be whole again")
        assert heartbeat.parts()["redis"]
        client.close()
        database.engine.dispose()


class TestWhatTimedOut:
    """It may have run: whoever waited is told, and nobody sends it again."""

    @pytest.fixture
    def node(self, tmp_path: Path) -> Iterator[Node]:
        """A Cluster of one."""
        node = Node(tmp_path, free_port(), "--save", "", "--cluster-enabled", "yes")
        node.start()
        node.client.execute_command("CLUSTER ADDSLOTSRANGE", 0, 16383)
        wait_until(lambda: node.cluster_info().get("cluster_state") == "ok", "the cluster of one")
        yield node
        node.kill()
        node.client.close()

    # While the client of a Cluster asks for the nodes anew, and after it gave that up.
    @pytest.mark.parametrize("timeouts", [1.5, 2.5])
    @pytest.mark.parametrize("url", ["redis://{}", "redis+cluster://{}"])
    def test_is_not_sent_again_to_a_server_that_goes_on(self, node: Node, url: str, timeouts: float) -> None:
        client = connect(url.format(node.address))
        client.set("sent", 0)
        # It then finds in its sockets whatever was sent.
        node.pause()
        going_on = threading.Timer(timeouts * TIMEOUT_SECONDS, node.go_on)
        going_on.start()
        with pytest.raises(redis.RedisError):
            client.incr("sent")
        going_on.join()
        wait_until(lambda: node.client.get("sent") != "0", "the command to be read")
        assert client.get("sent") == "1"
        client.close()


class TestTLS:
    """A server whose certificate the machine trusts; the same client trusts no other."""

    @pytest.fixture
    def certificate(self, tmp_path: Path) -> Path:
        """Of 127.0.0.1, its key beside it."""
        key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.UTC)
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "redis")])
        built = (
            x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(HOST))]), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(key, hashes.SHA256())
        )
        path = tmp_path / "redis.pem"
        path.write_bytes(built.public_bytes(serialization.Encoding.PEM))
        path.with_suffix(".key").write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return path

    @pytest.fixture
    def tls_node(self, tmp_path: Path, certificate: Path) -> Iterator[Node]:
        """A Cluster of one, whose every slot is here, and which speaks TLS alone on a second port."""
        port = free_port()
        tls = ("--tls-port", str(port), "--tls-cert-file", str(certificate), "--tls-auth-clients", "no")
        tls += ("--tls-key-file", str(certificate.with_suffix(".key")), "--tls-ca-cert-file", str(certificate))
        node = Node(tmp_path, free_port(), "--save", "", "--cluster-enabled", "yes", "--tls-cluster", "yes", *tls)
        node.start()
        node.client.execute_command("CLUSTER ADDSLOTSRANGE", 0, 16383)
        wait_until(lambda: node.cluster_info().get("cluster_state") == "ok", "the cluster of one")
        node.port = port
        yield node
        node.kill()
        node.client.close()

    @pytest.mark.parametrize("url", ["rediss://{}", "redis+cluster://{}?ssl=on"])
    def test_is_spoken_where_the_address_says_so(
        self, tls_node: Node, certificate: Path, monkeypatch: pytest.MonkeyPatch, url: str
    ) -> None:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        client = connect(url.format(tls_node.address))
        assert client.set("key", "value")
        assert client.get("key") == "value"
        client.close()
        monkeypatch.delenv("SSL_CERT_FILE")
        with pytest.raises(redis.ConnectionError, match="certificate"):
            connect(url.format(tls_node.address)).get("key")

    @pytest.mark.parametrize("url", ["redis://{}", "redis+cluster://{}", "redis+cluster://{}?ssl=off"])
    def test_is_not_spoken_elsewhere(self, tls_node: Node, url: str) -> None:
        with pytest.raises(redis.RedisError):
            connect(url.format(tls_node.address)).get("key")


class TestSentinels:
    def test_one_that_is_away_is_passed_over_at_once(self, tmp_path: Path) -> None:
        """Within the two seconds that a request may wait; by default it is tried for four."""
        with running_together(RedisSentinels(tmp_path)) as sentinels:
            sentinels.sentinels[0].kill()
            client = connect(sentinels.url)
            began = datetime.datetime.now(datetime.UTC)
            assert client.set("key", "value")
            assert datetime.datetime.now(datetime.UTC) - began < datetime.timedelta(seconds=TIMEOUT_SECONDS)
            client.close()
