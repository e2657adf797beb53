"""Which subjects of identity providers may come in: at the sign-in, at the decision and at the redemption."""

import re
from typing import TYPE_CHECKING

from .errors import EmailBelongsToAccount, SSOFailed
from .subjects import ExternalSubject

if TYPE_CHECKING:
    from .ports import AccountStore


class ExternalSubjects:
    """`issuers` are those that the declared providers may vouch for; where SSO is off, there are none."""

    def __init__(self, accounts: "AccountStore", issuers: frozenset[str]) -> None:
        self._accounts = accounts
        self._issuers = issuers

    def admit(self, subject: ExternalSubject) -> None:
        """Return if `subject` may come in.

        Raises EmailBelongsToAccount, whatever the state of that account; SSOFailed for an issuer that
        is not, or no longer, declared; StoreUnavailable.
        """
        if subject.issuer not in self._issuers:
            raise SSOFailed(detail="the issuer is not declared")
        if self._accounts.by_email(subject.email) is not None:
            raise EmailBelongsToAccount()


def vouched_for(issuer: str, subject_id: object, email: object, email_domains: frozenset[str]) -> ExternalSubject:
    """The subject that a provider tells of, if we can take it: bounded, printable, of a domain that is allowed.

    No `email_domains` allow all. Raises SSOFailed.
    """
    if not isinstance(subject_id, str) or not 1 <= len(subject_id) <= 255 or not subject_id.isprintable():
        raise SSOFailed(detail="the subject is missing or malformed")
    if not isinstance(email, str) or not _EMAIL.fullmatch(email) or not email.isprintable():
        raise SSOFailed(detail="the e-mail is missing or malformed")
    if email_domains and email.rpartition("@")[2].casefold() not in email_domains:
        raise SSOFailed(detail="the e-mail is of another domain")
    return ExternalSubject(issuer, subject_id, email)


_EMAIL = re.compile(r"(?=.{3,254}\Z)[^@\s]+@[^@\s]+")
