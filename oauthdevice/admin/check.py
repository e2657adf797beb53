"""`check`: what is right and what is missing, line by line, before the first person finds out."""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass

from ..domain.errors import MailUnavailable, SSOInitiateFailed, StoreUnavailable
from ..settings import Settings
from ..stores.migrate import is_newer, suffices
from ..wiring import Services
from .commands import Commands, add_command, services_of

OLDEST_REDIS = (6, 2)
SKEW_SECONDS = 5


@dataclass(frozen=True)
class Finding:
    """One line. `good` is None for what is no fault and yet worth a look."""

    about: str
    text: str
    good: bool | None = True


def add_check_command(commands: Commands) -> None:
    add_command(commands, "check", "say what is right and what is missing; 1 where something is", _check)


def _check(settings: Settings, _: argparse.Namespace) -> None:
    bad = 0
    with services_of(settings) as services:
        for one in findings(settings, services):
            mark = {True: "ok  ", None: "look", False: "BAD "}[one.good]
            print(f"{mark} {one.about}: {one.text}")
            bad += one.good is False
    if bad:
        raise SystemExit(1)


def findings(settings: Settings, services: Services) -> Iterator[Finding]:
    """Everything that can be told of a server from where its ini file is."""
    yield _address(settings)
    yield from _database(services)
    yield from _redis(settings, services)
    names = ", ".join(client for client, one in settings.clients.items() if one.device_flow)
    on = f"on, for {settings.relying_party.id}"
    yield Finding("passkeys", on if settings.has_passkeys else f"off: {settings.why_no_passkeys}")
    yield Finding("clients", names or "none may start a device authorization", bool(names))
    yield from _mail(services)
    yield from _webhooks(settings, services)
    yield from _identity_providers(settings, services)


def _address(settings: Settings) -> Finding:
    if settings.is_https:
        return Finding("public_url", settings.public_url)
    safe = None if settings.mode == "development" else False
    return Finding("public_url", f"{settings.public_url} is not https: codes and cookies travel in clear", safe)


def _database(services: Services) -> Iterator[Finding]:
    backend = services.database.engine.url.get_backend_name()
    try:
        current, newest = services.heartbeat.migrations()
    except StoreUnavailable as error:
        yield Finding("database", f"{backend}, {error.detail}", False)
        return
    yield Finding("database", f"{backend} answers")
    if current == newest:
        yield Finding("migrations", f"at the newest, {newest}")
    elif current and is_newer(current):
        yield Finding("migrations", f"at {current}, of a newer release; the newest here is {newest}", None)
    else:
        yield Finding("migrations", f"at {current or 'none'}, the newest is {newest}: run `upgrade`", False)


def _redis(settings: Settings, services: Services) -> Iterator[Finding]:
    if settings.has_embedded_redis:
        yield Finding("redis", "embedded: one process, lost at exit", None)
        return
    try:
        facts = services.heartbeat.redis_facts()
    except StoreUnavailable as error:
        yield Finding("redis", error.detail, False)
        return
    # Of the nodes of a Cluster, the worst is told.
    one = min(facts, key=lambda one: one.release)
    is_new = one.release >= OLDEST_REDIS
    yield Finding("redis", f"{one.name} {one.version} answers{'' if is_new else one.place}", is_new)
    one = max(facts, key=lambda one: abs(one.ahead_seconds))
    is_right = abs(one.ahead_seconds) <= SKEW_SECONDS
    yield Finding(
        "clock", f"{one.ahead_seconds:+.1f} seconds from here to Redis{'' if is_right else one.place}", is_right
    )
    one = max(facts, key=lambda one: one.forgets)
    forgets = f" forgets pending logins when memory is short{one.place}" if one.forgets else ""
    yield Finding("eviction", f"{one.eviction}{forgets}", None if one.forgets else True)


def _mail(services: Services) -> Iterator[Finding]:
    if services.post is None:
        return
    try:
        yield Finding("mail", services.post.check())
    except MailUnavailable as error:
        yield Finding("mail", error.detail, False)


def _webhooks(settings: Settings, services: Services) -> Iterator[Finding]:
    if not settings.webhook_urls:
        return
    if not settings.webhook_secret:
        # The server needs none: it may be known to the process that delivers alone.
        yield Finding("webhook_secret", "is not set here, and `webhooks deliver` needs it", None)
    try:
        if not suffices(services.heartbeat.migrations()[0]):
            # Told already; there may be no table of them.
            return
        waiting, failed = services.webhooks.counts()
    except StoreUnavailable as error:
        yield Finding("webhooks", error.detail, False)
        return
    yield Finding("webhooks", f"{waiting} wait to be delivered, {failed} were given up", None if failed else True)


def _identity_providers(settings: Settings, services: Services) -> Iterator[Finding]:
    if not settings.has_sso:
        return
    if not settings.identity_providers:
        yield Finding("sso", "the enterprise edition without an [sso:NAME] section", None)
    for name, provider in settings.identity_providers.items():
        try:
            services.sso.check(name)
        except SSOInitiateFailed as error:
            yield Finding(f"sso:{name}", error.detail, False)
        else:
            yield Finding(f"sso:{name}", f"{provider.issuer} answers")
