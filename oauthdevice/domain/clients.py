"""The clients that may ask, and how they prove who they are."""

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from .errors import InvalidClient
from .other_network import OtherNetwork
from .rate_limits import RateLimits, network


class Policy(Enum):
    """What a client has of a protection that it must bring itself. OFF: what it sends of it is ignored."""

    OFF = "off"
    ALLOWED = "allowed"
    REQUIRED = "required"


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """A client as the ini declares it in `[client:CLIENT_ID]`. Lifetimes and interval in seconds.

    `secret_sha256` and `secret_argon2` are digests of the secret of a confidential client; with
    neither it is public. `refresh` lets it have refresh tokens, `device_flow` lets it sign in.
    `other_network` is what it takes to approve it from another network than its tool asked from. `pkce` (RFC 7636)
    keeps a stolen device_code from being redeemed, `dpop` (RFC 9449) a stolen token from being used.
    """

    client_id: str
    name: str
    scopes: frozenset[str]
    device_code_lifetime_seconds: int
    interval_seconds: int
    access_token_lifetime_seconds: int
    refresh_token_lifetime_seconds: int
    refresh: bool = False
    device_flow: bool = True
    other_network: OtherNetwork = OtherNetwork.WARN
    pkce: Policy = Policy.ALLOWED
    dpop: Policy = Policy.ALLOWED
    secret_sha256: str | None = None
    secret_argon2: str | None = None

    @property
    def is_confidential(self) -> bool:
        return self.secret_sha256 is not None or self.secret_argon2 is not None

    @property
    def access_lifetime(self) -> timedelta:
        """How long an access token lasts."""
        return timedelta(seconds=self.access_token_lifetime_seconds)

    @property
    def renewable(self) -> timedelta | None:
        """For how long it can get new access tokens by itself; None where it cannot."""
        lifetime = timedelta(seconds=self.refresh_token_lifetime_seconds)
        return lifetime if self.refresh and lifetime > self.access_lifetime else None


@dataclass(frozen=True, slots=True)
class ClientCredentials:
    """What a request says of its client. `secret` is None where it brought none.

    `secret_as_sent` is another reading of the same secret: in HTTP Basic, RFC 6749 §2.3.1 asks for
    form encoding, and many clients send it as it is. `address` is where the request came from.
    """

    client_id: str
    secret: str | None = None
    secret_as_sent: str | None = None
    address: str = ""


class Clients:
    """Every client that this server knows."""

    def __init__(self, clients: Mapping[str, Client], hasher: PasswordHasher, limits: RateLimits) -> None:
        self._clients = clients
        self._limits = limits
        self._hasher = hasher
        # An argon2 check costs as much as a hundred requests. Of a secret that was right once, this
        # process keeps a digest under a key that only it has and that dies with it.
        self._key = secrets.token_bytes(32)
        self._seen: dict[str, bytes] = {}

    def get(self, client_id: str) -> Client | None:
        """The client, or None where it is not (or no longer) declared."""
        return self._clients.get(client_id)

    def authenticate(self, credentials: ClientCredentials) -> Client:
        """The client that made the request.

        A public client has no secret and must bring none (RFC 8628 §3.4); a confidential one must
        bring its own, and has few guesses at it from one address (RFC 6749 §2.3.1).
        Raises InvalidClient, RateLimited.
        """
        client = self._clients.get(credentials.client_id)
        if client is None:
            raise InvalidClient()
        if not client.is_confidential:
            if credentials.secret is not None:
                raise InvalidClient("This client is public and has no secret.")
            return client
        readings = [one for one in {credentials.secret, credentials.secret_as_sent} if one is not None]
        if any(self._is_known(client, secret) for secret in readings):
            return client
        guesses = f"{network(credentials.address)} client {client.client_id}"
        self._limits.reserve("login_address", guesses)
        if not any(self._verifies(client, secret) for secret in readings):
            raise InvalidClient()
        self._limits.refund("login_address", guesses)
        return client

    def authenticate_confidential(self, credentials: ClientCredentials) -> Client:
        """As `authenticate`, for what a public client may not do. Raises InvalidClient."""
        client = self.authenticate(credentials)
        if not client.is_confidential:
            raise InvalidClient("Only a client with a secret may do this.")
        return client

    def _is_known(self, client: Client, secret: str) -> bool:
        if client.secret_sha256 is not None:
            return hmac.compare_digest(hashlib.sha256(secret.encode()).hexdigest(), client.secret_sha256)
        return hmac.compare_digest(self._seen.get(client.client_id, b""), self._digest(secret))

    def _verifies(self, client: Client, secret: str) -> bool:
        if client.secret_argon2 is None:
            return False
        try:
            self._hasher.verify(client.secret_argon2, secret)
        except (VerificationError, InvalidHashError):
            return False
        self._seen[client.client_id] = self._digest(secret)
        return True

    def _digest(self, secret: str) -> bytes:
        return hmac.digest(self._key, secret.encode(), "sha256")
