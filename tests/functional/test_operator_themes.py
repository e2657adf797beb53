"""An operator makes the pages the company's own: name, logo, colours, help, and single templates."""

import re
from pathlib import Path

import pytest
from webtest import TestApp, TestResponse

from oauthdevice.settings import SettingsError

from ..conftest import WorldMaker
from ..factories import World
from ..servers import CHECKOUT
from ..test_brand import PNG, SVG

THEMING = (CHECKOUT / "docs" / "theming.md").read_text("utf-8")
SUPPORT = "https://help.example.com/sign-in?from=device&x=1"


def example(name: str) -> str:
    """A template that docs/theming.md shows, by its file name."""
    (found,) = re.findall(rf"`brand/templates/{re.escape(name)}`.*?```jinja\n(.*?)```", THEMING, re.DOTALL)
    return str(found)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    one = tmp_path / "templates"
    one.mkdir()
    return one


@pytest.fixture
def logo(tmp_path: Path) -> Path:
    path = tmp_path / "logo.svg"
    path.write_bytes(SVG)
    return path


def error_page(world: World) -> TestResponse:
    return world.browser().get("/nowhere", status=404)


def pages(world: World) -> list[TestResponse]:
    return [
        world.browser().get("/device"),
        world.browser().get("/login"),
        world.person().open(world.device().ask().user_code),
        error_page(world),
        world.browser().get("/openapi"),
    ]


class TestTheName:
    def test_stands_in_the_header_and_the_title_of_every_page(self, make: WorldMaker) -> None:
        for page in pages(make(brand_name="Ärger & <b>Söhne</b>")):
            name = "Ärger &amp; &lt;b&gt;Söhne&lt;/b&gt;"
            assert f"– {name}</title>" in page.text
            assert f"<bdi>{name}</bdi></a>" in page.text
            assert "oauthdevice</title>" not in page.text

    def test_is_oauthdevice_by_default(self, world: World) -> None:
        assert "– oauthdevice</title>" in world.browser().get("/device").text


class TestTheLogo:
    def test_is_on_every_page_as_a_picture_without_a_text(self, make: WorldMaker, logo: Path) -> None:
        world = make(brand_logo=str(logo))
        for page in pages(world):
            (path,) = re.findall(r'<img src="(/static/theme/logo\?\w+)" alt="">', page.text)
            assert f'<link rel="icon" type="image/svg+xml" href="{path}">' in page.text
        answer = world.browser().get(path)
        assert answer.body == SVG
        assert answer.content_type == "image/svg+xml"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "max-age=3600" in answer.headers["Cache-Control"]
        assert "Set-Cookie" not in answer.headers

    def test_runs_nothing_where_it_is_opened_by_itself(self, make: WorldMaker, logo: Path) -> None:
        for path in ("/static/theme/logo", "/static/icon.svg"):
            policy = make(brand_logo=str(logo)).browser().get(path).headers["Content-Security-Policy"]
            assert {"default-src 'none'", "sandbox", "frame-ancestors 'none'"} <= set(policy.split("; "))

    def test_may_be_a_png(self, make: WorldMaker, logo: Path) -> None:
        logo.write_bytes(PNG)
        browser = make(brand_logo=str(logo)).browser()
        assert browser.get("/static/theme/logo").content_type == "image/png"
        assert '<link rel="icon" type="image/png"' in browser.get("/device").text

    def test_has_another_address_with_another_content(self, make: WorldMaker, logo: Path) -> None:
        found = set()
        for content in (SVG, PNG):
            logo.write_bytes(content)
            found |= set(
                re.findall(r"/static/theme/logo\?\w+", make(brand_logo=str(logo)).browser().get("/device").text)
            )
        assert len(found) == 2

    def test_is_ours_beside_our_name_alone(self, make: WorldMaker) -> None:
        browser = make().browser()
        assert re.findall(r'<img src="([^"?]+)', browser.get("/device").text) == ["/static/icon.svg"]
        browser.get("/static/theme/logo", status=404)
        assert "<img" not in make(brand_name="Example Corp").browser().get("/device").text


class TestTheColours:
    def test_are_a_stylesheet_after_ours(self, make: WorldMaker) -> None:
        world = make(brand_colour="#7a1fa2", brand_colour_dark="#CE93D8")
        for page in pages(world):
            sheets = re.findall(r'<link rel="stylesheet" href="([^"]+)">', page.text)
            assert [sheet.partition("?")[0] for sheet in sheets] == ["/static/device.css", "/static/theme/colours.css"]
        answer = world.browser().get(sheets[1])
        assert (answer.content_type, answer.charset) == ("text/css", "utf-8")
        assert ":root { --accent: #7a1fa2;" in answer.text
        assert "(prefers-color-scheme: dark) { :root { --accent: #ce93d8;" in answer.text

    def test_are_ours_by_default_and_cost_no_request(self, world: World) -> None:
        assert "colours.css" not in world.browser().get("/device").text
        world.browser().get("/static/theme/colours.css", status=404)

    def test_that_cannot_be_read_stop_the_start(self, make: WorldMaker) -> None:
        with pytest.raises(SettingsError, match=r"oauthdevice\.brand_colour: has a contrast of 2\.59:1"):
            make(brand_colour="#ff6600")
        with pytest.raises(SettingsError, match=r"oauthdevice\.brand_colour_dark: has a contrast of "):
            make(brand_colour_dark="#333")


