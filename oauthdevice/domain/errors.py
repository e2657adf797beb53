"""One class per error that a caller can be told; no status code here (see `oauthdevice.views.errors`).

`description` is for the developer of a client: ASCII without `"` and `\\`, never an echoed value
(RFC 6749 §5.2). `detail` is for our log alone.
"""

from typing import Any


class DomainError(Exception):
    """Base of every error that is answered on purpose.

    `error` is the code on the wire; `members` are extra members of the JSON answer, such as `interval`.
    """

    error = "server_error"
    description = "The server could not answer this request."

    def __init__(self, description: str | None = None, *, detail: str = "", **members: Any) -> None:
        super().__init__(description or self.description)
        self.description = description or self.description
        self.detail = detail
        self.members = members


class InvalidRequest(DomainError):
    """RFC 6749 §5.2: a parameter is missing, repeated, malformed or too long."""

    error = "invalid_request"
    description = "The request is missing a parameter, repeats one or has a malformed one."


class InvalidClient(DomainError):
    """RFC 6749 §5.2: the client is unknown or failed to authenticate."""

    error = "invalid_client"
    description = "The client is unknown or its authentication failed."


class UnauthorizedClient(DomainError):
    """RFC 6749 §5.2: the client may not use this grant."""

    error = "unauthorized_client"
    description = "The client is not allowed to use this grant type."


class UnsupportedGrantType(DomainError):
    """RFC 6749 §5.2."""

    error = "unsupported_grant_type"
    description = "This grant_type is not supported."


class InvalidScope(DomainError):
    """RFC 6749 §5.2: no such scope, or none of those requested can be granted."""

    error = "invalid_scope"
    description = "The requested scope is unknown, malformed or cannot be granted."


class NothingTicked(InvalidScope):
    """The person unticked everything that was asked for; the code is still theirs to decide."""

    description = "Nothing of the requested scope was left ticked."


class InvalidGrant(DomainError):
    """RFC 6749 §5.2: the device_code is malformed, unknown, spent or of another client."""

    error = "invalid_grant"
    description = "The device_code is invalid, was already used or belongs to another client."


class AuthorizationPending(DomainError):
    """RFC 8628 §3.5: nobody has decided yet. Carries `interval`, in seconds."""

    error = "authorization_pending"
    description = "The person has not decided yet. Poll again after the interval."


class SlowDown(DomainError):
    """RFC 8628 §3.5: polled too fast. Carries the raised `interval`, in seconds."""

    error = "slow_down"
    description = "Polled too fast. Use the longer interval from now on."


class AccessDenied(DomainError):
    """RFC 8628 §3.5: the person said no, or may no longer sign in."""

    error = "access_denied"
    description = "The request was denied."


class ExpiredToken(DomainError):
    """RFC 8628 §3.5: the device_code has expired."""

    error = "expired_token"
    description = "The device_code has expired. Start again."


class InvalidToken(DomainError):
    """RFC 6750 §3.1: the access token is malformed, unknown, expired or revoked."""

    error = "invalid_token"
    description = "The access token is missing, malformed, expired or revoked."


class InsufficientScope(DomainError):
    """RFC 6750 §3.1: the access token is valid, but does not have the scope. Carries it as `scope`."""

    error = "insufficient_scope"
    description = "The access token does not have the scope that this needs."

    def __init__(self, scope: str, scheme: str = "Bearer") -> None:
        super().__init__(scope=scope)
        self.scheme = scheme


class LoginRequired(DomainError):
    """Nobody is signed in."""

    error = "login_required"
    description = "Sign in first."


class LoginFailed(DomainError):
    """Wrong e-mail, wrong password or disabled account: one error, so that none can be told apart."""

    error = "login_failed"
    description = "E-mail or password is wrong."


class PasskeyRefused(DomainError):
    """A passkey was not accepted; why is for the log, so that nothing can be probed."""

    error = "passkey_refused"
    description = "The passkey was not accepted."


class TooManyPasskeys(DomainError):
    """The account has as many passkeys as one may have."""

    error = "too_many_passkeys"
    description = "The account has as many passkeys as an account may have. Remove one first."


class CSRFMismatch(DomainError):
    """The CSRF token or the origin of the request does not fit the session."""

    error = "csrf_mismatch"
    description = "The CSRF token is missing or wrong."


class ExpiredOrUnknown(DomainError):
    """No such user_code, or it has expired; the two are told apart to nobody (RFC 8628 §5.1)."""

    error = "expired_or_unknown"
    description = "The user_code is unknown or has expired."


class AlreadyResolved(DomainError):
    """The device authorization was already approved or denied."""

    error = "already_resolved"
    description = "The request was already approved or denied."


class AlreadyClaimed(DomainError):
    """Another person opened this user_code first."""

    error = "already_claimed"
    description = "Another account has opened this user_code."


class OtherNetworkBlocked(DomainError):
    """The client is not to be approved from another network than its tool asked from."""

    error = "other_network_blocked"
    description = "The code was asked for from another network, from where this client cannot be approved."


class ConfirmationRequired(DomainError):
    """To approve from another network takes the number that the tool shows, or a sign-in made again."""

    error = "confirmation_required"
    description = "The code was asked for from another network. Send the number that the tool shows."


