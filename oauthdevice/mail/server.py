"""The address of a mail server, as a setting tells it."""

import ipaddress
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

SCHEMES = {"smtp": 587, "smtps": 465}


@dataclass(frozen=True, slots=True)
class MailServer:
    """`smtps`: TLS from the first byte; `smtp`: STARTTLS. Without a user, nobody signs in."""

    scheme: str
    host: str
    port: int
    user: str = ""
    password: str = field(default="", repr=False)

    @property
    def is_here(self) -> bool:
        """True where it is on this machine, and nobody can listen between us."""
        return is_here(self.host)


def is_here(host: str) -> bool:
    """Whether a host, by name or number, is this machine."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def parse_mail_server(text: str) -> MailServer:
    """smtp://USER:PASSWORD@HOST:PORT. Raises ValueError, which does not repeat the text: it may hold a password."""
    parts = urlsplit(text)
    if parts.scheme not in SCHEMES or not parts.hostname or parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError("not the address of a mail server")
    if bool(parts.username) != bool(parts.password) or any(symbol.isspace() for symbol in text):
        raise ValueError("not the address of a mail server")
    # Reading the port raises the ValueError of a bad one.
    port = parts.port if parts.port is not None else SCHEMES[parts.scheme]
    if not port:
        raise ValueError("not the address of a mail server")
    return MailServer(parts.scheme, parts.hostname, port, unquote(parts.username or ""), unquote(parts.password or ""))
