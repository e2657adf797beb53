"""`make screenshots`: every state of every page as a picture, light and dark, wide and narrow, and all on one sheet.

The states are those of `states`. As many of them may be named; without a name, all are taken.
"""

import base64
import re
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from pathlib import Path
from typing import Any

from cornice.service import clear_services
from playwright.sync_api import Browser, Page

from oauthdevice.stores.migrate import upgrade

from ..factories import PASSWORD, World, make_world
from ..servers import CHECKOUT, serve_in_thread
from .conftest import TIMEOUT_MILLISECONDS, Visitor, open_chromium
from .states import CONSENT, STATES, options_of

DOCS = CHECKOUT / "docs"
SCREENS = DOCS / "screens"
SIZES = {"desktop": (1280, 800), "phone": (390, 844)}
SCHEMES = ("light", "dark")
QUALITY = 60
# For the picture in the README: where Alice and her laptop are, as the server sees it.
ADDRESS = "198.51.100.23"
SHEET = """<!doctype html><meta charset="utf-8"><title>Every page</title><style>
body { margin: 16px; font: 14px/1.4 system-ui, sans-serif }
body { display: grid; grid-template-columns: 1fr 1fr; gap: 16px 32px }
h2 { font-size: 14px; margin: 0 0 4px } div { display: flex; gap: 8px; align-items: start }
img { border: 1px solid #999 }
.desktop { inline-size: 320px } .phone { inline-size: 92px }
</style>"""


@contextmanager
def serving(state: str = "", address: str = "127.0.0.1") -> Iterator[World]:
    """A server of its own on an empty database, as a state needs it, for people and devices at this address."""
    with tempfile.TemporaryDirectory() as folder, socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        database_url = f"sqlite:///{folder}/oauthdevice.sqlite"
        upgrade(database_url)
        options = options_of(state, Path(folder))
        url = f"http://{options.pop('host', '127.0.0.1')}:{listener.getsockname()[1]}"
        world = make_world(database_url, "embedded://", public_url=url, **options)

        def application(environ: dict[str, Any], start_response: Any) -> Any:
            return world.app({**environ, "REMOTE_ADDR": address}, start_response)

        with serve_in_thread(application, listener):
            yield world
        world.services.redis.close()
        world.services.database.engine.dispose()
        clear_services()


@contextmanager
def looking(browser: Browser, world: World, **options: Any) -> Iterator[Page]:
    """A page of a browser of its own."""
    context = browser.new_context(base_url=world.settings.public_url, reduced_motion="reduce", **options)
    context.set_default_timeout(TIMEOUT_MILLISECONDS)
    yield context.new_page()
    context.close()


@contextmanager
def in_state(browser: Browser, state: str, **options: Any) -> Iterator[Page]:
    """A page that was brought to one of `STATES`."""
    walk, heading = STATES[state]
    with serving(state) as world, looking(browser, world, **options) as page:
        visitor = Visitor(page, world.person().account.email)
        walk(world, visitor)
        visitor.sees(heading)
        yield page


def file_of(state: str, size: str, scheme: str) -> str:
    return f"{re.sub(r'[^a-z]+', '-', state.lower()).strip('-')}-{size}-{scheme}.webp"


def take(browser: Browser, state: str, folder: Path) -> None:
    """Four pictures of one state."""
    with in_state(browser, state) as page:
        for size, (width, height) in SIZES.items():
            page.set_viewport_size({"width": width, "height": height})
            for scheme in SCHEMES:
                page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
                shoot(page, folder / file_of(state, size, scheme))


def shoot(page: Page, target: Path) -> None:
    """The whole page as WebP, which Playwright itself does not write."""
    session = page.context.new_cdp_session(page)
    box = session.send("Page.getLayoutMetrics")["cssContentSize"]
    clip = {"x": 0, "y": 0, "width": box["width"], "height": box["height"], "scale": 1}
    options = {"format": "webp", "quality": QUALITY, "captureBeyondViewport": True, "clip": clip}
    target.write_bytes(base64.b64decode(session.send("Page.captureScreenshot", options)["data"]))
    session.detach()


def take_sheet(browser: Browser, folder: Path) -> None:
    """All pictures of the folder on one."""
    rows = [
        f"<section><h2>{escape(state)}</h2><div>"
        + "".join(f'<img class="{size}" src="{file_of(state, size, scheme)}">' for size in SIZES for scheme in SCHEMES)
        + "</div></section>"
        for state in STATES
    ]
    sheet = folder / "contact-sheet.html"
    sheet.write_text(SHEET + "".join(rows), "utf-8")
    page = browser.new_page(viewport={"width": 1760, "height": 800})
    page.goto(sheet.as_uri())
    shoot(page, folder / "contact-sheet.webp")
    page.close()
    sheet.unlink()


def take_consent(browser: Browser, target: Path) -> None:
    """For the README: what Alice sees whose laptop has just asked."""
    with serving(address=ADDRESS) as world, looking(browser, world, viewport={"width": 1280, "height": 900}) as page:
        world.services.accounts.add("alice@example.com", "Alice Archer", PASSWORD)
        device = world.device("difyctl", ADDRESS).ask(device_label="alice's laptop", scope="full")
        world.clock.pass_seconds(40)
        visitor = Visitor(page, "alice@example.com")
        visitor.open(device.user_code)
        visitor.sees(CONSENT)
        page.screenshot(path=target, full_page=True)


def main(states: list[str]) -> None:
    SCREENS.mkdir(parents=True, exist_ok=True)
    with open_chromium() as browser:
        for state in states or STATES:
            take(browser, state, SCREENS)
        if not states:
            expected = {file_of(state, size, scheme) for state in STATES for size in SIZES for scheme in SCHEMES}
            for picture in SCREENS.glob("*.webp"):
                # Of a state that is no more.
                if picture.name not in expected:
                    picture.unlink()
            take_sheet(browser, SCREENS)
            take_consent(browser, DOCS / "consent.png")


if __name__ == "__main__":
    main(sys.argv[1:])
