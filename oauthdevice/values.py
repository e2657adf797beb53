"""What the text of an option may be, and what it then means. Each parser raises ValueError with what it wants."""

import base64
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from .domain.audit import Event
from .domain.clients import Policy
from .domain.other_network import OtherNetwork
from .domain.rate_limits import Limit
from .domain.scopes import ACCOUNT, EXTERNAL, is_scope_token
from .mail.server import is_here, parse_mail_server
from .stores.connections import EMBEDDED, SCHEMES, check

DAY = 86_400
SECRET_MIN_CHARACTERS = 32


class SettingsError(SystemExit):
    """A setting that stops the start.

    A SystemExit, because whoever starts the server is to read one line and no traceback.
    """

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(f"oauthdevice: {name}: {problem}")


# What the text of an option means.
Parse = Callable[[str], Any]


def whole(low: int, high: int) -> Parse:
    """A whole number within both bounds."""

    def parse(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,9}", text) or not low <= int(text) <= high:
            raise ValueError(f"must be a whole number from {low} to {high}")
        return int(text)

    return parse


def choice(*choices: str) -> Parse:
    """One of the given words."""

    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError(f"must be one of: {', '.join(choices)}")
        return text

    return parse


def matching(pattern: str, wanted: str) -> Parse:
    """Text that fits; `wanted` says of what kind."""

    def parse(text: str) -> str:
        if not re.fullmatch(pattern, text, re.ASCII):
            raise ValueError(f"must be {wanted}")
        return text

    return parse


def public_url(text: str) -> str:
    """An absolute address, without a slash at its end."""
    parts = urlsplit(text)
    plain = (
        parts.scheme in ("http", "https") and parts.hostname and not (parts.query or parts.fragment or parts.username)
    )
    # Reading the port raises the ValueError of a bad one.
    if not plain or parts.port == 0 or any(character.isspace() for character in text):
        raise ValueError("must be an absolute http or https address without query, fragment or user")
    return text.rstrip("/")


def absolute_address(text: str) -> str:
    """An absolute address as it stands: that of an issuer is compared letter by letter."""
    public_url(text)
    return text


def webhook_urls(text: str) -> frozenset[str]:
    """Addresses between spaces: of https, or of this machine."""
    # An address may hold a secret: no message repeats it.
    found = frozenset(text.split())
    for url in found:
        try:
            fits = _takes_webhooks(url)
        except ValueError:
            fits = False
        if not fits:
            raise ValueError(
                "must be https addresses of at most 2000 characters between spaces; http on this machine alone"
            )
    return found


def _takes_webhooks(url: str) -> bool:
    parts = urlsplit(url)
    # Reading the port raises the ValueError of a bad one.
    if not parts.hostname or parts.port == 0 or parts.username or parts.fragment or not re.fullmatch(r"[!-~]+", url):
        return False
    return len(url) <= 2000 and (parts.scheme == "https" or (parts.scheme == "http" and is_here(parts.hostname)))


def webhook_secrets(text: str) -> tuple[str, ...]:
    """Secrets of Standard Webhooks between spaces: whsec_ and 24 to 64 bytes in base64."""
    found = tuple(text.split())
    for secret in found:
        try:
            size = len(base64.b64decode(secret.removeprefix("whsec_"), validate=True))
        except ValueError:
            size = 0
        if not secret.startswith("whsec_") or not 24 <= size <= 64:
            raise ValueError("must be whsec_ and 24 to 64 random bytes in base64; several between spaces")
    return found


def webhook_events(text: str) -> frozenset[str]:
    """Names of events, as the audit has them, between spaces."""
    found = frozenset(text.split())
    known = [one.value for one in Event]
    if not found <= set(known):
        raise ValueError(f"must be some of {' '.join(known)}, between spaces")
    return found


def support_url(text: str) -> str:
    """Where people find help: a page, or an address to write to."""
    parts = urlsplit(text)
    if text.isprintable() and " " not in text:
        if parts.scheme == "https" and parts.hostname and not parts.username:
            return text
        if parts.scheme == "mailto" and re.fullmatch(r"[^@]+@[^@]+", parts.path):
            return text
    raise ValueError("must be an https address or mailto:SOMEBODY@EXAMPLE.COM")


def database_url(text: str) -> str:
    """An address that SQLAlchemy takes, of a database that we support."""
    # The address may hold a password: no message repeats it.
    try:
        known = make_url(text).get_backend_name() in ("sqlite", "postgresql")
    except (ArgumentError, NoSuchModuleError):
        known = False
    if not known:
        raise ValueError("must be an address that begins with sqlite:/// or postgresql+psycopg://")
    return text


