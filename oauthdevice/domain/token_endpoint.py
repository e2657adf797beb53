"""The token endpoint: who asks, for which grant, and may they. Each grant has a service of its own."""

from dataclasses import dataclass
from typing import Any

from .clients import Client, ClientCredentials, Clients
from .device_flow import DeviceFlow
from .dpop import SentProof
from .errors import (
    ExpiredToken,
    InvalidClient,
    InvalidGrant,
    InvalidRequest,
    UnauthorizedClient,
    UnsupportedGrantType,
)
from .refresh import Refresher

DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
REFRESH_GRANT = "refresh_token"


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRequest:
    """A request at the token endpoint (RFC 8628 §3.4, RFC 7636 §4.5, RFC 6749 §6). Absent parameters are None.

    `original_dialect` marks the JSON form without grant_type: it means the device grant, and its
    client knows only the four errors of RFC 8628 §3.5. `wait_seconds` is how long the client would rather
    wait for a decision than hear that there is none. `proof` is that of RFC 9449 §5.
    """

    credentials: ClientCredentials
    address: str
    grant_type: str | None = None
    device_code: str | None = None
    refresh_token: str | None = None
    scope: str = ""
    original_dialect: bool = False
    wait_seconds: float = 0
    code_verifier: str | None = None
    proof: SentProof | None = None


class TokenEndpoint:
    """Answers every token request."""

    def __init__(self, clients: Clients, device_flow: DeviceFlow, refresher: Refresher) -> None:
        self._clients = clients
        self._device_flow = device_flow
        self._refresher = refresher

    def exchange(self, request: TokenRequest) -> dict[str, Any]:
        """The token answer (DESIGN.md §2.4), or the error that says why there is none.

        Raises InvalidRequest, InvalidClient, UnauthorizedClient, UnsupportedGrantType, and what
        DeviceFlow.poll and Refresher.refresh raise. In the original dialect InvalidClient and
        InvalidGrant are told as ExpiredToken.
        """
        try:
            client = self._clients.authenticate(request.credentials)
            return self._exchange(client, request)
        except (InvalidClient, InvalidGrant) as error:
            if request.original_dialect:
                raise ExpiredToken(detail=error.error) from error
            raise

    def _exchange(self, client: Client, request: TokenRequest) -> dict[str, Any]:
        grant_type = DEVICE_GRANT if request.original_dialect else request.grant_type
        if grant_type is None:
            raise InvalidRequest("Missing parameter: grant_type.")
        if grant_type == DEVICE_GRANT:
            if request.device_code is None:
                raise InvalidRequest("Missing parameter: device_code.")
            return self._device_flow.poll(
                client,
                request.device_code,
                request.address,
                request.wait_seconds,
                code_verifier=request.code_verifier,
                proof=request.proof,
            )
        if grant_type == REFRESH_GRANT:
            if not client.refresh:
                raise UnauthorizedClient()
            if request.refresh_token is None:
                raise InvalidRequest("Missing parameter: refresh_token.")
            return self._refresher.refresh(client, request.refresh_token, request.scope, request.address, request.proof)
        raise UnsupportedGrantType()
