"""What ends or renews a session writes its audit row in its own transaction, at the end of the chain."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from sqlalchemy import select

from oauthdevice.domain.audit import AuditEvent
from oauthdevice.domain.audit_chain import Chain
from oauthdevice.domain.audit_proof import AuditProof
from oauthdevice.domain.errors import StoreUnavailable
from oauthdevice.domain.sessions import NewSession
from oauthdevice.domain.subjects import ExternalSubject
from oauthdevice.domain.webhooks import Subscription
from oauthdevice.stores.audit_chain import AuditRows
from oauthdevice.stores.models import AuditRow, WebhookDeliveryRow
from oauthdevice.stores.sessions import SQLSessionStore
from oauthdevice.stores.sql import Database
from oauthdevice.stores.token_cache import NoTokenCache

from ..factories import SECRET

NOW, LATER = datetime(2026, 1, 31, 12, tzinfo=UTC), datetime(2026, 3, 1, tzinfo=UTC)
MANY = 16


def rows_of(database: Database) -> AuditRows:
    return AuditRows(database, Chain([SECRET]), Subscription(frozenset(["https://hooks.example.com/"])))


def order(name: str) -> NewSession:
    return NewSession(
        id=name,
        attempt=1,
        subject=ExternalSubject("https://idp.example", name, "eve@example.com"),
        client_id="tool",
        label=None,
        scopes=frozenset({"full"}),
        prefix="dfoe_",
        token_digest=name,
        refresh_digest=None,
        issued_at=NOW,
        expires_at=LATER,
        token_expires_at=LATER,
    )


def revoked(name: str) -> AuditEvent:
    return AuditEvent(id=f"event {name}", at=NOW, event="revoked", token_id=name)


def findings(database: Database) -> list[str]:
    return [str(one) for one in AuditProof(Chain([SECRET]), rows_of(database)).findings()]


def test_a_revocation_is_chained_and_told_to_webhooks_once(database: Database) -> None:
    sessions = SQLSessionStore(database, NoTokenCache(), rows_of(database))
    sessions.mint(order("one"))
    assert sessions.revoke("one", NOW, revoked("one"))
    assert not sessions.revoke("one", NOW, revoked("again"))
    with database.read() as sql:
        assert sql.execute(select(AuditRow.id, AuditRow.position)).all() == [("event one", 1)]
        assert sql.scalars(select(WebhookDeliveryRow.event_id)).all() == ["event one"]
    assert findings(database) == []


def test_where_the_row_cannot_be_written_nothing_is_ended(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise StoreUnavailable(detail="full")

    sessions = SQLSessionStore(database, NoTokenCache(), rows_of(database))
    sessions.mint(order("one"))
    monkeypatch.setattr(AuditRows, "_insert", fails)
    with pytest.raises(StoreUnavailable):
        sessions.revoke("one", NOW, revoked("one"))
    assert sessions.get("one") is not None


def test_many_at_once_make_one_chain(database: Database) -> None:
    sessions, ledger = SQLSessionStore(database, NoTokenCache(), rows_of(database)), rows_of(database)
    for number in range(MANY):
        sessions.mint(order(str(number)))
    with ThreadPoolExecutor(8) as pool:
        ended = [pool.submit(sessions.revoke, str(one), NOW, revoked(str(one))) for one in range(MANY)]
        others = [pool.submit(ledger.add, [revoked(f"other {one}")]) for one in range(MANY)]
        assert all(one.result(30) for one in (*ended, *others))
    with database.read() as sql:
        assert sorted(sql.scalars(select(AuditRow.position))) == list(range(1, 2 * MANY + 1))
    assert findings(database) == []
