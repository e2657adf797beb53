"""TokenCache on Redis: a minute of not asking the database, and never a minute too late.

A revocation marks its tokens as distrusted before it commits. Whoever finds the mark asks the
database and keeps nothing; whoever asked before the mark and answers after it is refused, by the
mark or, once that has gone, by the age of the ticket.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import orjson
import redis

from ..domain.bearers import Bearer, Cached
from ..domain.sessions import Session
from ..domain.subjects import Account, Workspace
from .redis import dump_subject, load_subject, read_script, unavailable

_DISTRUSTED = "distrusted"
_INVALID = "invalid"
TICKET_MILLISECONDS = 60_000
DISTRUST_MILLISECONDS = 2 * TICKET_MILLISECONDS


class RedisTokenCache:
    """See `oauthdevice.domain.ports.TokenCache`."""

    def __init__(self, client: redis.Redis, prefix: str) -> None:
        self._client = client
        self._prefix = prefix
        self._get = client.register_script(read_script("token_cache_get"))
        self._put = client.register_script(read_script("token_cache_put"))

    @unavailable
    def get(self, digest: str) -> Cached:
        entry, ticket = self._get([self._key(digest)])
        if entry is None:
            return Cached(known=False, ticket=ticket)
        if entry == _DISTRUSTED:
            return Cached(known=False)
        if entry == _INVALID:
            return Cached(known=True)
        try:
            return Cached(known=True, bearer=_load(entry))
        except (ValueError, KeyError, TypeError):
            # Of another release, beside this one during an upgrade.
            return Cached(known=False)

    @unavailable
    def put(self, digest: str, bearer: Bearer | None, ticket: str | None, seconds: int) -> None:
        if ticket is not None:
            entry = _INVALID if bearer is None else _dump(bearer)
            self._put([self._key(digest)], [entry, seconds * 1000, ticket, TICKET_MILLISECONDS])

    @unavailable
    def distrust(self, digests: Sequence[str]) -> None:
        with self._client.pipeline(transaction=False) as pipeline:
            for digest in digests:
                pipeline.set(self._key(digest), _DISTRUSTED, px=DISTRUST_MILLISECONDS)
            pipeline.execute()

    def _key(self, digest: str) -> str:
        return f"{self._prefix}:token:{digest}"


class NoTokenCache:
    """For an embedded Redis: another process, such as oauthdevice-admin, could not tell it to distrust."""

    def get(self, _digest: str) -> Cached:
        return Cached(known=False)

    def put(self, _digest: str, _bearer: Bearer | None, _ticket: str | None, _seconds: int) -> None:
        """Keeps nothing."""

    def distrust(self, _digests: Sequence[str]) -> None:
        """Nothing was kept."""


def _dump(bearer: Bearer) -> str:
    session, account = bearer.session, bearer.session.account
    return orjson.dumps(
        {
            "scopes": sorted(bearer.scopes),
            "issued_at": bearer.issued_at.isoformat(),
            "expires_at": bearer.expires_at.isoformat(),
            "session": {
                "id": session.id,
                "subject": dump_subject(session.subject),
                "account": account and _dump_account(account),
                "client_id": session.client_id,
                "label": session.label,
                "scopes": sorted(session.scopes),
                "prefix": session.prefix,
                "jkt": session.jkt,
                "created_at": session.created_at.isoformat(),
                "last_used_at": session.last_used_at and session.last_used_at.isoformat(),
                "expires_at": session.expires_at.isoformat(),
            },
        }
    ).decode()


def _load(entry: str) -> Bearer:
    data = orjson.loads(entry)
    session = data["session"]
    last_used_at = session["last_used_at"]
    return Bearer(
        scopes=frozenset(data["scopes"]),
        issued_at=datetime.fromisoformat(data["issued_at"]),
        expires_at=datetime.fromisoformat(data["expires_at"]),
        session=Session(
            id=session["id"],
            subject=load_subject(session["subject"]),
            account=session["account"] and _load_account(session["account"]),
            client_id=session["client_id"],
            label=session["label"],
            scopes=frozenset(session["scopes"]),
            prefix=session["prefix"],
            # Not `get`: a release that knows no keys kept this as if it were bound to none.
            jkt=session["jkt"],
            created_at=datetime.fromisoformat(session["created_at"]),
            last_used_at=datetime.fromisoformat(last_used_at) if last_used_at else None,
            expires_at=datetime.fromisoformat(session["expires_at"]),
        ),
    )


def _dump_account(account: Account) -> dict[str, Any]:
    workspaces = [[one.id, one.name, one.role] for one in account.workspaces]
    return {
        "id": account.id,
        "email": account.email,
        "name": account.name,
        "active": account.active,
        "workspaces": workspaces,
    }


def _load_account(data: dict[str, Any]) -> Account:
    workspaces = tuple(Workspace(*one) for one in data["workspaces"])
    return Account(data["id"], data["email"], data["name"], data["active"], workspaces)
