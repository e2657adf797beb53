"""What a server says about itself (RFC 8414 §2), as far as a device needs it."""

from dataclasses import dataclass

from .addresses import check_address
from .answers import Members
from .errors import BadAnswer, IssuerMismatch, Unsupported


@dataclass(frozen=True, slots=True)
class ServerMetadata:
    """Where its endpoints are. Made by hand where a server publishes no metadata."""

    device_authorization_endpoint: str
    token_endpoint: str
    revocation_endpoint: str | None = None
    # Of ours alone: whom a token speaks for, and their devices.
    account_endpoint: str | None = None
    sessions_endpoint: str | None = None
    # None: not told, which means client_secret_basic (RFC 8414 §2).
    token_endpoint_auth_methods: tuple[str, ...] | None = None
    # RFC 7636; empty: the server does not know it.
    code_challenge_methods: tuple[str, ...] = ()


def read_metadata(members: Members, issuer: str, insecure: bool) -> ServerMetadata:
    """The document of this very issuer. Raises IssuerMismatch, Unsupported, BadAnswer, InsecureAddress."""
    told = members.get("issuer")
    # One slash at the end is how people write an address, and leads nowhere else.
    if not isinstance(told, str) or told.removesuffix("/") != issuer.removesuffix("/"):
        raise IssuerMismatch("the server's metadata is of another issuer than the one that was asked for")

    def address(name: str) -> str | None:
        value = members.get(name)
        return check_address(value, insecure) if isinstance(value, str) else None

    device, token = address("device_authorization_endpoint"), address("token_endpoint")
    if device is None:
        raise Unsupported("the server has no device flow (no device_authorization_endpoint in its metadata)")
    if token is None:
        raise BadAnswer("the server's metadata has no token_endpoint")
    methods = members.get("token_endpoint_auth_methods_supported")
    challenges = members.get("code_challenge_methods_supported")
    return ServerMetadata(
        device_authorization_endpoint=device,
        token_endpoint=token,
        revocation_endpoint=address("revocation_endpoint"),
        account_endpoint=address("account_endpoint"),
        sessions_endpoint=address("sessions_endpoint"),
        token_endpoint_auth_methods=tuple(map(str, methods)) if isinstance(methods, list) else None,
        code_challenge_methods=tuple(map(str, challenges)) if isinstance(challenges, list) else (),
    )
