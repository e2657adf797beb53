"""What a client is told of a token: the body of a token response, in both dialects at once."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from .subjects import Account, ExternalSubject, Subject


@dataclass(frozen=True, slots=True)
class NewTokens:
    """Tokens in clear, on their way out. `refresh_token` is None where the client gets none.

    `jkt` is the thumbprint of the key that they are bound to, None where it is none.
    """

    access_token: str
    refresh_token: str | None
    issued_at: datetime
    expires_at: datetime
    scopes: frozenset[str]
    jkt: str | None


def token_answer(tokens: NewTokens, token_id: str, subject: Subject, account: Account | None) -> dict[str, Any]:
    """RFC 6749 §5.1 with the members of the original dialect (DESIGN.md §2.4)."""
    answer: dict[str, Any] = {
        "access_token": tokens.access_token,
        "token_type": token_type(tokens.jkt),
        "expires_in": int((tokens.expires_at - tokens.issued_at).total_seconds()),
        "scope": " ".join(sorted(tokens.scopes)),
        "token": tokens.access_token,
        "expires_at": iso(tokens.expires_at),
        "token_id": token_id,
        **identity_answer(subject, account),
    }
    if tokens.refresh_token is not None:
        answer["refresh_token"] = tokens.refresh_token
    return answer


def token_type(jkt: str | None) -> str:
    """RFC 6750 §6.1.1, or RFC 9449 §5 for what is bound to a key."""
    return "Bearer" if jkt is None else "DPoP"


def identity_answer(subject: Subject, account: Account | None) -> dict[str, Any]:
    """Who a token speaks for, as the token answer and `GET /account` tell it."""
    answer: dict[str, Any] = {
        "subject_type": subject.subject_type,
        "account": None,
        "workspaces": [],
        "default_workspace_id": None,
    }
    if account is not None:
        answer["account"] = {"id": account.id, "email": account.email, "name": account.name}
        answer["workspaces"] = [{"id": w.id, "name": w.name, "role": w.role} for w in account.workspaces]
        answer["default_workspace_id"] = account.default_workspace_id
    if isinstance(subject, ExternalSubject):
        answer["subject_email"] = subject.email
        answer["subject_issuer"] = subject.issuer
    return answer


def iso(moment: datetime) -> str:
    """An aware UTC datetime to the second, as in `2026-01-31T12:00:00Z`."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
