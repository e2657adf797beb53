"""The sign-in at an identity provider: out with a handshake, back with the approval of an external subject.

The approval lets its browser decide about the one code that the handshake was for.
"""

import hmac
import secrets
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

from . import codes
from .approvals import Approvals, Opened
from .audit import Audit, Event
from .clients import Client
from .credentials import credential_digest
from .errors import (
    AlreadyResolved,
    DomainError,
    EmailBelongsToAccount,
    ExpiredOrUnknown,
    InvalidApproval,
    InvalidRequest,
    InvalidUserCode,
    NoApproval,
    SSOCancelled,
    SSOFailed,
    SSOInitiateFailed,
    UserCodeGone,
    UserCodeMismatch,
    UserCodeNotPending,
)
from .external_subjects import ExternalSubjects
from .identity_providers import Handshake, OIDCProvider, Provider, ProviderAnswer
from .other_network import NOTHING, Confirmation, SignInAgain
from .ports import Clock, HandshakeStore, IdentityProvider
from .rate_limits import RateLimits, network
from .subjects import Approval, ExternalSubject

APPROVAL_SECONDS = 300


class SSO:
    """`declared` and `providers` are the same providers by name: what the ini says, and what speaks to them."""

    def __init__(
        self,
        *,
        declared: Mapping[str, Provider],
        providers: Mapping[str, IdentityProvider],
        store: HandshakeStore,
        approvals: Approvals,
        subjects: ExternalSubjects,
        limits: RateLimits,
        audit: Audit,
        clock: Clock,
    ) -> None:
        self._declared = declared
        self._providers = providers
        self._store = store
        self._approvals = approvals
        self._subjects = subjects
        self._limits = limits
        self._audit = audit
        self._clock = clock

    @property
    def choices(self) -> tuple[Provider, ...]:
        """The providers that a person may choose from, in the order of the ini."""
        return tuple(self._declared.values())

    def check(self, name: str) -> None:
        """Return if a sign-in at this provider could begin now. Raises SSOInitiateFailed."""
        self._providers[name].check()

    def provider_of(self, email: str) -> Provider | None:
        """The provider that is for the domain of an e-mail, or None."""
        domain = email.strip().rpartition("@")[2].casefold()
        return next((one for one in self._declared.values() if domain in one.email_domains), None)

    def asking_again(self, subject: ExternalSubject) -> str | None:
        """The provider that can be told to ask this person again; None where there is none, as behind a broker."""
        able = (one for one in self._declared.values() if isinstance(one, OIDCProvider))
        return next((one.name for one in able if one.issuer == subject.issuer), None)

    def begin(
        self,
        user_code: str,
        provider: str | None,
        browser: str,
        address: str,
        *,
        login_hint: str = "",
        again: bool = False,
        linked: bool = False,
    ) -> str:
        """The address at the provider to send this browser to.

        `browser` is the secret in its cookie. `provider` may be None where there is only one. `again`: it
        is to ask a person whom it knows too. `linked`: a page of another site sent the browser here with
        the code. Raises InvalidUserCode, InvalidRequest, SSOInitiateFailed, RateLimited, StoreUnavailable.
        """
        self._limits.hit("sso_initiate", network(address))
        name = self._chosen(provider)
        try:
            asked = self._approvals.waiting(user_code)
        except (ExpiredOrUnknown, AlreadyResolved) as error:
            raise InvalidUserCode() from error
        handshake = Handshake(
            provider=name,
            state=secrets.token_urlsafe(32),
            nonce=secrets.token_urlsafe(32),
            code_verifier=secrets.token_urlsafe(48),
            browser=credential_digest(browser),
            user_code=codes.normalise_user_code(user_code) or "",
            authorization_id=asked.id,
            login_hint=login_hint,
            again=again,
            linked=linked,
        )
        address_there = self._providers[name].begin(handshake)
        self._store.keep(handshake)
        return address_there

    def complete(self, answer: ProviderAnswer, browser: str, address: str) -> Approval:
        """The approval of the person that the provider vouches for, in the browser that went there.

        A handshake serves once. Raises SSOFailed, SSOCancelled, EmailBelongsToAccount,
        UserCodeNotPending, StoreUnavailable.
        """
        handshake = self._handshake(answer)
        try:
            subject = self._subject(handshake, answer, browser)
        except (SSOFailed, SSOCancelled, UserCodeNotPending) as error:
            self._audit.record(
                Event.LOGIN_FAILED,
                subject=f"provider:{handshake.provider}",
                token_id=handshake.authorization_id,
                address=address,
                reason=(error.detail or error.error)[:64],
            )
            raise
        self._admit(subject, handshake.user_code, address)
        self._audit.record(Event.LOGIN, subject=subject, address=address, token_id=handshake.authorization_id)
        return Approval(
            id=secrets.token_urlsafe(16),
            subject=subject,
            user_code=handshake.user_code,
            authorization_id=handshake.authorization_id,
            csrf_token=secrets.token_urlsafe(32),
            expires_at=self._clock() + timedelta(seconds=APPROVAL_SECONDS),
            signed_in_again=handshake.again and self._has_opened(subject, handshake),
            linked=handshake.linked,
        )

    def context(self, approval: Approval, address: str) -> Opened:
        """As `open`, for a program. Raises NoApproval where there is nothing left to decide."""
        try:
            return self.open(approval.user_code, approval, address)
        except UserCodeNotPending as error:
            raise NoApproval() from error

    def open(
        self, user_code: str, approval: Approval, address: str, sign_in_again: SignInAgain | None = None
    ) -> Opened:
        """What the code of an approval asks for; from now on it is this subject's to decide.

        Raises UserCodeMismatch, UserCodeGone, UserCodeNotPending, AlreadyClaimed, InvalidScope.
        """
        _must_match(approval, user_code)
        try:
            opened = self._approvals.open(user_code, approval, address, sign_in_again)
        except (ExpiredOrUnknown, AlreadyResolved) as error:
            raise _no_longer_pending(error) from error
        # The approval may be over before the code is.
        return replace(opened, remaining=min(opened.remaining, approval.expires_at - self._clock()))

    def approve(
        self,
        user_code: str,
        approval: Approval,
        address: str,
        ticked: frozenset[str] | None = None,
        *,
        confirmation: Confirmation = NOTHING,
        on_page: bool = False,
        language: str | None = None,
        linked: bool = False,
    ) -> Client:
        """Let the client, which is returned, have a token. See `Approvals.approve`.

        Raises UserCodeMismatch, UserCodeGone, UserCodeNotPending, ApprovalConsumed, AlreadyClaimed,
        EmailBelongsToAccount, InvalidApproval, InvalidScope, NotOpened, OtherNetworkBlocked,
        ConfirmationRequired, ConfirmationFailed, NoTriesLeft, RateLimited, StoreUnavailable.
        """
        _must_match(approval, user_code)
        try:
            self._admit(approval.subject, approval.user_code, address)
        except SSOFailed as error:
            raise InvalidApproval(detail=error.detail) from error
        try:
            return self._approvals.approve(
                user_code,
                approval,
                address,
                ticked,
                confirmation=confirmation,
                on_page=on_page,
                language=language,
                linked=linked or approval.linked,
            )
        except (ExpiredOrUnknown, AlreadyResolved) as error:
            raise _no_longer_pending(error) from error

    def deny(self, user_code: str, approval: Approval, address: str, *, linked: bool = False) -> Client:
        """Refuse the client, which is returned. Raises as `approve` does; anybody who signed in may refuse."""
        _must_match(approval, user_code)
        try:
            return self._approvals.deny(user_code, approval, address, linked=linked or approval.linked)
        except (ExpiredOrUnknown, AlreadyResolved) as error:
            raise _no_longer_pending(error) from error

    def _chosen(self, provider: str | None) -> str:
        if provider is None and len(self._providers) > 1:
            raise InvalidRequest("Missing parameter: provider.")
        if provider is None and not self._providers:
            raise SSOInitiateFailed(detail="no [sso:NAME] section declares a provider")
        name = provider or next(iter(self._providers))
        if name not in self._providers:
            raise InvalidRequest("There is no such provider.")
        return name

    def _handshake(self, answer: ProviderAnswer) -> Handshake:
        named = (provider.state_of(answer) for provider in self._providers.values())
        state = next((one for one in named if one), None)
        # A state of ours is ASCII.
        handshake = self._store.find(state) if state and state.isascii() else None
        if handshake is None or handshake.provider not in self._providers:
            raise SSOFailed(detail="the state is missing, unknown, used or expired")
        return handshake

    def _subject(self, handshake: Handshake, answer: ProviderAnswer, browser: str) -> ExternalSubject:
        # The state alone would let a stranger finish his own sign-in in this browser (RFC 9700 §4.7).
        if not hmac.compare_digest(handshake.browser, credential_digest(browser)):
            raise SSOFailed(detail="the sign-in was begun in another browser")
        self._check_waiting(handshake)
        # Before the provider is asked: of two answers at once, the second must not spoil the first.
        if not self._store.spend(handshake.state):
            raise SSOFailed(detail="the handshake was completed by another request")
        return self._providers[handshake.provider].complete(handshake, answer)

    def _has_opened(self, subject: ExternalSubject, handshake: Handshake) -> bool:
        again = self._approvals.sign_in_again(handshake.user_code, subject)
        return again is not None and again.authorization_id == handshake.authorization_id

    def _check_waiting(self, handshake: Handshake) -> None:
        try:
            self._approvals.waiting(handshake.user_code)
        except (ExpiredOrUnknown, AlreadyResolved) as error:
            raise UserCodeNotPending() from error

    def _admit(self, subject: ExternalSubject, user_code: str, address: str) -> None:
        try:
            self._subjects.admit(subject)
        except (EmailBelongsToAccount, SSOFailed) as error:
            about = self._approvals.facts(user_code)
            about["subject"] = subject
            self._audit.record(Event.REJECTED, **about, address=address, reason=error.error)
            raise


def _must_match(approval: Approval, user_code: str) -> None:
    if codes.normalise_user_code(user_code) != approval.user_code:
        raise UserCodeMismatch()


def _no_longer_pending(error: DomainError) -> UserCodeNotPending:
    return UserCodeGone() if isinstance(error, ExpiredOrUnknown) else UserCodeNotPending()
