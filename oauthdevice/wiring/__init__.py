"""Builds the domain services over the stores; the one place that sees every room."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, TypeVar

import redis
from argon2 import PasswordHasher
from pyramid.config import Configurator

from ..domain.accounts import Accounts
from ..domain.approval_seal import ApprovalSeal
from ..domain.approvals import Approvals
from ..domain.audit import Audit
from ..domain.audit_chain import Chain
from ..domain.audit_proof import AuditProof
from ..domain.bearers import Bearers
from ..domain.challenges import Challenges
from ..domain.clients import Clients
from ..domain.device_flow import DeviceFlow
from ..domain.devices import Devices
from ..domain.dpop import DPoP
from ..domain.external_subjects import ExternalSubjects
from ..domain.held_polls import HeldPolls
from ..domain.introspection import Introspection
from ..domain.keys import derive_key
from ..domain.notices import Notices
from ..domain.passkeys import Passkeys
from ..domain.ports import (
    AccountStore,
    AuthorizationStore,
    BurnStore,
    Clock,
    Post,
    SessionStore,
)
from ..domain.rate_limits import RateLimits
from ..domain.redemption import Redeemer
from ..domain.refresh import Refresher
from ..domain.reports import Reports
from ..domain.scopes import Scopes
from ..domain.sessions import Registry, Sessions, TokenPrefixes
from ..domain.sso import SSO
from ..domain.token_endpoint import TokenEndpoint
from ..domain.undo import Undo, UndoSeal
from ..domain.user_codes import UserCodes
from ..domain.webhooks import Subscription, Webhooks
from ..mail.sender import Sender
from ..metrics import Meter
from ..settings import Settings
from ..stores.accounts import SQLAccountStore
from ..stores.audit import AuditLedger
from ..stores.audit_chain import AuditRows
from ..stores.burns import RedisBurnStore
from ..stores.challenges import RedisChallengeStore
from ..stores.decisions import RedisDecisions
from ..stores.directory import DirectoryAccountStore, DirectorySessionStore
from ..stores.handshakes import RedisHandshakeStore
from ..stores.heartbeat import Heartbeat
from ..stores.notices import SQLNoticeStore
from ..stores.passkeys import SQLPasskeyStore
from ..stores.proofs import RedisProofStore
from ..stores.redis import RedisAuthorizationStore, RedisLimitStore
from ..stores.sessions import SQLSessionStore
from ..stores.sql import Database, create_database
from ..stores.token_cache import NoTokenCache, RedisTokenCache
from ..stores.webhooks import SQLDeliveryStore
from ..webhooks.deliverer import Deliverer
from ..webhooks.receivers import HTTPReceivers
from .collaborators import (
    ceremonies_of,
    directory_of,
    places_of,
    post_of,
    read_proof,
    redis_of,
    speakers_of,
    timed,
)

if TYPE_CHECKING:
    pass

T = TypeVar("T")


@dataclass(frozen=True)
class Services:
    """What a view may call, and the connections beneath."""

    device_flow: DeviceFlow
    held_polls: HeldPolls
    token_endpoint: TokenEndpoint
    approvals: Approvals
    reports: Reports
    sso: SSO
    approval_seal: ApprovalSeal
    accounts: Accounts
    passkeys: Passkeys
    bearers: Bearers
    scopes: Scopes
    sessions: Sessions
    devices: Devices
    undo: Undo
    post: Post | None
    notices: Notices | None
    sender: Sender | None
    registry: Registry
    introspection: Introspection
    ledger: AuditLedger
    proof: AuditProof
    webhooks: Webhooks
    deliverer: Deliverer
    heartbeat: Heartbeat
    database: Database
    redis: redis.Redis


def build_services(
    settings: Settings,
    *,
    clock: Clock = lambda: datetime.now(UTC),
    clock_offset: Callable[[], timedelta] = lambda: timedelta(0),
    own_url: str = "",
) -> Services:
    """The services of one process. Connects to nothing yet. `clock_offset` moves the clock of Redis.

    `own_url` is where clients reach this process, if that is not the `public_url` of the server.
    """
    database = create_database(
        settings.database_url,
        pool_size=settings.database_pool_size,
        pool_overflow=settings.database_pool_overflow,
    )
    client, prefix = redis_of(settings), settings.redis_prefix
    is_embedded = settings.has_embedded_redis
    cache = NoTokenCache() if is_embedded else RedisTokenCache(client, prefix)
    meter = Meter(settings.clients)
    authorizations: AuthorizationStore = timed(RedisAuthorizationStore(client, prefix, clock_offset), "redis")
    directory = directory_of(settings)
    chain = Chain(settings.secrets)
    rows = AuditRows(database, chain, Subscription(settings.webhook_urls, settings.webhook_events))
    session_store: SessionStore = timed(
        DirectorySessionStore(database, cache, rows, directory)
        if directory
        else SQLSessionStore(database, cache, rows),
        "database",
    )
    account_store: AccountStore = timed(
        DirectoryAccountStore(database, cache, directory) if directory else SQLAccountStore(database, cache), "database"
    )
    receivers = HTTPReceivers(settings.webhook_timeout_seconds)
    webhooks = Webhooks(SQLDeliveryStore(database), receivers, settings.webhook_secret, clock)
    # What waits in an embedded Redis is lost at exit: there, nothing waits.
    ledger = AuditLedger(database, rows, client, prefix, waiting_max=1 if is_embedded else 100)
    audit = Audit(ledger, clock, meter)
    limits = RateLimits(timed(RedisLimitStore(client, prefix), "redis"), settings.limits, audit, meter, clock)
    hasher = PasswordHasher(time_cost=settings.argon2_time_cost, memory_cost=settings.argon2_memory_kib)
    accounts = Accounts(
        store=account_store,
        limits=limits,
        audit=audit,
        hasher=hasher,
        clock=clock,
        sign_in_lifetime_seconds=settings.sign_in_lifetime_seconds,
        directory=directory,
    )
    clients = Clients(settings.clients, hasher, limits)
    scopes = Scopes(settings.scopes, settings.ignored_scopes)
    prefixes = TokenPrefixes(
        settings.account_token_prefix, settings.external_token_prefix, settings.refresh_token_prefix
    )
    user_code_keys = [derive_key(secret.encode(), "user_code") for secret in settings.secrets]
    declared = settings.identity_providers if settings.has_sso else {}
    issuers = frozenset(issuer for provider in declared.values() for issuer in provider.subject_issuers)
    external_subjects = ExternalSubjects(account_store, issuers)
    dpop = DPoP(
        read=read_proof,
        store=timed(RedisProofStore(client, prefix), "redis"),
        url=own_url or settings.public_url,
        secrets=settings.secrets,
        nonce_required=settings.dpop_nonce_required,
        clock=clock,
    )
    redeemer = Redeemer(
        store=authorizations,
        sessions=session_store,
        accounts=account_store,
        external_subjects=external_subjects,
        prefixes=prefixes,
        redelivery_seconds=settings.redelivery_seconds,
        notify=bool(settings.mail_server),
        audit=audit,
        meter=meter,
        clock=clock,
    )
    held_polls = HeldPolls(settings.hold, RedisDecisions(client, prefix))
    device_flow = DeviceFlow(
        store=authorizations,
        clients=clients,
        limits=limits,
        redeemer=redeemer,
        dpop=dpop,
        user_code_key=user_code_keys[0],
        scopes=scopes,
        audit=audit,
        held_polls=held_polls,
    )
    longest = max(one.device_code_lifetime_seconds for one in settings.clients.values())
    burns: BurnStore = timed(RedisBurnStore(client, prefix, longest, clock_offset), "redis")
    user_codes = UserCodes(store=authorizations, burns=burns, keys=user_code_keys, audit=audit)
    places = places_of(settings)
    approvals = Approvals(
        store=authorizations,
        user_codes=user_codes,
        clients=clients,
        scopes=scopes,
        limits=limits,
        places=places,
        audit=audit,
        clock=clock,
    )
    refresher = Refresher(
        sessions=session_store,
        external_subjects=external_subjects,
        scopes=scopes,
        prefixes=prefixes,
        limits=limits,
        dpop=dpop,
        redelivery_seconds=settings.redelivery_seconds,
        audit=audit,
        clock=clock,
    )
    sessions = Sessions(session_store, audit, clock)
    bearers = Bearers(
        sessions=session_store, cache=cache, limits=limits, dpop=dpop, prefixes=prefixes, audit=audit, clock=clock
    )
    devices = Devices(sessions=sessions, clients=clients, scopes=scopes, places=places, clock=clock)
    undo_seal = UndoSeal(settings.secrets, clock)
    post = post_of(settings)
    notices = None
    if post is not None:
        notices = Notices(
            store=timed(SQLNoticeStore(database), "database"),
            post=post,
            sessions=session_store,
            accounts=account_store,
            devices=devices,
            seal=undo_seal,
            clock=clock,
        )
    reports = Reports(
        store=authorizations,
        user_codes=user_codes,
        burns=burns,
        sessions=session_store,
        clients=clients,
        limits=limits,
        audit=audit,
        clock=clock,
    )
    return Services(
        device_flow=device_flow,
        held_polls=held_polls,
        token_endpoint=TokenEndpoint(clients, device_flow, refresher),
        approvals=approvals,
        reports=reports,
        sso=SSO(
            declared=declared,
            providers=speakers_of(settings, clock) if declared else {},
            store=RedisHandshakeStore(client, prefix),
            approvals=approvals,
            subjects=external_subjects,
            limits=limits,
            audit=audit,
            clock=clock,
        ),
        approval_seal=ApprovalSeal(settings.secrets, clock),
        accounts=accounts,
        passkeys=Passkeys(
            store=timed(SQLPasskeyStore(database), "database"),
            accounts=accounts,
            ceremonies=functools.cache(lambda: ceremonies_of(settings)),
            challenges=Challenges(timed(RedisChallengeStore(client, prefix), "redis"), clock, settings.secrets),
            limits=limits,
            audit=audit,
            clock=clock,
        ),
        bearers=bearers,
        scopes=scopes,
        sessions=sessions,
        devices=devices,
        undo=Undo(seal=undo_seal, sessions=sessions, devices=devices),
        post=post,
        notices=notices,
        sender=Sender(notices.send_due) if notices else None,
        registry=Registry(session_store, account_store, audit, clock),
        introspection=Introspection(
            clients=clients,
            bearers=bearers,
            sessions=session_store,
            prefixes=prefixes,
            issuer=settings.public_url,
            audit=audit,
            clock=clock,
        ),
        ledger=ledger,
        proof=AuditProof(chain, rows),
        webhooks=webhooks,
        deliverer=Deliverer(ledger.settle, webhooks.deliver_due, settings.webhook_urls),
        heartbeat=Heartbeat(database, client, prefix),
        database=database,
        redis=client,
    )


# The services that a view finds at its request.
OF_REQUESTS = (
    "device_flow", "approvals", "reports", "heartbeat", "sso", "approval_seal", "accounts", "passkeys", "bearers",
    "sessions", "devices", "undo", "introspection", "token_endpoint",
)  # fmt: skip


def includeme(config: Configurator) -> None:
    """`request.device_flow`, `request.approvals`, `request.bearers` and the other services; `request.options`."""
    services: Services = config.registry["oauthdevice.services"]
    given = {name: getattr(services, name) for name in OF_REQUESTS}
    given["options"] = config.registry["oauthdevice.settings"]
    for name, value in given.items():
        config.add_request_method(lambda _, value=value: value, name, property=True)