class TestTheWayToHelp:
    @pytest.mark.parametrize("address", [SUPPORT, "mailto:help@example.com?subject=Sign-in"])
    def test_is_on_every_page_and_on_those_of_errors(self, make: WorldMaker, address: str) -> None:
        for page in pages(make(support_url=address)):
            assert page.html.footer.find("a", string="Help")["href"] == address

    def test_is_nowhere_by_default(self, world: World) -> None:
        assert "Help" not in world.browser().get("/device").text


class TestTemplates:
    def test_the_layout_of_the_document_is_that_of_every_page(self, make: WorldMaker, folder: Path) -> None:
        (folder / "layout.html.jinja2").write_text(example("layout.html.jinja2"), "utf-8")
        for page in pages(make(templates=str(folder))):
            assert page.text.count('<a href="https://example.com/imprint">Imprint</a>') == 1
            assert 'class="languages"' in page.text

    def test_the_page_of_the_document_adds_to_ours(self, make: WorldMaker, folder: Path) -> None:
        for name in ("layout.html.jinja2", "approved.html.jinja2"):
            (folder / name).write_text(example(name), "utf-8")
        world = make(templates=str(folder))
        page = world.person().allow(world.device().ask().user_code)
        assert "<h1>You are done</h1>" in page.text
        assert "Welcome, <bdi>Ada Person</bdi>." in page.text
        assert "Imprint" in page.text

    def test_the_page_of_an_error_can_be_replaced(self, make: WorldMaker, folder: Path) -> None:
        (folder / "error.html.jinja2").write_text("<h1>Oh {{ status }}</h1>{% include '_more.html.jinja2' %}", "utf-8")
        (folder / "_more.html.jinja2").write_text("<p>{{ _('Help') }}, {{ '<b>' }}</p>", "utf-8")
        page = error_page(make(templates=str(folder)))
        assert page.text == "<h1>Oh 404</h1><p>Help, &lt;b&gt;</p>"
        assert page.headers["Content-Security-Policy"].startswith("default-src 'none'; style-src 'self';")

    def test_those_of_another_server_are_not_touched(self, make: WorldMaker, folder: Path) -> None:
        (folder / "layout.html.jinja2").write_text(example("layout.html.jinja2"), "utf-8")
        make(templates=str(folder))
        assert "Imprint" not in make().browser().get("/device").text

    @pytest.mark.parametrize(
        ("name", "text", "told"),
        [
            ("aproved.html.jinja2", "", r"aproved\.html\.jinja2 overrides nothing; there are: approved\.html"),
            ("approved.html", "", r"approved\.html overrides nothing"),
            ("device.css", "", r"device\.css overrides nothing"),
            ("approved.html.jinja2", "\n{% if %}", r"approved\.html\.jinja2: line 2: Expected an expression"),
            ("approved.html.jinja2", "{{ 1 | nonsense }}", r"approved\.html\.jinja2: line 1: No filter named"),
            ("approved.html.jinja2", "{% extends 'lay.html.jinja2' %}", r"approved.*: there is no lay\.html\.jinja2$"),
            ("_part.html.jinja2", "{{ 1 | nonsense }}", r"_part\.html\.jinja2: line 1: No filter named"),
        ],
    )
    def test_a_mistake_stops_the_start(self, make: WorldMaker, folder: Path, name: str, text: str, told: str) -> None:
        (folder / name).write_text(text, "utf-8")
        with pytest.raises(SettingsError, match=rf"^oauthdevice: oauthdevice\.templates: {told}"):
            make(templates=str(folder))

    def test_no_folder_stops_the_start(self, make: WorldMaker, tmp_path: Path) -> None:
        with pytest.raises(SettingsError, match=r"oauthdevice\.templates: must be a folder"):
            make(templates=str(tmp_path / "nothing"))

    def test_what_hides_itself_does_no_harm(self, make: WorldMaker, folder: Path) -> None:
        (folder / ".gitkeep").touch()
        assert make(templates=str(folder)).browser().get("/device").status_int == 200


def test_below_a_prefix_every_file_is_below_it(make: WorldMaker, logo: Path) -> None:
    world = make(public_url="http://localhost/tenant", brand_logo=str(logo), brand_colour="#7a1fa2")
    browser = TestApp(world.app, extra_environ={"SCRIPT_NAME": "/tenant", "REMOTE_ADDR": "192.0.2.7"})
    found = re.findall(r'(?:href|src)="([^"]*/static/[^"]+)"', browser.get("/device").text)
    assert len(found) == 5
    assert all(path.startswith("/tenant/static/") for path in found)


def test_the_document_tells_every_setting() -> None:
    told = set(re.findall(r"^\| `(oauthdevice\.\w+)` \|", THEMING, re.MULTILINE))
    names = ("brand_name", "brand_logo", "brand_colour", "brand_colour_dark", "support_url", "templates")
    assert told == {f"oauthdevice.{name}" for name in names}
