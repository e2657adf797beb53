"""Debian's Chromium on the real pages: one browser for all tests, a context of its own for each."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

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

from ..conftest import WorldMaker
from ..factories import PASSWORD, SSO_COMPLETE, World
from ..ports import free_port
from ..scripted_providers import CLIENT_ID, CLIENT_SECRET
from ..servers import CHECKOUT

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
expect.set_options(timeout=TIMEOUT_MILLISECONDS)


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
    """Sees what no page of ours may do; `problems` must be empty at the end of a test.

    `elsewhere` are the other origins that a person may go to, and that no page of ours may load anything from;
    `may_refuse` the paths that a script of ours asks and that refuse it in this test.
    """

    origin: str
    elsewhere: list[str] = field(default_factory=list)
    may_refuse: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    posts: list[str] = field(default_factory=list)

    def over(self, context: BrowserContext) -> None:
        context.on("request", self._request)
        context.on("response", self._response)
        context.on("console", self._console)
        context.on("weberror", lambda error: self.problems.append(f"script error: {error.error}"))
        context.on("dialog", self._dialog)

    def _request(self, request: Request) -> None:
        allowed = [self.origin, *(self.elsewhere if request.is_navigation_request() else [])]
        if not request.url.startswith(tuple(f"{origin}/" for origin in allowed)):
            self.problems.append(f"request to elsewhere: {request.url}")
        if request.method == "POST" and request.url.startswith(f"{self.origin}/"):
            self.posts.append(request.url.removeprefix(self.origin))

    def _response(self, response: Response) -> None:
        expected = response.url.removeprefix(self.origin) in self.may_refuse and response.status < 500
        if response.status >= 400 and not response.request.is_navigation_request() and not expected:
            self.problems.append(f"{response.status}: {response.url}")

    def _console(self, message: ConsoleMessage) -> None:
        # Chromium reports the status of an error page as a failed resource; the tests assert the status.
        is_status = message.text.startswith("Failed to load resource: the server responded with a status of ")
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
        # It is there before its style is and its scripts have run.
        self.page.wait_for_load_state()


@pytest.fixture
def visit(live: World, open_page: PageMaker) -> Callable[..., Visitor]:
    """Makes visitors: each has a browser, and an account of its own unless `email` names one."""

    def maker(scripts: bool = True, email: str | None = None, **options: object) -> Visitor:
        return Visitor(open_page(scripts, **options), live.person(email).account.email)

    return maker


@pytest.fixture
def visitor(visit: Callable[..., Visitor], scripts: bool) -> Visitor:
    return visit(scripts)


class OIDCProvider:
    """The real `oidc-provider` of npm as a process, with pages of its own; can be killed and started again.

    It takes any login and password, and tells LOGIN@corp.example as the e-mail.
    """

    def __init__(self, log: Path) -> None:
        self._log = log
        self._port = free_port()
        self._client: dict[str, str] = {}
        self._process: subprocess.Popen[str] | None = None

    @property
    def issuer(self) -> str:
        return f"http://localhost:{self._port}"

    def start(self) -> None:
        """Where it was before, for the same client; nothing if it runs."""
        if self._process is not None:
            return
        node = shutil.which("node")
        folder = CHECKOUT / "tests" / "oidc_provider"
        if node is None or not (folder / "node_modules").is_dir():
            raise RuntimeError("oidc-provider is not installed: run `make test`, which installs it")
        command = [node, "--import", "./older_node.mjs", "provider.mjs", str(self._port)]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
            )
        assert int(self._answer()) == self._port
        if self._client:
            self._tell(self._client)

    def serve(self, callback: str) -> None:
        """From now on our server is the client, and answers go to `callback`."""
        self._client = {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET, "redirect_uri": callback}
        self._tell(self._client)

    def rotate(self) -> None:
        """From now on another key signs, and only that one is published."""
        self._tell("rotate")

    def kill(self) -> None:
        if self._process is not None:
            process, self._process = self._process, None
            process.kill()
            process.communicate()

    def _tell(self, told: object) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(told) + "\n")
        self._process.stdin.flush()
        self._answer()

    def _answer(self) -> str:
        """Its next line. There is none once the process is dead."""
        assert self._process is not None
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"oidc-provider has died; its log: {self._log}")
        return line


@pytest.fixture(scope="session")
def oidc_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OIDCProvider]:
    one = OIDCProvider(tmp_path_factory.mktemp("oidc-provider") / "log")
    yield one
    one.kill()


@pytest.fixture
def oidc_provider(oidc_process: OIDCProvider) -> OIDCProvider:
    """It runs, whatever another test has done to it."""
    oidc_process.start()
    return oidc_process


def section(name: str, issuer: str, *lines: str) -> str:
    """What an ini file says of one identity provider."""
    client = f"client_id = {CLIENT_ID}\nclient_secret = {CLIENT_SECRET}"
    return "\n".join([f"[sso:{name}]", f"issuer = {issuer}", client, *lines, ""])


EnterpriseMaker = Callable[..., World]


@pytest.fixture
def make_enterprise(make_live: WorldMaker, tmp_path: Path, oidc_provider: OIDCProvider) -> EnterpriseMaker:
    """Makes a server with these identity providers. The real one serves it."""

    def maker(*sections: str, **options: str) -> World:
        ini = tmp_path / "enterprise.ini"
        ini.write_text("\n".join(sections), "utf-8")
        world = make_live(edition="enterprise", ini_file=str(ini), **options)
        oidc_provider.serve(world.settings.public_url + SSO_COMPLETE)
        return world

    return maker


class Stranger(Visitor):
    """Ada, whom only her company's sign-in knows, in front of a page."""

    def go_there(self, user_code: str) -> None:
        """From /device to the page of the provider."""
        self.enter(user_code)
        self.sees("Sign in")
        self.link("Continue with Corp").click()

    def give_password(self, login: str = "ada") -> None:
        """On the first of the two pages of the provider."""
        self.sees("Sign-in")
        self.page.get_by_placeholder("Enter any login").fill(login)
        self.page.get_by_placeholder("and password").fill("any")
        self.button("Sign-in").click()
        self.sees("Authorize")

    def sign_in_there(self, login: str = "ada") -> None:
        """Through both, and back."""
        self.give_password(login)
        self.button("Continue").click()

    def open(self, user_code: str, login: str = "ada") -> None:
        """From /device over the provider to the consent page, or to what is shown instead."""
        self.go_there(user_code)
        self.sign_in_there(login)

    def allow(self) -> None:
        """On our page, and to the end."""
        self.button("Allow").click()
        self.sees("You are done")

    def try_again(self, user_code: str) -> None:
        """The way on from an error page: to the sign-in page, which has kept the code."""
        self.link("Try again").click()
        self.sees("Sign in")
        expect(self.page.get_by_text(user_code)).to_be_visible()
        self.link("Continue with Corp").click()


@pytest.fixture
def meet(open_page: PageMaker, watch: Watch, oidc_provider: OIDCProvider) -> Callable[..., Stranger]:
    """Makes strangers, each with a browser, who may go to the real provider."""
    watch.elsewhere.append(oidc_provider.issuer)

    def maker(scripts: bool = True, **options: object) -> Stranger:
        return Stranger(open_page(scripts, **options), "ada@corp.example")

    return maker


@pytest.fixture
def stranger(meet: Callable[..., Stranger], scripts: bool) -> Stranger:
    return meet(scripts)


UNUSED_CODE = "BCDF-GHJK"


def too_many_tries(live: World, visitor: Visitor) -> None:
    guesser = live.person(visitor.email)
    guesser.sign_in()
    for _ in range(live.settings.limits["guesses"].count):
        guesser.open(UNUSED_CODE)
    visitor.page.goto("/login")
    visitor.sign_in()
    visitor.enter(UNUSED_CODE)
