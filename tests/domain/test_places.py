"""A place in words, and whether two are in one country."""

import pytest

from oauthdevice.domain.places import Place, is_same_country

NAMES = {"en": "Germany", "de": "Deutschland", "zh-CN": "德国", "pt-BR": "Alemanha"}
GERMANY = Place("DE", NAMES, {})
BERLIN = Place("DE", NAMES, {"en": "Berlin"})
FRANCE = Place("FR", {"en": "France"}, {})
NOWHERE = Place("", {"en": "Somewhere"}, {})


class TestAPlaceInWords:
    @pytest.mark.parametrize(
        ("language", "told"),
        [("en", "Germany"), ("de", "Deutschland"), ("zh-Hans", "德国"), ("pt", "Alemanha"), ("ar", "Germany")],
    )
    def test_is_in_the_language_of_the_reader_or_in_english(self, language: str, told: str) -> None:
        assert GERMANY.told(language) == told

    def test_has_the_city_first(self) -> None:
        assert BERLIN.told("de") == "Berlin, Deutschland"

    def test_is_empty_where_no_name_can_be_read(self) -> None:
        assert Place("DE", {"ru": "Германия"}, {}).told("ja") == ""


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (GERMANY, BERLIN, True),
        (GERMANY, FRANCE, False),
        (GERMANY, None, None),
        (None, GERMANY, None),
        (None, None, None),
        (NOWHERE, NOWHERE, None),
        (NOWHERE, GERMANY, None),
    ],
)
def test_two_places_are_in_one_country_where_that_is_known_of_both(
    one: Place | None, other: Place | None, same: bool | None
) -> None:
    assert is_same_country(one, other) is same
