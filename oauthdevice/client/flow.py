"""The protocol, without input or output: generators that say what to send and how long to wait.

A driver (`oauthdevice.client.login`) sends each Request and hands back the Reply or Fault, waits at each Pause,
and passes each Pending on. So blocking and asynchronous callers share every rule, and tests need no server.
"""

import base64
import hashlib
import secrets
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, TypeVar
from urllib.parse import quote_plus

from .addresses import check_address, metadata_addresses
from .answers import (
    Members,
    confirmation_number,
    members_of,
    positive,
    read_started,
    read_tokens,
    refusal_of,
    retry_after,
    trouble_of,
    trouble_of_call,
    trouble_of_revocation,
)
from .errors import BadAnswer, CodeExpired, RateLimited, Unreachable, Unsupported
from .messages import Fault, Pause, Pending, Reply, Request, StartedLogin, Tokens
from .metadata import ServerMetadata, read_metadata

DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
# The clock of this machine may be a little faster than the server's: gh was told to slow down for ever
# (cli/cli#9370, cli/oauth#111).
MARGIN = 1.2
SLOW_DOWN_SECONDS = 5
BACKOFF_SECONDS = (1, 2, 4, 8, 16)
# The last poll comes so long before the end, since one after it would be in vain.
LAST_CALL_SECONDS = 0.5
# A spent refresh token is taken again for 30 seconds by our server; one that comes later ends the session.
REFRESH_PATIENCE_SECONDS = 24
PATIENCE_SECONDS = 60
# RFC 9110 §9.2.2: to do it twice is to do it once. All else may have been done although its answer was lost.
REPEATABLE = {"GET", "HEAD", "DELETE", "PUT", "OPTIONS"}

T = TypeVar("T")
Steps = Generator[Request | Pause | Pending, Reply | Fault | None, T]


@dataclass
class Pace:
    """How long to wait before the next poll (RFC 8628 §3.5). `interval` in seconds."""

    interval: float
    faults: int = 0
    asked_seconds: float = 0

    def pending(self, told: float | None) -> None:
        """The server's word on the interval now in force, where it gives one, wins: also when it is lower."""
        self.interval = told or self.interval
        self.faults, self.asked_seconds = 0, 0

    def slow_down(self, told: float | None) -> None:
        """Five seconds more, for good, or what the server says if that is more than before."""
        raised = told if told is not None and told > self.interval else self.interval + SLOW_DOWN_SECONDS
        self.pending(raised)

    def fault(self, asked_seconds: float | None) -> None:
        """Nothing came back, or the server is in trouble and may ask for time."""
        self.faults += 1
        self.asked_seconds = asked_seconds or 0

    @property
    def wait_seconds(self) -> float:
        # Never shorter than the interval: the poll whose answer was lost may have been counted.
        return max(self.interval * MARGIN, backoff(self.faults), self.asked_seconds)


def backoff(faults: int) -> float:
    """Seconds to wait after so many faults in a row."""
    return BACKOFF_SECONDS[min(faults, len(BACKOFF_SECONDS)) - 1] if faults else 0


