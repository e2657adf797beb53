"""Replies of a server as values: read with distrust, since what is in them may end on a terminal."""

import email.utils
import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from .addresses import check_address
from .errors import BY_CODE, BadAnswer, InsecureAddress, InvalidToken, RateLimited, Refused
from .messages import Fault, Reply, StartedLogin, Tokens

Members = Mapping[str, Any]

DEFAULT_INTERVAL_SECONDS = 5.0
# Statuses that say "not now". 425 is Too Early (RFC 8470).
_NOT_NOW = {408, 425, 429}
# Errors of RFC 6749 §4.1.2.1 that say the same, whatever their status is.
_NOT_NOW_CODES = {"server_error", "temporarily_unavailable"}


def members_of(reply: Reply) -> Members | None:
    """The JSON object that a reply holds; None where it holds none."""
    try:
        found = json.loads(reply.body)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def trouble_of(outcome: Reply | Fault, wants_members: bool = True) -> str | None:
    """Why this is to be tried again; None where it is an answer, good or bad."""
    if isinstance(outcome, Fault):
        return outcome.reason
    if outcome.status >= 500 or outcome.status in _NOT_NOW:
        return f"the server answered {outcome.status}"
    members = members_of(outcome)
    if members is None:
        # A page of a proxy or portal in between, or half of an answer.
        whole = outcome.status in (200, 400, 401) and wants_members
        return f"the server answered {outcome.status} with something that is no JSON" if whole else None
    return f"the server answered {members['error']}" if members.get("error") in _NOT_NOW_CODES else None


def trouble_of_call(outcome: Reply | Fault) -> str | None:
    """As `trouble_of`, of an API that is none of OAuth: to say nothing is an answer there."""
    return trouble_of(outcome, wants_members=isinstance(outcome, Reply) and outcome.body != b"")


def trouble_of_revocation(outcome: Reply | Fault) -> str | None:
    """As `trouble_of`. RFC 7009 §2.2: the body says nothing."""
    return trouble_of(outcome, wants_members=False)


def retry_after(outcome: Reply | Fault, now: datetime | None = None) -> float | None:
    """The seconds that a Retry-After header asks for (RFC 9110 §10.2.3); None without a readable one."""
    told = outcome.headers.get("retry-after", "").strip() if isinstance(outcome, Reply) else ""
    if told.isascii() and told.isdigit():
        return float(told[:9])
    try:
        moment = email.utils.parsedate_to_datetime(told)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - (now or datetime.now(UTC))).total_seconds())


def refusal_of(reply: Reply) -> Refused | BadAnswer:
    """What to raise for an answer that is none of those that were hoped for."""
    members = members_of(reply) or {}
    error, description = _printable(members.get("error")), _printable(members.get("error_description")) or ""
    if reply.status == 429:
        return RateLimited(error or "rate_limited", description, retry_after(reply))
    if error is not None:
        return BY_CODE.get(error, Refused)(error, description)
    if reply.status == 401:
        return InvalidToken("invalid_token")
    return BadAnswer(f"the server answered {reply.status} where the protocol has no such answer")


def read_started(members: Members, scope: str, clock: float, insecure: bool) -> StartedLogin:
    """RFC 8628 §3.2. Raises BadAnswer, InsecureAddress."""
    device_code, user_code = members.get("device_code"), _printable(members.get("user_code"))
    expires_in = positive(members.get("expires_in"))
    # Google says verification_url, as the drafts did.
    uri = members.get("verification_uri") or members.get("verification_url")
    if not isinstance(device_code, str) or not device_code or not user_code or expires_in is None:
        raise BadAnswer("the server started no sign-in: its answer lacks a code or expires_in")
    if not isinstance(uri, str):
        raise BadAnswer("the server started no sign-in: its answer has no verification_uri")
    return StartedLogin(
        user_code=user_code,
        verification_uri=check_address(uri, insecure),
        verification_uri_complete=_address_or_none(members.get("verification_uri_complete"), insecure),
        expires_in=expires_in,
        interval=positive(members.get("interval")) or DEFAULT_INTERVAL_SECONDS,
        device_code=device_code,
        deadline=clock + expires_in,
        scope=scope,
    )


def read_tokens(members: Members, requested_scope: str, now: datetime) -> Tokens:
    """RFC 6749 §5.1. Raises BadAnswer where there is no token, or one of a type that we cannot use."""
    access_token, refresh_token = members.get("access_token"), members.get("refresh_token")
    token_type, scope = members.get("token_type", "Bearer"), members.get("scope", requested_scope)
    if not is_token(access_token) or not isinstance(token_type, str):
        raise BadAnswer("the server answered without a usable access token")
    if token_type.lower() != "bearer":
        raise BadAnswer("the server issued a token that is no bearer token")
    seconds = positive(members.get("expires_in"))
    return Tokens(
        access_token=str(access_token),
        token_type="Bearer",  # noqa: S106
        scope=scope if isinstance(scope, str) else requested_scope,
        expires_at=None if seconds is None else now + timedelta(seconds=min(seconds, 1e9)),
        refresh_token=str(refresh_token) if is_token(refresh_token) else None,
        answer=members,
    )


def is_token(value: object) -> bool:
    """Whether this can stand in a header: RFC 6749 §A.12, without spaces."""
    return isinstance(value, str) and value != "" and all("!" <= letter <= "~" for letter in value)


def positive(value: object) -> float | None:
    """A number above 0, also one that is written as text (some servers do); None for all else."""
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value[:9])
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    if not 0 < value < 1e12:
        return None
    return int(value) if value == int(value) else value


def confirmation_number(members: Members) -> str | None:
    """What the person has to enter in the browser, where the server asks for that."""
    found = _printable(members.get("confirmation_number"))
    return found if found and len(found) <= 32 else None


def _printable(value: object) -> str | None:
    """A text that can be shown on a terminal, shortened; None for any other value."""
    return value[:300] if isinstance(value, str) and value and value.isprintable() else None


def _address_or_none(value: object, insecure: bool) -> str | None:
    try:
        return check_address(value, insecure) if isinstance(value, str) else None
    except InsecureAddress:
        return None
