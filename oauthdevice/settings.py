"""Every option of the ini file: its type, unit, default and bounds, once. Refuses a bad one by name."""

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from . import brand, values
from .assets import own_templates
from .declarations import SSO, files_of, read_clients, read_identity_providers, read_scopes
from .domain.clients import Client, Policy
from .domain.held_polls import Hold
from .domain.identity_providers import BrokerProvider, Provider
from .domain.other_network import OtherNetwork
from .domain.rate_limits import DEFAULT_LIMITS, Limit
from .domain.relying_party import RelyingParty, relying_party
from .domain.scopes import DEFAULT_SCOPES, Scope
from .stores.connections import EMBEDDED
from .values import DAY, SECRET_MIN_CHARACTERS, Parse, SettingsError

__all__ = ["Settings", "SettingsError", "make_secret_file", "read_settings"]


COMMUNITY, ENTERPRISE = "community", "enterprise"


def option(default: Any, parse: Parse) -> Any:
    """A field that is read from `oauthdevice.FIELD_NAME`, if it is there."""
    return field(default=default, metadata={"parse": parse})


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The options of one server. Each field but the last four is `oauthdevice.FIELD` in the ini."""

    mode: str = option("production", values.choice("production", "development"))
    edition: str = option("community", values.choice(COMMUNITY, ENTERPRISE))
    public_url: str = option("", values.public_url)
    api_prefix: str = option("/openapi/v1", values.matching(r"(/[A-Za-z0-9._~-]+)+", "a path such as /openapi/v1"))
    database_url: str = option("", values.database_url)
    database_pool_size: int = option(5, values.whole(1, 1000))
    database_pool_overflow: int = option(10, values.whole(0, 1000))
    redis_url: str = option("", values.redis_url)
    redis_prefix: str = option(
        "oauthdevice", values.matching(r"[A-Za-z0-9._-]{1,64}", "1 to 64 letters, digits, . _ -")
    )
    secret: str = option("", str)
    secret_file: str = option("", str)
    previous_secrets: tuple[str, ...] = option((), values.secrets)
    device_code_lifetime_seconds: int = option(900, values.whole(1, DAY))
    interval_seconds: int = option(5, values.whole(1, 300))
    access_token_lifetime_seconds: int = option(14 * DAY, values.whole(60, 365 * DAY))
    refresh_token_lifetime_seconds: int = option(90 * DAY, values.whole(60, 365 * DAY))
    other_network: OtherNetwork = option(OtherNetwork.WARN, values.other_network)  # noqa: RUF009 (an Enum never changes)
    pkce: Policy = option(Policy.ALLOWED, values.policy)  # noqa: RUF009
    dpop: Policy = option(Policy.ALLOWED, values.policy)  # noqa: RUF009
    dpop_nonce_required: bool = option(False, values.switch)
    resource_url: str = option("", values.public_url)
    redelivery_seconds: int = option(30, values.whole(0, 300))
    held_poll_seconds: int = option(0, values.whole(0, 60))
    held_polls: int = option(5000, values.whole(1, 100_000))
    sign_in_lifetime_seconds: int = option(DAY // 2, values.whole(60, 30 * DAY))
    cookie_domain: str = option("", values.matching(r"[A-Za-z0-9.-]{0,253}", "a domain name"))
    ignored_scopes: frozenset[str] = option(frozenset(["openid", "profile", "email", "offline_access"]), values.scopes)
    account_token_prefix: str = option("dfoa_", values.PREFIX)
    external_token_prefix: str = option("dfoe_", values.PREFIX)
    refresh_token_prefix: str = option("dfor_", values.PREFIX)
    argon2_memory_kib: int = option(65_536, values.whole(32, 4_194_304))
    argon2_time_cost: int = option(3, values.whole(1, 100))
    cors_allow_origins: frozenset[str] = option(frozenset(), values.origins)
    accounts: str = option("", values.matching(r"[A-Za-z_][\w.]*(:[A-Za-z_][\w.]*)?", "a dotted name"))
    passkeys: bool = option(True, values.switch)
    place_database: str = option("", str)
    metrics: bool = option(True, values.switch)
    legacy_mounts: bool = option(False, values.switch)
    sso_timeout_seconds: int = option(5, values.whole(1, 60))
    brand_name: str = option("oauthdevice", values.label)
    brand_logo: brand.File | None = option(None, brand.logo)  # noqa: RUF009  a File is frozen
    brand_colour: str = option("", brand.light_colour)
    brand_colour_dark: str = option("", brand.dark_colour)
    support_url: str = option("", values.support_url)
    templates: str = option("", own_templates)
    mail_server: str = option("", values.mail_server)
    mail_from: str = option("", values.matching(r"[^@\s<>]{1,64}@[^@\s<>]{1,189}", "an e-mail address"))
    webhook_urls: frozenset[str] = option(frozenset(), values.webhook_urls)
    webhook_secret: tuple[str, ...] = option((), values.webhook_secrets)
    webhook_events: frozenset[str] = option(frozenset(), values.webhook_events)
    webhook_timeout_seconds: int = option(15, values.whole(1, 60))
    demo_email: str = option("", values.matching(r"[^@\s]{1,64}@[^@\s]{1,189}", "an e-mail address"))

    limits: Mapping[str, Limit | None] = field(default_factory=lambda: dict(DEFAULT_LIMITS))
    scopes: Mapping[str, Scope] = field(default_factory=lambda: dict(DEFAULT_SCOPES))
    clients: Mapping[str, Client] = field(default_factory=dict)
    identity_providers: Mapping[str, Provider] = field(default_factory=dict)

    @property
    def is_https(self) -> bool:
        """True where people reach the server by https; cookies are then Secure."""
        return self.public_url.startswith("https:")

    @property
    def secrets(self) -> tuple[str, ...]:
        """The secret in force, then earlier ones: what they protect is still taken, and made no more."""
        return (self.secret, *self.previous_secrets)

    @property
    def has_embedded_redis(self) -> bool:
        """True where Redis is inside this process."""
        return self.redis_url == EMBEDDED

    @property
    def has_sso(self) -> bool:
        """True in the edition with the SSO branch."""
        return self.edition == ENTERPRISE

    @property
    def hold(self) -> Hold:
        """How polls are held that would rather wait."""
        return Hold(self.held_poll_seconds, self.held_polls)

    @property
    def relying_party(self) -> RelyingParty:
        """Who we are to a browser that uses passkeys."""
        return relying_party(self.public_url)

    @property
    def why_no_passkeys(self) -> str:
        """Why nobody signs in with a passkey here; "" where people may."""
        if not self.passkeys:
            return "switched off"
        # A passkey belongs to a row of ours, and who may sign in is for the company to say.
        return "the accounts are a company's own" if self.accounts else self.relying_party.problem

    @property
    def has_passkeys(self) -> bool:
        """True where people may sign in with a passkey."""
        return not self.why_no_passkeys

    @property
    def program_prefixes(self) -> tuple[str, ...]:
        """How the paths begin that are for programs."""
        legacy = ("/v1/", "/console/api/") if self.legacy_mounts else ()
        return (self.api_prefix + "/", "/.well-known/", "/healthz", "/readyz", "/metrics", *legacy)

    @property
    def json_prefixes(self) -> tuple[str, ...]:
        """How the paths begin that speak JSON, to programs or to the scripts of our own pages; others are pages."""
        return (*self.program_prefixes, "/webauthn/")


# What a client takes over where its section does not say.
PER_CLIENT = (
    "device_code_lifetime_seconds",
    "interval_seconds",
    "access_token_lifetime_seconds",
    "refresh_token_lifetime_seconds",
    "other_network",
    "pkce",
    "dpop",
)
SECTION = "oauthdevice."
FILE = "_FILE"
LIMIT = "oauthdevice.limit."
# Secrets, and addresses that may hold one, come from the environment where it has them.
ENVIRONMENT = {
    "secret": "OAUTHDEVICE_SECRET",
    "previous_secrets": "OAUTHDEVICE_PREVIOUS_SECRETS",
    "database_url": "OAUTHDEVICE_DATABASE_URL",
    "redis_url": "OAUTHDEVICE_REDIS_URL",
    "mail_server": "OAUTHDEVICE_MAIL_SERVER",
    "webhook_urls": "OAUTHDEVICE_WEBHOOK_URLS",
    "webhook_secret": "OAUTHDEVICE_WEBHOOK_SECRET",
}


def read_settings(
    options: Mapping[str, str], ini_file: str | None, environ: Mapping[str, str] = os.environ
) -> Settings:
    """The settings of `[app:main]` and of the `[client:…]`, `[scope:…]` and `[sso:…]` sections of its file.

    Raises SettingsError, which names the setting.
    """
    environ = _with_files(environ)
    given = {name: str(value).strip() for name, value in options.items() if name.startswith(SECTION)}
    limits = _read_limits(given)
    found: dict[str, Any] = {}
    for one in fields(Settings):
        if "parse" not in one.metadata:
            continue
        text = given.pop(SECTION + one.name, "")
        text = environ.get(ENVIRONMENT.get(one.name, ""), "") or text
        if text:
            found[one.name] = values.parsed(SECTION + one.name, text, one.metadata["parse"])
    for unknown in given:
        raise SettingsError(unknown, "there is no such setting")
    settings = Settings(**found, limits=limits)
    chain = list(files_of(ini_file))
    settings = replace(
        settings,
        secret=_secret(settings),
        scopes=read_scopes(chain),
        identity_providers=read_identity_providers(chain, environ),
        clients=read_clients(chain, {name: getattr(settings, name) for name in PER_CLIENT}),
    )
    _check_together(settings)
    return settings


def _with_files(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment, where OAUTHDEVICE_NAME_FILE=PATH stands for OAUTHDEVICE_NAME=(what is in the file).

    Orchestrators hand secrets to containers as files, which neither `ps` nor a dump of the environment shows.
    """
    read = dict(environ)
    for variable in [name for name in environ if name.startswith("OAUTHDEVICE_") and name.endswith(FILE)]:
        name = variable.removesuffix(FILE)
        if not environ[variable]:
            continue
        if environ.get(name):
            raise SettingsError(variable, f"cannot be given together with {name}")
        read[name] = _read_file(variable, environ[variable])
        if not read[name]:
            raise SettingsError(variable, "names an empty file")
    return read


