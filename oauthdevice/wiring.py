"""Builds the domain services over the stores; the one place that sees every room."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import redis
from argon2 import PasswordHasher
from pyramid.config import Configurator

from .domain.accounts import Accounts
from .domain.approvals import Approvals
from .domain.clients import Clients
from .domain.device_flow import DeviceFlow
from .domain.keys import derive_key
from .domain.ports import Clock
from .domain.rate_limits import RateLimits
from .domain.redemption import Redeemer
from .domain.sessions import Bearers, TokenPrefixes
from .settings import Settings
from .stores.accounts import SQLAccountStore
from .stores.redis import RedisAuthorizationStore, RedisLimitStore, connect
from .stores.sessions import SQLSessionStore
from .stores.sql import Database, create_database


@dataclass(frozen=True)
class Services:
    """What a view may call, and the connections beneath."""

    device_flow: DeviceFlow
    approvals: Approvals
    accounts: Accounts
    bearers: Bearers
    database: Database
    redis: redis.Redis


def build_services(
    settings: Settings,
    *,
    clock: Clock = lambda: datetime.now(UTC),
    clock_offset: Callable[[], timedelta] = lambda: timedelta(0),
) -> Services:
    """The services of one process. Connects to nothing yet. `clock_offset` moves the clock of Redis."""
    database = create_database(settings.database_url)
    client = connect(settings.redis_url)
    authorizations = RedisAuthorizationStore(client, settings.redis_prefix, clock_offset)
    limits = RateLimits(RedisLimitStore(client, settings.redis_prefix), settings.limits)
    sessions = SQLSessionStore(database)
    accounts = SQLAccountStore(database)
    clients = Clients(settings.clients)
    prefixes = TokenPrefixes(settings.account_token_prefix, settings.external_token_prefix)
    user_code_key = derive_key(settings.secret.encode(), "user_code")
    redeemer = Redeemer(
        store=authorizations,
        sessions=sessions,
        accounts=accounts,
        prefixes=prefixes,
        redelivery_seconds=settings.redelivery_seconds,
        clock=clock,
    )
    return Services(
        device_flow=DeviceFlow(
            store=authorizations,
            clients=clients,
            limits=limits,
            redeemer=redeemer,
            user_code_key=user_code_key,
            ignored_scopes=settings.ignored_scopes,
        ),
        approvals=Approvals(store=authorizations, clients=clients, limits=limits, user_code_key=user_code_key),
        accounts=Accounts(
            store=accounts,
            limits=limits,
            hasher=PasswordHasher(time_cost=settings.argon2_time_cost, memory_cost=settings.argon2_memory_kib),
            clock=clock,
            sign_in_lifetime_seconds=settings.sign_in_lifetime_seconds,
        ),
        bearers=Bearers(sessions, limits, prefixes, clock),
        database=database,
        redis=client,
    )


def includeme(config: Configurator) -> None:
    """`request.device_flow`, `request.approvals`, `request.accounts`, `request.bearers`, `request.options`."""
    services: Services = config.registry["oauthdevice.services"]
    given = {
        "device_flow": services.device_flow,
        "approvals": services.approvals,
        "accounts": services.accounts,
        "bearers": services.bearers,
        "options": config.registry["oauthdevice.settings"],
    }
    for name, value in given.items():
        config.add_request_method(lambda _, value=value: value, name, property=True)
