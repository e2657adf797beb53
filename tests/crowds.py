"""Many people at once, each signing a device in, while a server of theirs dies and comes back."""

import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from sqlalchemy import select
from webtest import TestResponse

from oauthdevice.domain.credentials import credential_digest
from oauthdevice.stores.models import AccessTokenRow

from .factories import API, APPROVE, Device, Person, World
from .servers import wait_until

UNLIMITED = {f"limit.{name}": "off" for name in ("code", "decide", "guesses", "lookup", "token_unknown", "bearer")}
# A device that is told to come again does so; another process has to come up, there is no clock to move.
PAUSE_SECONDS = 0.05


class Forgotten(Exception):
    """The server no longer knows the code: whoever asked for it has to start again."""


class Crowd:
    """So many flows, a few at a time: ask, poll, approve, poll until there is a token; from the start if need be.

    `told` counts what happened: "unavailable" (503 with Retry-After), "code forgotten", "approval
    forgotten" (told 200, and yet nobody had approved). `wrong` holds every answer that no client may
    be given.
    """

    def __init__(self, world: World, flows: int, threads: int = 8) -> None:
        self.world, self.flows, self.threads = world, flows, threads
        self.tokens: list[str] = []
        self.told: Counter[str] = Counter()
        self.wrong: list[str] = []
        self._here = threading.local()
        self._people = iter([world.person().sign_in() for _ in range(threads)])
        self._lock = threading.Lock()

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """While this lasts they come; at its end the last one has a token."""
        with ThreadPoolExecutor(self.threads) as pool:
            flows = [pool.submit(self._one) for _ in range(self.flows)]
            try:
                yield
            finally:
                for flow in flows:
                    flow.result(120)

    def wait_for(self, share: float) -> None:
        """Until so many of them have a token."""
        wait_until(lambda: len(self.tokens) >= self.flows * share, f"{share:.0%} of the flows", seconds=120)

    def wait_for_outage(self) -> None:
        """Until somebody is told to come again."""
        before = self.told["unavailable"]
        wait_until(lambda: self.told["unavailable"] > before, "a 503")

    def live_tokens(self) -> list[tuple[str, str]]:
        """Session and digest of each."""
        with self.world.services.database.read() as sql:
            return [(row.session_id, row.digest) for row in sql.scalars(select(AccessTokenRow))]

    def check(self, *, starts_again_max: int) -> None:
        """Everybody has one token, which opens their account, and no code gave two that do."""
        assert self.wrong == []
        assert len(set(self.tokens)) == self.flows
        live = self.live_tokens()
        assert max(Counter(session for session, _ in live).values()) == 1
        assert {credential_digest(token) for token in self.tokens} <= {digest for _, digest in live}
        # One that was minted and not delivered, as its code was forgotten: nobody holds it.
        assert len(live) - self.flows <= self.told["code forgotten"]
        assert self.told["code forgotten"] + self.told["approval forgotten"] <= starts_again_max
        browser = self.world.browser()
        headers = [{"Authorization": f"Bearer {token}"} for token in self.tokens[:: self.flows // 50]]
        assert {browser.get(f"{API}/account", headers=one, status="*").status_int for one in headers} == {200}

    def check_that_all_goes_on(self) -> None:
        """At the first try, whatever they were told before."""
        device = self.world.device().ask()
        self.world.person().allow(device.user_code)
        answer = device.poll()
        assert answer.status_int == 200
        assert device.account(answer.json["access_token"]).status_int == 200

    def _one(self) -> None:
        if not hasattr(self._here, "person"):
            with self._lock:
                self._here.person = next(self._people)
            self._here.csrf = self._here.person.csrf_token()
        while True:
            try:
                token = self._flow()
            except Forgotten:
                self._count("code forgotten")
                continue
            with self._lock:
                self.tokens.append(token)
            return

    def _flow(self) -> str:
        device = self.world.device()
        device.answer = self._answer(device.http.post, f"{API}/oauth/device/code", {"client_id": "difyctl"}).json
        # The first look of a device that has nothing yet.
        if "token" in self._poll(device):
            self._blame("a token before approval")
        self._approve(device.user_code)
        while "token" not in (told := self._poll(device)):
            # Another poll, which died, may hold the lease for a moment; or the approval is forgotten.
            if self._approve(device.user_code):
                self._count("approval forgotten")
            self._pause()
        return told["token"]

    def _poll(self, device: Device) -> dict[str, str]:
        answer = self._answer(device.poll)
        if answer.status_int == 200:
            return {"token": answer.json["access_token"]}
        error = answer.json["error"]
        if error in ("invalid_grant", "expired_token"):
            raise Forgotten()
        if error not in ("authorization_pending", "slow_down"):
            self._blame(f"poll: {answer.status} {error}")
        return {}

    def _approve(self, user_code: str) -> bool:
        """Whether this very request approved it, and not an earlier one."""
        person: Person = self._here.person
        answer = self._answer(
            person.browser.post_json, APPROVE, {"user_code": user_code}, headers={"X-CSRF-Token": self._here.csrf}
        )
        if answer.status_int == 404:
            raise Forgotten()
        if answer.status_int not in (200, 409):
            self._blame(f"approve: {answer.status} {answer.text}")
        return bool(answer.status_int == 200)

    def _answer(self, ask: Any, *arguments: Any, **options: Any) -> TestResponse:
        """That of a request which is sent until it is not told to come again."""
        if ask.__name__ != "poll":
            options["status"] = "*"
        while True:
            answer: TestResponse = ask(*arguments, **options)
            if answer.status_int < 500:
                return answer
            if answer.status_int != 503 or int(answer.headers.get("Retry-After", 0)) < 1:
                self._blame(f"{answer.request.path}: {answer.status} {answer.text}")
            self._count("unavailable")
            self._pause()

    def _pause(self) -> None:
        threading.Event().wait(PAUSE_SECONDS)

    def _count(self, what: str) -> None:
        with self._lock:
            self.told[what] += 1

    def _blame(self, what: str) -> None:
        with self._lock:
            self.wrong.append(what)
