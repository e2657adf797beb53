"""`logout`, `status`, `whoami`, `list`, `use`, `token`."""

import argparse
from typing import Any

from ..client import DeviceLoginError, InvalidGrant, InvalidToken, Unreachable
from .book import Account, AccountBook
from .exits import Exit, Failure, failure_of
from .output import Output, columns, minute
from .session import FEW_TRIES, credentials_lock, session_of
from .vault import vault_of


def logout(options: argparse.Namespace, output: Output) -> None:
    """The session ends on the server, if that can be reached, and here in any case."""
    account = chosen_account(options)
    with credentials_lock(account):
        told = _revoked(account, output)
        kept = _deleted(account)
        active = AccountBook().remove(account)
    if kept:
        output.warn(f"the credentials of this account could not be deleted. {kept}")
    if told:
        output.warn(f"the session could not be ended on the server, where it may still be valid. {told}")
    text = f"Signed out of {account.host} as {account.subject}."
    if active:
        text += f"\nActive now: {active.subject} at {active.host}."
    revoked = told is None
    output.tell("signed_out", text, host=account.host, account=account.subject, revoked=revoked)


def status(options: argparse.Namespace, output: Output) -> None:
    """What is stored here, and whether the server still takes it."""
    account = chosen_account(options)
    server, failure = _asked(account, options.offline, output)
    rows = [
        ("server", account.host),
        ("account", account.described),
        ("client", account.client_id),
        ("device", account.device_label),
        ("scopes", account.scope or "(not told)"),
        ("workspace", account.workspace or "none"),
        ("since", minute(account.signed_in_at)),
        ("stored", f"{account.storage} (one of {len(AccountBook().all())} accounts here)"),
        ("session", server),
    ]
    output.tell("status", columns(rows), **_members(account), session=server)
    if failure is not None:
        raise failure


def whoami(options: argparse.Namespace, output: Output) -> None:
    """From what is stored here alone."""
    account = chosen_account(options)
    output.tell("account", account.described, **_members(account))


def show_all(_: argparse.Namespace, output: Output) -> None:
    """Every account, the active one marked."""
    book = AccountBook()
    accounts, active = book.all(), book.active()
    if output.as_json:
        for account in accounts:
            output.tell("account", "", **_members(account))
        return
    rows = [("*" if account == active else "", account.subject, account.name, account.host) for account in accounts]
    output.tell("", columns([("", "ACCOUNT", "NAME", "SERVER"), *rows]) if rows else "Nobody is signed in.")


def use(options: argparse.Namespace, output: Output) -> None:
    """Another account is the active one from now on."""
    book = AccountBook()
    account = book.find(options.account, options.host)
    book.activate(account)
    output.tell("used", f"Active now: {account.subject} at {account.host}.", **_members(account))


def token(options: argparse.Namespace, output: Output) -> None:
    """An access token for scripts, and nothing else on standard output."""
    account = chosen_account(options)
    with session_of(account, output) as session:
        credentials = session.fresh()
    expires_at = credentials.get("expires_at")
    found = str(credentials["access_token"])
    output.tell("token", found, access_token=found, expires_at=expires_at, host=account.host)


def _revoked(account: Account, output: Output) -> str | None:
    """End the session on the server: None, or why that was not to be."""
    try:
        with session_of(account, output, FEW_TRIES) as session:
            credentials = session.credentials()
            if credentials.get("refresh_token"):
                session.login.revoke(str(credentials["refresh_token"]), "refresh_token")
            else:
                session.login.revoke(str(credentials["access_token"]))
    except (InvalidToken, InvalidGrant):
        # It had ended already.
        return None
    except (DeviceLoginError, Failure, OSError) as error:
        return str(failure_of(error))
    return None


def _deleted(account: Account) -> str | None:
    """Forget the credentials: None, or why that was not to be. A key ring that is gone has nothing to lose."""
    try:
        vault_of(account).delete(account.key)
    except (Failure, OSError) as error:
        return str(failure_of(error))
    return None


def chosen_account(options: argparse.Namespace) -> Account:
    return AccountBook().find(options.account, options.host)


def _asked(account: Account, offline: bool, output: Output) -> tuple[str, Exception | None]:
    """What the server says of the session, in a word, and what the command fails with for it."""
    if offline:
        return "not asked", None
    try:
        with session_of(account, output, FEW_TRIES) as session:
            url = session.metadata().account_endpoint
            if url is None:
                session.fresh()
                return "unknown: the server does not tell", None
            session.call("GET", url)
            return "valid", None
    except (InvalidToken, InvalidGrant) as error:
        return "ended", error
    except Unreachable as error:
        return "unknown: the server cannot be reached", error
    except Failure as error:
        return ("ended" if error.exit is Exit.NOT_SIGNED_IN else "unknown"), error


def _members(account: Account) -> dict[str, Any]:
    """An account as a JSON document tells it."""
    return {
        "host": account.host,
        "client_id": account.client_id,
        "account": account.subject,
        "name": account.name,
        "subject_type": account.subject_type,
        "subject_issuer": account.subject_issuer or None,
        "workspace": account.workspace or None,
        "device_label": account.device_label,
        "scope": account.scope,
        "token_id": account.token_id,
        "signed_in_at": account.signed_in_at,
        "storage": account.storage,
        "active": account == AccountBook().active(),
    }
