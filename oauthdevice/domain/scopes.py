"""Which scopes exist, which of them a client may ask for and which a subject can grant."""

import re
from collections.abc import Mapping

from .errors import InvalidScope

FULL = "full"
EXTERNAL_ONLY = "apps:read:permitted-external"

# Scope -> what a person reads on the consent page; the most far-reaching first.
CATALOGUE: Mapping[str, str] = {
    FULL: "Act as you, with everything your account may do",
    "workspace:write": "Change your workspaces",
    "apps:run": "Run apps",
    "workspace:read": "See your workspaces",
    "apps:read": "See your apps",
    EXTERNAL_ONLY: "See the apps that are shared with you",
}

_GRANTABLE: Mapping[str, frozenset[str]] = {
    "account": frozenset(CATALOGUE) - {EXTERNAL_ONLY},
    "external_sso": frozenset({"apps:run", EXTERNAL_ONLY}),
}
_DEFAULT: Mapping[str, frozenset[str]] = {
    "account": frozenset({FULL}),
    "external_sso": frozenset({"apps:run", EXTERNAL_ONLY}),
}
# RFC 6749 §3.3: scope-token = 1*( %x21 / %x23-5B / %x5D-7E )
_SCOPE_TOKEN = re.compile(r"[\x21\x23-\x5B\x5D-\x7E]+")


def is_scope_token(text: str) -> bool:
    """True where `text` may stand in a scope parameter (RFC 6749 §3.3)."""
    return _SCOPE_TOKEN.fullmatch(text) is not None


def requested_scopes(scope: str, client_scopes: frozenset[str], ignored: frozenset[str]) -> frozenset[str]:
    """What the client asked for and may ask for; empty where it asked for nothing.

    `ignored` are words that stock clients add by themselves. Raises InvalidScope for a scope that
    neither the server nor the client knows, and where nothing of the request is the client's.
    """
    words = frozenset(scope.split(" ")) - {""} - ignored
    if any(word not in CATALOGUE and word not in client_scopes for word in words):
        raise InvalidScope()
    allowed = frozenset(word for word in words if _covers(client_scopes, word))
    if words and not allowed:
        raise InvalidScope("The client may not ask for any of the requested scopes.")
    return allowed


def granted_scopes(requested: frozenset[str], client_scopes: frozenset[str], subject_type: str) -> frozenset[str]:
    """What such a subject grants: requested, of the client and of the subject type.

    Nothing requested means the default of the subject type. Raises InvalidScope where nothing is left.
    """
    grantable = _GRANTABLE[subject_type] | (client_scopes - frozenset(CATALOGUE))
    wanted = requested or _DEFAULT[subject_type]
    granted = frozenset(word for word in wanted if word in grantable and _covers(client_scopes, word))
    if not requested and not granted:
        granted = client_scopes & grantable
    if not granted:
        raise InvalidScope("This kind of account cannot grant the requested scope.")
    return granted


def described(scopes: frozenset[str]) -> list[tuple[str, str]]:
    """Each scope with what it means to a person, the most far-reaching first."""
    known = [(scope, text) for scope, text in CATALOGUE.items() if scope in scopes]
    return known + [(scope, scope) for scope in sorted(scopes - frozenset(CATALOGUE))]


def _covers(client_scopes: frozenset[str], word: str) -> bool:
    return word in client_scopes or (FULL in client_scopes and word in _GRANTABLE["account"])
