"""Debian's Chromium on the real pages: one browser for all tests, a context of its own for each."""

import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Dialog,
    Locator,
    Page,
    Request,
    Response,
    expect,
    sync_playwright,
)

from ..factories import PASSWORD, World

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
TIMEOUT_MILLISECONDS = 10_000


@contextmanager
def open_chromium() -> Iterator[Browser]:
    """A Chromium without a window."""
    program = shutil.which("chromium")
    if program is None:
        raise RuntimeError("Chromium is not installed: run `make test`, which installs it")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    with open_chromium() as browser:
        yield browser


@dataclass
class Watch:
    """Sees what no page of ours may do; `problems` must be empty at the end of a test."""

    origin: str
    problems: list[str] = field(default_factory=list)
    posts: list[str] = field(default_factory=list)

    def over(self, context: BrowserContext) -> None:
        context.on("request", self._request)
        context.on("response", self._response)
        context.on("console", self._console)
        context.on("weberror", lambda error: self.problems.append(f"script error: {error.error}"))
        context.on("dialog", self._dialog)

    def _request(self, request: Request) -> None:
        if not request.url.startswith(self.origin + "/"):
            self.problems.append(f"request to elsewhere: {request.url}")
        if request.method == "POST":
            self.posts.append(request.url.removeprefix(self.origin))

    def _response(self, response: Response) -> None:
        if response.status >= 400 and not response.request.is_navigation_request():
            self.problems.append(f"{response.status}: {response.url}")

    def _console(self, message: ConsoleMessage) -> None:
        # Chromium reports the status of an error page as a failed resource; the tests assert the status.
        is_status = message.text.startswith("Failed to load resource: the server responded with a status of 4")
        if message.type in ("error", "warning") and not is_status:
            self.problems.append(f"console: {message.text}")

    def _dialog(self, dialog: Dialog) -> None:
        self.problems.append(f"dialog: {dialog.message}")
        dialog.dismiss()


@pytest.fixture
def watch(live: World) -> Iterator[Watch]:
    one = Watch(live.settings.public_url)
    yield one
    assert one.problems == []


PageMaker = Callable[..., Page]


@pytest.fixture
def open_page(chromium: Browser, live: World, watch: Watch) -> Iterator[PageMaker]:
    """Opens a page in a fresh context, that is: in the browser of another person."""
    contexts: list[BrowserContext] = []

    def opener(scripts: bool = True, **options: object) -> Page:
        context = chromium.new_context(
            base_url=live.settings.public_url, java_script_enabled=scripts, reduced_motion="reduce", **options
        )
        context.set_default_timeout(TIMEOUT_MILLISECONDS)
        watch.over(context)
        contexts.append(context)
        return context.new_page()

    yield opener
    for context in contexts:
        context.close()


@pytest.fixture(params=[True, False], ids=["scripts", "no-scripts"])
def scripts(request: pytest.FixtureRequest) -> bool:
    """Each story is told with scripts and without."""
    return bool(request.param)


class Visitor:
    """A person in front of a page, who does what the page says."""

    def __init__(self, page: Page, email: str) -> None:
        self.page = page
        self.email = email

    @property
    def code_field(self) -> Locator:
        return self.page.get_by_label("Code", exact=True)

    def button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name, exact=True)

    def link(self, name: str) -> Locator:
        return self.page.get_by_role("link", name=name, exact=True)

    def enter(self, user_code: str) -> None:
        """Type a code on /device, key by key, and go on."""
        self.page.goto("/device")
        self.code_field.press_sequentially(user_code)
        self.button("Continue").click()

    def sign_in(self, password: str = PASSWORD) -> None:
        self.page.get_by_label("E-mail").fill(self.email)
        self.page.get_by_label("Password").fill(password)
        self.button("Sign in").click()

    def open(self, user_code: str) -> None:
        """From /device over the sign-in to the consent page, or to what is shown instead."""
        self.enter(user_code)
        self.sign_in()

    def sees(self, heading: str | re.Pattern[str]) -> None:
        """Fails unless the page comes to this main heading, alone at its level."""
        expect(self.page.get_by_role("heading", level=1)).to_have_text(heading)


@pytest.fixture
def visit(live: World, open_page: PageMaker) -> Callable[..., Visitor]:
    """Makes visitors: each has a browser, and an account of its own unless `email` names one."""

    def maker(scripts: bool = True, email: str | None = None, **options: object) -> Visitor:
        return Visitor(open_page(scripts, **options), live.person(email).account.email)

    return maker


@pytest.fixture
def visitor(visit: Callable[..., Visitor], scripts: bool) -> Visitor:
    return visit(scripts)


UNUSED_CODE = "BCDF-GHJK"


def too_many_tries(live: World, visitor: Visitor) -> None:
    guesser = live.person(visitor.email)
    guesser.sign_in()
    for _ in range(live.settings.limits["guesses"].count):
        guesser.open(UNUSED_CODE)
    visitor.page.goto("/login")
    visitor.sign_in()
    visitor.enter(UNUSED_CODE)
