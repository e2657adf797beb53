"""Places on a database in the format of MaxMind (GeoLite2, GeoIP2, DB-IP …), of cities or of countries."""

import logging
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import maxminddb

from ..domain.places import Names, Place

log = logging.getLogger(__name__)


class BadPlaceDatabase(Exception):
    """There is no such file, or it is no database of this format; the text says which."""


class MaxMindPlaces:
    """See `oauthdevice.domain.places.Places`. The file stays open: a newer one is read after a restart.

    Raises BadPlaceDatabase.
    """

    def __init__(self, path: str) -> None:
        try:
            self._reader = maxminddb.open_database(Path(path))
        except OSError as error:
            raise BadPlaceDatabase(f"cannot be read: {error.strerror or error}") from error
        except (maxminddb.InvalidDatabaseError, ValueError) as error:
            raise BadPlaceDatabase("is no database in the format of MaxMind") from error

    def find(self, address: str) -> Place | None:
        try:
            known = ip_address(address.partition("%")[0])
            record = self._reader.get(getattr(known, "ipv4_mapped", None) or known)
        except ValueError:
            # No address, or one of a kind that this database does not have.
            return None
        except maxminddb.InvalidDatabaseError as error:
            log.warning("the place database is broken: %s", error)
            return None
        return _place(record) if isinstance(record, dict) else None


class NoPlaces:
    """Where no database is configured."""

    def find(self, _address: str) -> None:
        return None


def _place(record: dict[str, Any]) -> Place | None:
    country, city = (_part(record, name) for name in ("country", "city"))
    code = country.get("iso_code")
    place = Place(code if isinstance(code, str) else "", _names(country), _names(city))
    return place if place.country or place.city else None


def _part(record: dict[str, Any], name: str) -> dict[str, Any]:
    part = record.get(name)
    return part if isinstance(part, dict) else {}


def _names(part: dict[str, Any]) -> Names:
    names = part.get("names")
    if not isinstance(names, dict):
        return {}
    return {tag: name for tag, name in names.items() if isinstance(name, str) and name}
