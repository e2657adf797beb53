"""Every option of the ini file: its type, unit, default and bounds, once. Refuses a bad one by name."""

import configparser
import os
import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from .domain.clients import Client
from .domain.rate_limits import DEFAULT_LIMITS, Limit
from .domain.scopes import is_scope_token
from .stores.redis import EMBEDDED

DAY = 86_400
SECRET_MIN_CHARACTERS = 32


class SettingsError(SystemExit):
    """A setting that stops the start.

    A SystemExit, because whoever starts the server is to read one line and no traceback.
    """

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(f"oauthdevice: {name}: {problem}")


Parse = Callable[[str], Any]


def _whole(low: int, high: int) -> Parse:
    def parse(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,9}", text) or not low <= int(text) <= high:
            raise ValueError(f"must be a whole number from {low} to {high}")
        return int(text)

    return parse


def _choice(*choices: str) -> Parse:
    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError(f"must be one of: {', '.join(choices)}")
        return text

    return parse


def _matching(pattern: str, wanted: str) -> Parse:
    def parse(text: str) -> str:
        if not re.fullmatch(pattern, text, re.ASCII):
            raise ValueError(f"must be {wanted}")
        return text

    return parse


def _public_url(text: str) -> str:
    parts = urlsplit(text)
    plain = (
        parts.scheme in ("http", "https") and parts.hostname and not (parts.query or parts.fragment or parts.username)
    )
    # Reading the port raises the ValueError of a bad one.
    if not plain or parts.port == 0 or any(character.isspace() for character in text):
        raise ValueError("must be an absolute http or https address without query, fragment or user")
    return text.rstrip("/")


def _database_url(text: str) -> str:
    # The address may hold a password: no message repeats it.
    try:
        known = make_url(text).get_backend_name() in ("sqlite", "postgresql")
    except (ArgumentError, NoSuchModuleError):
        known = False
    if not known:
        raise ValueError("must be an address that begins with sqlite:/// or postgresql+psycopg://")
    return text


def _redis_url(text: str) -> str:
    if text != EMBEDDED and not text.startswith(("redis://", "rediss://", "unix://")):
        raise ValueError("must be an address that begins with redis://, rediss:// or unix://, or embedded://")
    return text


def _scopes(text: str) -> frozenset[str]:
    words = frozenset(text.split())
    if not all(is_scope_token(word) for word in words):
        raise ValueError("must be scopes (RFC 6749 section 3.3) between spaces")
    return words


def _name(text: str) -> str:
    if not 1 <= len(text) <= 100 or not text.isprintable():
        raise ValueError("must be 1 to 100 printable characters")
    return text


_PREFIX = _matching(r"[a-z][a-z0-9]{1,10}_", "2 to 11 small letters or digits and an underscore")


