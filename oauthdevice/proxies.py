"""Whose word on the client's address is taken: a filter for `production.ini`, before the application.

The headers are read by waitress' middleware and not by us. It knows one trusted address, or all; here are
networks. gunicorn believes networks, but only about the scheme.
"""

import ipaddress
import re
from collections.abc import Callable, Iterable
from typing import Any

from waitress.proxy_headers import proxy_headers_middleware

from .values import SettingsError

Application = Callable[..., Iterable[bytes]]
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
# The two that say what only a proxy can know. Who is asked for stands in Host and in public_url.
HEADERS = frozenset(["x-forwarded-for", "x-forwarded-proto"])
_FORWARDED_FOR = "HTTP_X_FORWARDED_FOR"


def make_filter(_global_config: dict[str, str], trusted: str = "") -> Callable[[Application], "TrustedProxies"]:
    """A `paste.filter_factory`. `trusted`: addresses and networks between spaces; empty: nobody is believed.

    Raises SettingsError.
    """
    try:
        networks = [ipaddress.ip_network(word) for word in trusted.split()]
    except ValueError as error:
        problem = "must be addresses or networks such as 127.0.0.1 or 10.1.0.0/16 between spaces"
        raise SettingsError("[filter:proxies] trusted", problem) from error
    return lambda application: TrustedProxies(application, networks)


class TrustedProxies:
    """WSGI middleware: from a proxy of ours, the address and scheme that it tells; from others, their own.

    A proxy tells the client's address last in X-Forwarded-For: what stands before it came from the client.
    """

    def __init__(self, application: Application, networks: Iterable[Network]) -> None:
        self._networks = tuple(networks)
        self._behind_a_proxy = proxy_headers_middleware(
            application, trusted_proxy="*", trusted_proxy_headers=HEADERS, clear_untrusted=True
        )
        self._direct = proxy_headers_middleware(application, trusted_proxy=None, clear_untrusted=True)

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        chosen = self._behind_a_proxy if self._trusts(environ["REMOTE_ADDR"]) else self._direct
        if _names_nobody(environ.get(_FORWARDED_FOR, "")):
            # The middleware would stumble over it.
            environ.pop(_FORWARDED_FOR, None)
        answer: Iterable[bytes] = chosen(environ, start_response)
        return answer

    def _trusts(self, peer: str) -> bool:
        try:
            address = ipaddress.ip_address(peer)
        except ValueError:
            # A unix socket has no address.
            return False
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
            # One who came by IPv4 to a socket that takes both.
            address = address.ipv4_mapped
        return any(address in network for network in self._networks)


def _names_nobody(forwarded_for: str) -> bool:
    """Whether there is no address where a proxy writes the one that it knows: last, perhaps with a port."""
    last = re.sub(r'[\s"\\]', "", forwarded_for.rpartition(",")[2])
    return not re.sub(r"^:[^:]*$", "", last)
