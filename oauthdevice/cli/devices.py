"""`devices list` and `devices revoke`: where else this account is signed in. Of our own server alone."""

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

from ..client import InvalidGrant, InvalidToken, Refused
from .accounts import chosen_account
from .book import AccountBook
from .exits import Exit, Failure
from .output import Output, columns, minute, printable
from .session import Session, credentials_lock, session_of
from .vault import vault_of

LIMIT = 200
PAGES = 100

Device = Mapping[str, Any]


def show_all(options: argparse.Namespace, output: Output) -> None:
    """One page of them. A script is told of the next one in a document of its own, the last."""
    if not 1 <= options.limit <= LIMIT or options.page < 1:
        raise Failure(Exit.USAGE, "usage", f"--limit is 1 to {LIMIT}, --page from 1.")
    with session_of(chosen_account(options), output) as session:
        answer = _page(session, options.page, options.limit)
        devices = [(one, _is_current(one, session)) for one in answer["data"]]
    if output.as_json:
        for device, current in devices:
            output.tell("device", "", **device, current=current)
        if answer.get("has_more"):
            output.tell("more", "", next_page=options.page + 1)
        return
    rows = [
        (_name(one), minute(one.get("created_at")), minute(one.get("last_used_at")), "*" if current else "")
        for one, current in devices
    ]
    output.tell("", columns([("DEVICE", "SIGNED IN", "LAST USED", "THIS ONE"), *rows]) if rows else "No devices.")
    if answer.get("has_more"):
        output.tell("", f"There are more: --page {options.page + 1}")


def revoke(options: argparse.Namespace, output: Output) -> None:
    """End one session, or all but this one."""
    account = chosen_account(options)
    with session_of(account, output) as session:
        devices = _every(session)
        if options.all:
            chosen = [one for one in devices if not _is_current(one, session)]
        else:
            chosen = [_find(devices, options.device)]
        for one in chosen:
            current = _is_current(one, session)
            _end(one, session, current)
            if current:
                with credentials_lock(account):
                    vault_of(account).delete(account.key)
                    AccountBook().remove(account)
            text = f"Ended: {_name(one)}" + (" (this device: you are signed out)" if current else "")
            told = {member: one.get(member) for member in ("id", "name", "device_label")}
            output.tell("revoked", text, **told, current=current)
    if not chosen and not output.as_json:
        output.tell("", "There is no other device.")


def _end(device: Device, session: Session, current: bool) -> None:
    """One that has ended is what was wanted: so the server says where the answer to an earlier try got lost."""
    try:
        session.call("DELETE", f"{session.metadata().sessions_endpoint}/{device['id']}")
    except (InvalidToken, InvalidGrant):
        # Our own token is no good any more once our own session is over.
        if not current:
            raise
    except Refused as error:
        if error.error != "not_found" or any(one["id"] == device["id"] for one in _every(session)):
            raise


def _every(session: Session) -> list[Device]:
    found: list[Device] = []
    for number in range(1, PAGES + 1):
        answer = _page(session, number, LIMIT)
        found += answer["data"]
        if not answer.get("has_more"):
            break
    return found


def _page(session: Session, number: int, limit: int) -> Mapping[str, Any]:
    url = session.metadata().sessions_endpoint
    answer = session.call("GET", f"{url}?page={number}&limit={limit}" if url else None)
    data = answer.get("data")
    if not isinstance(data, list) or not all(isinstance(one, dict) and _is_id(one.get("id")) for one in data):
        raise Failure(Exit.ERROR, "server", "The server's list of devices cannot be read.")
    return answer


def _find(devices: Sequence[Device], wanted: str) -> Device:
    """By the whole name, else by the id, else by a part of the name or label. Raises Failure unless it is one."""
    exact = [one for one in devices if _called(one) == wanted] or [one for one in devices if one["id"] == wanted]
    part = wanted.casefold()
    found = exact or [
        one for one in devices if any(part in str(one.get(by) or "").casefold() for by in ("name", "device_label"))
    ]
    if not found:
        raise Failure(Exit.ERROR, "no_such_device", "There is no such device; see: oauthdevice devices list")
    if len(found) > 1:
        listed = "".join(f"\n  {one['id']}  {_name(one)}" for one in found)
        raise Failure(Exit.ERROR, "ambiguous", f"Which one? Say its id:{listed}")
    return found[0]


def _is_id(value: object) -> bool:
    return isinstance(value, str) and value.isascii() and value.replace("-", "").isalnum()


def _is_current(device: Device, session: Session) -> bool:
    return bool(device["id"] == session.account.token_id)


def _called(device: Device) -> Any:
    """What its owner called it on the page, else what it called itself."""
    return device.get("name") or device.get("device_label")


def _name(device: Device) -> str:
    return printable(_called(device) or f"(no name) {device.get('client_id', '')}")