def option(default: Any, parse: Parse) -> Any:
    """A field that is read from `oauthdevice.FIELD_NAME`, if it is there."""
    return field(default=default, metadata={"parse": parse})


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The options of one server. Each field but the last three is `oauthdevice.FIELD` in the ini."""

    mode: str = option("production", _choice("production", "development"))
    public_url: str = option("", _public_url)
    api_prefix: str = option("/openapi/v1", _matching(r"(/[A-Za-z0-9._~-]+)+", "a path such as /openapi/v1"))
    database_url: str = option("", _database_url)
    redis_url: str = option("", _redis_url)
    redis_prefix: str = option("oauthdevice", _matching(r"[A-Za-z0-9._-]{1,64}", "1 to 64 letters, digits, . _ -"))
    secret: str = option("", str)
    secret_file: str = option("", str)
    device_code_lifetime_seconds: int = option(900, _whole(1, DAY))
    interval_seconds: int = option(5, _whole(1, 300))
    access_token_lifetime_seconds: int = option(14 * DAY, _whole(60, 365 * DAY))
    redelivery_seconds: int = option(30, _whole(0, 300))
    sign_in_lifetime_seconds: int = option(DAY // 2, _whole(60, 30 * DAY))
    cookie_domain: str = option("", _matching(r"[A-Za-z0-9.-]{0,253}", "a domain name"))
    ignored_scopes: frozenset[str] = option(frozenset(["openid", "profile", "email", "offline_access"]), _scopes)
    account_token_prefix: str = option("dfoa_", _PREFIX)
    external_token_prefix: str = option("dfoe_", _PREFIX)
    argon2_memory_kib: int = option(65_536, _whole(32, 4_194_304))
    argon2_time_cost: int = option(3, _whole(1, 100))
    demo_email: str = option("", str)

    limits: Mapping[str, Limit | None] = field(default_factory=lambda: dict(DEFAULT_LIMITS))
    clients: Mapping[str, Client] = field(default_factory=dict)

    @property
    def is_https(self) -> bool:
        """True where people reach the server by https; cookies are then Secure."""
        return self.public_url.startswith("https:")

    @property
    def origin(self) -> str:
        """Scheme, host and port of `public_url`."""
        parts = urlsplit(self.public_url)
        return f"{parts.scheme}://{parts.netloc}"


SECTION = "oauthdevice."
LIMIT = "oauthdevice.limit."
# Secrets, and addresses that may hold one, come from the environment where it has them.
ENVIRONMENT = {
    "secret": "OAUTHDEVICE_SECRET",
    "database_url": "OAUTHDEVICE_DATABASE_URL",
    "redis_url": "OAUTHDEVICE_REDIS_URL",
}


def read_settings(
    options: Mapping[str, str], ini_file: str | None, environ: Mapping[str, str] = os.environ
) -> Settings:
    """The settings of `[app:main]` and of the `[client:…]` sections of its file.

    Raises SettingsError, which names the setting.
    """
    given = {name: str(value).strip() for name, value in options.items() if name.startswith(SECTION)}
    limits = _read_limits(given)
    values: dict[str, Any] = {}
    for one in fields(Settings):
        if "parse" not in one.metadata:
            continue
        text = given.pop(SECTION + one.name, "")
        text = environ.get(ENVIRONMENT.get(one.name, ""), "") or text
        if text:
            values[one.name] = _parsed(SECTION + one.name, text, one.metadata["parse"])
    for unknown in given:
        raise SettingsError(unknown, "there is no such setting")
    settings = Settings(**values, limits=limits)
    clients = _read_clients(ini_file, settings)
    settings = Settings(**{**values, "secret": _secret(settings)}, limits=limits, clients=clients)
    _check_together(settings)
    return settings


def _parsed(name: str, text: str, parse: Parse) -> Any:
    try:
        return parse(text)
    except ValueError as error:
        raise SettingsError(name, str(error)) from error


def _read_limits(given: dict[str, str]) -> dict[str, Limit | None]:
    limits: dict[str, Limit | None] = dict(DEFAULT_LIMITS)
    for name in [name for name in given if name.startswith(LIMIT)]:
        text, bucket = given.pop(name), name.removeprefix(LIMIT)
        if bucket not in DEFAULT_LIMITS:
            raise SettingsError(name, f"there is no such limit; there are: {', '.join(DEFAULT_LIMITS)}")
        limits[bucket] = _parsed(name, text, partial(_limit, bucket))
    return limits


_UNITS = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), 60),
    **dict.fromkeys(("h", "hour", "hours"), 3600),
    **dict.fromkeys(("d", "day", "days"), DAY),
}


def _limit(bucket: str, text: str) -> Limit | None:
    if text == "off":
        return None
    found = re.fullmatch(r"([1-9][0-9]{0,8}) ?/ ?([1-9][0-9]{0,4})? ?([a-z]+)", text)
    unit = found and _UNITS.get(found[3])
    if not found or not unit:
        raise ValueError("must be COUNT/PERIOD, such as 60/hour or 5/15 minutes, or off")
    return Limit(bucket, int(found[1]), int(found[2] or 1) * unit)


def _secret(settings: Settings) -> str:
    if settings.secret:
        return settings.secret
    if not settings.secret_file:
        raise SettingsError("oauthdevice.secret", "must be set, in the environment as OAUTHDEVICE_SECRET")
    path = Path(settings.secret_file)
    try:
        if settings.mode == "development" and not path.exists():
            make_secret_file(path)
        return path.read_text("utf-8").strip()
    except OSError as error:
        raise SettingsError("oauthdevice.secret_file", f"cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SettingsError("oauthdevice.secret_file", "cannot be read: it holds no text") from error


def make_secret_file(path: Path) -> None:
    """A new random secret in a file that only its owner can read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return
    with os.fdopen(handle, "w") as file:
        file.write(secrets.token_urlsafe(48) + "\n")


