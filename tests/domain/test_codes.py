"""device_code and user_code: their form, what counts as one, what is stored of them."""

import base64
import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oauthdevice.domain import codes
from oauthdevice.domain.credentials import checksum

# `printf WDJBMJHT | openssl dgst -sha256 -hmac key`, `printf dc_x | sha256sum`
HMAC_OF_WDJBMJHT = "bb04cbf766f025fafa17e8e8e86ffc39130177c63f1d30d072a0228eb4295150"
SHA_256_OF_DC_X = "94a9dac9fd6688af52911ceb7695bb9f219839f188a7e3fa4c0f4b8adcfdb889"

USER_CODES = st.text(codes.USER_CODE_ALPHABET, min_size=8, max_size=8) | st.text(
    codes.USER_CODE_ALPHABET, min_size=12, max_size=12
)
SHARDS = st.binary(min_size=1, max_size=1).map(bytes.hex)


@st.composite
def device_codes(draw: st.DrawFn) -> str:
    """As `new_device_code` makes them, from bytes that hypothesis chooses."""
    random = base64.urlsafe_b64encode(draw(st.binary(min_size=32, max_size=32))).rstrip(b"=").decode()
    body = f"dc_{random}{draw(SHARDS)}"
    return body + checksum(body)


class TestDeviceCode:
    def test_it_is_256_random_bits_between_a_prefix_and_a_checksum(self) -> None:
        made = codes.new_device_code("a7")
        assert re.fullmatch(r"dc_[A-Za-z0-9_-]{43}a7[0-9A-Za-z]{6}", made)
        assert codes.is_device_code(made)
        assert len({codes.new_device_code("a7") for _ in range(100)}) == 100

    @given(device_codes(), st.data())
    def test_one_changed_character_makes_it_none(self, device_code: str, data: st.DataObject) -> None:
        place = data.draw(st.integers(0, len(device_code) - 1))
        other = data.draw(st.characters(exclude_characters=device_code[place]) | st.sampled_from(string.ascii_letters))
        changed = device_code[:place] + other + device_code[place + 1 :]
        assert codes.is_device_code(device_code)
        assert codes.is_device_code(changed) is (changed == device_code)

    @given(device_codes(), st.data())
    def test_two_swapped_neighbours_make_it_none(self, device_code: str, data: st.DataObject) -> None:
        place = data.draw(st.integers(0, len(device_code) - 2))
        left, right = device_code[place], device_code[place + 1]
        swapped = device_code[:place] + right + left + device_code[place + 2 :]
        assert codes.is_device_code(swapped) is (left == right)

    @given(st.text())
    def test_no_other_text_is_one(self, text: str) -> None:
        assert not codes.is_device_code(text)

    @pytest.mark.parametrize("around", [" {}", "{} ", "{}\n", "\n{}", "{0}{0}", "x{}"])
    def test_nothing_may_stand_around_it(self, around: str) -> None:
        assert not codes.is_device_code(around.format(codes.new_device_code("00")))

    def test_its_digest_is_sha_256(self) -> None:
        digest = codes.device_code_digest("dc_x")
        assert digest == SHA_256_OF_DC_X
        assert digest != codes.device_code_digest("dc_y")

    @given(SHARDS)
    def test_it_names_its_shard(self, shard: str) -> None:
        assert codes.shard_of_device_code(codes.new_device_code(shard)) == shard

    @given(st.binary(min_size=1), USER_CODES)
    def test_both_codes_of_an_authorization_name_one_shard(self, key: bytes, user_code: str) -> None:
        shard = codes.shard_of_user_code(codes.user_code_digest(key, user_code))
        assert re.fullmatch(r"[0-9a-f]{2}", shard)
        device_code = codes.new_device_code(shard)
        assert codes.is_device_code(device_code)
        assert codes.shard_of_device_code(device_code) == shard


class TestUserCodeAlphabet:
    def test_its_letters_are_those_of_rfc_8628_6_1(self) -> None:
        letters = "".join(symbol for symbol in codes.USER_CODE_ALPHABET if symbol.isalpha())
        assert letters == "BCDFGHJKLMNPQRSTVWXZ"

    def test_no_vowel_makes_a_word(self) -> None:
        assert not set("AEIOUY") & set(codes.USER_CODE_ALPHABET)

    def test_no_digit_looks_like_a_letter(self) -> None:
        digits = {symbol for symbol in codes.USER_CODE_ALPHABET if symbol.isdigit()}
        assert digits == set("3479")

    def test_no_symbol_is_there_twice(self) -> None:
        assert len(set(codes.USER_CODE_ALPHABET)) == len(codes.USER_CODE_ALPHABET) == 24