@dataclass
class Flow:
    """One client of one server; `clock` counts seconds and never goes back."""

    issuer: str
    client_id: str
    clock: Callable[[], float]
    client_secret: str | None = field(default=None, repr=False)
    insecure: bool = False
    tries: int = 5
    metadata: ServerMetadata | None = None
    pkce: bool = True

    def discover(self) -> Steps[ServerMetadata]:
        """What the server says about itself, asked for once."""
        if self.metadata is None:
            self.metadata = yield from self._discover()
        return self.metadata

    def start(self, scope: str, device_label: str | None, extra: Mapping[str, str]) -> Steps[StartedLogin]:
        """RFC 8628 §3.1, with PKCE (RFC 7636) where the server knows it."""
        server = yield from self.discover()
        knows_pkce = self.pkce and "S256" in server.code_challenge_methods
        verifier = secrets.token_urlsafe(32) if knows_pkce else None
        form = {"scope": scope, "device_label": device_label or "", **_challenge(verifier), **extra}
        request = self._post(server.device_authorization_endpoint, {k: v for k, v in form.items() if v})
        members = yield from self._members(request)
        return replace(read_started(members, scope, self.clock(), self.insecure), code_verifier=verifier)

    def wait(self, started: StartedLogin) -> Steps[Tokens]:
        """RFC 8628 §3.4, §3.5: until the person decided or the code expired; nothing is sent after that."""
        server = yield from self.discover()
        form = {"grant_type": DEVICE_GRANT, "device_code": started.device_code}
        if started.code_verifier is not None:
            form["code_verifier"] = started.code_verifier
        request = self._post(server.token_endpoint, form)
        pace, trouble = Pace(started.interval), None
        while (left := started.deadline - self.clock()) > LAST_CALL_SECONDS:
            yield Pause(min(pace.wait_seconds, left - LAST_CALL_SECONDS), trouble)
            outcome = _outcome((yield request))
            members = members_of(outcome) if isinstance(outcome, Reply) else None
            trouble = trouble_of(outcome)
            if trouble is None and members is None:
                # The endpoint was there a moment ago: a portal or proxy in between says this.
                trouble = "the server answered with something that is no JSON"
            if trouble is None and isinstance(outcome, Reply):
                tokens = self._polled(outcome, members or {}, pace, started.scope)
                if tokens is not None:
                    return tokens
            else:
                pace.fault(retry_after(outcome))
            left = max(0.0, started.deadline - self.clock())
            yield Pending(left, pace.interval, confirmation_number(members or {}), trouble)
        if trouble is not None:
            raise Unreachable(f"the code expired while the server could not be asked: {trouble}")
        raise CodeExpired("expired_token", "Nobody decided in time.")

    def refresh(self, refresh_token: str, scope: str) -> Steps[Tokens]:
        """RFC 6749 §6. A server that does not rotate sends no new refresh token: the old one stays."""
        server = yield from self.discover()
        form = {"grant_type": "refresh_token", "refresh_token": refresh_token}
        members = yield from self._members(self._post(server.token_endpoint, form), REFRESH_PATIENCE_SECONDS)
        return read_tokens({"refresh_token": refresh_token, **members}, scope, datetime.now(UTC))

    def revoke(self, token: str, hint: str) -> Steps[None]:
        """RFC 7009 §2.1."""
        server = yield from self.discover()
        if server.revocation_endpoint is None:
            raise Unsupported("the server has no revocation endpoint")
        request = self._post(server.revocation_endpoint, {"token": token, "token_type_hint": hint})
        reply = yield from self._settled(request, trouble=trouble_of_revocation)
        if reply.status not in (200, 204):
            raise refusal_of(reply)

    def call(
        self, method: str, url: str | None, access_token: str, json: Mapping[str, Any] | None = None
    ) -> Steps[Members]:
        """A request of an API, RFC 6750 §2.1. An answer without a body is an empty one."""
        if url is None:
            raise Unsupported("the server names no address for this")
        check_address(url, self.insecure)
        headers = {"Accept": "application/json", "Authorization": f"Bearer {access_token}"}
        tries = self.tries if method.upper() in REPEATABLE else 1
        reply = yield from self._settled(
            Request(method, url, None, headers, json), tries=tries, trouble=trouble_of_call
        )
        members = members_of(reply) if reply.body else {}
        if not 200 <= reply.status < 300:
            raise refusal_of(reply)
        if members is None:
            raise BadAnswer(f"the server answered {reply.status} with something that is no JSON object")
        return members

    def _discover(self) -> Steps[ServerMetadata]:
        check_address(self.issuer, self.insecure)
        for address in metadata_addresses(self.issuer):
            reply = yield from self._settled(Request("GET", address, None, {"Accept": "application/json"}))
            members = members_of(reply)
            if reply.status == 200 and members is not None:
                return read_metadata(members, self.issuer, self.insecure)
        raise Unsupported(f"there is no OAuth server at {self.issuer} (no metadata as RFC 8414 says)")

    def _polled(self, reply: Reply, members: Members, pace: Pace, scope: str) -> Tokens | None:
        """The tokens, if the person said yes; None while nobody decided. Raises Refused."""
        # Not the status: GitHub answers 200 with an error.
        error, told = members.get("error"), positive(members.get("interval"))
        if error == "authorization_pending":
            pace.pending(told)
        elif error == "slow_down":
            pace.slow_down(told)
        elif error is not None or reply.status != 200:
            raise refusal_of(reply)
        else:
            return read_tokens(members, scope, datetime.now(UTC))
        return None

    def _members(self, request: Request, patience_seconds: float = PATIENCE_SECONDS) -> Steps[Members]:
        """The JSON object of a reply with success. Raises Refused, BadAnswer, Unreachable."""
        reply = yield from self._settled(request, patience_seconds)
        members = members_of(reply)
        if reply.status != 200 or members is None or "error" in members:
            raise refusal_of(reply)
        return members

    def _settled(
        self,
        request: Request,
        patience_seconds: float = PATIENCE_SECONDS,
        tries: int | None = None,
        trouble: Callable[[Reply | Fault], str | None] = trouble_of,
    ) -> Steps[Reply]:
        """A reply that is not to be tried again, after at most `tries`. Raises RateLimited, Unreachable."""
        latest = self.clock() + patience_seconds
        faults = 0
        while True:
            outcome = _outcome((yield request))
            why = trouble(outcome)
            if why is None and isinstance(outcome, Reply):
                return outcome
            faults += 1
            seconds = max(backoff(faults), retry_after(outcome) or 0)
            hopeless = faults >= (tries or self.tries) or (isinstance(outcome, Fault) and outcome.lasting)
            if hopeless or self.clock() + seconds > latest:
                limit = refusal_of(outcome) if isinstance(outcome, Reply) else None
                raise limit if isinstance(limit, RateLimited) else Unreachable(f"{why} ({request.url})")
            yield Pause(seconds, why)

    def _post(self, url: str, form: Mapping[str, str]) -> Request:
        """A request of the client, in its own name (RFC 6749 §2.3.1)."""
        headers = {"Accept": "application/json"}
        if self.client_secret is None:
            return Request("POST", url, {"client_id": self.client_id, **form}, headers)
        methods = (self.metadata.token_endpoint_auth_methods if self.metadata else None) or ("client_secret_basic",)
        if "client_secret_basic" not in methods and "client_secret_post" in methods:
            named = {"client_id": self.client_id, "client_secret": self.client_secret}
            return Request("POST", url, {**named, **form}, headers)
        pair = f"{quote_plus(self.client_id)}:{quote_plus(self.client_secret)}"
        headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        return Request("POST", url, form, headers)


def _challenge(verifier: str | None) -> dict[str, str]:
    """RFC 7636 §4.3."""
    if verifier is None:
        return {}
    digest = hashlib.sha256(verifier.encode("ascii")).digest()
    challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")
    return {"code_challenge": challenge, "code_challenge_method": "S256"}


def _outcome(sent_back: Reply | Fault | None) -> Reply | Fault:
    """What a driver sent back for a request."""
    if sent_back is None:
        raise TypeError("a Request is answered with a Reply or a Fault")
    return sent_back
