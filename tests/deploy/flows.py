"""Devices that are signed in over HTTP, without an end, while the servers around them stop and start."""

import itertools
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx
from sqlalchemy import select

from oauthdevice.domain.credentials import credential_digest
from oauthdevice.domain.token_endpoint import DEVICE_GRANT
from oauthdevice.stores.models import AccessTokenRow
from oauthdevice.stores.sql import create_database

from ..factories import APPROVE, CODE, TOKEN
from ..servers import wait_until
from .proxies import CLIENT, Browser

FLOWS = 36
# Processes of their own have no clock to move: the shortest interval there is.
INTERVAL_SECONDS = 1
OPTIONS = "\n".join(
    [
        f"oauthdevice.interval_seconds = {INTERVAL_SECONDS}",
        *(f"oauthdevice.limit.{name} = off" for name in ("code", "decide", "guesses", "lookup", "token_unknown")),
    ]
)


class Balancer(httpx.BaseTransport):
    """As nginx with several servers: each request to the next one, and on to another where one refuses.

    What broke off after it was sent is not sent again: nobody knows whether it was done.
    """

    def __init__(self, *ports: int) -> None:
        self._ports = ports
        self._turns = itertools.count()
        self._transport = httpx.HTTPTransport(limits=httpx.Limits(max_keepalive_connections=0))

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        first = next(self._turns)
        for further in range(len(self._ports)):
            request.url = request.url.copy_with(port=self._ports[(first + further) % len(self._ports)])
            try:
                return self._transport.handle_request(request)
            except httpx.ConnectError as error:
                refused = error
        raise refused

    def close(self) -> None:
        self._transport.close()


class Flows:
    """So many devices at a time; where one has its token, the next one comes.

    Each asks, polls, is approved and polls at the interval until there is a token. It comes again after a
    503, and, as RFC 8628 §3.5 has it, after a connection that broke off. `told` counts both, as "unavailable" and
    "cut off"; `wrong` holds every answer that no client may be given. `person` is signed in.
    """

    def __init__(self, person: Browser) -> None:
        self.person = person
        self.tokens: list[str] = []
        self.told: Counter[str] = Counter()
        self.wrong: list[str] = []
        self._csrf = person.csrf_token("/logout")
        self._lock = threading.Lock()
        self._enough = threading.Event()

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """While this lasts they come; at its end each that came has a token."""
        with ThreadPoolExecutor(FLOWS) as pool:
            devices = [pool.submit(self._one_after_another) for _ in range(FLOWS)]
            try:
                yield
            finally:
                self._enough.set()
            for one in devices:
                one.result(120)

    def wait_for_more(self) -> None:
        """Until as many as are on their way have a token."""
        enough = len(self.tokens) + FLOWS
        wait_until(lambda: self.wrong or len(self.tokens) >= enough, "more tokens", seconds=120)

    def wait_for(self, what: str) -> None:
        """Until as many as are on their way are told so."""
        enough = self.told[what] + FLOWS
        wait_until(lambda: self.wrong or self.told[what] >= enough, what, seconds=60)

    def check(self, database_url: str) -> None:
        """Nobody was told anything wrong, each has one token, and there is no other."""
        assert self.wrong == []
        database = create_database(database_url)
        with database.read() as sql:
            live = [(row.session_id, row.digest) for row in sql.scalars(select(AccessTokenRow))]
        database.engine.dispose()
        assert max(Counter(session for session, _ in live).values()) == 1
        assert sorted(digest for _, digest in live) == sorted(map(credential_digest, self.tokens))

    def _one_after_another(self) -> None:
        while not self._enough.is_set() and not self.wrong:
            token = self._flow()
            with self._lock:
                self.tokens.append(token)

    def _flow(self) -> str:
        asked = self._expect(self._send(CODE, data=CLIENT), 200)
        form = {**CLIENT, "grant_type": DEVICE_GRANT, "device_code": asked["device_code"]}
        assert self._expect(self._send(TOKEN, data=form), 400)["error"] == "authorization_pending"
        self._pause()
        approved = self._send(APPROVE, json={"user_code": asked["user_code"]}, headers={"X-CSRF-Token": self._csrf})
        # 409: the first try was cut off, and done.
        self._expect(approved, 200, 409)
        while True:
            self._pause()
            answer = self._send(TOKEN, data=form)
            told = self._expect(answer, 200, 400)
            if answer.status_code == 200:
                return told["access_token"]
            # Another poll, which was cut off, may hold the lease for a moment.
            if told["error"] not in ("authorization_pending", "slow_down"):
                self._blame(answer)

    def _send(self, path: str, **options: object) -> httpx.Response:
        while True:
            try:
                answer = self.person.post(path, **options)
            except httpx.ConnectError as error:
                with self._lock:
                    self.wrong.append(f"nobody there: {error}")
                raise
            except (httpx.NetworkError, httpx.RemoteProtocolError):
                self._count("cut off")
            else:
                if answer.status_code != 503 or int(answer.headers.get("Retry-After", 0)) < 1:
                    return answer
                self._count("unavailable")
            self._pause()

    def _expect(self, answer: httpx.Response, *statuses: int) -> dict[str, str]:
        if answer.status_code not in statuses:
            self._blame(answer)
        told: dict[str, str] = answer.json()
        return told

    def _blame(self, answer: httpx.Response) -> None:
        what = f"{answer.request.url.path}: {answer.status_code} {answer.text}"
        with self._lock:
            self.wrong.append(what)
        raise AssertionError(what)

    def _count(self, what: str) -> None:
        with self._lock:
            self.told[what] += 1

    def _pause(self) -> None:
        threading.Event().wait(INTERVAL_SECONDS)
