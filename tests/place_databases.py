"""Place databases as a test wants them, in the format of MaxMind and as GeoLite2 fills it."""

from pathlib import Path
from typing import Any

from mmdb_writer import MMDBWriter
from netaddr import IPSet

BERLIN = {
    "city": {"names": {"en": "Berlin", "ja": "ベルリン"}},
    "country": {"iso_code": "DE", "names": {"de": "Deutschland", "en": "Germany", "zh-CN": "德国"}},
}
MUNICH = {"city": {"names": {"en": "Munich"}}, "country": BERLIN["country"]}
LYON = {"city": {"names": {"en": "Lyon"}}, "country": {"iso_code": "FR", "names": {"en": "France"}}}
# Where the addresses of our documents are, for these tests.
WORLD = {
    "192.0.2.0/24": BERLIN,
    "198.51.100.0/24": MUNICH,
    "203.0.113.0/24": LYON,
    "2001:db8:1::/48": {"country": {"iso_code": "FR", "names": {"en": "France"}}},
}


def place_database(path: Path, places: dict[str, Any] = WORLD, ip_version: int = 6) -> str:
    """A database with a record for each network, at `path`, which is returned as text."""
    writer = MMDBWriter(ip_version=ip_version, ipv4_compatible=ip_version == 6, database_type="Test-City")
    for network, record in places.items():
        writer.insert_network(IPSet([network]), record)
    writer.to_db_file(str(path))
    return str(path)
