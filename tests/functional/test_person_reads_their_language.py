"""A person reads the pages in a language of theirs: told by the browser, by a link or chosen in the menu."""

from urllib.parse import urljoin

import pytest
from webtest import TestApp, TestResponse

from ..conftest import WorldMaker
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


class TestTheMenu:
    """Leads to the page that it stands on."""

    def in_german(self, browser: TestApp, answer: TestResponse, status: int = 200) -> TestResponse:
        (link,) = answer.html.select(".languages a[lang=de]")
        told = browser.get(urljoin(answer.request.path_qs, link["href"]), status=status)
        assert language(told) == "de"
        return told

    def test_keeps_the_code_that_came_with_a_link_in_no_address(self, world: World) -> None:
        asked, browser = world.device().ask(), world.browser()
        link = asked.answer["verification_uri_complete"].replace(world.settings.public_url, "")
        there = browser.get(link, headers={"Sec-Fetch-Site": "cross-site"})
        told = self.in_german(browser, there)
        assert asked.user_code not in told.request.path_qs
        assert told.form["user_code"].value == there.form["user_code"].value == asked.user_code
        assert len(told.html.select(".note.warn")) == len(there.html.select(".note.warn")) == 2

    def test_brings_back_no_code_of_an_earlier_link(self, world: World) -> None:
        asked, browser = world.device().ask(), world.browser()
        browser.get(f"/device?user_code={asked.user_code}")
        assert self.in_german(browser, browser.get("/device")).form["user_code"].value == ""

    def test_nor_one_that_was_entered(self, world: World) -> None:
        asked, browser = world.device().ask(), world.browser()
        browser.get(f"/device?user_code={asked.user_code}").form.submit(status=303)
        assert browser.get("/device?ui_locales=de").form["user_code"].value == ""

    def test_keeps_that_somebody_signs_in_again(self, make: WorldMaker) -> None:
        world = make(other_network="confirm")
        person, asked = world.person(address="198.51.100.9"), world.device().ask()
        person.open(asked.user_code)
        again = person.browser.get("/login?again=1")
        assert self.in_german(person.browser, again).html.h1.text == "Noch einmal anmelden"

    def test_leads_from_a_report_that_was_refused_to_the_request(self, world: World) -> None:
        person, asked = world.person(), world.device().ask()
        consent = person.open(asked.user_code)
        refused = person.browser.post("/device/report", {"user_code": asked.user_code}, status=403)
        told = self.in_german(person.browser, refused)
        assert asked.user_code in told.text
        assert told.request.path == consent.request.path

    def test_keeps_what_came_of_a_sign_in_elsewhere(self, corp: World) -> None:
        browser = corp.browser()
        there = browser.get("/device?sso_error=sso_cancelled", status=400)
        assert self.in_german(browser, there, 400).html.h1.text != HEADINGS["de"]

    def test_leads_from_an_unknown_e_mail_to_the_sign_in(self, corp: World) -> None:
        browser = corp.browser()
        page = browser.get("/device").form
        page["user_code"] = corp.device().ask().user_code
        form = page.submit(status=303).follow().form
        token = form["csrf_token"].value
        there = browser.post("/login/sso", {"csrf_token": token, "email": "ada@nowhere.example"}, status=404)
        assert self.in_german(browser, there).request.path == "/login"

    def test_carries_nothing_else_of_the_address(self, world: World) -> None:
        answer = world.browser().get("/device", {"page": '"><script>' * 9, "token": "secret", "user_code": "BCDF"})
        for link in answer.html.select(".languages a"):
            assert link["href"].startswith(f"?ui_locales={link['lang']}&page=%22%3E%3Cscript%3E")
            assert not {"secret", "BCDF"} & set(link["href"].replace("=", "&").split("&"))
            assert len(link["href"]) < 150
