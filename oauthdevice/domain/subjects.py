"""Whom a token speaks for, and what such a subject may ask for."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class AccountSubject:
    """A person with an account of ours."""

    account_id: str

    subject_type = "account"

    @property
    def key(self) -> str:
        """One text per subject, for claims and for "one session per subject, client, device"."""
        return f"account:{self.account_id}"


@dataclass(frozen=True, slots=True)
class ExternalSubject:
    """A person known only to an identity provider: `issuer` and `subject_id` name them for good.

    `email` is what people see; it is verified by the provider and may change.
    """

    issuer: str
    subject_id: str
    email: str

    subject_type = "external_sso"

    @property
    def key(self) -> str:
        """See AccountSubject.key. The lengths keep two pairs from ever making one text."""
        return f"external:{len(self.issuer)}:{self.issuer}:{self.subject_id}"


Subject = AccountSubject | ExternalSubject


@dataclass(frozen=True, slots=True)
class Workspace:
    """A workspace as its member sees it."""

    id: str
    name: str
    role: str


@dataclass(frozen=True, slots=True)
class Account:
    """An account and what a token answer says of it. `workspaces` are in the order they were joined."""

    id: str
    email: str
    name: str
    active: bool
    workspaces: tuple[Workspace, ...] = ()

    @property
    def subject(self) -> AccountSubject:
        return AccountSubject(self.id)

    @property
    def default_workspace_id(self) -> str | None:
        """The workspace joined first; None for an account without one."""
        return self.workspaces[0].id if self.workspaces else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """The right of an external subject, fresh from its provider, to decide about one device authorization.

    It lies in a cookie of its browser, encrypted. `id` is spent by the decision. `user_code` is
    normalised; `authorization_id` names the record behind it. `csrf_token` is what pages of others
    must not know; `expires_at` is aware UTC. `signed_in_again` says that the provider was told to ask the
    person again, after this subject had opened the code. `linked`: a page of another site sent the browser
    with the code.
    """

    id: str
    subject: ExternalSubject
    user_code: str
    authorization_id: str
    csrf_token: str
    expires_at: datetime
    signed_in_again: bool = False
    linked: bool = False


# Who decides: a signed-in account, or an external subject with an approval. Both have a `subject`.
Decider = Account | Approval
