"""The tables. Every time is UTC; what NULL means stands beside each nullable column."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import BigInteger, DateTime, ForeignKey, Index, MetaData, String, Text, text
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeDecorator

NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


class UTCDateTime(TypeDecorator[datetime]):
    """Aware UTC in Python on every database; SQLite itself stores no zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        return value.astimezone(UTC) if value is not None else None

    def process_result_value(self, value: Any, _dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        stored: datetime = value
        return stored.replace(tzinfo=UTC) if stored.tzinfo is None else stored.astimezone(UTC)


class Base(DeclarativeBase):
    metadata = MetaData(naming_convention=NAMES)


class AccountRow(Base):
    __tablename__ = "accounts"

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    email: Mapped[str] = mapped_column(String(254))
    # The e-mail without case: what is looked up and what must be unique. Folding may lengthen it threefold.
    email_key: Mapped[str] = mapped_column(String(762), unique=True)
    name: Mapped[str] = mapped_column(String(200))
    password_hash: Mapped[str] = mapped_column(String(255))
    created_at: Mapped[datetime] = mapped_column(UTCDateTime)
    # NULL: active.
    disabled_at: Mapped[datetime | None] = mapped_column(UTCDateTime)


class WorkspaceRow(Base):
    __tablename__ = "workspaces"

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    name: Mapped[str] = mapped_column(String(200), unique=True)
    created_at: Mapped[datetime] = mapped_column(UTCDateTime)


class MembershipRow(Base):
    __tablename__ = "memberships"

    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"), primary_key=True)
    workspace_id: Mapped[str] = mapped_column(ForeignKey("workspaces.id", ondelete="CASCADE"), primary_key=True)
    role: Mapped[str] = mapped_column(String(32))
    joined_at: Mapped[datetime] = mapped_column(UTCDateTime)


class SignInRow(Base):
    """A browser that is signed in."""

    __tablename__ = "sign_ins"

    key_digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"), index=True)
    created_at: Mapped[datetime] = mapped_column(UTCDateTime)
    expires_at: Mapped[datetime] = mapped_column(UTCDateTime, index=True)


class PasskeyRow(Base):
    """A passkey of an account (WebAuthn): what it signs with, and how often it did."""

    __tablename__ = "passkeys"

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    # SHA-256 of the credential id, which may be a kilobyte long.
    credential_digest: Mapped[str] = mapped_column(String(64), unique=True)
    # Both base64url.
    credential_id: Mapped[str] = mapped_column(Text)
    public_key: Mapped[str] = mapped_column(Text)
    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"), index=True)
    name: Mapped[str] = mapped_column(String(128))
    # Words of WebAuthn between spaces, such as `internal hybrid`.
    transports: Mapped[str] = mapped_column(Text)
    # 32 bits without a sign.
    sign_count: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[datetime] = mapped_column(UTCDateTime)
    # NULL: never used.
    last_used_at: Mapped[datetime | None] = mapped_column(UTCDateTime)


class SessionRow(Base):
    """A live or ended grant of a subject to one client on one device; `id` is that of its authorization."""

    __tablename__ = "sessions"

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    # Which redemption of the authorization minted it; only a higher one may mint again.
    attempt: Mapped[int]
    # SHA-256 of the subject's key: one column to find the sessions of either kind of subject by.
    subject_digest: Mapped[str] = mapped_column(String(64))
    # NULL: an external subject.
    account_id: Mapped[str | None] = mapped_column(ForeignKey("accounts.id", ondelete="CASCADE"), index=True)
    # The three are NULL for an account.
    subject_issuer: Mapped[str | None] = mapped_column(String(255))
    subject_id: Mapped[str | None] = mapped_column(String(255))
    subject_email: Mapped[str | None] = mapped_column(String(254))
    client_id: Mapped[str] = mapped_column(String(64))
    # NULL: the device gave no label.
    device_label: Mapped[str | None] = mapped_column(String(128))
    # NULL: ended, or without a label. Unique on every database, as NULLs never collide.
    device_key: Mapped[str | None] = mapped_column(String(64), unique=True)
    # What the person calls the device. NULL: what the device calls itself.
    name: Mapped[str | None] = mapped_column(String(128))
    # Where the device asked from. NULL: unknown.
    address: Mapped[str | None] = mapped_column(String(64))
    # The thumbprint (RFC 7638) of the key that its tokens are bound to. NULL: of none.
    jkt: Mapped[str | None] = mapped_column(String(43))
    scopes: Mapped[str] = mapped_column(Text)
    prefix: Mapped[str] = mapped_column(String(16))
    created_at: Mapped[datetime] = mapped_column(UTCDateTime)
    # NULL: never used.
    last_used_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    expires_at: Mapped[datetime] = mapped_column(UTCDateTime)
    # NULL: live (or expired).
    revoked_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    # The earlier of the two above: one indexed column tells a purge what is long over.
    ends_at: Mapped[datetime] = mapped_column(UTCDateTime, index=True)

    __table_args__ = (Index(None, "subject_digest", "created_at", "id"),)


class AccessTokenRow(Base):
    """The digest of a token that opens a session. Ending the session deletes the row."""

    __tablename__ = "access_tokens"

    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    session_id: Mapped[str] = mapped_column(ForeignKey("sessions.id", ondelete="CASCADE"), index=True)
    # Those of the session, or fewer: a refresh may ask for less.
    scopes: Mapped[str] = mapped_column(Text)
    issued_at: Mapped[datetime] = mapped_column(UTCDateTime)
    expires_at: Mapped[datetime] = mapped_column(UTCDateTime)


class RefreshTokenRow(Base):
    """The digest of a refresh token, live or spent. The rows of one session are one family."""

    __tablename__ = "refresh_tokens"

    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    session_id: Mapped[str] = mapped_column(ForeignKey("sessions.id", ondelete="CASCADE"), index=True)
    issued_at: Mapped[datetime] = mapped_column(UTCDateTime)
    # NULL: not used yet.
    spent_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    # NULL: not used yet, or cleared: by a later refresh, a purge or the end of the session.
    sealed_answer: Mapped[str | None] = mapped_column(Text)

    __table_args__ = (
        Index(
            "ix_refresh_tokens_sealed",
            "spent_at",
            sqlite_where=text("sealed_answer IS NOT NULL"),
            postgresql_where=text("sealed_answer IS NOT NULL"),
        ),
    )


class NoticeRow(Base):
    """A mail about a new device that waits to be sent."""

    __tablename__ = "notices"

    session_id: Mapped[str] = mapped_column(ForeignKey("sessions.id", ondelete="CASCADE"), primary_key=True)
    # Of whoever approved. NULL: unknown.
    language: Mapped[str | None] = mapped_column(String(16))
    made_at: Mapped[datetime] = mapped_column(UTCDateTime)
    # From when on any process may try.
    due_at: Mapped[datetime] = mapped_column(UTCDateTime, index=True)
    tries: Mapped[int]


class AuditRow(Base):
    """One event. Every column but the first three is NULL where it does not apply.

    The last three are NULL together where the row is in no chain (docs/audit.md): written before there was one, or by
    a release that knows of none.
    """

    __tablename__ = "audit_events"

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    at: Mapped[datetime] = mapped_column(UTCDateTime, index=True)
    event: Mapped[str] = mapped_column(String(32))
    # Of the device authorization, and so of the session.
    token_id: Mapped[str | None] = mapped_column(String(36), index=True)
    client_id: Mapped[str | None] = mapped_column(String(64))
    subject: Mapped[str | None] = mapped_column(String(600))
    device_label: Mapped[str | None] = mapped_column(String(128))
    scopes: Mapped[str | None] = mapped_column(Text)
    address: Mapped[str | None] = mapped_column(String(64))
    request_id: Mapped[str | None] = mapped_column(String(36))
    reason: Mapped[str | None] = mapped_column(String(64))
    position: Mapped[int | None] = mapped_column(BigInteger, index=True, unique=True)
    hash: Mapped[str | None] = mapped_column(String(64))
    key_id: Mapped[str | None] = mapped_column(String(8))


class AuditHeadRow(Base):
    """The end of the chain of audit rows: one row, `id` 1, which whoever adds rows locks first."""

    __tablename__ = "audit_head"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    # Of the newest row; 0 where there is none.
    position: Mapped[int] = mapped_column(BigInteger)
    # Of the newest row. NULL: there was none yet.
    seal: Mapped[str | None] = mapped_column(String(64))
    begun_at: Mapped[datetime] = mapped_column(UTCDateTime)


class WebhookDeliveryRow(Base):
    """An event that an address is still to be told, or could not be."""

    __tablename__ = "webhook_deliveries"

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    event_id: Mapped[str] = mapped_column(ForeignKey("audit_events.id", ondelete="CASCADE"), index=True)
    url: Mapped[str] = mapped_column(String(2000))
    attempts: Mapped[int]
    # From when on any process may try. NULL: given up.
    next_attempt_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    # What became of the last attempt. NULL: there was none.
    problem: Mapped[str | None] = mapped_column(String(200))

    __table_args__ = (Index(None, "url", "next_attempt_at"),)
