"""What goes to and fro: requests and replies between flow and driver, values between us and our caller.

Nothing here prints a secret: fields that hold one are left out of every repr.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request that a flow wants sent, with a body of `form` or `json` or none."""

    method: str
    url: str
    form: Mapping[str, str] | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    json: Mapping[str, Any] | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back; names of headers in small letters."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Fault:
    """Nothing came back that could be read. `lasting`: trying again at once will not help."""

    reason: str
    lasting: bool = False


@dataclass(frozen=True, slots=True)
class Pause:
    """A flow wants to be woken after so many seconds. `why` is the trouble, where there is one."""

    seconds: float
    why: str | None = None


@dataclass(frozen=True, slots=True)
class Pending:
    """Nobody has decided yet.

    `confirmation_number` is what the person has to enter in the browser, where the server asks for that.
    `trouble` says what kept the last poll from being answered, None where it was.
    """

    remaining_seconds: float
    interval: float
    confirmation_number: str | None = None
    trouble: str | None = None


@dataclass(frozen=True, slots=True)
class StartedLogin:
    """RFC 8628 §3.2: what to show to the person, and what to wait for. `expires_in`, `interval` in seconds."""

    user_code: str
    verification_uri: str
    verification_uri_complete: str | None
    expires_in: float
    interval: float
    device_code: str = field(repr=False)
    # By the clock of the flow that started it.
    deadline: float = field(repr=False)
    # What was asked for; what is granted stands in the tokens.
    scope: str = ""
    # RFC 7636: without it, nobody else can poll. None where the server does not know it.
    code_verifier: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Tokens:
    """RFC 6749 §5.1. `expires_at` is aware UTC, None where the server does not tell.

    `answer` has every member that the server sent; ours tells `account`, `token_id` and more (DESIGN.md §2.4).
    """

    access_token: str = field(repr=False)
    token_type: str
    scope: str
    expires_at: datetime | None
    refresh_token: str | None = field(default=None, repr=False)
    answer: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def expires_within(self, seconds: float, now: datetime | None = None) -> bool:
        """Whether the access token is of no use any more in so many seconds. False where that is not known."""
        if self.expires_at is None:
            return False
        return self.expires_at <= (now or datetime.now(UTC)) + timedelta(seconds=seconds)
