"""`oauthdevice login`."""

import argparse
import base64
import json
import os
import platform
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from ..client import DeviceLoginError, InvalidGrant, StartedLogin, Tokens
from .book import Account, AccountBook, address_of
from .browser import why_not
from .connection import login_at
from .exits import Exit, Failure
from .output import Output, minute, printable
from .parser import DEFAULT_CLIENT_ID
from .qr import qr_code
from .session import FEW_TRIES, credentials_lock, credentials_of, tell_pause
from .vault import Credentials, FileVault, Vault, is_ring_insisted_on, new_vault, vault_of
from .waiting import Waiting

LABEL_LETTERS = 128


def login(options: argparse.Namespace, output: Output) -> None:
    """Start, show the code, wait, keep what came."""
    host = _host(options, output)
    client_id = options.client_id or os.environ.get("OAUTHDEVICE_CLIENT_ID") or DEFAULT_CLIENT_ID
    label = options.device_label or default_label()
    vault = _opened()
    with login_at(
        host, client_id, insecure=options.insecure, on_pause=lambda pause: tell_pause(pause, output)
    ) as starting:
        started = starting.start(scope=options.scope, device_label=label)
        metadata = starting.metadata()
    page = _show(started, options, output)
    with (
        Waiting(output, started, page) as waiting,
        login_at(host, client_id, insecure=options.insecure, metadata=metadata, sleep=waiting.sleep) as polling,
    ):
        try:
            tokens = polling.wait(started, waiting.pending)
        except InvalidGrant as error:
            message = "The approval could not be collected in time. Start again: oauthdevice login"
            raise Failure(Exit.NOT_SIGNED_IN, error.error, message) from error
    account = _account(tokens, vault, host=host, client_id=client_id, label=label, insecure=options.insecure)
    kept = _keep(account, vault, tokens)
    _tell(replace(account, storage=kept.name), tokens, kept, output)
    if isinstance(kept, FileVault):
        why = "there is no key ring here" if kept is vault else "the key ring refused them"
        output.warn(f"{why}: the credentials lie readable in {kept.path} (mode 0600)")


def default_label() -> str:
    """What the server shows this device as."""
    return f"oauthdevice on {printable(platform.node() or 'an unnamed machine')}"[:LABEL_LETTERS]


def _opened() -> Vault:
    """Where the credentials will go. What cannot be stored is to be known before anybody approves."""
    AccountBook().all()
    # Also where a ring works: what the ring refuses goes into the file.
    FileVault().check()
    return new_vault()


def _host(options: argparse.Namespace, output: Output) -> str:
    host = options.host or os.environ.get("OAUTHDEVICE_HOST")
    if host:
        return address_of(host)
    if not sys.stdin.isatty() or output.as_json:
        raise Failure(Exit.USAGE, "usage", "Which server? Say it with --host or OAUTHDEVICE_HOST.")
    active = AccountBook().active()
    hint = f" [{active.host}]" if active else ""
    print(f"Server{hint}: ", end="", file=sys.stderr, flush=True)
    typed = sys.stdin.readline().strip() or (active.host if active else "")
    if not typed:
        raise Failure(Exit.USAGE, "usage", "Which server? Say it with --host or OAUTHDEVICE_HOST.")
    return address_of(typed)


def _show(started: StartedLogin, options: argparse.Namespace, output: Output) -> str | None:
    """All that the person needs, before any wait. The page that Enter opens, if it does."""
    output.tell(
        "started",
        f"Open this page:  {started.verification_uri}\nEnter this code: {started.user_code}",
        user_code=started.user_code,
        verification_uri=started.verification_uri,
        verification_uri_complete=started.verification_uri_complete,
        expires_in=started.expires_in,
        interval=started.interval,
    )
    if output.as_json:
        return None
    code = _qr_code(started, options.qr)
    if code:
        output.tell("qr", f"\n{code}\n")
    reason = why_not(options.browser, os.environ, sys.stdin.isatty() and sys.stdout.isatty())
    if reason is None:
        output.tell("browser", "Press Enter to open the page in a browser here.")
        # Without the code in it: whoever approves is to compare it with this screen.
        return started.verification_uri
    print(f"No browser is opened: {reason}.", file=sys.stderr, flush=True)
    return None


def _qr_code(started: StartedLogin, wanted: bool | None) -> str | None:
    if wanted is False or (wanted is None and not sys.stdout.isatty()):
        return None
    code = qr_code(started.verification_uri_complete or started.verification_uri, always=wanted is True)
    try:
        (code or "").encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return None
    return code


