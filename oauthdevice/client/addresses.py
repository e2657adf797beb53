"""Which addresses a secret may be sent to, and where a server's metadata lies."""

import ipaddress
from urllib.parse import SplitResult, urlsplit, urlunsplit

from .errors import InsecureAddress

_OAUTH, _OPENID = ".well-known/oauth-authorization-server", ".well-known/openid-configuration"


def check_address(address: str, insecure: bool = False) -> str:
    """The address, if it is https, or http on this machine (RFC 8252 §8.3); any http with `insecure`.

    Raises InsecureAddress, also where it is no address of the web or holds what a terminal would obey.
    """
    parts = _split(address)
    if parts is None or parts.scheme not in ("https", "http") or not parts.hostname or "@" in parts.netloc:
        raise InsecureAddress("not an address that begins with https://")
    if parts.scheme == "http" and not insecure and not is_loopback(parts.hostname):
        raise InsecureAddress(f"{parts.hostname} is to be asked without TLS")
    return address


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def metadata_addresses(issuer: str) -> list[str]:
    """Where to look, in this order: RFC 8414 §3.1, §5, and OpenID Connect Discovery §4."""
    parts = urlsplit(issuer)
    path = parts.path.rstrip("/")
    found = [f"/{_OAUTH}{path}", f"/{_OPENID}{path}", f"{path}/{_OPENID}"]
    return [urlunsplit((parts.scheme, parts.netloc, one, "", "")) for one in dict.fromkeys(found)]


def _split(address: str) -> SplitResult | None:
    if not (address.isascii() and address.isprintable() and " " not in address and len(address) <= 2048):
        return None
    try:
        parts = urlsplit(address)
        parts.port  # noqa: B018  # a port that is none raises only here
    except ValueError:
        return None
    return parts
