"""Which scopes exist, which of them a client may ask for and which a subject can grant."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from .errors import InvalidScope, NothingTicked

FULL = "full"
EXTERNAL_ONLY = "apps:read:permitted-external"
ACCOUNT, EXTERNAL = "account", "external_sso"


@dataclass(frozen=True, slots=True)
class Scope:
    """A scope as the ini declares it in `[scope:NAME]`: `text` is what a person reads.

    `subjects` are the subject types that can grant it. A person may untick an `optional` one; a `sensitive`
    one is told first and marked. `texts` are the operator's own, by the first part of a language's tag.
    """

    name: str
    text: str
    subjects: frozenset[str] = frozenset({ACCOUNT})
    optional: bool = False
    sensitive: bool = False
    texts: Mapping[str, str] = field(default_factory=dict, hash=False)


# What there is where no file declares a scope; the most far-reaching first.
DEFAULT_SCOPES: Mapping[str, Scope] = {
    scope.name: scope
    for scope in (
        Scope(FULL, "Act as you, with everything your account may do", sensitive=True),
        Scope("workspace:write", "Change your workspaces"),
        Scope("apps:run", "Run apps", frozenset({ACCOUNT, EXTERNAL})),
        Scope("workspace:read", "See your workspaces"),
        Scope("apps:read", "See your apps"),
        Scope(EXTERNAL_ONLY, "See the apps that are shared with you", frozenset({EXTERNAL})),
    )
}
_DEFAULT: Mapping[str, frozenset[str]] = {
    ACCOUNT: frozenset({FULL}),
    EXTERNAL: frozenset({"apps:run", EXTERNAL_ONLY}),
}
# RFC 6749 §3.3: scope-token = 1*( %x21 / %x23-5B / %x5D-7E )
_SCOPE_TOKEN = re.compile(r"[\x21\x23-\x5B\x5D-\x7E]+")


def is_scope_token(text: str) -> bool:
    """True where `text` may stand in a scope parameter (RFC 6749 §3.3)."""
    return _SCOPE_TOKEN.fullmatch(text) is not None


class Scopes:
    """The catalogue of this server. `ignored` are words that stock clients add by themselves."""

    def __init__(self, catalogue: Mapping[str, Scope], ignored: frozenset[str]) -> None:
        self._catalogue = catalogue
        self._ignored = ignored

    def requested(self, scope: str, client_scopes: frozenset[str]) -> frozenset[str]:
        """What the client asked for and may ask for; empty where it asked for nothing.

        Raises InvalidScope for a scope that neither the server nor the client knows, and where
        nothing of the request is the client's.
        """
        words = frozenset(scope.split(" ")) - {""} - self._ignored
        if any(word not in self._catalogue and word not in client_scopes for word in words):
            raise InvalidScope()
        allowed = frozenset(word for word in words if self.covers(client_scopes, word))
        if words and not allowed:
            raise InvalidScope("The client may not ask for any of the requested scopes.")
        return allowed

    def granted(
        self,
        requested: frozenset[str],
        client_scopes: frozenset[str],
        subject_type: str,
        ticked: frozenset[str] | None = None,
    ) -> frozenset[str]:
        """What such a subject grants: requested, of the client and of the subject type.

        Nothing requested means the default of the subject type. Of the optional ones only those in
        `ticked`; None ticks all. Raises InvalidScope where nothing can be granted, NothingTicked where nothing is left.
        """
        wanted = requested or _DEFAULT[subject_type]
        granted = frozenset(
            word for word in wanted if self._grantable(word, subject_type) and self.covers(client_scopes, word)
        )
        if not requested and not granted:
            granted = frozenset(word for word in client_scopes if self._grantable(word, subject_type))
        if not granted:
            raise InvalidScope("Nothing of the requested scope can be granted.")
        if ticked is None:
            return granted
        left = frozenset(word for word in granted if word in ticked or not self._is_optional(word))
        if not left:
            raise NothingTicked()
        return left

    def narrowed(self, scope: str, held: frozenset[str]) -> frozenset[str]:
        """What a refresh asks for of the scopes it holds; nothing asked means all (RFC 6749 §6).

        Raises InvalidScope for a scope that is not held.
        """
        words = frozenset(scope.split(" ")) - {""} - self._ignored
        if any(not self.covers(held, word) for word in words):
            raise InvalidScope("The scope exceeds what was granted.")
        return words or held

    def described(self, scopes: frozenset[str]) -> list[Scope]:
        """Each scope with its text: sensitive ones first, then as in the catalogue; those of a client alone last."""
        known = [scope for name, scope in self._catalogue.items() if name in scopes]
        known.sort(key=lambda scope: not scope.sensitive)
        return known + [Scope(name, name) for name in sorted(scopes - frozenset(self._catalogue))]

    def covers(self, held: frozenset[str], word: str) -> bool:
        """True where `held` contains the scope, or `full`, which stands for all that an account can grant."""
        return word in held or (FULL in held and word in self._catalogue and self._grantable(word, ACCOUNT))

    def _grantable(self, word: str, subject_type: str) -> bool:
        scope = self._catalogue.get(word)
        return scope is None or subject_type in scope.subjects

    def _is_optional(self, word: str) -> bool:
        scope = self._catalogue.get(word)
        return scope is not None and scope.optional
