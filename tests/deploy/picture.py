"""`python -m tests.deploy.picture FILE.svg [MINUTES]`: the dashboard as a picture, for the documentation.

Everything in it happened: production.ini with two processes over PostgreSQL and Redis, a Prometheus that watches
it, and people, devices and nuisances for some minutes, in which Redis is away once. deploy/grafana/draw.py asks
that Prometheus and draws; Grafana has no part in it.
"""

import hashlib
import json
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests

from oauthdevice.domain.token_endpoint import DEVICE_GRANT, REFRESH_GRANT
from oauthdevice.stores.migrate import upgrade

from ..factories import (
    API,
    APPROVAL_CONTEXT,
    APPROVE,
    APPROVE_EXTERNAL,
    CODE,
    DENY,
    LOOKUP,
    PASSWORD,
    SSO_INITIATE,
    TOKEN,
    make_world,
)
from ..installations import Visitor
from ..ports import free_port
from ..scripted_providers import CLIENT_ID, CLIENT_SECRET, ScriptedProvider, running
from ..servers import CHECKOUT, RedisServer, running_postgresql, wait_until
from .production import ProductionServer

SCRAPE_SECONDS = 5
# As production.ini has it: so long an answer that was lost is given again. Later it is a replay.
REDELIVERY_SECONDS = 30
PEOPLE = 24
ACCOUNTS = [f"person-{number}@example.com" for number in range(150)]
# How often each of them signs a device in.
CLIENTS = {"difyctl": 6, "agent": 3, "tv": 1}
API_SECRET = "the secret of the API"
SECTIONS = f"""
[client:agent]
name = Agent
scopes = full
refresh = on
[client:tv]
name = TV
scopes = full apps:run apps:read:permitted-external
[client:api]
name = API
scopes = full
device_flow = off
secret_sha256 = {hashlib.sha256(API_SECRET.encode()).hexdigest()}
[sso:corp]
client_id = {CLIENT_ID}
client_secret = {CLIENT_SECRET}
issuer = """


class Load:
    """Everybody who does something, each in a thread, until `stop` is set. Times and decisions are random."""

    def __init__(self, url: str, provider: ScriptedProvider) -> None:
        self.url, self.provider = url, provider
        self.stop = threading.Event()
        self.tokens: list[str] = []

    @contextmanager
    def at_work(self) -> Iterator[None]:
        everybody = [self.somebody] * PEOPLE
        everybody += [self.stranger, self.stranger, self.program, self.program, self.guesser, self.robot]
        threads = [threading.Thread(target=self._again, args=(one,)) for one in everybody]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self.stop.set()
            for thread in threads:
                thread.join()

    def somebody(self) -> None:
        """A device asks, its person decides, it uses what it got."""
        device, asked, client_id = self._device()
        impatient = random.random() < 0.2
        person = threading.Thread(target=self._quietly, args=(self._decide, asked["user_code"]))
        person.start()
        answer: dict[str, Any] = {}
        # Whose person went away gives up.
        for _ in range(12):
            if self.stop.wait(2 if impatient else asked["interval"] + 0.1):
                break
            told = device.post(self.url + TOKEN, self._grant(asked, client_id), timeout=30)
            answer = told.json()
            if answer.get("error") not in ("authorization_pending", "slow_down", "temporarily_unavailable"):
                break
        person.join()
        if "access_token" not in answer:
            return
        self.tokens.append(answer["access_token"])
        if client_id == "agent":
            self._refresh(device, answer["refresh_token"])
        if random.random() < 0.3:
            headers = {"Authorization": f"Bearer {answer['access_token']}"}
            device.delete(f"{self.url}{API}/account/sessions/self", headers=headers, timeout=30)
        if random.random() < 0.05:
            self.stop.wait(REDELIVERY_SECONDS + 2)
            device.post(self.url + TOKEN, self._grant(asked, client_id), timeout=30)

    def stranger(self) -> None:
        """Somebody of the company, who signs in there. One in five thinks better of it."""
        device, asked, client_id = self._device("difyctl")
        browser = self._session()
        self._wait(2, 10)
        left = browser.get(
            self.url + SSO_INITIATE, params={"user_code": asked["user_code"]}, allow_redirects=False, timeout=30
        )
        self._wait(1, 4)
        self.provider.person = {"sub": self._address(), "email": f"{self._address()}@corp.example"}
        self.provider.person["email_verified"] = True
        changed = {"error": "access_denied", "code": None} if random.random() < 0.2 else {}
        came_back = self.provider.sign_in(left.headers["Location"], **changed)
        browser.get(self.url + came_back, allow_redirects=False, timeout=30)
        if not changed:
            csrf = browser.get(self.url + APPROVAL_CONTEXT, timeout=30).json()["csrf_token"]
            browser.post(
                self.url + APPROVE_EXTERNAL,
                json={"user_code": asked["user_code"]},
                headers={"X-CSRF-Token": csrf},
                timeout=30,
            )
        if random.random() < 0.2:
            device = self._session()
        device.post(self.url + TOKEN, self._grant(asked, client_id), timeout=30)

    def program(self) -> None:
        """Uses tokens, and an API that asks what they are worth."""
        self._wait(0.1, 0.5)
        token = random.choice(self.tokens[-50:])
        http = self._session()
        http.get(f"{self.url}{API}/account", headers={"Authorization": f"Bearer {token}"}, timeout=30)
        http.post(f"{self.url}{API}/oauth/introspect", {"token": token}, auth=("api", API_SECRET), timeout=30)

    def guesser(self) -> None:
        """Wrong codes from one address."""
        self._wait(0.3, 0.9)
        code = "".join(random.choices("BCDFGHJKLMNPQRSTVWXZ", k=8))
        self._session("203.0.113.66").get(self.url + LOOKUP, params={"user_code": code}, timeout=30)

    def robot(self) -> None:
        """Wrong passwords for one account after the other."""
        self._wait(2, 5)
        visitor = self._visitor("203.0.113.99")
        visitor.sign_in(random.choice(ACCOUNTS), "123456")

    def _decide(self, user_code: str) -> None:
        self._wait(2, 9) if random.random() < 0.7 else self._wait(9, 40)
        visitor = self._visitor(self._address())
        email = random.choice(ACCOUNTS)
        if random.random() < 0.1:
            visitor.sign_in(email, "correct horse")
        visitor.sign_in(email, PASSWORD)
        if random.random() < 0.1:
            return
        headers = {"X-CSRF-Token": visitor.csrf_token()}
        path = DENY if random.random() < 0.12 else APPROVE
        visitor.http.post(self.url + path, json={"user_code": user_code}, headers=headers, timeout=30)

    def _refresh(self, device: requests.Session, refresh_token: str) -> None:
        form = {"grant_type": REFRESH_GRANT, "client_id": "agent"}
        answers = [refresh_token]
        for _ in range(3):
            self._wait(1, 4)
            answer = device.post(self.url + TOKEN, {**form, "refresh_token": answers[-1]}, timeout=30).json()
            answers.append(answer["refresh_token"])
            self.tokens.append(answer["access_token"])
        if random.random() < 0.1:
            self.stop.wait(REDELIVERY_SECONDS + 2)
            device.post(self.url + TOKEN, {**form, "refresh_token": answers[0]}, timeout=30)

    def _device(self, client_id: str | None = None) -> tuple[requests.Session, dict[str, Any], str]:
        client_id = client_id or random.choices(list(CLIENTS), list(CLIENTS.values()))[0]
        device = self._session()
        return device, device.post(self.url + CODE, {"client_id": client_id}, timeout=30).json(), client_id

    def _grant(self, asked: dict[str, Any], client_id: str) -> dict[str, str]:
        return {"grant_type": DEVICE_GRANT, "client_id": client_id, "device_code": asked["device_code"]}

    def _session(self, address: str = "") -> requests.Session:
        http = requests.Session()
        http.headers["X-Forwarded-For"] = address or self._address()
        return http

    def _visitor(self, address: str) -> Visitor:
        visitor = Visitor(self.url)
        visitor.http = self._session(address)
        return visitor

    def _address(self) -> str:
        return f"198.18.{random.randrange(256)}.{random.randrange(256)}"

    def _wait(self, least: float, most: float) -> None:
        self.stop.wait(random.uniform(least, most))

    def _again(self, one: Callable[[], None]) -> None:
        self._wait(0, 8)
        while not self.stop.is_set():
            self._quietly(one)

    def _quietly(self, one: Callable[..., None], *arguments: Any) -> None:
        """Who is told that Redis is away, or that the code is forgotten, starts again a little later."""
        try:
            one(*arguments)
        except (requests.RequestException, AssertionError, LookupError, ValueError):
            self._wait(0.5, 2)


