"""A server of no logic: answers with what a test lists, and remembers what it was asked."""

import json
from typing import Any

import httpx

from oauthdevice.client import AsyncDeviceLogin, DeviceLogin
from oauthdevice.client.flow import Steps
from oauthdevice.client.messages import Fault, Pause, Pending, Reply, Request

ISSUER = "https://login.example.com"
METADATA = {
    "issuer": ISSUER,
    "device_authorization_endpoint": f"{ISSUER}/code",
    "token_endpoint": f"{ISSUER}/token",
    "revocation_endpoint": f"{ISSUER}/revoke",
}
STARTED = {
    "device_code": "the-device-code",
    "user_code": "WDJB-MJHT",
    "verification_uri": f"{ISSUER}/device",
    "verification_uri_complete": f"{ISSUER}/device?user_code=WDJB-MJHT",
    "expires_in": 60,
    "interval": 5,
}
TOKENS = {"access_token": "the-token", "token_type": "Bearer", "expires_in": 3600, "scope": "full"}
PENDING = {"error": "authorization_pending"}


def reply(members: Any, status: int = 200, **headers: str) -> Reply:
    """An answer as a flow is handed it. Text is sent as it is."""
    body = members if isinstance(members, str) else json.dumps(members)
    return Reply(status, {name.replace("_", "-"): value for name, value in headers.items()}, body.encode())


def error(code: str, status: int = 400, **members: Any) -> Reply:
    return reply({"error": code, **members}, status)


class Played:
    """A flow driven by hand: time passes only in its pauses, and each request takes one of `outcomes`.

    After the last of them, all are like the last.
    """

    def __init__(self, *outcomes: Reply | Fault) -> None:
        self.outcomes = list(outcomes)
        self.now = 1000.0
        self.requests: list[Request] = []
        self.asked_at: list[float] = []
        self.pauses: list[float] = []
        self.pending: list[Pending] = []

    def clock(self) -> float:
        return self.now

    def run(self, steps: Steps[Any], seconds_each: float = 0) -> Any:
        outcome: Reply | Fault | None = None
        try:
            while True:
                step = steps.send(outcome)
                outcome = None
                if isinstance(step, Request):
                    self.requests.append(step)
                    self.asked_at.append(self.now)
                    self.now += seconds_each
                    outcome = self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]
                elif isinstance(step, Pause):
                    self.pauses.append(step.seconds)
                    self.now += step.seconds
                else:
                    self.pending.append(step)
        except StopIteration as end:
            return end.value


class Answers:
    """The same behind httpx: `answers` are responses, or errors of the connection."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []
        self.pauses: list[float] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        # Not read yet, as an answer from the network is.
        return httpx.Response(answer.status_code, headers=answer.headers, stream=answer.stream)

    def login(self, issuer: str = ISSUER, **options: Any) -> DeviceLogin:
        http = httpx.Client(transport=httpx.MockTransport(self))
        return DeviceLogin(issuer, "cli", http=http, sleep=self.pauses.append, **options)

    def async_login(self, issuer: str = ISSUER, **options: Any) -> AsyncDeviceLogin:
        async def sleep(seconds: float) -> None:
            self.pauses.append(seconds)

        http = httpx.AsyncClient(transport=httpx.MockTransport(self))
        return AsyncDeviceLogin(issuer, "cli", http=http, sleep=sleep, **options)


def answer(members: Any, status: int = 200, **headers: str) -> httpx.Response:
    return httpx.Response(status, json=members, headers=headers)