def redis_url(text: str) -> str:
    """An address that `stores.connections.connect` takes."""
    # The address may hold a password: no message repeats it.
    if text != EMBEDDED and not text.startswith(SCHEMES):
        raise ValueError(f"must be an address that begins with one of {' '.join(SCHEMES)}, or embedded://")
    try:
        check(text)
    except ValueError:
        raise ValueError(
            "must be redis://HOST:PORT/NUMBER, redis+sentinel://HOST:PORT,HOST:PORT/NAME or"
            " redis+cluster://HOST:PORT,HOST:PORT; encode what is special in a password with %"
        ) from None
    return text


def mail_server(text: str) -> str:
    """An address that `mail.server.parse_mail_server` takes."""
    # The address may hold a password: no message repeats it.
    try:
        parse_mail_server(text)
    except ValueError:
        raise ValueError(
            "must be smtp://USER:PASSWORD@HOST:PORT or smtps://...; encode what is special in a password with %"
        ) from None
    return text


def scopes(text: str) -> frozenset[str]:
    """Scopes between spaces."""
    words = frozenset(text.split())
    if not all(is_scope_token(word) for word in words):
        raise ValueError("must be scopes (RFC 6749 section 3.3) between spaces")
    return words


def openid_scope(text: str) -> str:
    """Scopes between spaces, openid among them."""
    if "openid" not in scopes(text):
        raise ValueError("must be scopes between spaces, openid among them")
    return text


def words(text: str) -> frozenset[str]:
    """Texts between spaces."""
    found = frozenset(text.split())
    if not text.isprintable() or any(len(word) > 255 for word in found):
        raise ValueError("must be texts of at most 255 characters between spaces")
    return found


def domains(text: str) -> frozenset[str]:
    """Domains of e-mail addresses, between spaces."""
    found = frozenset(text.casefold().split())
    if any(not re.fullmatch(r"[^@\s]+\.[^@\s.]+", word) for word in found):
        raise ValueError("must be domains such as example.com between spaces")
    return found


def secrets(text: str) -> tuple[str, ...]:
    """Secrets, one a line: a secret may hold spaces."""
    found = tuple(line.strip() for line in text.splitlines() if line.strip())
    if any(len(line) < SECRET_MIN_CHARACTERS for line in found):
        raise ValueError(f"must be secrets of at least {SECRET_MIN_CHARACTERS} characters, one a line")
    return found


def origins(text: str) -> frozenset[str]:
    """Origins between spaces."""
    words = frozenset(text.split())
    for origin in words:
        # Credentials are allowed with a listed origin, so that * would open them to everybody.
        if "*" in origin or public_url(origin) != origin or urlsplit(origin).path:
            raise ValueError("must be origins such as https://console.example.com between spaces; * is refused")
    return words


def switch(text: str) -> bool:
    """on or off."""
    if text.lower() not in ("on", "off", "true", "false", "yes", "no"):
        raise ValueError("must be on or off")
    return text.lower() in ("on", "true", "yes")


def other_network(text: str) -> OtherNetwork:
    """What another network demands."""
    return OtherNetwork(choice(*(one.value for one in OtherNetwork))(text))


def policy(text: str) -> Policy:
    """What a client has of a protection."""
    return Policy(choice(*(one.value for one in Policy))(text))


def subject_types(text: str) -> frozenset[str]:
    """Subject types between spaces."""
    words = frozenset(text.split())
    if not words or not words <= {ACCOUNT, EXTERNAL}:
        raise ValueError(f"must be {ACCOUNT}, {EXTERNAL} or both")
    return words


def label(text: str) -> str:
    """A short name that people read."""
    if not 1 <= len(text) <= 100 or not text.isprintable():
        raise ValueError("must be 1 to 100 printable characters")
    return text


def sentence(text: str) -> str:
    """What people read of a scope."""
    if not 1 <= len(text) <= 300 or not text.isprintable():
        raise ValueError("must be 1 to 300 printable characters")
    return text


PREFIX = matching(r"[a-z][a-z0-9]{1,10}_", "2 to 11 small letters or digits and an underscore")


_UNITS = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), 60),
    **dict.fromkeys(("h", "hour", "hours"), 3600),
    **dict.fromkeys(("d", "day", "days"), DAY),
}


def limit(bucket: str, text: str) -> Limit | None:
    """COUNT/PERIOD; None where it is off."""
    if text == "off":
        return None
    found = re.fullmatch(r"([1-9][0-9]{0,8}) ?/ ?([1-9][0-9]{0,4})? ?([a-z]+)", text)
    unit = found and _UNITS.get(found[3])
    if not found or not unit:
        raise ValueError("must be COUNT/PERIOD, such as 60/hour or 5/15 minutes, or off")
    return Limit(bucket, int(found[1]), int(found[2] or 1) * unit)


def parsed(name: str, text: str, parse: Parse) -> Any:
    """What the text of the option `name` means. Raises SettingsError."""
    try:
        return parse(text)
    except ValueError as error:
        raise SettingsError(name, str(error)) from error
