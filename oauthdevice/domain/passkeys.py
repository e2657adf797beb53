"""Passkeys of accounts: make one, sign in with one, remove it. They stand beside the password, which stays.

What is signed and how it is checked is known to `oauthdevice.domain.ceremonies`.
"""

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from .audit import Audit, Event
from .errors import NoSuchPasskey, PasskeyRefused, TooManyPasskeys, Unavailable
from .rate_limits import RateLimits, network
from .subjects import Account

if TYPE_CHECKING:
    from .accounts import Accounts, SignIn
    from .ceremonies import Assertion, Ceremonies
    from .challenges import Challenges
    from .ports import Clock, PasskeyStore

PASSKEYS_MAX = 10
_SIGN_IN = "sign in"
# How an audited sign-in was made, or failed.
_PASSKEY = "passkey"


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """What an authenticator tells of a passkey that it keeps. `sign_count` 0: it does not count."""

    credential_id: bytes
    public_key: bytes
    sign_count: int
    transports: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Passkey(Credential):
    """A passkey of an account. `name` is what the person calls it; `last_used_at` is None before the first use."""

    id: str
    account_id: str
    name: str
    created_at: datetime
    last_used_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ListedPasskey:
    """A passkey as its owner is shown it. `last_used` is how long ago; None before the first use."""

    passkey: Passkey
    age: timedelta
    last_used: timedelta | None


class Passkeys:
    """`browser`, in every method, is a secret of the browser session: what one began, no other can end."""

    def __init__(
        self,
        *,
        store: "PasskeyStore",
        accounts: "Accounts",
        ceremonies: "Callable[[], Ceremonies]",
        challenges: "Challenges",
        limits: RateLimits,
        audit: Audit,
        clock: "Clock",
    ) -> None:
        self._store = store
        self._accounts = accounts
        self._ceremonies = ceremonies
        self._challenges = challenges
        self._limits = limits
        self._audit = audit
        self._clock = clock

    def of(self, account: Account) -> Sequence[ListedPasskey]:
        """Those of an account, oldest first."""
        now = self._clock()
        return [
            ListedPasskey(one, now - one.created_at, now - one.last_used_at if one.last_used_at else None)
            for one in self._store.of(account.id)
        ]

    def begin_adding(self, account: Account, password: str, browser: str, address: str) -> dict[str, Any]:
        """What the browser is to make a passkey from.

        It takes the password again: whoever finds a browser signed in must not gain a way in that stays.
        Raises LoginFailed, TooManyPasskeys, RateLimited, StoreUnavailable.
        """
        self._accounts.confirm(account, password, address)
        known = self._store.of(account.id)
        if len(known) >= PASSKEYS_MAX:
            raise TooManyPasskeys()
        challenge = self._challenges.issue(_adding(account), browser)
        return self._ceremonies().creation_options(account, challenge, known)

    def add(self, account: Account, name: str, answer: str, browser: str, address: str) -> None:
        """Keep the passkey that the browser made. Its challenge shows that the password was given just now.

        Raises PasskeyRefused, TooManyPasskeys, StoreUnavailable.
        """
        creation = self._ceremonies().read_creation(answer)
        self._challenges.spend(creation.challenge, _adding(account), browser)
        made = self._ceremonies().verify_creation(creation)
        passkey = Passkey(
            id=str(uuid.uuid4()),
            account_id=account.id,
            name=name,
            credential_id=made.credential_id,
            public_key=made.public_key,
            sign_count=made.sign_count,
            transports=made.transports,
            created_at=self._clock(),
        )
        self._store.add(passkey, PASSKEYS_MAX)
        self._audit.record(Event.PASSKEY_ADDED, subject=account.subject, device_label=name, address=address)

    def remove(self, account: Account, passkey_id: str, address: str) -> Passkey:
        """Forget one, which is returned. Raises NoSuchPasskey, StoreUnavailable."""
        removed = self._store.remove(account.id, passkey_id)
        if removed is None:
            raise NoSuchPasskey()
        self._audit.record(
            Event.PASSKEY_REMOVED,
            subject=account.subject,
            device_label=removed.name,
            address=address,
            reason="by its owner",
        )
        return removed

    def remove_all(self, email: str) -> int:
        """Forget every passkey of an account and sign it out everywhere; how many there were. Raises NoSuchAccount."""
        account = self._accounts.named(email)
        removed = self._store.remove_all(account.id)
        for one in removed:
            self._audit.record(
                Event.PASSKEY_REMOVED, subject=account.subject, device_label=one.name, reason="by an administrator"
            )
        return len(removed)

    def begin_sign_in(self, browser: str) -> dict[str, Any]:
        """What the browser is to sign, with whichever passkey the person chooses."""
        return self._ceremonies().request_options(self._challenges.issue(_SIGN_IN, browser))

    def sign_in(self, answer: str, browser: str, address: str) -> "SignIn":
        """Raises PasskeyRefused, RateLimited, StoreUnavailable.

        Attempts are counted before they are looked at, beside those with a password, and given back after a success.
        """
        where = network(address)
        self._limits.reserve("login_address", where)
        try:
            account = self._verified(answer, browser, address)
        except Unavailable:
            self._limits.refund("login_address", where)
            raise
        self._limits.refund("login_address", where)
        return self._accounts.begin(account, address, reason=_PASSKEY)

    def _verified(self, answer: str, browser: str, address: str) -> Account:
        """Whose passkey has signed."""
        account: Account | None = None
        try:
            assertion = self._ceremonies().read_assertion(answer)
            self._challenges.spend(assertion.challenge, _SIGN_IN, browser)
            found = self._store.by_credential(assertion.credential_id)
            if found is None:
                raise PasskeyRefused(detail="the passkey is unknown")
            passkey, account = found
            self._check(assertion, passkey, account)
        except PasskeyRefused as error:
            subject = account.subject if account is not None else None
            reason = f"{_PASSKEY}: {error.detail}"[:64]
            self._audit.record(Event.LOGIN_FAILED, subject=subject, address=address, reason=reason)
            raise
        return account

    def _check(self, assertion: "Assertion", passkey: Passkey, account: Account) -> None:
        if not account.active:
            raise PasskeyRefused(detail="the account is disabled")
        # WebAuthn §7.2 step 6: nobody was named before, so the authenticator must say whose it is.
        if assertion.user_handle != account.id.encode():
            raise PasskeyRefused(detail="the user handle is missing or another account's")
        sign_count = self._ceremonies().verify_assertion(assertion, passkey)
        if not self._store.used(passkey.id, sign_count, self._clock()):
            # WebAuthn §6.1.1. Zero after a higher count counts too: whoever has a copy may choose what it tells.
            raise PasskeyRefused(detail="cloned? the sign count has not grown")


def _adding(account: Account) -> str:
    return f"add to {account.id}"
