"""MaxMindPlaces over real files: what they say of an address, and files that are none."""

from pathlib import Path
from typing import Any

import pytest

from oauthdevice.domain.places import Place
from oauthdevice.stores.places import BadPlaceDatabase, MaxMindPlaces, NoPlaces

from ..place_databases import BERLIN, place_database


@pytest.fixture
def places(tmp_path: Path) -> MaxMindPlaces:
    return MaxMindPlaces(place_database(tmp_path / "places.mmdb"))


class TestADatabase:
    @pytest.mark.parametrize("address", ["192.0.2.7", "::ffff:192.0.2.7"])
    def test_of_cities_tells_city_and_country(self, places: MaxMindPlaces, address: str) -> None:
        assert places.find(address) == Place("DE", BERLIN["country"]["names"], BERLIN["city"]["names"])

    def test_tells_the_country_where_no_city_is_known(self, places: MaxMindPlaces) -> None:
        assert places.find("2001:db8:1::5") == Place("FR", {"en": "France"}, {})

    @pytest.mark.parametrize(
        "address", ["127.0.0.1", "::1", "fe80::1%eth0", "", "unknown", "192.0.2.300", "192.0.2.7/24", "\x00"]
    )
    def test_tells_nothing_of_an_address_that_it_does_not_have(self, places: MaxMindPlaces, address: str) -> None:
        assert places.find(address) is None

    def test_of_ipv4_alone_tells_nothing_of_ipv6(self, tmp_path: Path) -> None:
        places = MaxMindPlaces(place_database(tmp_path / "places.mmdb", {"192.0.2.0/24": BERLIN}, ip_version=4))
        assert places.find("192.0.2.7") is not None
        assert places.find("2001:db8:1::5") is None

    @pytest.mark.parametrize(
        "record",
        [
            {"autonomous_system_number": 64500},
            {"country": "DE"},
            {"country": {"iso_code": "DE", "names": "Germany"}},
            {"country": {"iso_code": "DE", "names": {"en": 7}}, "city": ["Berlin"]},
            {"city": {"geoname_id": 1}},
            "Berlin",
        ],
    )
    def test_of_something_else_tells_nothing(self, tmp_path: Path, record: Any) -> None:
        assert (
            MaxMindPlaces(place_database(tmp_path / "other.mmdb", {"192.0.2.0/24": record})).find("192.0.2.7") is None
        )

    def test_that_is_broken_inside_tells_nothing(self, tmp_path: Path) -> None:
        path = Path(place_database(tmp_path / "places.mmdb"))
        whole = path.read_bytes()
        # What the tree leads to is wiped; the description at the end stays.
        at = whole.index(b"Berlin") - 40
        path.write_bytes(whole[:at] + b"\xff" * 60 + whole[at + 60 :])
        assert MaxMindPlaces(str(path)).find("192.0.2.7") is None


class TestAFile:
    def test_that_is_missing_or_no_database_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(BadPlaceDatabase, match="cannot be read: No such file"):
            MaxMindPlaces(str(tmp_path / "missing.mmdb"))
        with pytest.raises(BadPlaceDatabase):
            MaxMindPlaces(str(tmp_path))
        for content in (b"", b"no database", b"\xab\xcd\xefMaxMind.com"):
            (tmp_path / "bad.mmdb").write_bytes(content)
            with pytest.raises(BadPlaceDatabase):
                MaxMindPlaces(str(tmp_path / "bad.mmdb"))


def test_without_a_database_nothing_is_known() -> None:
    assert NoPlaces().find("192.0.2.7") is None
