"""What happens where a code was asked for from another network than that of the browser that approves it.

What each client demands then, the number that its tool shows, and a sign-in made again for one code.
"""

import hmac
import secrets
import unicodedata
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from .rate_limits import is_same_network

# How long a sign-in that was made again counts: as long as the approval of an identity provider.
SIGN_IN_AGAIN_SECONDS = 300


class OtherNetwork(Enum):
    """What a client demands of who approves from another network than its tool asked from.

    OFF: nothing, not even a warning. CONFIRM: the number that the tool shows, or a sign-in made
    again. BLOCK: it cannot be approved from there. To deny never takes anything.
    """

    OFF = "off"
    WARN = "warn"
    CONFIRM = "confirm"
    BLOCK = "block"


@dataclass(frozen=True, slots=True)
class SignInAgain:
    """A sign-in of this subject, made after it had opened the code of this authorization. `at` is our clock's."""

    authorization_id: str
    subject_key: str
    at: datetime

    def counts(self, authorization_id: str, subject_key: str, now: datetime) -> bool:
        """Whether it is for this code, by this subject and fresh."""
        is_fresh = now - self.at < timedelta(seconds=SIGN_IN_AGAIN_SECONDS)
        return is_fresh and (self.authorization_id, self.subject_key) == (authorization_id, subject_key)


@dataclass(frozen=True, slots=True)
class Confirmation:
    """What a person brings who approves: the number as it was typed, "" for none, and the last sign-in."""

    number: str = ""
    sign_in_again: SignInAgain | None = None


NOTHING = Confirmation()


def demanded(policy: OtherNetwork, asked_from: str, approved_from: str) -> OtherNetwork:
    """What the policy demands of this approval; OFF in the same network. An unknown address is another network."""
    return OtherNetwork.OFF if is_same_network(asked_from, approved_from) else policy


def new_confirmation_number() -> str:
    """From 10 to 99: easy to say on the telephone too, and never with a zero in front."""
    return str(10 + secrets.randbelow(90))


def digits(typed: str) -> str:
    """The digits of what a person typed, of any script, without spaces and whatever else there is."""
    values = (unicodedata.decimal(symbol, None) for symbol in typed)
    return "".join(str(value) for value in values if value is not None)


def is_right_number(number: str | None, typed: str) -> bool:
    """Whether it is the number that the tool shows, in constant time. None is nobody's number."""
    return number is not None and hmac.compare_digest(number.encode(), digits(typed).encode())
