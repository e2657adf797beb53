"""A device authorization as a client knows it, and the codes of it."""

from dataclasses import dataclass

from .answers import Answer
from .people import Asked

NUMBER_MAX = 1e12


@dataclass
class Authorization:
    """A device authorization that was started: both codes, and when it may be polled next (seconds of the clock)."""

    answer: Answer
    started_at: float
    interval: float
    polled_at: float | None = None
    decided: bool = False

    def member(self, name: str) -> str:
        """A member that is text; "" for any other."""
        found = self.answer.members.get(name)
        return found if isinstance(found, str) else ""

    @property
    def device_code(self) -> str:
        return self.member("device_code")

    @property
    def user_code(self) -> str:
        return self.member("user_code")

    @property
    def expires_in(self) -> float:
        return number(self.answer.members.get("expires_in")) or 0.0

    @property
    def asked(self) -> Asked:
        return Asked(self.user_code, self.member("verification_uri"), self.member("verification_uri_complete"))


def number(value: object) -> float | None:
    """A JSON number; None for all else, and for one that is too large to count with."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not -NUMBER_MAX < value < NUMBER_MAX:
        return None
    return float(value)


def plain_code(user_code: str) -> str:
    """As typed without care: small letters, no punctuation."""
    return "".join(letter for letter in user_code if letter.isalnum()).lower()


def text(answer: Answer | None, name: str) -> str:
    """A member of an answer that is text; "" for any other."""
    found = answer.members.get(name) if answer is not None else None
    return found if isinstance(found, str) else ""
