"""An account at work: a token that is valid now, and calls of its server's API."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

from ..client import DeviceLogin, InvalidToken, Pause, ServerMetadata, Tokens, Unsupported
from .book import Account
from .connection import login_at
from .exits import not_signed_in
from .files import locked
from .output import Output
from .vault import Credentials, Vault, vault_of

# A token that is handed out is good for at least so long.
LEEWAY_SECONDS = 30
# Somebody looks on, and the command has an answer without the server as well.
FEW_TRIES = 3


def credentials_of(tokens: Tokens) -> dict[str, Any]:
    """What is kept of tokens, as a vault takes it."""
    return {
        "access_token": tokens.access_token,
        "refresh_token": tokens.refresh_token,
        "expires_at": tokens.expires_at.isoformat() if tokens.expires_at else None,
    }


@dataclass
class Session:
    """One account, its credentials and the connection to its server."""

    account: Account
    vault: Vault
    login: DeviceLogin

    def metadata(self) -> ServerMetadata:
        return self.login.metadata()

    def credentials(self) -> Credentials:
        """As they are stored, fresh or not. Raises Failure where there are none."""
        found = self.vault.get(self.account.key)
        if found is None or not found.get("access_token"):
            raise not_signed_in("The credentials of this account are gone.")
        return found

    def fresh(self, stale: str | None = None) -> Credentials:
        """Credentials whose access token is valid now, and is not `stale`; refreshed where they have to be.

        Under a lock: of many processes that find the token expired, one refreshes it and the others take
        what it got. A refresh token works once, so two at once would look like a theft.
        """
        found = self.credentials()
        if _is_fresh(found, stale):
            return found
        with credentials_lock(self.account):
            found = self.credentials()
            if _is_fresh(found, stale):
                return found
            if not found.get("refresh_token"):
                raise not_signed_in("This session has expired.")
            tokens = self.login.refresh(str(found["refresh_token"]), self.account.scope)
            found = credentials_of(tokens)
            self.vault.put(self.account.key, found)
            return found

    def call(self, method: str, url: str | None) -> Mapping[str, Any]:
        """The answer of the server's API to the owner of this session."""
        if url is None:
            raise Unsupported("it has no such API")
        token = str(self.fresh()["access_token"])
        try:
            return self.login.call(method, url, token)
        except InvalidToken:
            if not self.credentials().get("refresh_token"):
                raise
            # Its clock or its operator may think otherwise than ours.
            return self.login.call(method, url, str(self.fresh(stale=token)["access_token"]))


def credentials_lock(account: Account) -> AbstractContextManager[None]:
    """Held while credentials are renewed, replaced or forgotten, so that none of these undoes another."""
    return locked(f"account-{sha256(account.key.encode()).hexdigest()[:16]}")


@contextmanager
def session_of(account: Account, output: Output, tries: int = 5) -> Iterator[Session]:
    """The session of a stored account; its connections end with the block."""

    def told(pause: Pause) -> None:
        tell_pause(pause, output)

    with login_at(account.host, account.client_id, insecure=account.insecure, tries=tries, on_pause=told) as login:
        yield Session(account, vault_of(account), login)


def tell_pause(pause: Pause, output: Output) -> None:
    """Why nothing happens for a while."""
    if pause.why:
        output.warn(f"{pause.why}; trying again in {pause.seconds:.0f} s")


def _is_fresh(credentials: Credentials, stale: str | None) -> bool:
    if credentials["access_token"] == stale:
        return False
    told = credentials.get("expires_at")
    return told is None or datetime.fromisoformat(told) > datetime.now(UTC) + timedelta(seconds=LEEWAY_SECONDS)
