"""One server under examination: its metadata, and the requests that checks ask it with.

What several checks look at is asked once and kept. Nothing is asked before a check needs it.
"""

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any
from urllib.parse import quote_plus

from ..client import InsecureAddress
from ..client.addresses import check_address, is_loopback, metadata_addresses
from .addresses import parts_of
from .answers import Answer
from .authorizations import Authorization, number
from .people import Person
from .requirements import NotApplicable, NotTried, Unmet
from .sessions import Sessions
from .transport import Pairs, Transport

DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
DEFAULT_INTERVAL_SECONDS = 5.0
SLOW_DOWN_SECONDS = 5.0
# Timers of two machines differ a little.
MARGIN_SECONDS = 0.2
# What no server has given to anybody.
STRANGER = "oauthdevice-conformance-unknown"


@dataclass(frozen=True, slots=True)
class Client:
    """Who asks. `secret` is None for a public client; `in_body`: client_secret_post in place of Basic."""

    client_id: str
    secret: str | None = None
    in_body: bool = False

    def sign(self, form: Pairs) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
        """The form and the headers with this client's credentials (RFC 6749 §2.3.1)."""
        if self.secret is None:
            return [("client_id", self.client_id), *form], []
        if self.in_body:
            return [("client_id", self.client_id), ("client_secret", self.secret), *form], []
        return list(form), [basic(self.client_id, self.secret)]


def basic(client_id: str, secret: str) -> tuple[str, str]:
    """The header of HTTP Basic, encoded as RFC 6749 §2.3.1 says."""
    pair = f"{quote_plus(client_id)}:{quote_plus(secret)}"
    return ("authorization", "Basic " + base64.b64encode(pair.encode()).decode())


@dataclass(frozen=True, slots=True)
class Hurry:
    """What a code is answered that is polled again at once, then 5 s later than that, then after the old interval."""

    early: Answer
    long_enough: Answer
    old_interval: Answer


