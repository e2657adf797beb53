"""What speaks to identity providers: one module a protocol. See `oauthdevice.domain.ports.IdentityProvider`.

A third protocol is one more module here, with a class that has the three methods of the port, one more
kind of provider in `oauthdevice.domain.identity_providers` and one more `mode` in the ini.
"""

from ..domain.identity_providers import OIDCProvider, Provider
from ..domain.ports import Clock, IdentityProvider
from .broker import Broker
from .documents import Unreachable
from .oidc import OpenIDConnect

__all__ = ["Unreachable", "speak_to"]


def speak_to(
    provider: Provider, *, public_url: str, callback: str, timeout_seconds: int, clock: Clock, alone: bool
) -> IdentityProvider:
    """What speaks to `provider`. Raises Unreachable on keys that cannot be used; connects to nothing yet.

    `public_url` names this server, `callback` is its address for answers of providers; `alone` says
    that no other OpenID Connect provider shares it.
    """
    if isinstance(provider, OIDCProvider):
        return OpenIDConnect(provider, callback, timeout_seconds, clock, alone=alone)
    return Broker(provider, public_url, callback, timeout_seconds, clock)
