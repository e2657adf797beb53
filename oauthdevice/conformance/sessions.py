"""Authorizations that a person decides, each lived through once from end to end, so that every check sees the same.

Each takes one decision: `access` (introspect, refresh, revoke the access token), `rotation` (a refresh token and a
device code used twice), `revoked` (the refresh token revoked), `denied`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from .answers import Answer
from .authorizations import Authorization, plain_code, text
from .people import Asked
from .requirements import NotApplicable, NotTried

if TYPE_CHECKING:
    from .probe import Probe

# Whoever decides has done so, or is about to.
POLLS_MAX = 3
Headers = Callable[[], list[tuple[str, str]]]


@dataclass
class Tokens:
    """What one approval gave."""

    authorization: Authorization
    answer: Answer

    @property
    def access_token(self) -> str:
        return text(self.answer, "access_token")

    @property
    def refresh_token(self) -> str:
        return text(self.answer, "refresh_token")

    def scopes(self, requested: str) -> list[str]:
        """What was granted: what is told, or what was asked for (RFC 6749 §5.1)."""
        return (text(self.answer, "scope") or requested).split()


@dataclass
class Access:
    """From the token to its revocation. None: the server, or who runs this, lacks what it takes."""

    tokens: Tokens
    introspected: Answer | None = None
    introspected_with_hint: Answer | None = None
    by_another: Answer | None = None
    narrowed: Answer | None = None
    narrowed_to: str = ""
    broadened: Answer | None = None
    revoked: Answer | None = None
    introspected_after: Answer | None = None


@dataclass
class Rotation:
    """A refresh token used, then used again; then the device code used again."""

    tokens: Tokens
    typed: Asked
    typed_plain: bool
    code_again: Answer
    refreshed: Answer | None = None
    refreshed_again: Answer | None = None


@dataclass
class Revoked:
    """A refresh token revoked: what it and its access token are worth then."""

    tokens: Tokens
    answer: Answer
    refreshed_after: Answer
    introspected_after: Answer | None = None


@dataclass
class Sessions:
    """Made when a check first asks; what could not be had stays so."""

    probe: "Probe"
    _failed: dict[str, str] = field(default_factory=dict)

    def decided(self, approve: bool, asked: Asked | None = None) -> Authorization:
        """A new authorization that somebody was asked to decide. Raises NotTried."""
        one = self.probe.authorization()
        self.probe.person.decide(asked or one.asked, approve)
        return one

    def outcome(self, one: Authorization, headers: Headers = list) -> Answer:
        """What the polls end with; `headers` makes those of each. Raises NotTried where nobody decides."""
        for _ in range(POLLS_MAX):
            answer = self.probe.poll(one, headers=headers())
            if answer.error not in ("authorization_pending", "slow_down"):
                one.decided = True
                return answer
        raise NotTried("nobody decided: the code was still pending after the approval was to be there")

    def redeem(self, one: Authorization, headers: Headers = list) -> Tokens:
        """Raises NotTried where the approval gives no token."""
        tokens = Tokens(one, self.outcome(one, headers))
        if not tokens.access_token:
            raise NotTried(f"no token after the approval: {tokens.answer.told}")
        return tokens

    @cached_property
    def access(self) -> Access:
        with self._once("access"):
            life = Access(self.redeem(self.decided(True)))
        now = life.tokens
        life.introspected = self._introspect(now.access_token)
        life.introspected_with_hint = self._introspect(now.access_token, "refresh_token")
        if now.refresh_token:
            now = self._refresh(life)
        if "revocation_endpoint" in self.probe.metadata:
            life.revoked = self.probe.revoke(now.access_token)
            life.introspected_after = self._introspect(now.access_token)
        return life

    def _refresh(self, life: Access) -> Tokens:
        """The tokens that are valid afterwards."""
        now = life.tokens
        if self.probe.other_client is not None:
            form = [("grant_type", "refresh_token"), ("refresh_token", now.refresh_token)]
            life.by_another = self.probe.token(form, client=self.probe.other_client)
        granted = life.tokens.scopes(self.probe.scope)
        life.narrowed_to = " ".join(granted[:1])
        life.narrowed = self.refresh(now.refresh_token, life.narrowed_to)
        now = Tokens(now.authorization, life.narrowed) if text(life.narrowed, "access_token") else now
        last = now.refresh_token or life.tokens.refresh_token
        life.broadened = self.refresh(last, " ".join([*granted, "oauthdevice-conformance"]))
        return Tokens(now.authorization, life.broadened) if text(life.broadened, "access_token") else now

    @cached_property
    def rotation(self) -> Rotation:
        """Its code is typed as people do: small letters, no punctuation (RFC 8628 §6.1)."""
        with self._once("rotation"):
            one = self.probe.authorization()
            plain = Asked(plain_code(one.user_code), one.asked.verification_uri, "")
            tokens, typed_plain = self._typed(one, plain)
        life = Rotation(tokens, plain, typed_plain, tokens.answer)
        if tokens.refresh_token:
            life.refreshed = self.refresh(tokens.refresh_token)
            life.refreshed_again = self.refresh(tokens.refresh_token)
        # Last, since a server may end the session that a code gave when it comes again.
        life.code_again = self.probe.poll(tokens.authorization)
        return life

    def _typed(self, one: Authorization, plain: Asked) -> tuple[Tokens, bool]:
        try:
            self.probe.person.decide(plain, True)
            return self.redeem(one), True
        except NotTried:
            # Nobody is asked again who approves no code at all; to one who does, it is shown as it is.
            if self.access.tokens.access_token:
                return self.redeem(self.decided(True)), False
            raise

    @cached_property
    def revoked(self) -> Revoked:
        self.probe.endpoint("revocation")
        if not self.access.tokens.refresh_token:
            raise NotApplicable("no refresh token was issued")
        with self._once("revoked"):
            tokens = self.redeem(self.decided(True))
        answer = self.probe.revoke(tokens.refresh_token)
        return Revoked(tokens, answer, self.refresh(tokens.refresh_token), self._introspect(tokens.access_token))

    @cached_property
    def denied(self) -> Answer:
        with self._once("denied"):
            return self.outcome(self.decided(False))

    def refresh(self, refresh_token: str, scope: str = "", headers: Headers = list) -> Answer:
        """One refresh (RFC 6749 §6), whatever is answered."""
        form = [("grant_type", "refresh_token"), ("refresh_token", refresh_token)]
        return self.probe.token([*form, *([("scope", scope)] if scope else [])], headers())

    def _introspect(self, token: str, hint: str = "") -> Answer | None:
        if self.probe.other_client is None or "introspection_endpoint" not in self.probe.metadata:
            return None
        return self.probe.introspect(token, [("token_type_hint", hint)] if hint else [])

    def _once(self, name: str) -> "_Once":
        return _Once(self._failed, name)


class _Once:
    """A decision that could not be had is not asked for again: each try costs somebody's time."""

    def __init__(self, failed: dict[str, str], name: str) -> None:
        self._failed, self._name = failed, name

    def __enter__(self) -> None:
        if self._name in self._failed:
            raise NotTried(self._failed[self._name])

    def __exit__(self, kind: object, error: BaseException | None, _: object) -> None:
        if isinstance(error, NotTried):
            self._failed[self._name] = str(error)
