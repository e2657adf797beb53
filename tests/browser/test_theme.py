"""The pages of an operator in a real browser: the policy lets name, logo and colours through; axe finds nothing."""

from pathlib import Path

import pytest
from playwright.sync_api import expect

from ..conftest import WorldMaker
from ..factories import World
from .axe import SCHEMES, problems
from .conftest import PageMaker

LOGO = """<svg xmlns="http://www.w3.org/2000/svg" width="64" height="32"><style>rect { fill: #0a0 }</style>
<rect width="64" height="32"/><script>fetch("/stolen")</script></svg>"""


@pytest.fixture
def live(make_live: WorldMaker, tmp_path: Path) -> World:
    (tmp_path / "logo.svg").write_text(LOGO, "utf-8")
    return make_live(
        brand_name="Example Corp",
        brand_logo=str(tmp_path / "logo.svg"),
        brand_colour="#7a1fa2",
        support_url="https://help.example.com/",
    )


class TestTheme:
    def test_name_logo_and_colours_are_there(self, open_page: PageMaker) -> None:
        page = open_page(color_scheme="light")
        page.goto("/device")
        expect(page).to_have_title("Enter the code – Example Corp")
        expect(page.get_by_role("link", name="Example Corp")).to_be_visible()
        picture = page.locator(".brand img")
        assert picture.evaluate("one => [one.naturalWidth, one.naturalHeight, one.height]") == [64, 32, 32]
        button = page.get_by_role("button", name="Continue")
        expect(button).to_have_css("background-color", "rgb(122, 31, 162)")
        expect(button).to_have_css("color", "rgb(255, 255, 255)")
        page.emulate_media(color_scheme="dark")
        expect(button).to_have_css("color", "rgb(0, 0, 0)")
        expect(page.get_by_role("contentinfo").get_by_role("link", name="Help")).to_be_visible()

    def test_axe_finds_nothing(self, open_page: PageMaker) -> None:
        page = open_page(bypass_csp=True)
        found = {}
        for path in ("/device", "/login", "/nowhere"):
            page.goto(path)
            for scheme in SCHEMES:
                page.emulate_media(color_scheme=scheme)
                if told := problems(page):
                    found[path, scheme] = told
        assert found == {}

    def test_a_logo_that_is_opened_by_itself_runs_nothing(self, open_page: PageMaker, live: World) -> None:
        page = open_page()
        page.goto("/device")
        refused: list[str] = []
        asked: list[str] = []
        elsewhere = page.context.browser.new_page()  # type: ignore[union-attr]  # of a browser that was launched
        elsewhere.on("console", lambda message: refused.append(message.text))
        elsewhere.on("request", lambda request: asked.append(request.url))
        elsewhere.goto(f"{live.settings.public_url}/static/theme/logo")
        elsewhere.close()
        assert any("script" in text for text in refused), refused
        assert not any("stolen" in url for url in asked)