def _check_together(settings: Settings) -> None:
    if len(settings.secret) < SECRET_MIN_CHARACTERS:
        raise SettingsError("oauthdevice.secret", f"must have at least {SECRET_MIN_CHARACTERS} characters")
    for name in ("public_url", "database_url", "redis_url"):
        if not getattr(settings, name):
            raise SettingsError(SECTION + name, "must be set")
    if settings.redis_url == EMBEDDED and settings.mode == "production":
        raise SettingsError("oauthdevice.redis_url", "the embedded Redis is for development; give a redis:// address")
    host = urlsplit(settings.public_url).hostname or ""
    if settings.cookie_domain and not f".{host}".endswith("." + settings.cookie_domain.lstrip(".").lower()):
        raise SettingsError("oauthdevice.cookie_domain", "must be the host of public_url or a domain above it")
    if settings.account_token_prefix == settings.external_token_prefix:
        raise SettingsError("oauthdevice.external_token_prefix", "must differ from account_token_prefix")


CLIENT = "client:"
_CLIENT_OPTIONS: Mapping[str, Parse] = {
    "name": _name,
    "scopes": _scopes,
    "device_code_lifetime_seconds": _whole(1, DAY),
    "interval_seconds": _whole(1, 300),
    "access_token_lifetime_seconds": _whole(60, 365 * DAY),
    "secret_sha256": _matching(r"[0-9a-f]{64}", "64 small hexadecimal digits"),
}
# What there is where no file declares a client.
_DEFAULT_CLIENTS = {"difyctl": {"name": "difyctl", "scopes": "full apps:run apps:read:permitted-external"}}


def _read_clients(ini_file: str | None, settings: Settings) -> dict[str, Client]:
    sections: dict[str, Mapping[str, str]] = {}
    for parser in _chain(ini_file):
        for section in parser.sections():
            if section.startswith(CLIENT):
                sections.setdefault(section.removeprefix(CLIENT), _own_options(parser, section))
    return {
        client_id: _client(client_id, options, settings)
        for client_id, options in (sections or _DEFAULT_CLIENTS).items()
    }


def _own_options(parser: configparser.ConfigParser, section: str) -> dict[str, str]:
    own = {}
    for name in parser.options(section):
        if name in parser.defaults():
            continue
        try:
            own[name] = parser.get(section, name).strip()
        except configparser.Error as error:
            raise SettingsError(f"[{section}] {name}", "holds a % that is not %% or %(here)s") from error
    return own


def _client(client_id: str, options: Mapping[str, str], settings: Settings) -> Client:
    section = f"[{CLIENT}{client_id}]"
    if not re.fullmatch(r"[\x21-\x7e]{1,64}", client_id):
        raise SettingsError(section, "a client_id is 1 to 64 printable ASCII characters without spaces")
    for name in options:
        if name not in _CLIENT_OPTIONS:
            raise SettingsError(f"{section} {name}", "there is no such setting")
    for name in ("name", "scopes"):
        if not options.get(name, "").strip():
            raise SettingsError(f"{section} {name}", "must be set")
    values = {
        "device_code_lifetime_seconds": settings.device_code_lifetime_seconds,
        "interval_seconds": settings.interval_seconds,
        "access_token_lifetime_seconds": settings.access_token_lifetime_seconds,
        **{name: _parsed(f"{section} {name}", text.strip(), _CLIENT_OPTIONS[name]) for name, text in options.items()},
    }
    return Client(client_id=client_id, **values)


def _chain(ini_file: str | None) -> Iterator[configparser.ConfigParser]:
    """The file and, after it, the files that its applications take over with `use = config:…`."""
    waiting = [Path(ini_file)] if ini_file else []
    seen: set[Path] = set()
    while waiting:
        path = waiting.pop(0).resolve()
        if path in seen or not path.is_file():
            continue
        seen.add(path)
        parser = configparser.ConfigParser(defaults={"here": str(path.parent), "__file__": str(path)})
        parser.optionxform = str  # type: ignore[assignment,method-assign]  # documented way to keep case
        parser.read(path, "utf-8")
        yield parser
        for section in parser.sections():
            base = parser.get(section, "use", fallback="") if section.startswith("app") else ""
            if base.startswith("config:"):
                waiting.append(path.parent / base.removeprefix("config:").partition("#")[0])
