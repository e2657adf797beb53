"""The requests that the standards write, for a client `bench` without a secret and a `bench-api` with one."""

from base64 import b64encode
from urllib.parse import urlencode

from ..contenders import FORM, Request

CLIENT = "bench"
API_CLIENT = "bench-api"
# How many tokens are asked with: too many to be one hot record, few enough to be there at once.
TOKENS = 100


def start(path: str, scope: str) -> Request:
    """Ask for a device code (RFC 8628 section 3.1)."""
    return Request(path, 200, body=urlencode({"client_id": CLIENT, "scope": scope}), headers=FORM)


def poll(path: str, device_code: str) -> Request:
    """Ask for the token of a device code that nobody has decided: 400 (RFC 8628 section 3.4)."""
    grant_type = "urn:ietf:params:oauth:grant-type:device_code"
    form = {"grant_type": grant_type, "client_id": CLIENT, "device_code": device_code}
    return Request(path, 400, body=urlencode(form), headers=FORM)


def introspect(path: str, token: str, authorization: str) -> Request:
    """Ask what a token is (RFC 7662 section 2.1)."""
    headers = {**FORM, "Authorization": authorization}
    return Request(path, 200, body=urlencode({"token": token}), headers=headers)


def read(path: str, token: str) -> Request:
    """Read with a token what it is good for (RFC 6750 section 2.1)."""
    return Request(path, 200, method="GET", headers={"Authorization": bearer(token)})


def basic(secret: str) -> str:
    """How `bench-api` proves who it is; `secret` needs no form encoding (RFC 6749 section 2.3.1)."""
    return f"Basic {b64encode(f'{API_CLIENT}:{secret}'.encode()).decode()}"


def bearer(token: str) -> str:
    return f"Bearer {token}"
