"""Which accounts are signed in, at which servers, and which of them is the active one. No secret is in here."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any
from urllib.parse import urlsplit

from .exits import Exit, Failure, not_signed_in
from .files import folder, locked, write_private


@dataclass(frozen=True)
class Account:
    """One signed-in account. `storage` says which vault has its credentials."""

    host: str
    client_id: str
    subject: str
    storage: str
    name: str = ""
    subject_type: str = ""
    subject_issuer: str = ""
    workspace: str = ""
    scope: str = ""
    device_label: str = ""
    token_id: str = ""
    signed_in_at: str = ""
    insecure: bool = False

    @property
    def key(self) -> str:
        """What its credentials are filed under."""
        return f"{self.subject} {self.client_id} {self.host}"

    @property
    def described(self) -> str:
        """Who this is, for people."""
        if self.subject_issuer:
            return f"{self.subject} ({self.subject_issuer})"
        return f"{self.subject} ({self.name})" if self.name else self.subject


class AccountBook:
    """`accounts.json`."""

    def __init__(self) -> None:
        self.path = folder() / "accounts.json"

    def all(self) -> list[Account]:
        return list(self._read()["accounts"])

    def active(self) -> Account | None:
        key = self._read()["active"]
        return next((account for account in self.all() if account.key == key), None)

    def find(self, subject: str | None = None, host: str | None = None) -> Account:
        """The account that is meant; without a subject and host, the active one. Raises Failure."""
        if subject is None and host is None:
            active = self.active()
            if active is None:
                raise not_signed_in("Nobody is signed in.")
            return active
        found = [
            account
            for account in self.all()
            if subject in (None, account.subject) and (host is None or address_of(host) == account.host)
        ]
        if not found:
            raise not_signed_in("That account is not signed in here.")
        active = self.active()
        if len(found) > 1 and active not in found:
            names = ", ".join(f"{account.subject} at {account.host}" for account in found)
            raise Failure(Exit.USAGE, "ambiguous", f"Which one? {names}. Say it with --account and --host.")
        return found[0] if active is None or active not in found else active

    def put(self, account: Account) -> None:
        """Remember it, and make it the active one."""
        with locked("accounts"):
            others = [one for one in self.all() if one.key != account.key]
            self._write([*others, account], account.key)

    def activate(self, account: Account) -> None:
        with locked("accounts"):
            self._write(self.all(), account.key)

    def remove(self, account: Account) -> Account | None:
        """Forget it. The account that is active then."""
        with locked("accounts"):
            active = self.active()
            left = [one for one in self.all() if one.key != account.key]
            if active is None or active.key == account.key:
                active = left[-1] if left else None
            self._write(left, active.key if active else None)
            return active

    def _read(self) -> Mapping[str, Any]:
        try:
            found = json.loads(self.path.read_text("utf-8"))
            return {"active": found.get("active"), "accounts": [_account(one) for one in found["accounts"]]}
        except FileNotFoundError:
            return {"active": None, "accounts": []}
        except (ValueError, LookupError, TypeError, AttributeError):
            pass
        raise Failure(Exit.ERROR, "file", f"{self.path} cannot be read; delete it and sign in again.")

    def _write(self, accounts: list[Account], active: str | None) -> None:
        content = {"version": 1, "active": active, "accounts": [asdict(account) for account in accounts]}
        write_private(self.path, json.dumps(content, indent=2) + "\n")


def _account(stored: Mapping[str, Any]) -> Account:
    """Members that are not known are of a later release. Raises TypeError or AttributeError where it is no account."""
    known = {field.name: stored[field.name] for field in fields(Account) if field.name in stored}
    if not all(isinstance(value, bool if name == "insecure" else str) for name, value in known.items()):
        raise TypeError
    return Account(**known)


def address_of(host: str) -> str:
    """A server as people name it, as its issuer: login.example.com, localhost:6543, https://…/tenant."""
    host = host.strip().rstrip("/")
    if "://" in host:
        return host
    from ..client.addresses import is_loopback

    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        raise Failure(Exit.USAGE, "usage", "That is no address of a server.") from None
    return f"{'http' if is_loopback(name) else 'https'}://{host}"
