"""Accounts of ours: create, sign in, sign out, disable. Passwords are argon2id hashes (RFC 9106)."""

import secrets
import uuid
from dataclasses import dataclass
from datetime import timedelta

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from .audit import Audit, Event
from .credentials import credential_digest
from .errors import InvalidRequest, LoginFailed, NoSuchAccount, NoSuchWorkspace, Unavailable
from .ports import AccountDirectory, AccountStore, Clock
from .rate_limits import RateLimits, network
from .subjects import Account, AccountSubject

PASSWORD_MIN_CHARACTERS = 8
PASSWORD_MAX_CHARACTERS = 1024
EMAIL_MAX_CHARACTERS = 254
NAME_MAX_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class SignIn:
    """A browser that has just signed in: `key` is its secret, of which only the digest is stored."""

    key: str
    account: Account


class Accounts:
    """Accounts and their sign-ins. With a `directory`, accounts are kept there and only sign-ins here."""

    def __init__(
        self,
        *,
        store: AccountStore,
        limits: RateLimits,
        audit: Audit,
        hasher: PasswordHasher,
        clock: Clock,
        sign_in_lifetime_seconds: int,
        directory: AccountDirectory | None = None,
    ) -> None:
        self._store = store
        self._directory = directory
        self._limits = limits
        self._audit = audit
        self._hasher = hasher
        self._clock = clock
        self._sign_in_lifetime = timedelta(seconds=sign_in_lifetime_seconds)
        # Verified against where there is no account, so that the answer takes as long.
        self._nobody = hasher.hash(secrets.token_urlsafe(16))

    def sign_in(self, email: str, password: str, address: str) -> SignIn:
        """Raises LoginFailed, RateLimited, StoreUnavailable."""
        return self.begin(self._checked(email, password, address), address)

    def confirm(self, account: Account, password: str, address: str) -> None:
        """Return if who is signed in knows the password too. Raises as `sign_in` does."""
        self._checked(account.email, password, address)

    def begin(self, account: Account, address: str, reason: str = "") -> SignIn:
        """Sign in a person who has shown to have this account; `reason` says how, if not with the password."""
        key = secrets.token_urlsafe(32)
        now = self._clock()
        self._store.add_sign_in(account.id, credential_digest(key), now, now + self._sign_in_lifetime)
        self._audit.record(Event.LOGIN, subject=AccountSubject(account.id), address=address, reason=reason)
        return SignIn(key, account)

    def signed_in(self, key: str) -> Account | None:
        """The active account behind a sign-in, or None."""
        if not key.isascii():
            return None
        return self._store.by_sign_in(credential_digest(key), self._clock())

    def sign_out(self, key: str) -> None:
        """End one sign-in; a second time does nothing."""
        self._store.end_sign_in(credential_digest(key))

    def add(self, email: str, name: str, password: str) -> Account:
        """A new active account. Raises AccountExists, InvalidRequest."""
        self._check_ours()
        email, name = email.strip(), name.strip()
        local, _, domain = email.rpartition("@")
        if not (local and domain) or len(email) > EMAIL_MAX_CHARACTERS or not _is_text(email) or " " in email:
            raise InvalidRequest("Not an e-mail address.")
        if not name or len(name) > NAME_MAX_CHARACTERS or not _is_text(name):
            raise InvalidRequest("A name is 1 to 200 printable characters.")
        account = Account(str(uuid.uuid4()), email, name, active=True)
        self._store.add(account, self._hash(password), self._clock())
        return account

    def set_password(self, email: str, password: str) -> None:
        """Replace the password and sign the person out everywhere. Raises NoSuchAccount, InvalidRequest."""
        self._check_ours()
        self._store.set_password_hash(self.named(email).id, self._hash(password), end_sign_ins=True)

    def set_active(self, email: str, active: bool) -> None:
        """Enable or disable; disabling ends every sign-in and every session. Raises NoSuchAccount."""
        account = self.named(email)
        for session_id in self._store.set_active(account.id, active, self._clock()):
            subject = AccountSubject(account.id)
            self._audit.record(Event.REVOKED, token_id=session_id, subject=subject, reason="account disabled")

    def all(self) -> list[Account]:
        """Every account, oldest first."""
        return self._store.all()

    def named(self, email: str) -> Account:
        """The account of an e-mail, active or not. Raises NoSuchAccount."""
        account = self._store.by_email(email.strip())
        if account is None:
            raise NoSuchAccount()
        return account

    def add_workspace(self, name: str) -> str:
        """The id of a new workspace. Raises WorkspaceExists, InvalidRequest."""
        name = name.strip()
        if not name or len(name) > NAME_MAX_CHARACTERS or not _is_text(name):
            raise InvalidRequest("A name is 1 to 200 printable characters.")
        workspace_id = str(uuid.uuid4())
        self._store.add_workspace(workspace_id, name, self._clock())
        return workspace_id

    def join_workspace(self, workspace: str, email: str, role: str) -> None:
        """Make an account a member; a second time changes its role. Raises NoSuchAccount, NoSuchWorkspace."""
        self._check_ours()
        if not role or len(role) > 32 or not _is_text(role):
            raise InvalidRequest("A role is 1 to 32 printable characters.")
        if not self._store.join_workspace(workspace, self.named(email).id, role, self._clock()):
            raise NoSuchWorkspace()

    def _check_ours(self) -> None:
        if self._directory is not None:
            raise InvalidRequest("Accounts are kept elsewhere: see the setting oauthdevice.accounts.")

    def _checked(self, email: str, password: str, address: str) -> Account:
        """The account of an e-mail and its password.

        Attempts are counted before the password is looked at, and given back after a success.
        """
        who, where = email.strip().casefold(), network(address)
        self._limits.reserve("login_address", where)
        self._limits.reserve("login_account", who)
        try:
            account = self._verified(email, password)
        except Unavailable:
            self._limits.refund("login_account", who)
            self._limits.refund("login_address", where)
            raise
        if account is None:
            self._audit.record(Event.LOGIN_FAILED, subject=f"email:{who}", address=address)
            raise LoginFailed()
        # The address gets only this attempt back: a guesser with one good account gains nothing.
        self._limits.refund("login_address", where)
        self._limits.clear("login_account", who)
        return account

    def _verified(self, email: str, password: str) -> Account | None:
        if self._directory is not None:
            known = self._directory.authenticate(email.strip(), password[:PASSWORD_MAX_CHARACTERS])
            return known if known is not None and known.active else None
        # No account has such an e-mail, and PostgreSQL takes no NUL.
        account = self._store.by_email(email.strip()) if _is_text(email.strip()) else None
        stored = self._store.password_hash(account.id) if account else None
        try:
            matches = self._hasher.verify(stored or self._nobody, password[:PASSWORD_MAX_CHARACTERS])
        except (VerificationError, InvalidHashError):
            return None
        if account is None or stored is None or not matches or not account.active:
            return None
        if self._hasher.check_needs_rehash(stored):
            self._store.set_password_hash(account.id, self._hasher.hash(password), end_sign_ins=False)
        return account

    def _hash(self, password: str) -> str:
        if not PASSWORD_MIN_CHARACTERS <= len(password) <= PASSWORD_MAX_CHARACTERS:
            raise InvalidRequest("A password is 8 to 1024 characters.")
        return self._hasher.hash(password)


def _is_text(text: str) -> bool:
    return text.isprintable()
