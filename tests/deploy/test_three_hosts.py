"""Two web hosts, one with PostgreSQL and Redis, nginx in front: each a machine of its own, whose cable is pulled."""

import contextlib
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import requests
from sqlalchemy import text

from oauthdevice.domain.credentials import credential_digest
from oauthdevice.domain.token_endpoint import DEVICE_GRANT
from oauthdevice.stores.migrate import upgrade

from ..crowds import UNLIMITED
from ..factories import APPROVE, CODE, PASSWORD, TOKEN, World, make_world, unique_name
from ..ports import free_port
from ..servers import RedisServer, running_postgresql, wait_until
from .hosts import Host, running_lan
from .production import ProductionServer
from .proxies import BROWSER, CLIENT, DEVICE, Caller, changed, make_certificate, nginx_command, running

# Many people share one address here, and each signs in.
OPTIONS = {**UNLIMITED, "limit.login_address": "off", "argon2_memory_kib": "1024", "argon2_time_cost": "1"}
PORT, POSTGRESQL_PORT = 6543, 5432
# As /proc/net/tcp writes it.
ESTABLISHED = "01"
WAIT = ("authorization_pending", "slow_down")
Send = Callable[[], httpx.Response]


@dataclass(frozen=True)
class WebHost:
    """A machine with our server and nothing else."""

    host: Host
    server: ProductionServer

    def served(self) -> Counter[str]:
        """What happened on it, by the name of the event."""
        return Counter(re.findall(r'"event": "(\w+)"', self.server.printed))

    def is_ready(self) -> bool:
        """As it tells whoever reaches it without nginx."""
        try:
            return requests.get(f"{self.server.url}/readyz", timeout=1).ok
        except requests.RequestException:
            return False

    def connections(self, port: int) -> int:
        """How many to this port of another host it believes in."""
        with self.host.inside():
            rows = [line.split() for line in Path("/proc/thread-self/net/tcp").read_text().splitlines()]
        return sum(row[2].endswith(f":{port:04X}") and row[3] == ESTABLISHED for row in rows)


@dataclass(frozen=True)
class Site:
    """The machines. `world` looks into the stores from where they stand, whatever cable is out."""

    url: str
    folder: Path
    front: Host
    one: WebHost
    two: WebHost
    store: Host
    world: World

    def caller(self, address: str, timeout_seconds: float = 30) -> Caller:
        """Somebody who comes through nginx."""
        return self._caller(address, self.url, timeout_seconds)

    def direct(self, web: WebHost) -> Caller:
        """Somebody who is served by this host, as nginx would pass him on."""
        caller = self._caller(self.front.address, web.server.url, 30)
        host = self.url.partition("://")[2]
        caller.headers.update({"Host": host, "Origin": self.url, "X-Forwarded-Proto": "https"})
        return caller

    def _caller(self, address: str, url: str, timeout_seconds: float) -> Caller:
        # One person decides in several threads: httpcore does not lock a connection of HTTP/2 against that.
        caller = Caller(address, self.folder / "fullchain.pem", url, http2=False)
        caller.timeout = httpx.Timeout(timeout_seconds)
        return caller

    @contextlib.contextmanager
    def person(self) -> Iterator["Person"]:
        """Somebody with an account of his own, signed in through nginx."""
        email = self.world.person().account.email
        with self.caller(BROWSER, 5) as browser:
            browser.sign_in(email, PASSWORD)
            yield Person(email, browser, browser.csrf_token("/device"))

    def forget(self, web: WebHost) -> None:
        """The stores end every connection of it, as they do after minutes of silence."""
        with self.world.services.database.write() as sql:
            sql.execute(
                text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE client_addr = :address"),
                {"address": web.host.address},
            )
        for client in self.world.redis.client_list():
            if client["addr"].startswith(f"{web.host.address}:"):
                self.world.redis.client_kill(client["addr"])

    @contextlib.contextmanager
    def redemptions_held(self, person: "Person") -> Iterator[Callable[[], tuple[WebHost, WebHost]]]:
        """While this lasts no token for this person can be stored.

        What it gives waits for one that is to be, and tells the host that is at it, and the other.
        """
        with self.world.services.database.write() as sql:
            sql.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
            sql.execute(text("SELECT 1 FROM accounts WHERE email = :email FOR UPDATE"), {"email": person.email})
            ours = sql.scalar(text("SELECT pg_backend_pid()"))

            def blocked() -> set[str]:
                held = text("SELECT host(client_addr) FROM pg_stat_activity WHERE :ours = ANY(pg_blocking_pids(pid))")
                with self.world.services.database.read() as other:
                    return set(other.scalars(held, {"ours": ours}))

            def wait() -> tuple[WebHost, WebHost]:
                found: set[str] = set()
                wait_until(lambda: found.update(blocked()) or found, "a redemption")
                return (self.one, self.two) if self.one.host.address in found else (self.two, self.one)

            yield wait

    def check(self, tokens: list[str], flows: int) -> None:
        """Everybody has a token of his own, and no session was made that nobody holds."""
        with self.world.services.database.read() as sql:
            digests = set(sql.scalars(text("SELECT digest FROM access_tokens")))
            assert sql.scalar(text("SELECT count(*) FROM sessions")) == len(set(tokens)) == flows
        assert {credential_digest(token) for token in tokens} == digests

    def upstream_statuses(self) -> list[str]:
        """What nginx was told at each request; several where it tried one host after another."""
        return [line.split('"')[3] for line in (self.folder / "oauthdevice.log").read_text().splitlines()]