def _account(tokens: Tokens, vault: Vault, *, host: str, client_id: str, label: str, insecure: bool) -> Account:
    """Whom the server says the tokens speak for. A server that is none of ours says it in an ID token, if at all."""
    answer, claims = tokens.answer, _claims(tokens.answer.get("id_token"))
    owner: Mapping[str, Any] = answer["account"] if isinstance(answer.get("account"), dict) else {}
    spaces = answer.get("workspaces") if isinstance(answer.get("workspaces"), list) else []
    default = answer.get("default_workspace_id")
    named = [one for one in spaces or [] if isinstance(one, dict)]
    chosen = next((one for one in named if one.get("id") == default), {})
    return Account(
        host=host,
        client_id=client_id,
        subject=printable(
            owner.get("email")
            or answer.get("subject_email")
            or claims.get("email")
            or claims.get("sub")
            or "(somebody)"
        ),
        storage=vault.name,
        name=printable(owner.get("name") or claims.get("name") or ""),
        subject_type=printable(answer.get("subject_type") or ""),
        subject_issuer=printable(answer.get("subject_issuer") or ""),
        workspace=printable(chosen.get("name") or ""),
        scope=printable(tokens.scope),
        device_label=label,
        token_id=printable(answer.get("token_id") or ""),
        signed_in_at=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        insecure=insecure,
    )


def _claims(id_token: object) -> Mapping[str, Any]:
    """What an ID token says. Not verified: it came from the token endpoint itself (OpenID Connect Core §3.1.3.7),
    and is no more than a name to show.
    """
    try:
        payload = str(id_token).split(".")[1]
        found = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (ValueError, IndexError):
        return {}
    return found if isinstance(found, dict) else {}


def _keep(account: Account, vault: Vault, tokens: Tokens) -> Vault:
    """Store the credentials, and end the session that they take the place of. The vault that took them."""
    try:
        with credentials_lock(account):
            earlier = next((one for one in AccountBook().all() if one.key == account.key), None)
            old = _earlier_credentials(earlier)
            vault = _put(account.key, vault, tokens)
            AccountBook().put(replace(account, storage=vault.name))
    except BaseException:
        # Nobody could end this session from here.
        _revoke(account, tokens)
        raise
    if earlier and earlier.storage != vault.name:
        with suppress(Failure, OSError):
            vault_of(earlier).delete(earlier.key)
    if old and old.get("access_token") != tokens.access_token:
        # Nobody could end it from here any more. If it is not to be, its owner still sees it among the devices.
        _revoke(account, str(old.get("refresh_token") or old["access_token"]))
    return vault


def _earlier_credentials(earlier: Account | None) -> Credentials | None:
    """Those that the new ones replace. That they cannot be read, their key ring being gone, stops no sign-in."""
    if earlier is not None:
        with suppress(Failure, OSError):
            return vault_of(earlier).get(earlier.key)
    return None


def _put(key: str, vault: Vault, tokens: Tokens) -> Vault:
    """Into the vault, or else the file: a ring that took the small probe may refuse a long entry."""
    try:
        vault.put(key, credentials_of(tokens))
    except Failure:
        if isinstance(vault, FileVault) or is_ring_insisted_on():
            raise
        vault = FileVault()
        vault.put(key, credentials_of(tokens))
    return vault


def _revoke(account: Account, tokens: Tokens | str) -> None:
    """End a session on the server, where that can be done soon."""
    with (
        suppress(DeviceLoginError, Failure),
        login_at(account.host, account.client_id, insecure=account.insecure, tries=FEW_TRIES) as login,
    ):
        login.revoke(tokens)


def _tell(account: Account, tokens: Tokens, vault: Vault, output: Output) -> None:
    expires_at = tokens.expires_at.strftime("%Y-%m-%dT%H:%M:%SZ") if tokens.expires_at else None
    where = f"in {vault.path}" if isinstance(vault, FileVault) else "in the key ring of this system"
    lasting = "refreshed when needed" if tokens.refresh_token else minute(expires_at)
    lines = [
        f"Signed in at {account.host} as {account.described}.",
        f"  device   {account.device_label}",
        f"  scopes   {account.scope or '(not told)'}",
        f"  expires  {lasting}",
        f"  stored   {where}",
    ]
    output.tell(
        "signed_in",
        "\n".join(lines),
        host=account.host,
        client_id=account.client_id,
        account=account.subject,
        name=account.name,
        subject_type=account.subject_type,
        device_label=account.device_label,
        scope=account.scope,
        token_id=account.token_id,
        expires_at=expires_at,
        storage=account.storage,
    )