class TestNewUserCode:
    @pytest.mark.parametrize("length", [codes.USER_CODE_LENGTH, codes.LONG_USER_CODE_LENGTH])
    def test_it_has_the_length_asked_for_and_only_symbols_of_the_alphabet(self, length: int) -> None:
        made = codes.new_user_code(length)
        assert len(made) == length
        assert set(made) <= set(codes.USER_CODE_ALPHABET)
        assert codes.normalise_user_code(made) == made

    def test_it_has_eight_symbols_where_nobody_guesses(self) -> None:
        assert len(codes.new_user_code()) == codes.USER_CODE_LENGTH == 8

    def test_a_longer_one_is_four_longer(self) -> None:
        assert codes.LONG_USER_CODE_LENGTH == codes.USER_CODE_LENGTH + 4

    def test_each_is_another(self) -> None:
        assert len({codes.new_user_code() for _ in range(200)}) == 200

    def test_every_symbol_occurs(self) -> None:
        drawn = "".join(codes.new_user_code() for _ in range(500))
        assert set(drawn) == set(codes.USER_CODE_ALPHABET)


class TestNormaliseUserCode:
    @pytest.mark.parametrize(
        "typed",
        [
            "WDJB-MJHT",
            "WDJBMJHT",
            "wdjb-mjht",
            "wDjB-MjhT",
            "  WDJB-MJHT\n",
            "WDJB MJHT",
            "W D J B M J H T",
            "W-D-J-B-M-J-H-T",
            "WDJB--MJHT",
            "WDJB.MJHT",
            "WDJB_MJHT",
            "(WDJB) [MJHT]",
            "WDJB\tMJHT",
            "WDJB\u00a0MJHT",
            "WDJB\u2014MJHT",
            "WDJB\u2212MJHT",
            "WDJB\u200bMJHT",
            "\ufeffWDJB-MJHT",
            "\uff37\uff24\uff2a\uff22\uff0d\uff2d\uff2a\uff28\uff34",
            "\uff57\uff44\uff4a\uff42\u3000\uff4d\uff4a\uff48\uff54",
            "\U0001d416\U0001d403\U0001d409\U0001d401MJHT",
        ],
    )
    def test_case_spaces_and_punctuation_do_not_count(self, typed: str) -> None:
        assert codes.normalise_user_code(typed) == "WDJBMJHT"

    @pytest.mark.parametrize("typed", ["wdjb-mjht-3479", "WDJBMJHT3479", "wdjb mjht \uff13\uff14\uff17\uff19"])
    def test_a_long_one_is_one_too(self, typed: str) -> None:
        assert codes.normalise_user_code(typed) == "WDJBMJHT3479"

    @pytest.mark.parametrize(
        "typed",
        [
            "",
            " ",
            "-",
            "----",
            "W",
            "WDJB",
            "WDJB-MJH",
            "WDJB-MJHT-W",
            "WDJB-MJHT-WDJ",
            "WDJB-MJHT-WDJB-M",
            "WDJB-MJHT" * 1000,
            "W" * 64,
        ],
    )
    def test_another_length_is_none(self, typed: str) -> None:
        assert codes.normalise_user_code(typed) is None

    @pytest.mark.parametrize("symbol", [*"AEIOUYaeiouy", *"012568", "\u0412", "\u00df", "\u0152", "\u0661", "\u00c7"])
    def test_a_symbol_that_no_code_has_makes_it_none(self, symbol: str) -> None:
        assert codes.normalise_user_code(f"WDJ{symbol}MJHT") is None

    def test_half_a_surrogate_pair_is_no_symbol(self) -> None:
        assert codes.normalise_user_code("WDJB\ud800MJHT") == "WDJBMJHT"
        assert codes.normalise_user_code("\ud800" * 8) is None

    @given(st.text())
    def test_any_text_gives_a_code_or_none(self, text: str) -> None:
        code = codes.normalise_user_code(text)
        assert code is None or (len(code) in (8, 12) and set(code) <= set(codes.USER_CODE_ALPHABET))

    @given(USER_CODES)
    def test_what_people_see_leads_back_to_the_code(self, user_code: str) -> None:
        shown = codes.format_user_code(user_code)
        assert codes.normalise_user_code(shown) == user_code
        assert codes.normalise_user_code(shown.lower().replace("-", " ")) == user_code

    @given(USER_CODES)
    def test_a_normalised_one_stays_as_it_is(self, user_code: str) -> None:
        assert codes.normalise_user_code(user_code) == user_code


class TestFormatUserCode:
    @pytest.mark.parametrize(
        ("user_code", "shown"), [("WDJBMJHT", "WDJB-MJHT"), ("WDJBMJHT3479", "WDJB-MJHT-3479"), ("", "")]
    )
    def test_groups_of_four(self, user_code: str, shown: str) -> None:
        assert codes.format_user_code(user_code) == shown


class TestUserCodeDigest:
    def test_it_is_hmac_sha_256(self) -> None:
        assert codes.user_code_digest(b"key", "WDJBMJHT") == HMAC_OF_WDJBMJHT

    def test_another_key_or_code_gives_another(self) -> None:
        digest = codes.user_code_digest(b"key", "WDJBMJHT")
        assert digest != codes.user_code_digest(b"other", "WDJBMJHT")
        assert digest != codes.user_code_digest(b"key", "WDJBMJHW")
