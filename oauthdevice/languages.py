"""The languages of the pages: which there are, which one a person reads, and times in it.

A catalogue is a file of `locales`, read once at the start. What is in no catalogue is shown as it stands in
the template, in English. The JSON answers are English alone: programs read them.
"""

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlencode

from babel.dates import format_date, format_time, format_timedelta, get_timezone
from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.units import format_unit
from jinja2 import pass_context
from jinja2.runtime import Context
from pyramid.config import Configurator
from pyramid.i18n import Localizer, Translations
from pyramid.interfaces import ILocalizer
from pyramid.request import Request
from pyramid.response import Response
from pyramid.tweens import EXCVIEW

from .assets import folder

# By the first part of its tag, as Accept-Language has it; what Babel calls it.
LANGUAGES: Mapping[str, str] = {
    "ar": "ar",
    "de": "de",
    "en": "en",
    "es": "es",
    "fr": "fr",
    "ja": "ja",
    "zh": "zh_Hans",
}
# What the templates are written in.
SOURCE = "en"
# What a person has chosen, until another is chosen.
COOKIE = "oauthdevice_language"
COOKIE_SECONDS = 365 * 86_400
SECOND, MINUTE, HOUR, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
# What Babel counts in; a month has 30 days there. It rounds to the nearest, we beforehand to the lower or upper.
_UNITS = (365 * DAY, 30 * DAY, 7 * DAY, DAY, HOUR)


@dataclass(frozen=True, slots=True)
class Language:
    """`tag` is that of BCP 47, `name` what the language calls itself, `direction` `ltr` or `rtl`."""

    tag: str
    name: str
    direction: str


# By what Babel calls them. Written here, because to ask Babel for the names loads 10 MiB of data into every process.
# Of an address: a sign-in once more, the page of a list; where there is SSO, what came of a sign-in elsewhere.
_KEPT = ("again", "page")
_KEPT_WITH_SSO = (*_KEPT, "sso_error")
# Where a page that only answers a form has come from.
_ANSWERS_TO_FORMS = {"/device/report": "/device/consent", "/login/sso": "/login"}
ALL: Mapping[str, Language] = {
    "ar": Language("ar", "العربية", "rtl"),
    "de": Language("de", "Deutsch", "ltr"),
    "en": Language("en", "English", "ltr"),
    "es": Language("es", "Español", "ltr"),
    "fr": Language("fr", "Français", "ltr"),
    "ja": Language("ja", "日本語", "ltr"),
    "zh_Hans": Language("zh-Hans", "中文 (简体)", "ltr"),
}


def includeme(config: Configurator) -> None:
    for locale_name in ALL:
        config.registry.registerUtility(Localizer(locale_name, catalogue(locale_name)), ILocalizer, name=locale_name)
    config.set_locale_negotiator(negotiate)
    config.add_request_method(lambda request: ALL[request.locale_name], "language", reify=True)
    config.add_request_method(lambda _: ALL.values(), "languages", property=True)
    config.add_tween("oauthdevice.languages.remembering_tween", over=EXCVIEW)
    config.add_settings({"jinja2.filters": FILTERS})


def negotiate(request: Request) -> str:
    """The name of the locale: `ui_locales` of the address, else what was chosen before, else Accept-Language.

    Source: OpenID Connect Core §3.1.2.1, RFC 4647 §3.4.
    """
    wished = _wished(request)
    if wished is not None:
        return wished
    chosen = request.cookies.get(COOKIE)
    if chosen in LANGUAGES:
        return LANGUAGES[chosen]
    return LANGUAGES[request.accept_language.lookup(list(LANGUAGES), default_tag=SOURCE)]