class ConfirmationFailed(DomainError):
    """The number is wrong. Carries `tries_left`."""

    error = "confirmation_failed"
    description = "The confirmation_number is wrong."

    def __init__(self, tries_left: int) -> None:
        super().__init__(tries_left=tries_left)
        self.tries_left = tries_left


class NoTriesLeft(ConfirmationFailed):
    """The number was wrong once too often: the request of this client is denied."""

    description = "The confirmation_number was wrong too often. The request is denied."

    def __init__(self, client_name: str) -> None:
        super().__init__(0)
        self.client_name = client_name


class NotOpened(DomainError):
    """The person has not seen what the code asks for; a page shows it instead of deciding."""

    error = "consent_required"
    description = "Open the request before approving it."


class InvalidUserCode(DomainError):
    """The user_code with which to begin at an identity provider is unknown, expired or decided."""

    error = "invalid_user_code"
    description = "The user_code is unknown, has expired or was already decided."


class SSOInitiateFailed(DomainError):
    """The identity provider cannot be reached or makes no sense, or there is none."""

    error = "sso_initiate_failed"
    description = "The identity provider cannot be reached. Try again shortly."


class SSOFailed(DomainError):
    """The identity provider's answer cannot be trusted, or came to another browser; why is for the log."""

    error = "sso_failed"
    description = "The sign-in at the identity provider did not succeed."


class SSOCancelled(DomainError):
    """The person went back at the identity provider."""

    error = "sso_cancelled"
    description = "The sign-in at the identity provider was cancelled."


class EmailBelongsToAccount(DomainError):
    """The e-mail that an identity provider vouches for is that of an account of ours, in whatever state."""

    error = "email_belongs_to_account"
    description = "This e-mail belongs to an account here. Sign in with that account."


class NoApproval(DomainError):
    """This browser holds no valid approval: none was given, or it is over."""

    error = "no_session"
    description = "There is no valid approval. Sign in at the identity provider first."


class InvalidApproval(NoApproval):
    """As NoApproval, where a decision is asked for."""

    error = "invalid_session"


class ApprovalConsumed(NoApproval):
    """The approval was spent by an earlier decision."""

    error = "session_already_consumed"
    description = "This approval has already been used."


class UserCodeMismatch(DomainError):
    """The approval is for another user_code."""

    error = "user_code_mismatch"
    description = "The approval is for another user_code."


class UserCodeNotPending(DomainError):
    """The user_code of an approval has meanwhile been decided."""

    error = "user_code_not_pending"
    description = "The user_code is no longer waiting for a decision."


class UserCodeGone(UserCodeNotPending):
    """The user_code of an approval has meanwhile expired."""


# What a person who comes back from an identity provider may be told; anything else is SSOFailed.
SSO_ERRORS = (SSOFailed, SSOCancelled, EmailBelongsToAccount, UserCodeNotPending)


class RateLimited(DomainError):
    """Too many requests. `retry_after_seconds` says when to come back."""

    error = "rate_limited"
    description = "Too many requests. Try again later."

    def __init__(self, retry_after_seconds: int, *, detail: str = "") -> None:
        super().__init__(detail=detail)
        self.retry_after_seconds = retry_after_seconds


class Unavailable(DomainError):
    """Something we depend on is away or exhausted; the same request may succeed later."""

    error = "temporarily_unavailable"
    description = "The service is temporarily unavailable. Try again shortly."
    retry_after_seconds = 5


class StoreUnavailable(Unavailable):
    """Redis or the database did not answer; nothing half done is visible."""


def lost_every_race() -> Unavailable:
    """What is raised when a bounded number of tries to change one record all met another change."""
    return Unavailable(detail="lost every race for one record")


class UserCodesExhausted(Unavailable):
    """No free user_code was found in a bounded number of draws."""


class MailUnavailable(Unavailable):
    """The mail server is away, or takes no mail now."""


class MailRefused(Exception):
    """The mail server will never take this mail. `detail` is for the log."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class StaleLease(Exception):
    """A later redemption of the same device authorization has taken over; never shown to a caller."""


class UserCodeTaken(Exception):
    """The drawn user_code is in use; never shown to a caller."""


class NoSuchSession(DomainError):
    """The session is foreign, unknown, ended or its id malformed; which, is told to nobody."""

    error = "not_found"
    description = "There is no such session."


class NoSuchPasskey(DomainError):
    """The passkey is unknown, removed or another account's; which, is told to nobody."""

    error = "not_found"
    description = "There is no such passkey."


class AccountExists(DomainError):
    """An account with this e-mail exists already."""

    error = "account_exists"
    description = "An account with this e-mail exists already."


class WorkspaceExists(DomainError):
    """A workspace with this name exists already."""

    error = "workspace_exists"
    description = "A workspace with this name exists already."


class NoSuchAccount(DomainError):
    """No account has this e-mail; told to administrators alone."""

    error = "no_such_account"
    description = "There is no account with this e-mail."


class NoSuchWorkspace(DomainError):
    """No workspace has this id or name; told to administrators alone."""

    error = "no_such_workspace"
    description = "There is no workspace with this id or name."