@dataclass(frozen=True)
class Person:
    """A browser with a session cookie."""

    email: str
    browser: Caller
    csrf_token: str

    def approve(self, asked: dict[str, str], through: Caller | None = None) -> httpx.Response:
        """Through another than the browser, with the cookie and the CSRF token of the browser."""
        headers = {"X-CSRF-Token": self.csrf_token, "Cookie": self.cookie}
        return (through or self.browser).post(APPROVE, json={"user_code": asked["user_code"]}, headers=headers)

    @property
    def cookie(self) -> str:
        return "; ".join(f"{one.name}={one.value}" for one in self.browser.cookies.jar)


class Devices:
    """Who asks, polls and comes again; `told` counts what kept them from an answer."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.tokens: list[str] = []
        self.told: Counter[str] = Counter()

    def sign_in(self, person: Person) -> None:
        """One flow, from the codes to the token. A code that was given is never given up."""
        with self.site.caller(DEVICE, 5) as device:
            asked = self.insist(lambda: device.post(CODE, data=CLIENT)).json()
            assert self.insist(lambda: poll(device, asked)).json()["error"] in WAIT
            # 409: the first time round it was approved, and that answer was lost.
            assert self.insist(lambda: person.approve(asked)).status_code in (200, 409)
            while (answer := self.insist(lambda: poll(device, asked))).status_code == 400:
                # Another poll, whose answer was lost, may hold the lease.
                assert answer.json()["error"] in WAIT, answer.text
                pause(0.1)
            assert answer.status_code == 200, answer.text
            self.tokens.append(answer.json()["access_token"])

    def insist(self, send: Send) -> httpx.Response:
        """The first answer that is one of ours and final. RFC 8628 §3.5: who meets a time-out comes less often."""
        seconds = 0.1
        while True:
            try:
                answer = send()
            except httpx.TimeoutException:
                self.told["nothing"] += 1
            else:
                if answer.status_code not in (502, 503, 504):
                    return answer
                self.told[str(answer.status_code)] += 1
            pause(seconds)
            seconds = min(2 * seconds, 2)


def poll(caller: Caller, asked: dict[str, str]) -> httpx.Response:
    return caller.post(TOKEN, data={**CLIENT, "grant_type": DEVICE_GRANT, "device_code": asked["device_code"]})


def pause(seconds: float) -> None:
    threading.Event().wait(seconds)


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("hosts")
    make_certificate(folder)
    http_port, https_port = free_port(), free_port()
    url = f"https://localhost:{https_port}"
    with contextlib.ExitStack() as stack:
        lan = stack.enter_context(running_lan())
        hosts, store = (lan.add("one"), lan.add("two")), lan.add("store")
        with store.inside():
            redis = RedisServer(folder, store.address)
            stack.callback(redis.stop)
            redis.start()
            postgresql = stack.enter_context(running_postgresql(store.address))
        name = unique_name("hosts")
        console = postgresql.create_database(name)
        upgrade(console)
        world = make_world(console, redis.url, **OPTIONS)
        web = []
        for host in hosts:
            (folder / host.name).mkdir()
            server = ProductionServer(
                folder / host.name,
                f"postgresql+psycopg://postgres@{store.address}/{name}",
                f"redis://{store.address}",
                public_url=url,
                options="\n".join(f"oauthdevice.{option} = {value}" for option, value in OPTIONS.items()),
                bind=f"{host.address}:{PORT}",
                trusted=lan.front.address,
            )
            server.url = f"http://{host.address}:{PORT}"
            stack.callback(server.stop)
            with host.inside():
                server.start()
            web.append(WebHost(host, server))
        command = nginx_command(folder, http_port, https_port, PORT)
        of_each = "".join(rf"\g<1>{host.address}\g<2>" for host in hosts)
        conf = folder / "oauthdevice.conf"
        conf.write_text(changed(conf.read_text(), {rf"^( *server )127\.0\.0\.1(:{PORT}.*\n)": of_each}))
        stack.enter_context(lan.front.inside())
        stack.enter_context(running(command, https_port, folder))
        yield Site(url, folder, lan.front, *web, store, world)
        world.services.redis.close()
        world.services.database.engine.dispose()


@pytest.fixture
def site(machines: Site) -> Site:
    """All cables in, no session of an earlier test."""
    with machines.world.services.database.write() as sql:
        sql.execute(text("DELETE FROM sessions"))
    return machines


def test_what_one_host_begins_the_other_goes_on_with(site: Site) -> None:
    """Asked on the first, approved on the second with the cookie of either, polled on any: one token."""
    tokens = []
    with (
        site.direct(site.one) as one,
        site.direct(site.two) as two,
        site.caller(DEVICE) as through_nginx,
        site.person() as ada,
    ):
        for host in (one, two):
            assert ada.email in host.get("/device", headers={"Cookie": ada.cookie}).text
        for asks, approves, polls in [(one, two, one), (one, two, two), (two, one, through_nginx)]:
            asked = asks.post(CODE, data=CLIENT).json()
            assert asked["verification_uri"] == f"{site.url}/device"
            assert ada.approve(asked, approves).status_code == 200
            answer = poll(polls, asked)
            assert answer.status_code == 200, answer.text
            # An answer that was lost is fetched again from any.
            assert [poll(host, asked).json() for host in (one, two)] == [answer.json()] * 2
            tokens.append(answer.json()["access_token"])
            assert one.account(tokens[-1])["email"] == two.account(tokens[-1])["email"] == ada.email
    site.check(tokens, 3)


def test_flows_through_nginx_are_served_by_both(site: Site) -> None:
    before = [web.served() for web in (site.one, site.two)]
    devices = Devices(site)
    with site.person() as ada, ThreadPoolExecutor(4) as pool:
        list(pool.map(devices.sign_in, [ada] * 16))
    for web, earlier in zip((site.one, site.two), before, strict=True):
        assert (web.served() - earlier).keys() >= {"started", "approved", "redeemed"}
    site.check(devices.tokens, 16)
    assert devices.told == {}


def test_a_host_is_cut_off_in_mid_flow_and_comes_back(site: Site) -> None:
    """What began on it ends on the other, even a redemption that holds locks. Back, it serves without a restart."""
    flows, devices = 60, Devices(site)
    with contextlib.ExitStack() as stack:
        bob, *people = [stack.enter_context(site.person()) for _ in range(8)]
        pool, cable = stack.enter_context(ThreadPoolExecutor(8)), stack.enter_context(contextlib.ExitStack())
        with site.redemptions_held(bob) as wait_for_one:
            done = [pool.submit(devices.sign_in, bob)]
            done += [pool.submit(devices.sign_in, people[number % 7]) for number in range(flows - 1)]
            wait_until(lambda: len(devices.tokens) >= flows / 3, "a third of the flows", seconds=60)
            cut, other = wait_for_one()
            cable.enter_context(cut.host.unplugged())
        before = other.served()
        for flow in done:
            flow.result(60)
        site.check(devices.tokens, flows)
        assert (other.served() - before)["redeemed"] > 0
        # Tried there first, and then on the other: nobody is told, not even of a POST.
        assert any(re.fullmatch("50[24], [24]00", statuses) for statuses in site.upstream_statuses())
        wait_until(lambda: not cut.connections(POSTGRESQL_PORT), "the host to give up what it waits for")
        site.forget(cut)
        before = cut.served()
        cable.close()
        back_at = time.monotonic()
        wait_until(cut.is_ready, "the host to be ready", seconds=60)
        while not (cut.served() - before)["redeemed"]:
            list(pool.map(devices.sign_in, people))
            assert time.monotonic() < back_at + 60
    site.check(devices.tokens, len(devices.tokens))


def test_a_token_whose_answer_is_lost_is_told_again(site: Site) -> None:
    """A host stores it, and nothing of it reaches nginx any more: the device hears of a 504 early enough."""
    with contextlib.ExitStack() as stack:
        ada, device = stack.enter_context(site.person()), stack.enter_context(site.caller(DEVICE))
        pool = stack.enter_context(ThreadPoolExecutor(1))
        asked = device.post(CODE, data=CLIENT).json()
        ada.approve(asked)
        with site.redemptions_held(ada) as wait_for_one:
            lost = pool.submit(poll, device, asked)
            mute, other = wait_for_one()
            stack.enter_context(mute.host.mute_towards(site.front))
        assert lost.result(60).status_code == 504
        before = other.served()
        answer = poll(device, asked)
        assert answer.status_code == 200, answer.text
        assert "redeemed" not in other.served() - before
    site.check([answer.json()["access_token"]], 1)


def test_the_stores_are_cut_off_and_come_back(site: Site) -> None:
    """Programs are told 503, people why; afterwards all goes on, without a restart."""
    flows, devices = 24, Devices(site)
    with contextlib.ExitStack() as stack:
        people = [stack.enter_context(site.person()) for _ in range(8)]
        hosts = [stack.enter_context(site.direct(web)) for web in (site.one, site.two)]
        pool, crowd = [stack.enter_context(ThreadPoolExecutor(8)) for _ in range(2)]
        device = stack.enter_context(site.caller(DEVICE))
        asked = device.post(CODE, data=CLIENT).json()
        people[0].approve(asked)
        done = [crowd.submit(devices.sign_in, people[number % 8]) for number in range(flows)]
        wait_until(lambda: len(devices.tokens) >= flows / 3, "a third of the flows", seconds=60)
        with site.store.unplugged():
            told = [pool.submit(device.post, CODE, data=CLIENT), pool.submit(poll, device, asked)]
            page = pool.submit(device.get, "/device", headers={"Cookie": people[0].cookie})
            ready = [pool.submit(host.get, "/readyz") for host in hosts]
            for answer in told:
                assert_unavailable(answer.result())
            assert page.result().status_code == 503
            assert "<h1>The server has trouble</h1>" in page.result().text
            for one in ready:
                assert one.result().status_code == 503
                assert one.result().json() == {"status": "unavailable", "database": "away", "redis": "away"}
            assert [host.get("/healthz").status_code for host in hosts] == [200, 200]
        for web in (site.one, site.two):
            wait_until(web.is_ready, "the host to be ready", seconds=60)
        for flow in done:
            flow.result(60)
        answer = poll(device, asked)
        assert answer.status_code == 200, answer.text
    site.check([*devices.tokens, answer.json()["access_token"]], flows + 1)


def assert_unavailable(answer: httpx.Response) -> None:
    assert answer.status_code == 503, answer.text
    assert int(answer.headers["Retry-After"]) > 0
    assert answer.json()["error"] == "temporarily_unavailable"