def _read_file(name: str, path: str) -> str:
    """The text of a file that the option or variable `name` names. Raises SettingsError."""
    try:
        return Path(path).read_text("utf-8").strip()
    except OSError as error:
        raise SettingsError(name, f"cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SettingsError(name, "cannot be read: it holds no text") from error


def _read_limits(given: dict[str, str]) -> dict[str, Limit | None]:
    limits: dict[str, Limit | None] = dict(DEFAULT_LIMITS)
    for name in [name for name in given if name.startswith(LIMIT)]:
        text, bucket = given.pop(name), name.removeprefix(LIMIT)
        if bucket not in DEFAULT_LIMITS:
            raise SettingsError(name, f"there is no such limit; there are: {', '.join(DEFAULT_LIMITS)}")
        limits[bucket] = values.parsed(name, text, partial(values.limit, bucket))
    return limits


def _secret(settings: Settings) -> str:
    if settings.secret:
        return settings.secret
    if not settings.secret_file:
        raise SettingsError("oauthdevice.secret", "must be set, in the environment as OAUTHDEVICE_SECRET")
    path = Path(settings.secret_file)
    try:
        if settings.mode == "development" and not path.exists():
            make_secret_file(path)
    except OSError as error:
        raise SettingsError("oauthdevice.secret_file", f"cannot be made: {error.strerror}") from error
    return _read_file("oauthdevice.secret_file", settings.secret_file)


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
    if settings.has_embedded_redis and settings.mode == "production":
        raise SettingsError("oauthdevice.redis_url", "the embedded Redis is for development; give a redis:// address")
    if settings.mail_server and not settings.mail_from:
        raise SettingsError("oauthdevice.mail_from", "must be set where there is a mail_server")
    host = urlsplit(settings.public_url).hostname or ""
    if settings.cookie_domain and not f".{host}".endswith("." + settings.cookie_domain.lstrip(".").lower()):
        raise SettingsError("oauthdevice.cookie_domain", "must be the host of public_url or a domain above it")
    for provider in settings.identity_providers.values():
        _check_provider(settings.mode, provider)
    prefixes: set[str] = set()
    for name in ("account_token_prefix", "external_token_prefix", "refresh_token_prefix"):
        if getattr(settings, name) in prefixes:
            raise SettingsError(SECTION + name, "must differ from the other token prefixes")
        prefixes.add(getattr(settings, name))


def _check_provider(mode: str, provider: Provider) -> None:
    addresses = {"issuer": provider.issuer}
    if isinstance(provider, BrokerProvider):
        addresses = {"initiate_url": provider.initiate_url}
        if "://" in provider.assertion_keys:
            addresses["assertion_keys"] = provider.assertion_keys
    for name, address in addresses.items():
        if mode == "production" and not address.startswith("https://"):
            raise SettingsError(f"[{SSO}{provider.name}] {name}", "must be an https address in production")
