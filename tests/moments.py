"""When something happened, as far as it can be told from outside, and what may be said of the time since.

The server reads its clock somewhere between question and answer, so a model beside it knows a moment as a span.
"""

from datetime import datetime
from typing import NamedTuple

# Redis counts in milliseconds, and a moved lifetime is read and written in two commands.
ROUNDING_SECONDS, MOVED_SECONDS = 0.005, 0.5


class Span(NamedTuple):
    """When something happened: not before the one time, not after the other."""

    earliest: datetime
    latest: datetime


def over(seconds: float, since: Span, now: Span, slack_seconds: float = 0) -> set[bool]:
    """Whether so many seconds have passed; both answers where the clock cannot tell."""
    least = (now.earliest - since.latest).total_seconds()
    most = (now.latest - since.earliest).total_seconds()
    if least >= seconds + slack_seconds:
        return {True}
    return {False} if most < seconds - ROUNDING_SECONDS - slack_seconds else {True, False}
