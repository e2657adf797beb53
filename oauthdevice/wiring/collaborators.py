"""What the services speak to, as the settings say: Redis, mail, identity providers, a company's accounts.

What few servers need, and what is large, is imported where it is needed.
"""

from typing import TYPE_CHECKING, TypeVar, cast

import redis
from pyramid.path import DottedNameResolver

from ..domain.dpop import SignedProof
from ..domain.identity_providers import OIDCProvider
from ..domain.places import Places
from ..domain.ports import AccountDirectory, Clock, IdentityProvider, Post
from ..mail.server import parse_mail_server
from ..metrics import Timed
from ..settings import Settings, SettingsError
from ..stores.connections import connect
from ..stores.places import BadPlaceDatabase, MaxMindPlaces, NoPlaces

if TYPE_CHECKING:
    from ..domain.ceremonies import Ceremonies

T = TypeVar("T")


def timed(store: T, name: str) -> T:
    """The store, every call of it timed."""
    return cast("T", Timed(store, name))


def directory_of(settings: Settings) -> AccountDirectory | None:
    """A company's own accounts, or None where they are ours. Raises SettingsError."""
    if not settings.accounts:
        return None
    try:
        directory: AccountDirectory = DottedNameResolver().resolve(settings.accounts)()
    except (ImportError, AttributeError) as error:
        raise SettingsError("oauthdevice.accounts", f"cannot be imported: {error}") from error
    return timed(directory, "accounts")


def ceremonies_of(settings: Settings) -> "Ceremonies":
    # Imported here: what reads passkeys costs 10 MiB, and few processes of a server for devices ever meet one.
    from ..domain.ceremonies import Ceremonies  # noqa: PLC0415

    return Ceremonies(settings.relying_party, settings.brand_name)


def read_proof(proof: str) -> SignedProof:
    # Imported here: what reads proofs costs 3 MiB, and many a server never meets one.
    from ..signed_proofs import read_proof  # noqa: PLC0415

    return read_proof(proof)


def post_of(settings: Settings) -> Post | None:
    """What takes mails, or None where no mail server is named."""
    if not settings.mail_server:
        return None
    # Imported here: where no mail is sent, what writes and sends them need not be in memory.
    from ..mail.letters import Letters  # noqa: PLC0415
    from ..mail.smtp import SMTPPost  # noqa: PLC0415

    server = parse_mail_server(settings.mail_server)
    letters = Letters(settings.public_url, settings.mail_from, settings.brand_name)
    return timed(SMTPPost(server, letters, may_be_clear=settings.mode == "development"), "mail")


def places_of(settings: Settings) -> Places:
    """Where addresses are said to be. Raises SettingsError."""
    if not settings.place_database:
        return NoPlaces()
    try:
        return MaxMindPlaces(settings.place_database)
    except BadPlaceDatabase as error:
        raise SettingsError("oauthdevice.place_database", str(error)) from error


def redis_of(settings: Settings) -> redis.Redis:
    """The client of our Redis. Raises SettingsError where a Cluster, which is asked at once, does not answer."""
    try:
        return connect(settings.redis_url)
    except redis.RedisError as error:
        raise SettingsError("oauthdevice.redis_url", f"cannot be reached: {type(error).__name__}") from error


def speakers_of(settings: Settings, clock: Clock) -> dict[str, IdentityProvider]:
    """What speaks to each declared identity provider. Raises SettingsError."""
    # Imported here: most servers have no SSO branch, and what speaks to providers costs 15 MiB and a quarter second.
    from ..identity_providers import Unreachable, speak_to  # noqa: PLC0415

    declared = settings.identity_providers
    shared = [one for one in declared.values() if isinstance(one, OIDCProvider) and not one.own_callback]
    speakers: dict[str, IdentityProvider] = {}
    for name, provider in declared.items():
        try:
            speaker = speak_to(
                provider,
                public_url=settings.public_url,
                callback=f"{settings.public_url}{settings.api_prefix}/oauth/device/sso-complete",
                timeout_seconds=settings.sso_timeout_seconds,
                clock=clock,
                alone=len(shared) < 2,
            )
            speakers[name] = timed(speaker, f"sso:{name}")
        except Unreachable as error:
            raise SettingsError(f"[sso:{name}]", str(error)) from error
    return speakers
