"""Logo and accent: what is taken, and that people can read it."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oauthdevice.brand import (
    CONTRAST_MIN,
    DARK_GROUNDS,
    LIGHT_GROUNDS,
    LOGO_MAX_BYTES,
    accents,
    contrast,
    dark_colour,
    light_colour,
    logo,
    stylesheet,
)

from .servers import CHECKOUT

COLOURS = st.binary(min_size=3, max_size=3).map(lambda channels: "#" + channels.hex())
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 20
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"/>'


class TestContrast:
    @pytest.mark.parametrize(
        ("one", "other", "ratio"),
        [
            ("#ffffff", "#000000", 21.0),
            ("#000000", "#ffffff", 21.0),
            ("#ffffff", "#ffffff", 1.0),
            ("#777777", "#ffffff", 4.48),
            ("#767676", "#ffffff", 4.54),
            ("#0000ff", "#ffffff", 8.59),
            ("#ff0000", "#ffffff", 4.0),
            ("#00ff00", "#000000", 15.3),
        ],
    )
    def test_it_is_that_of_wcag(self, one: str, other: str, ratio: float) -> None:
        assert contrast(one, other) == pytest.approx(ratio, abs=0.005)


class TestAColour:
    @pytest.mark.parametrize(
        ("text", "colour"), [("#1F5FBF", "#1f5fbf"), ("#123", "#112233"), ("#000000", "#000000"), ("#800", "#880000")]
    )
    def test_is_six_small_digits(self, text: str, colour: str) -> None:
        assert light_colour(text) == colour

    @pytest.mark.parametrize(
        "text", ["red", "1f5fbf", "#1f5fb", "#1f5fbf80", "#12", "rgb(0, 0, 0)", "#\u0661\u0661\u0661"]
    )
    def test_is_nothing_else(self, text: str) -> None:
        with pytest.raises(ValueError, match="must be a colour such as #1f5fbf"):
            light_colour(text)

    def test_that_cannot_be_read_is_told_with_its_ratio_and_a_near_one_that_can(self) -> None:
        with pytest.raises(ValueError, match=r"contrast of 2\.59:1 .*4\.5:1 is needed: take a darker one") as raised:
            light_colour("#ff6600")
        near = re.findall(r"#[0-9a-f]{6}", str(raised.value))[-1]
        assert light_colour(near) == near
        with pytest.raises(ValueError, match=r"4\.5:1 is needed: take a lighter one") as raised:
            dark_colour("#1f5fbf")
        near = re.findall(r"#[0-9a-f]{6}", str(raised.value))[-1]
        assert dark_colour(near) == near

    @given(COLOURS)
    def test_is_told_a_near_one_that_is_taken(self, colour: str) -> None:
        for parse in (light_colour, dark_colour):
            try:
                assert parse(colour) == colour
            except ValueError as error:
                parse(re.findall(r"#[0-9a-f]{6}", str(error))[-1])

    @given(COLOURS)
    def test_that_is_taken_can_be_read_everywhere(self, colour: str) -> None:
        """On each ground, under the pointer, and with the words on the button."""
        for parse, grounds, place in ((light_colour, LIGHT_GROUNDS, 0), (dark_colour, DARK_GROUNDS, 1)):
            try:
                parse(colour)
            except ValueError:
                continue
            accent = accents(*(("", colour)[::-1] if place == 0 else ("", colour)))[place]
            assert accent is not None
            for shown in (accent.colour, accent.strong):
                assert contrast(shown, accent.words) >= CONTRAST_MIN
                assert all(contrast(shown, ground) >= CONTRAST_MIN for ground in grounds)

    @given(COLOURS)
    def test_for_dark_is_made_of_the_one_for_light(self, colour: str) -> None:
        _, dark = accents(colour, "")
        assert dark is not None
        assert dark_colour(dark.colour) == dark.colour

    def test_of_neither_is_given_leaves_ours(self) -> None:
        assert stylesheet("", "") == ""
        assert accents("", "#ffffff")[0] is None
        assert "--accent: #ffffff" in stylesheet("", "#ffffff")

    def test_stands_on_the_grounds_of_our_stylesheet(self) -> None:
        light, dark = re.findall(r":root \{(.*?)\}", (CHECKOUT / "static/device.css").read_text("utf-8"), re.DOTALL)[:2]
        for text, grounds in ((light, LIGHT_GROUNDS), (dark, DARK_GROUNDS)):
            told = [re.findall(rf"--{name}: (#\w+);", text)[0] for name in ("ground", "card", "sunken")]
            assert [one if len(one) == 7 else "#" + "".join(digit * 2 for digit in one[1:]) for one in told] == list(
                grounds
            )


class TestALogo:
    @pytest.mark.parametrize(
        ("content", "media_type"),
        [
            (PNG, "image/png"),
            (b"\xff\xd8\xff\xe0" + b"\0" * 20, "image/jpeg"),
            (b"RIFF\x10\0\0\0WEBPVP8 ", "image/webp"),
            (SVG, "image/svg+xml"),
            (b'<?xml version="1.0"?>\n<!-- made by hand -->\n<!DOCTYPE svg>\n' + SVG, "image/svg+xml"),
            (b"\xef\xbb\xbf<svg\n/>", "image/svg+xml"),
        ],
    )
    def test_is_what_its_content_says(self, tmp_path: Path, content: bytes, media_type: str) -> None:
        (tmp_path / "logo").write_bytes(content)
        taken = logo(str(tmp_path / "logo"))
        assert (taken.content, taken.media_type) == (content, media_type)

    @pytest.mark.parametrize(
        "content", [b"", b"<html><svg/></html>", b"GIF89a", b"RIFF\x10\0\0\0WAVE", b"<svgx/>", b"<!-- <svg/>"]
    )
    def test_is_no_other_file(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "logo.svg").write_bytes(content)
        with pytest.raises(ValueError, match="must be an SVG, PNG, WebP or JPEG picture"):
            logo(str(tmp_path / "logo.svg"))

    def test_is_small(self, tmp_path: Path) -> None:
        path = tmp_path / "logo.png"
        path.write_bytes(PNG.ljust(LOGO_MAX_BYTES, b"\0"))
        assert len(logo(str(path)).content) == LOGO_MAX_BYTES
        path.write_bytes(PNG.ljust(LOGO_MAX_BYTES + 1, b"\0"))
        with pytest.raises(ValueError, match="must have at most 16384 bytes; it has 16385"):
            logo(str(path))

    def test_is_there(self, tmp_path: Path) -> None:
        for path in (tmp_path / "nothing.svg", tmp_path):
            with pytest.raises(ValueError, match="cannot be read: "):
                logo(str(path))

    def test_has_another_digest_with_another_content(self, tmp_path: Path) -> None:
        path = tmp_path / "logo.svg"
        path.write_bytes(SVG)
        first = logo(str(path)).digest
        path.write_bytes(SVG + b"\n")
        assert logo(str(path)).digest != first
