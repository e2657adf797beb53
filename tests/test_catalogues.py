"""Every text of the pages is in every language, and every translation keeps what the text is made of."""

import re
from collections import Counter
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from babel import Locale
from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po

from oauthdevice.languages import ALL, LANGUAGES, SOURCE

from .servers import CHECKOUT

TEMPLATES = sorted((CHECKOUT / "templates").glob("*.jinja2"))
# For engineers, in the language of the document that it shows.
IN_ENGLISH = {"openapi.html.jinja2"}
# As it is in every language.
UNTRANSLATED = {"UTC", "–", "oauthdevice"}
SPOKEN_ATTRIBUTES = {"alt", "aria-label", "placeholder", "title"}
TRANSLATED = sorted(set(ALL) - {SOURCE})


@pytest.fixture(scope="module")
def texts() -> set[str | tuple[str, ...]]:
    """What `make catalogues` finds."""
    mappings = [("templates/**.jinja2", "jinja2"), ("oauthdevice/domain/scopes.py", "python")]
    keywords = {"_": None, "gettext": None, "ngettext": (1, 2), "Scope": (2,)}
    found = extract_from_dir(CHECKOUT, mappings, keywords=keywords, directory_filter=lambda path: ".venv" not in path)
    return {message for _file, _line, message, _comments, _context in found}


def catalogue(locale_name: str) -> Catalog:
    with (CHECKOUT / "locales" / f"{locale_name}.po").open("rb") as file:
        return read_po(file, locale_name)


def placeholders(text: str) -> Counter[str]:
    return Counter(re.findall(r"%\(\w+\)s|%%?", text))


def markup(text: str) -> Counter[str]:
    return Counter(re.findall(r"<[^>]+>", text))


@pytest.mark.parametrize("locale_name", TRANSLATED)
class TestEveryCatalogue:
    def test_has_every_text_and_no_other(self, locale_name: str, texts: set[str | tuple[str, ...]]) -> None:
        found = catalogue(locale_name)
        assert {message.id for message in found if message.id} == texts
        assert not found.obsolete

    def test_translates_every_text(self, locale_name: str) -> None:
        left = [
            message.id for message in catalogue(locale_name) if message.id and (not message.string or message.fuzzy)
        ]
        assert left == []

    def test_keeps_what_is_filled_in_and_how_it_is_marked(self, locale_name: str) -> None:
        for message in catalogue(locale_name):
            if isinstance(message.id, str) and message.id:
                assert placeholders(message.string) == placeholders(message.id), message.id
                assert markup(message.string) == markup(message.id), message.id
                assert message.string == message.string.strip(), message.id

    def test_leaves_no_text_as_it_was(self, locale_name: str) -> None:
        """A word may be the same in two languages; a sentence is not."""
        same = [one.id for one in catalogue(locale_name) if one.id and one.string == one.id and " " in one.id]
        assert same == []


class _Spoken(HTMLParser):
    """What of some markup is read out."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_data(self, data: str) -> None:
        self.found.append(data)

    def handle_starttag(self, _tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value or "" for name, value in attrs if name in SPOKEN_ATTRIBUTES]


def written(source: str) -> Iterator[str]:
    """Words of a template that go through no catalogue."""
    source = re.sub(r"{#.*?#}", "", source, flags=re.DOTALL)
    source = re.sub(r"{%-?\s*trans\b.*?endtrans\s*-?%}", "", source, flags=re.DOTALL)
    code = re.compile(r"{{.*?}}|{%.*?%}", re.DOTALL)
    for tag in code.findall(source):
        literals = re.findall(r"""(_\(\s*)?("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')""", tag)
        yield from (
            text for translated, text in literals if not translated and re.search(r"[A-Z][a-z]+|[a-z] [a-z]", text)
        )
    parser = _Spoken()
    parser.feed(code.sub("", source))
    for text in parser.found:
        # An attribute or an address in a block that is set on its own is read as text here.
        words = (word for word in text.split() if not re.fullmatch(r'[\w-]+="[^"]*"|/[\w/-]*', word))
        yield from (word for word in words if re.search(r"[^\W\d_]", word) and word not in UNTRANSLATED)


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_a_template_says_nothing_past_the_catalogues(template: Path) -> None:
    if template.name in IN_ENGLISH:
        return
    assert list(written(template.read_text("utf-8"))) == []


@pytest.mark.parametrize("locale_name", ALL)
def test_a_language_is_called_what_babel_calls_it(locale_name: str) -> None:
    language, locale = ALL[locale_name], Locale.parse(locale_name)
    name = locale.get_display_name() or ""
    assert language.tag == locale_name.replace("_", "-")
    assert language.name == name[:1].upper() + name[1:]
    assert language.direction == locale.text_direction


def test_every_language_that_a_browser_may_ask_for_is_there() -> None:
    assert set(LANGUAGES.values()) == ALL.keys()
