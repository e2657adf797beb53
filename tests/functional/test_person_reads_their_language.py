"""A person reads the pages in a language of theirs: told by the browser, by a link or chosen in the menu."""

import pytest
from webtest import TestResponse

from ..factories import CODE, World

HEADINGS = {
    "en": "Enter the code from your device",
    "de": "Geben Sie den Code von Ihrem Gerät ein",
}
TAGS = ["ar", "de", "en", "es", "fr", "ja", "zh-Hans"]


def page(world: World, accepted: str = "", query: str = "", path: str = "/device", status: int = 200) -> TestResponse:
    headers = {"Accept-Language": accepted} if accepted else {}
    return world.browser().get(path + query, headers=headers, status=status)


def language(answer: TestResponse) -> str:
    return str(answer.html.html["lang"])


@pytest.mark.parametrize(
    ("accepted", "tag"),
    [
        ("", "en"),
        ("de", "de"),
        ("de-CH-1996, en;q=0.5", "de"),
        ("pt-BR, fr;q=0.8, de;q=0.9", "de"),
        ("pt, nl;q=0.5", "en"),
        ("zh-CN", "zh-Hans"),
        ("zh-Hant-TW, ja;q=0.1", "zh-Hans"),
        ("AR-eg", "ar"),
        ("es-419", "es"),
        ("*", "en"),
        ("de;q=0, fr;q=0.1", "fr"),
        (";;;", "en"),
        ("de" * 5000, "en"),
    ],
)
def test_the_browser_tells_the_language(world: World, accepted: str, tag: str) -> None:
    assert language(page(world, accepted)) == tag


@pytest.mark.parametrize(
    ("query", "tag"),
    [
        ("?ui_locales=de", "de"),
        ("?ui_locales=de-AT%20en", "de"),
        ("?ui_locales=tlh+fr", "fr"),
        ("?ui_locales=DE", "de"),
        ("?ui_locales=tlh", "ja"),
        ("?ui_locales=", "ja"),
        ("?ui_locales=%FF%00", "ja"),
        ("?ui_locales=tlh&ui_locales=es", "es"),
    ],
)
def test_a_link_may_tell_it_and_wins(world: World, query: str, tag: str) -> None:
    """OpenID Connect Core §3.1.2.1: `ui_locales`, by preference; what we do not have is passed over."""
    answer = world.browser().get("/device" + query, headers={"Accept-Language": "ja"}, status="*")
    assert language(answer) == tag


def test_what_was_chosen_is_remembered(world: World) -> None:
    browser = world.browser()
    chosen = browser.get("/device?ui_locales=fr", headers={"Accept-Language": "de"})
    (cookie,) = [one for one in chosen.headers.getall("Set-Cookie") if one.startswith("oauthdevice_language=")]
    parts = {part.strip() for part in cookie.split(";")[1:]}
    assert {"HttpOnly", "Path=/", "SameSite=Lax", "Max-Age=31536000"} <= parts
    for path, status in (("/device", 200), ("/login", 200), ("/nowhere", 404)):
        assert language(browser.get(path, headers={"Accept-Language": "de"}, status=status)) == "fr"
    assert language(browser.get("/device?ui_locales=en", headers={"Accept-Language": "de"})) == "en"
    assert language(browser.get("/device", headers={"Accept-Language": "de"})) == "en"


@pytest.mark.parametrize("value", ["tlh", "../de", "zh_Hans", "", "%00"])
def test_a_strange_cookie_means_nothing(world: World, value: str) -> None:
    answer = world.browser().get(
        "/device", headers={"Cookie": f"oauthdevice_language={value}", "Accept-Language": "es"}
    )
    assert language(answer) == "es"


def test_nobody_is_given_the_cookie_unasked(world: World) -> None:
    assert "oauthdevice_language" not in page(world, "de").headers.get("Set-Cookie", "")


def test_the_menu_has_each_language_by_its_own_name(world: World) -> None:
    links = page(world, "de").html.select(".languages a")
    assert [link["lang"] for link in links] == [link["hreflang"] for link in links] == TAGS
    assert [link["lang"] for link in links if link.get("aria-current")] == ["de"]
    browser = world.browser()
    for link in links:
        answer = browser.get("/device" + link["href"])
        assert language(answer) == link["lang"]
        assert link.text in answer.text


@pytest.mark.parametrize("tag", TAGS)
def test_each_is_written_in_its_direction(world: World, tag: str) -> None:
    assert page(world, tag).html.html["dir"] == ("rtl" if tag == "ar" else "ltr")


@pytest.mark.parametrize("tag", HEADINGS)
def test_the_texts_are_in_it(world: World, tag: str) -> None:
    assert page(world, tag).html.h1.text == HEADINGS[tag]


def test_the_whole_way_is_in_it(world: World) -> None:
    """From the code to the end, without the language in any address."""
    person = world.person().sign_in()
    person.browser.get("/device?ui_locales=de")
    consent = person.open(world.device().ask(device_label="<b>Pi</b>").user_code)
    assert "Zeigt Ihr Gerät diesen Code?" in consent.text
    assert "<bdi>&lt;b&gt;Pi&lt;/b&gt;</bdi>" in consent.text
    done = consent.form.submit("decision", value="approve").follow()
    assert language(done) == "de"


def test_an_error_is_told_in_it_and_to_programs_in_english(world: World) -> None:
    told = page(world, "de", path="/nowhere", status=404)
    assert told.html.h1.text == "Diese Seite gibt es nicht"
    answer = world.browser().post(CODE, {"client_id": "nobody"}, headers={"Accept-Language": "de"}, status=401)
    assert answer.json["error_description"].isascii()
    assert "Set-Cookie" not in answer.headers