@pass_context
def duration(context: Context, length: timedelta) -> str:
    """A length of time in words, such as `2 minutes`, rounded down; never none at all. From two days on, in days."""
    if length >= 2 * DAY:
        # Babel would make weeks, months and years of them, and round.
        return str(format_unit(length // DAY, "duration-day", locale=_locale(context)))
    return _in_words(context, _rounded(length, up=False))


@pass_context
def waiting(context: Context, seconds: int) -> str:
    """How long to wait, in words, rounded up: who waits that long has waited long enough."""
    return _in_words(context, _rounded(timedelta(seconds=seconds), up=True))


@pass_context
def ago(context: Context, length: timedelta) -> str:
    """How long ago something was, in words, such as `2 minutes ago`."""
    return _in_words(context, -_rounded(length, up=False), add_direction=True)


@pass_context
def clock_time(context: Context, moment: datetime) -> str:
    """The time of day of a moment, to the second, in UTC."""
    return str(format_time(moment, "HH:mm:ss", tzinfo=get_timezone("UTC"), locale=_locale(context)))


@pass_context
def date(context: Context, moment: datetime) -> str:
    """The day of a moment, in UTC."""
    return str(format_date(moment.astimezone(UTC), "long", locale=_locale(context)))


def in_language(request: Request, tag: str) -> str:
    """Where a page is read in another language: its own address, or that of the page before where it has none.

    Of the query it keeps what says which page it is; a code or a token is in no link.
    """
    query = parse_qs(request.environ.get("QUERY_STRING", ""), errors="replace")
    names = _KEPT_WITH_SSO if request.options.has_sso else _KEPT
    kept = {name: query[name][0][:32] for name in names if name in query}
    path = _ANSWERS_TO_FORMS.get(request.environ.get("PATH_INFO", ""))
    return (request.script_name + path if path else "") + "?" + urlencode({"ui_locales": tag, **kept})


# By the name that templates have for them.
FILTERS = {
    "in_language": in_language,
    "duration": duration,
    "waiting": waiting,
    "ago": ago,
    "clock_time": clock_time,
    "date": date,
}


def _rounded(length: timedelta, *, up: bool) -> timedelta:
    """To whole seconds, from a minute on to whole minutes, from two of the larger units on to these; never to zero."""
    smallest = SECOND if length < MINUTE else MINUTE
    unit = next((one for one in _UNITS if length >= 2 * one), smallest)
    return max(SECOND, (-(-length // unit) if up else length // unit) * unit)


def _in_words(context: Context, length: timedelta, *, add_direction: bool = False) -> str:
    # Of 90 minutes Babel would make two hours.
    threshold = 1 if abs(length) < HOUR else 2
    return str(format_timedelta(length, threshold=threshold, add_direction=add_direction, locale=_locale(context)))


def _locale(context: Context) -> str:
    """Of the page, or of the mail, which is written without a request."""
    return str(context.get("locale_name") or context["request"].locale_name)


def _wished(request: Request) -> str | None:
    """The first of `ui_locales` that we have, or None. Whatever else the query holds does not matter here."""
    for text in parse_qs(request.environ.get("QUERY_STRING", ""), errors="replace").get("ui_locales", []):
        for tag in text.split():
            if tag.partition("-")[0].lower() in LANGUAGES:
                return LANGUAGES[tag.partition("-")[0].lower()]
    return None


def remembering_tween(handler: Callable[[Request], Response], _registry: Any) -> Callable[[Request], Response]:
    """A tween: the language that an address asks for is kept, where it was a page's."""

    def tween(request: Any) -> Response:
        response = handler(request)
        if "ui_locales" in request.environ.get("QUERY_STRING", "") and response.content_type == "text/html":
            _remember(request, response)
        return response

    return tween


def _remember(request: Any, response: Response) -> None:
    if _wished(request) is None:
        return
    response.set_cookie(
        COOKIE,
        request.language.tag.partition("-")[0],
        max_age=COOKIE_SECONDS,
        path=f"{request.script_name}/",
        secure=request.options.is_https,
        httponly=True,
        samesite="Lax",
    )


def catalogue(locale_name: str) -> Translations:
    """The translations of a language; none for that of the templates."""
    catalogue = Catalog(locale_name)
    if locale_name != SOURCE:
        with (folder("locales") / f"{locale_name}.po").open("rb") as text:
            catalogue = read_po(text, locale_name)
    compiled = io.BytesIO()
    write_mo(compiled, catalogue)
    compiled.seek(0)
    return Translations(compiled)
