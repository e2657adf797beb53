"""The clients that may ask, and how they prove who they are."""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass

from .errors import InvalidClient


@dataclass(frozen=True, slots=True)
class Client:
    """A client as the ini declares it in `[client:CLIENT_ID]`. Lifetimes and interval in seconds."""

    client_id: str
    name: str
    scopes: frozenset[str]
    device_code_lifetime_seconds: int
    interval_seconds: int
    access_token_lifetime_seconds: int
    secret_sha256: str | None = None


@dataclass(frozen=True, slots=True)
class ClientCredentials:
    """What a request says of its client. `secret` is None where it brought none."""

    client_id: str
    secret: str | None = None


class Clients:
    """Every client that this server knows."""

    def __init__(self, clients: Mapping[str, Client]) -> None:
        self._clients = clients

    def get(self, client_id: str) -> Client | None:
        """The client, or None where it is not (or no longer) declared."""
        return self._clients.get(client_id)

    def authenticate(self, credentials: ClientCredentials) -> Client:
        """The client that made the request.

        A public client has no secret and must bring none (RFC 8628 §3.4); a confidential one must
        bring its own (RFC 6749 §2.3.1). Raises InvalidClient.
        """
        client = self._clients.get(credentials.client_id)
        if client is None:
            raise InvalidClient()
        if client.secret_sha256 is None:
            if credentials.secret is not None:
                raise InvalidClient("This client is public and has no secret.")
            return client
        digest = hashlib.sha256((credentials.secret or "").encode()).hexdigest()
        if not hmac.compare_digest(digest, client.secret_sha256):
            raise InvalidClient()
        return client
