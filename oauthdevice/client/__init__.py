"""Sign people in from a program without a browser: the device flow of RFC 8628, at any server that speaks it.

    login = DeviceLogin("https://login.example.com", "my-cli")
    started = login.start(scope="apps:run", device_label="build server")
    print(started.user_code, started.verification_uri)
    tokens = login.wait(started)

`AsyncDeviceLogin` is the same for asyncio. Needs httpx (`pip install 'oauthdevice[client]'`), nothing of the server.
"""

from .errors import (
    AccessDenied,
    BadAnswer,
    Cancelled,
    CodeExpired,
    DeviceLoginError,
    InsecureAddress,
    InvalidClient,
    InvalidGrant,
    InvalidScope,
    InvalidToken,
    IssuerMismatch,
    RateLimited,
    Refused,
    Unreachable,
    Unsupported,
)
from .login import AsyncDeviceLogin, DeviceLogin
from .messages import Pause, Pending, StartedLogin, Tokens
from .metadata import ServerMetadata

__all__ = [
    "AccessDenied",
    "AsyncDeviceLogin",
    "BadAnswer",
    "Cancelled",
    "CodeExpired",
    "DeviceLogin",
    "DeviceLoginError",
    "InsecureAddress",
    "InvalidClient",
    "InvalidGrant",
    "InvalidScope",
    "InvalidToken",
    "IssuerMismatch",
    "Pause",
    "Pending",
    "RateLimited",
    "Refused",
    "ServerMetadata",
    "StartedLogin",
    "Tokens",
    "Unreachable",
    "Unsupported",
]
