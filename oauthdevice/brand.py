"""What an operator may make of the pages: a logo, and an accent that people can read on light and on dark.

The name and the other options are plain text and parsed in `values`.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

LOGO_MAX_BYTES = 16_384
# WCAG 2.2 §1.4.3 of text, which links and the words on buttons are.
CONTRAST_MIN = 4.5
# What the accent stands on: `--ground`, `--card` and `--sunken` of static/device.css; a test compares them.
LIGHT_GROUNDS = ("#f4f5f7", "#ffffff", "#eef1f6")
DARK_GROUNDS = ("#12151b", "#1b2029", "#12161d")
WHITE, BLACK = "#ffffff", "#000000"
_STEPS = 20


@dataclass(frozen=True, slots=True)
class File:
    """A logo or stylesheet as it is served. `digest` changes with its content."""

    content: bytes
    media_type: str

    @property
    def digest(self) -> str:
        return sha256(self.content).hexdigest()[:16]


def logo(text: str) -> File:
    """The picture in the file `text`. Its content, and not its name, says of what kind it is."""
    try:
        content = Path(text).read_bytes()
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from error
    if len(content) > LOGO_MAX_BYTES:
        raise ValueError(f"must have at most {LOGO_MAX_BYTES} bytes; it has {len(content)}")
    media_type = _media_type(content)
    if media_type is None:
        raise ValueError("must be an SVG, PNG, WebP or JPEG picture")
    return File(content, media_type)


def _media_type(content: bytes) -> str | None:
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if content.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "image/webp"
    # Declaration, comments and a document type may stand before the element.
    before = rb"(\xef\xbb\xbf)?\s*(<\?xml[^>]*>\s*|<!--.*?-->\s*|<!DOCTYPE[^>\[]*>\s*)*"
    return "image/svg+xml" if re.match(before + rb"<svg[\s>]", content, re.DOTALL) else None


@dataclass(frozen=True, slots=True)
class Accent:
    """The colour of links and of the main button, the same under the pointer, and the words on the button."""

    colour: str
    strong: str
    words: str


def light_colour(text: str) -> str:
    """A colour, as #rrggbb, that can be read on the light pages."""
    return _readable(_colour(text), LIGHT_GROUNDS, BLACK, "darker")


def dark_colour(text: str) -> str:
    """A colour, as #rrggbb, that can be read on the dark pages."""
    return _readable(_colour(text), DARK_GROUNDS, WHITE, "lighter")


def accents(light: str, dark: str) -> tuple[Accent | None, Accent | None]:
    """On light and on dark; None where ours stays. The one for dark is made of the other where it is not given."""
    if light and not dark:
        dark = _mended(light, DARK_GROUNDS, WHITE)
    # What can be read on the light card can be read in white; what can be read on the dark one, in black.
    # Away from the words is also away from the page, so that contrast only grows under the pointer.
    return (
        Accent(light, _mixed(light, BLACK, 0.25), WHITE) if light else None,
        Accent(dark, _mixed(dark, WHITE, 0.35), BLACK) if dark else None,
    )


def stylesheet(light: str, dark: str) -> str:
    """The custom properties of both accents; "" where both are ours."""
    on_light, on_dark = accents(light, dark)
    told = f":root {{ {_properties(on_light)} }}\n" if on_light else ""
    return told + (f"@media (prefers-color-scheme: dark) {{ :root {{ {_properties(on_dark)} }} }}\n" if on_dark else "")


def _properties(accent: Accent) -> str:
    return f"--accent: {accent.colour}; --accent-strong: {accent.strong}; --on-accent: {accent.words};"


def contrast(one: str, other: str) -> float:
    """The contrast ratio of two colours, 1 to 21 (WCAG 2.2, "contrast ratio")."""
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    """WCAG 2.2, "relative luminance"."""
    shares = [channel / 255 for channel in bytes.fromhex(colour[1:])]
    red, green, blue = (one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in shares)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _colour(text: str) -> str:
    found = re.fullmatch(r"#([0-9a-f]{3}|[0-9a-f]{6})", text.lower(), re.ASCII)
    if found is None:
        raise ValueError("must be a colour such as #1f5fbf")
    digits = found[1]
    return "#" + (digits if len(digits) == 6 else "".join(digit * 2 for digit in digits))


def _readable(colour: str, grounds: Sequence[str], towards: str, comparative: str) -> str:
    worst = min(grounds, key=lambda ground: contrast(colour, ground))
    ratio = contrast(colour, worst)
    if ratio < CONTRAST_MIN:
        # Rounded down: 4.49 is not to be told as 4.5.
        raise ValueError(
            f"has a contrast of {int(ratio * 100) / 100}:1 with the page ({worst}), and {CONTRAST_MIN}:1 is needed: "
            f"take a {comparative} one, such as {_mended(colour, grounds, towards)}"
        )
    return colour


def _mended(colour: str, grounds: Sequence[str], towards: str) -> str:
    """The colour itself, or the nearest on the way to black or white that can be read on all grounds."""
    mixtures = (_mixed(colour, towards, step / _STEPS) for step in range(_STEPS))
    readable = (one for one in mixtures if all(contrast(one, ground) >= CONTRAST_MIN for ground in grounds))
    return next(readable, towards)


def _mixed(colour: str, other: str, share: float) -> str:
    """This much of the other colour, in sRGB."""
    channels = zip(bytes.fromhex(colour[1:]), bytes.fromhex(other[1:]), strict=True)
    return "#" + bytes(round(own + (to - own) * share) for own, to in channels).hex()
