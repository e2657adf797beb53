"""Who we are to a browser that makes and uses passkeys: the relying party of WebAuthn."""

import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit

_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class RelyingParty:
    """`id` is the host that passkeys belong to; `origin` is that of every page that may use them.

    `problem` says why no browser would use passkeys here; "" where one would.
    """

    id: str
    origin: str
    problem: str = ""


def relying_party(public_url: str) -> RelyingParty:
    """The relying party at an absolute address. No header of a request has a say."""
    parts = urlsplit(public_url)
    host = parts.hostname or ""
    port = "" if parts.port in (None, _DEFAULT_PORTS.get(parts.scheme)) else f":{parts.port}"
    return RelyingParty(host, f"{parts.scheme}://{host}{port}", _problem(parts.scheme, host))


def _problem(scheme: str, host: str) -> str:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        pass
    else:
        return "the host of public_url is an IP address, not a name"
    if not host.isascii():
        return "the host of public_url must be written as browsers send it, with xn--"
    if scheme != "https" and host != "localhost" and not host.endswith(".localhost"):
        return "public_url is neither https nor localhost"
    return ""