@dataclass(eq=False)
class Probe:
    """`other_client`: one that may introspect. `guesses`: how many wrong user codes may be tried; 0 for none.
    `insecure`: secrets may go without TLS to other machines.

    `resource`: an address that takes access tokens by GET; "" where none is known.
    """

    issuer: str
    http: Transport
    client: Client
    person: Person
    scope: str = ""
    other_client: Client | None = None
    resource: str = ""
    guesses: int = 0
    insecure: bool = False
    metadata_answers: list[Answer] = field(default_factory=list)

    def discover(self) -> None:
        """Fetch the metadata: at the place of RFC 8414, or where OpenID Connect has it. Raises Unreachable."""
        for address in metadata_addresses(self.issuer):
            answer = self.http.get(address)
            self.metadata_answers.append(answer)
            if answer.status == 200 and answer.members:
                break
        methods = self.metadata.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        if isinstance(methods, list) and "client_secret_basic" not in methods:
            self.client = replace(self.client, in_body="client_secret_post" in methods)
        # Where OpenID Connect and this project's server tell whom a token speaks for.
        known = (str(self.metadata.get(name)) for name in ("userinfo_endpoint", "account_endpoint"))
        self.resource = self.resource or next((one for one in known if self._may_ask(one)), "")

    def _may_ask(self, address: str) -> bool:
        try:
            return bool(check_address(address, self.insecure))
        except InsecureAddress:
            return False

    @property
    def metadata(self) -> Mapping[str, Any]:
        last = self.metadata_answers[-1:]
        return last[0].members if last and last[0].status == 200 else {}

    def address(self, name: str) -> str:
        """The address of an endpoint that the metadata names. Raises NotApplicable without one."""
        found = self.metadata.get(f"{name}_endpoint")
        if not isinstance(found, str) or not parts_of(found).netloc:
            raise NotApplicable(f"the metadata has no {name}_endpoint")
        return found

    def endpoint(self, name: str) -> str:
        """As `address`, to send secrets to. Raises NotTried where they would go without TLS to another machine."""
        found = self.address(name)
        parts = parts_of(found)
        if parts.scheme != "https" and not self.insecure and not is_loopback(parts.hostname or ""):
            raise NotTried(f"the {name}_endpoint is without TLS: --insecure allows http")
        return found

    def check_tls(self, address: str) -> str:
        """What to tell of an address that is to be https. http on this machine is nobody's danger (RFC 8252 §8.3)."""
        parts = parts_of(address)
        if parts.scheme == "https":
            return "https"
        if parts.scheme == "http" and is_loopback(parts.hostname or ""):
            raise NotApplicable("http on this machine alone")
        raise Unmet(f"{parts.scheme or 'no scheme'} on {parts.hostname}")

    @cached_property
    def sessions(self) -> Sessions:
        """What a person decides."""
        return Sessions(self)

    # The device authorization endpoint.

    def start(self, form: Pairs = (), client: Client | None = None) -> Answer:
        """One device authorization request (RFC 8628 §3.1), whatever is answered."""
        scope = [("scope", self.scope)] if self.scope and not any(name == "scope" for name, _ in form) else []
        signed, headers = (client or self.client).sign([*scope, *form])
        return self.http.post(self.endpoint("device_authorization"), signed, headers)

    def authorization(self) -> Authorization:
        """A new one. Raises NotTried where the server gives none."""
        answer = self.start()
        interval = number(answer.members.get("interval"))
        found = Authorization(answer, self.http.now(), DEFAULT_INTERVAL_SECONDS if interval is None else interval)
        if not found.device_code or not found.user_code:
            raise NotTried(f"no device authorization to be had: {answer.told}")
        return found

    @cached_property
    def first(self) -> Authorization:
        """One that nobody decides: what it looks like, how it is polled, how it expires."""
        return self.authorization()

    @cached_property
    def second(self) -> Authorization:
        """Beside the first, to compare; nobody decides it."""
        return self.authorization()

    # The token endpoint.

    def token(self, form: Pairs, headers: Iterable[tuple[str, str]] = (), client: Client | None = None) -> Answer:
        """One token request, whatever is answered."""
        signed, own = (client or self.client).sign(form)
        return self.http.post(self.endpoint("token"), signed, [*own, *headers])

    def poll(
        self, one: Authorization, *, early: bool = False, headers: Iterable[tuple[str, str]] = (), form: Pairs = ()
    ) -> Answer:
        """Poll (RFC 8628 §3.4) when it is time, or at once where `early`; slow_down lengthens the interval (§3.5)."""
        if one.polled_at is not None and not early and not one.decided:
            due = one.polled_at + one.interval + MARGIN_SECONDS
            self.http.wait(due - self.http.now(), "the interval between two polls")
        answer = self.token([("grant_type", DEVICE_GRANT), ("device_code", one.device_code), *form], headers)
        one.polled_at = self.http.now()
        if answer.error == "slow_down":
            one.interval += SLOW_DOWN_SECONDS
        return answer

    @cached_property
    def unknown_client(self) -> Answer:
        return self.start(client=Client(STRANGER))

    @cached_property
    def unknown_code(self) -> Answer:
        """A poll for a code that the server never gave."""
        return self.token([("grant_type", DEVICE_GRANT), ("device_code", STRANGER)])

    @cached_property
    def missing_code(self) -> Answer:
        return self.token([("grant_type", DEVICE_GRANT)])

    @cached_property
    def unknown_grant(self) -> Answer:
        return self.token([("grant_type", "urn:oauthdevice:conformance:unknown")])

    @cached_property
    def pending(self) -> Answer:
        """The first poll of a code that nobody decided."""
        return self.poll(self.first)

    @cached_property
    def hurry(self) -> Hurry:
        """On the second code, since the first is the one to expire."""
        one, told = self.second, self.second.interval
        if (before := self.poll(one)).error != "authorization_pending":
            raise NotTried(f"the poll before: {before.told}")
        early = self.poll(one, early=True)
        if early.error != "slow_down":
            return Hurry(early, early, early)
        long_enough = self.poll(one)
        self.http.wait(told + MARGIN_SECONDS, "the interval between two polls")
        return Hurry(early, long_enough, self.poll(one, early=True))

    @cached_property
    def verification_page(self) -> Answer:
        return self.http.browse(self.first.member("verification_uri"))

    # The endpoints for what was issued.

    def introspect(self, token: str, form: Pairs = ()) -> Answer:
        """As the other client. Raises NotTried without one."""
        address = self.endpoint("introspection")
        if self.other_client is None:
            raise NotTried("needs --introspection-client ID:SECRET")
        signed, headers = self.other_client.sign([("token", token), *form])
        return self.http.post(address, signed, headers)

    def revoke(self, token: str, form: Pairs = ()) -> Answer:
        """As the client that the token was issued to."""
        signed, headers = self.client.sign([("token", token), *form])
        return self.http.post(self.endpoint("revocation"), signed, headers)
