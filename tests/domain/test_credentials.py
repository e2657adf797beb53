"""The form that our secrets share: prefix, 256 random bits, checksum."""

import base64
import re
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oauthdevice.domain.credentials import checksum, credential_digest, has_checksum, is_credential, new_credential

PREFIX = "dfoa_"
SHA_256_OF_NOTHING = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
ASCII = st.text(st.characters(max_codepoint=127))


@st.composite
def credentials(draw: st.DrawFn) -> str:
    """As `new_credential` makes them, from bytes that hypothesis chooses."""
    random = base64.urlsafe_b64encode(draw(st.binary(min_size=32, max_size=32))).rstrip(b"=").decode()
    return PREFIX + random + checksum(PREFIX + random)


class TestChecksum:
    @pytest.mark.parametrize(("body", "digits"), [("", "000000"), ("123456789", checksum("123456789"))])
    def test_it_is_six_digits_always(self, body: str, digits: str) -> None:
        assert checksum(body) == digits
        assert re.fullmatch(r"[0-9A-Za-z]{6}", digits)

    @given(ASCII)
    def test_it_is_the_crc_32_in_base_62(self, body: str) -> None:
        alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
        value = 0
        for digit in checksum(body):
            value = value * 62 + alphabet.index(digit)
        assert value == zlib.crc32(body.encode())

    @given(ASCII)
    def test_a_text_with_its_checksum_is_accepted(self, body: str) -> None:
        assert has_checksum(body + checksum(body))

    @pytest.mark.parametrize("text", ["", "0", "00000", "abcdef"])
    def test_a_text_too_short_for_one_has_none(self, text: str) -> None:
        assert not has_checksum(text)


class TestCredential:
    @pytest.mark.parametrize("prefix", ["dfoa_", "dfoe_", "dfor_", "x_"])
    def test_it_is_prefix_random_bits_and_checksum(self, prefix: str) -> None:
        made = new_credential(prefix)
        assert re.fullmatch(prefix + r"[A-Za-z0-9_-]{43}[0-9A-Za-z]{6}", made)
        assert is_credential(made, prefix)

    def test_each_is_another(self) -> None:
        assert len({new_credential(PREFIX) for _ in range(100)}) == 100

    @given(credentials(), st.data())
    def test_one_changed_character_makes_it_none(self, credential: str, data: st.DataObject) -> None:
        place = data.draw(st.integers(0, len(credential) - 1))
        other = data.draw(st.characters(exclude_characters=credential[place]))
        assert is_credential(credential, PREFIX)
        assert not is_credential(credential[:place] + other + credential[place + 1 :], PREFIX)

    @given(credentials(), st.integers(0, 54))
    def test_a_shortened_one_is_none(self, credential: str, length: int) -> None:
        assert not is_credential(credential[: min(length, len(credential) - 1)], PREFIX)

    @pytest.mark.parametrize("around", [" {}", "{} ", "{}\n", "\n{}", "{0}{0}", "x{}"])
    def test_nothing_may_stand_around_it(self, around: str) -> None:
        assert not is_credential(around.format(new_credential(PREFIX)), PREFIX)

    def test_another_prefix_makes_it_none(self) -> None:
        assert not is_credential(new_credential("dfoa_"), "dfoe_")
        assert not is_credential(new_credential("dfoa_").replace("dfoa_", "dfoe_"), "dfoe_")

    @given(st.text())
    def test_no_other_text_is_one(self, text: str) -> None:
        assert not is_credential(text, PREFIX)
        assert not is_credential(PREFIX + text, PREFIX)

    def test_its_digest_is_sha_256(self) -> None:
        assert credential_digest("") == SHA_256_OF_NOTHING
        assert credential_digest("a") != credential_digest("b")
