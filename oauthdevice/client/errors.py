"""How a sign-in can end other than with tokens. No message holds a code, token or secret."""


class DeviceLoginError(Exception):
    """The base of all."""


class Refused(DeviceLoginError):
    """The server said no. `error` is its OAuth code (RFC 6749 §5.2), `description` what it says to developers."""

    def __init__(self, error: str, description: str = "") -> None:
        super().__init__(f"{error}: {description}" if description else error)
        self.error = error
        self.description = description


class AccessDenied(Refused):
    """RFC 8628 §3.5: the person said no."""


class CodeExpired(Refused):
    """RFC 8628 §3.5: nobody decided in time."""


class InvalidClient(Refused):
    """The server does not know this client, or not with this secret."""


class InvalidGrant(Refused):
    """The code or refresh token is none of this client, is spent, or was revoked: sign in again."""


class InvalidScope(Refused):
    """A scope that was asked for does not exist, or not for this client."""


class InvalidToken(Refused):
    """RFC 6750 §3.1: the access token is expired or revoked."""


class RateLimited(Refused):
    """Too many requests. `retry_after_seconds` is None where the server does not tell."""

    def __init__(self, error: str, description: str = "", retry_after_seconds: float | None = None) -> None:
        super().__init__(error, description)
        self.retry_after_seconds = retry_after_seconds


class Cancelled(DeviceLoginError):
    """`cancel()` was called while somebody waited."""

    def __init__(self) -> None:
        super().__init__("the sign-in was cancelled")


class Unreachable(DeviceLoginError):
    """The server was not to be reached, or only answered that it is in trouble, for as long as was worth trying."""


class BadAnswer(DeviceLoginError):
    """The server answered, but not what the protocol says."""


class IssuerMismatch(BadAnswer):
    """RFC 8414 §3.3: the metadata is of another issuer than the one that was asked for."""


class Unsupported(DeviceLoginError):
    """This server does not do that: it names no endpoint for it."""


class InsecureAddress(DeviceLoginError):
    """An address without TLS that is not of this machine, and `insecure` is off."""


# By the code on the wire; every other code is a plain Refused.
BY_CODE: dict[str, type[Refused]] = {
    "access_denied": AccessDenied,
    "expired_token": CodeExpired,
    "invalid_client": InvalidClient,
    "unauthorized_client": InvalidClient,
    "invalid_grant": InvalidGrant,
    "invalid_scope": InvalidScope,
    "invalid_token": InvalidToken,
}
