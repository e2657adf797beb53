"""Where an address is said to be. A guess of a database: shown as one, and nothing is decided by it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

# What a place is called, by language (BCP 47).
Names = Mapping[str, str]
ENGLISH = "en"


@dataclass(frozen=True, slots=True)
class Place:
    """`country_code` is that of ISO 3166-1, "" where it is unknown; `city` may have no name."""

    country_code: str
    country: Names
    city: Names

    def told(self, language: str) -> str:
        """The place in words, such as `Berlin, Germany`: in `language` (BCP 47), else in English; "" without any."""
        names = (_name(one, language) for one in (self.city, self.country))
        return ", ".join(name for name in names if name)


class Places(Protocol):
    """Where addresses are said to be."""

    def find(self, address: str) -> Place | None:
        """The place of an address, or None where nothing is known of it."""


def is_same_country(one: Place | None, other: Place | None) -> bool | None:
    """Whether both places are in one country; None where that is not known of both."""
    if one is None or other is None or not one.country_code or not other.country_code:
        return None
    return one.country_code == other.country_code


def _name(names: Names, language: str) -> str:
    base = language.partition("-")[0]
    # The database writes zh-CN where we write zh-Hans.
    related = (tag for tag in names if tag.partition("-")[0] == base)
    return next((names[tag] for tag in (language, *related, ENGLISH) if tag in names), "")