@contextmanager
def prometheus(folder: Path, target: str) -> Iterator[str]:
    """The address of a Prometheus that watches `target`."""
    scrape = {"job_name": "oauthdevice", "static_configs": [{"targets": [target]}]}
    settings = {"global": {"scrape_interval": f"{SCRAPE_SECONDS}s"}, "scrape_configs": [scrape]}
    # JSON is YAML.
    (folder / "prometheus.yml").write_text(json.dumps(settings))
    url = f"http://127.0.0.1:{free_port()}"
    command = ["prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/prometheus"]
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen([*command, f"--web.listen-address={url[7:]}"], stdout=log, stderr=log)
    try:
        wait_until(lambda: knows_its_target(url), "Prometheus", lambda: process.poll() is not None)
        yield url
    finally:
        process.terminate()
        process.wait(30)


def knows_its_target(url: str) -> bool:
    """It listens a little earlier."""
    try:
        answer = requests.get(f"{url}/api/v1/targets", timeout=5)
    except (requests.ConnectionError, requests.Timeout):
        return False
    return answer.ok and bool(answer.json()["data"]["activeTargets"])


def main(target: Path, minutes: float = 5) -> None:
    with (
        tempfile.TemporaryDirectory() as name,
        running_postgresql() as postgresql,
        running(ScriptedProvider()) as provider,
    ):
        folder = Path(name)
        redis = RedisServer(folder)
        redis.start()
        database_url = postgresql.create_database("picture")
        upgrade(database_url)
        world = make_world(database_url, redis.url)
        for email in ACCOUNTS:
            world.services.accounts.add(email, "Ada Person", PASSWORD)
        server = ProductionServer(folder, database_url, redis.url, options="oauthdevice.edition = enterprise")
        # The provider speaks no TLS, which nothing but this allows.
        ini = server.ini.read_text().replace("oauthdevice.mode = production", "oauthdevice.mode = development")
        server.ini.write_text(ini + SECTIONS + provider.url + "\n")
        (folder / "metrics").mkdir()
        server.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder / "metrics")
        server.start()
        try:
            with prometheus(folder, f"127.0.0.1:{server.port}") as url, Load(server.url, provider).at_work():
                time.sleep(20 + minutes * 60 * 0.6)
                redis.stop()
                time.sleep(10)
                redis.start()
                time.sleep(max(10, minutes * 60 * 0.4 - 10))
                script = CHECKOUT / "deploy" / "grafana" / "draw.py"
                subprocess.run([sys.executable, script, url, target, str(minutes)], check=True)
        finally:
            server.stop()
            redis.stop()
            world.services.redis.close()
            world.services.database.engine.dispose()


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(float, sys.argv[2:]))
