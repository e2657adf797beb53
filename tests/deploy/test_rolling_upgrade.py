"""The old release and the new one side by side on one PostgreSQL and one Redis, as "Upgrade" in docs/operating.md.

The old one is served as its own production.ini has it, by waitress, which cuts off at SIGTERM whoever is inside.
Devices poll again then, as RFC 8628 §3.5 has it. The new one, behind gunicorn, cuts nobody off.
"""

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest
from sqlalchemy import text

from oauthdevice.domain.token_endpoint import DEVICE_GRANT
from oauthdevice.stores.models import Base
from oauthdevice.stores.sql import create_database

from ..factories import API, APPROVE, CODE, PASSWORD, TOKEN, unique_name
from ..installations import Server
from ..ports import free_port
from ..servers import CHECKOUT, PostgreSQLServer, RedisServer, wait_until
from .flows import OPTIONS, Balancer, Flows
from .production import ProductionServer
from .proxies import CLIENT, Browser
from .releases import OldServer, Release, install_old_release

EMAIL = "ada@example.com"
WHICH = "import oauthdevice, importlib.metadata as m; print(oauthdevice.__file__, *m.entry_points(name='proxies'))"


class Site:
    """Two machines over one database and one Redis; on each, one release or the other."""

    def __init__(self, folder: Path, release: Release, database_url: str, redis_url: str) -> None:
        self.database_url = database_url
        self.ports = (free_port(), free_port())
        self.url = f"http://127.0.0.1:{self.ports[0]}"
        options = f"{OPTIONS}\noauthdevice.redis_prefix = {unique_name('site')}"
        self.old: list[Server] = []
        self.new: list[ProductionServer] = []
        for number, port in enumerate(self.ports):
            machine = folder / str(number)
            machine.mkdir()
            given = {"public_url": self.url, "port": port, "options": options}
            self.old.append(OldServer(release, machine, database_url, redis_url, **given))
            self.new.append(ProductionServer(machine, database_url, redis_url, **given))
        for server in (*self.old, *self.new):
            ini = server.ini.read_text()
            server.ini.write_text(ini.replace("\nname = difyctl\n", "\nname = difyctl\nrefresh = on\n"))

    def install_old(self) -> None:
        """The old release on both machines, over tables that it made, and with Ada."""
        admin(self.old[0], "upgrade")
        admin(self.old[0], "account", "add", EMAIL, "--name", "Ada", "--password-stdin")
        with ThreadPoolExecutor() as threads:
            list(threads.map(Server.start, self.old))

    def replace(self, before: Server, after: Server) -> None:
        """Step 4 on one machine, to the moment at which it is the turn of the next."""
        before.stop()
        after.start()
        wait_until(lambda: httpx.get(f"{after.url}/readyz", timeout=30).status_code == 200, "the release to be ready")

    @contextmanager
    def person(self) -> Iterator[Browser]:
        """Ada, signed in; what she asks for goes to the two machines by turns."""
        with Browser(transport=Balancer(*self.ports), base_url=self.url, timeout=30, trust_env=False) as one:
            one.sign_in(EMAIL, PASSWORD)
            yield one

    def execute(self, *statements: str) -> None:
        database = create_database(self.database_url)
        with database.write() as sql:
            for one in statements:
                sql.execute(text(one))
        database.engine.dispose()

    def stop(self) -> None:
        with ThreadPoolExecutor() as threads:
            list(threads.map(Server.stop, self.old))
            list(threads.map(ProductionServer.stop, self.new))


def admin(server: Server, *arguments: str) -> str:
    done = server.admin(*arguments, typed=PASSWORD)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def old_release(tmp_path_factory: pytest.TempPathFactory) -> Release:
    return install_old_release(tmp_path_factory.mktemp("old"))


@pytest.fixture(scope="module")
def make_site(
    old_release: Release,
    tmp_path_factory: pytest.TempPathFactory,
    postgresql_server: PostgreSQLServer,
    redis_server: RedisServer,
) -> Iterator[Callable[[], Site]]:
    """Makes sites where the old release runs on both machines."""
    with ExitStack() as stack:

        def maker() -> Site:
            database_url = postgresql_server.create_database(unique_name("rolling"))
            site = Site(tmp_path_factory.mktemp("site"), old_release, database_url, redis_server.url)
            stack.callback(site.stop)
            site.install_old()
            return site

        yield maker


@pytest.fixture(scope="module")
def site(make_site: Callable[[], Site]) -> Site:
    """In the middle: the new release on the first machine, the old one on the second."""
    one = make_site()
    admin(one.new[0], "upgrade")
    one.replace(one.old[0], one.new[0])
    return one


@pytest.fixture(params=["old then new", "new then old"])
def both(request: pytest.FixtureRequest, site: Site) -> tuple[str, str]:
    """Their addresses, in either order."""
    new, old = site.new[0].url, site.old[1].url
    return (old, new) if request.param == "old then new" else (new, old)


@pytest.fixture
def browser() -> Iterator[Browser]:
    """Somebody with cookies, which a browser gives to each port of a host."""
    with Browser(timeout=30, trust_env=False) as one:
        yield one


def sign_in(browser: Browser, url: str, password: str = PASSWORD, email: str = EMAIL) -> int:
    form = {"csrf_token": browser.csrf_token(f"{url}/login"), "email": email, "password": password}
    return browser.post(f"{url}/login", data=form).status_code


def ask(browser: Browser, url: str) -> dict[str, str]:
    answer = browser.post(f"{url}{CODE}", data=CLIENT)
    assert answer.status_code == 200
    return answer.json()


def poll(browser: Browser, url: str, asked: dict[str, str]) -> httpx.Response:
    form = {**CLIENT, "grant_type": DEVICE_GRANT, "device_code": asked["device_code"]}
    return browser.post(f"{url}{TOKEN}", data=form)


def refresh(browser: Browser, url: str, token: str) -> httpx.Response:
    form = {**CLIENT, "grant_type": "refresh_token", "refresh_token": token}
    return browser.post(f"{url}{TOKEN}", data=form)


def token_of(browser: Browser, url: str) -> dict[str, str]:
    """A whole flow on one server, for somebody who is signed in."""
    asked = ask(browser, url)
    headers = {"X-CSRF-Token": browser.csrf_token(f"{url}/logout")}
    approved = browser.post(f"{url}{APPROVE}", json={"user_code": asked["user_code"]}, headers=headers)
    assert approved.status_code == 200
    answer = poll(browser, url, asked)
    assert answer.status_code == 200
    return answer.json()


def account(browser: Browser, url: str, token: str) -> httpx.Response:
    return browser.get(f"{url}{API}/account", headers={"Authorization": f"Bearer {token}"})


def test_each_machine_runs_its_own_release(site: Site, old_release: Release) -> None:
    (new,) = site.new[0].run(sys.executable, "-c", WHICH).stdout.splitlines()
    (old,) = site.old[1].run(sys.executable, "-c", WHICH).stdout.splitlines()
    assert old == f"{old_release.site}/oauthdevice/__init__.py"
    assert new.startswith(f"{CHECKOUT}/oauthdevice/__init__.py EntryPoint(")
    assert httpx.get(site.old[1].url).headers["Server"] == "waitress"
    assert httpx.get(site.new[0].url).headers["Server"] == "gunicorn"


class TestInTheMiddle:
    def test_a_code_of_one_is_approved_on_the_other_and_redeemed_on_either(
        self, both: tuple[str, str], browser: Browser
    ) -> None:
        one, other = both
        sign_in(browser, one)
        for redeems in both:
            asked = ask(browser, one)
            for url in (other, one, other):
                assert poll(browser, url, asked).json()["error"] in ("authorization_pending", "slow_down")
            headers = {"X-CSRF-Token": browser.csrf_token(f"{other}/logout")}
            body = {"user_code": asked["user_code"]}
            assert browser.post(f"{other}{APPROVE}", json=body, headers=headers).status_code == 200
            assert browser.post(f"{one}{APPROVE}", json=body, headers=headers).status_code == 409
            answer = poll(browser, redeems, asked)
            assert answer.status_code == 200
            # Whoever lost the answer asks again, and may come to the other one.
            assert [poll(browser, url, asked).json() for url in both] == [answer.json()] * 2

    def test_a_form_of_one_is_taken_by_the_other(self, both: tuple[str, str], browser: Browser) -> None:
        """From the sign-in on, each page comes from one and what is filled in goes to the other."""
        one, other = both
        form = {"csrf_token": browser.csrf_token(f"{one}/login"), "email": EMAIL, "password": PASSWORD}
        assert browser.post(f"{other}/login", data=form).status_code == 303
        assert EMAIL in browser.get(f"{one}/device").text
        asked = ask(browser, one)
        form = {"csrf_token": browser.csrf_token(f"{one}/device"), "user_code": asked["user_code"]}
        assert browser.post(f"{other}/device", data=form).status_code == 303
        assert asked["user_code"] in browser.get(f"{one}/device/consent").text
        form |= {"csrf_token": browser.csrf_token(f"{one}/device/consent"), "decision": "approve"}
        assert browser.post(f"{other}/device/consent", data=form).headers["Location"].endswith("/device/approved")
        assert poll(browser, one, asked).status_code == 200
        form = {"csrf_token": browser.csrf_token(f"{one}/logout")}
        assert browser.post(f"{other}/logout", data=form).status_code == 303
        assert EMAIL not in browser.get(f"{one}/device").text

    def test_a_refresh_token_goes_there_and_back(self, both: tuple[str, str], browser: Browser, site: Site) -> None:
        one, other = both
        sign_in(browser, one)
        given = [token_of(browser, one)]
        for url in (other, one, other):
            answers = [refresh(browser, each, given[-1]["refresh_token"]) for each in (url, one, other)]
            assert [answer.status_code for answer in answers] == [200] * 3
            # Whoever lost the answer asks again, and may come to the other one.
            assert answers[0].json() == answers[1].json() == answers[2].json()
            given.append(answers[0].json())
        assert len({each["token_id"] for each in given}) == 1
        assert len({each["refresh_token"] for each in given}) == len(given)
        # Whoever uses a spent one later ends them all, on both.
        site.execute("UPDATE refresh_tokens SET spent_at = spent_at - INTERVAL '1 minute'")
        assert refresh(browser, one, given[0]["refresh_token"]).json()["error"] == "invalid_grant"
        assert [account(browser, url, given[-1]["access_token"]).status_code for url in both] == [401, 401]

    @pytest.mark.parametrize("way", ["revoked", "ended"])
    def test_a_token_of_one_opens_both_until_it_ends_on_the_other(
        self, both: tuple[str, str], browser: Browser, way: str
    ) -> None:
        """At once: DESIGN.md gives no process any time for it. Both have it in their caches."""
        one, other = both
        sign_in(browser, one)
        token = token_of(browser, one)["access_token"]
        answers = [account(browser, url, token) for url in (one, other, one, other)]
        assert [answer.status_code for answer in answers] == [200] * 4
        assert all(answer.json() == answers[0].json() for answer in answers)
        if way == "revoked":
            ended = browser.post(f"{other}{API}/oauth/revoke", data={**CLIENT, "token": token})
        else:
            headers = {"Authorization": f"Bearer {token}"}
            ended = browser.delete(f"{other}{API}/account/sessions/self", headers=headers)
        assert ended.status_code == 200
        assert [account(browser, url, token).status_code for url in (one, other)] == [401, 401]

    def test_both_count_the_same_requests(self, both: tuple[str, str], browser: Browser) -> None:
        """60 a minute with one token, DESIGN.md section 6."""
        sign_in(browser, both[0])
        token = token_of(browser, both[0])["access_token"]
        answers = [account(browser, url, token).status_code for _ in range(30) for url in both]
        assert answers == [200] * 60
        assert [account(browser, url, token).status_code for url in both] == [429, 429]

    def test_both_count_the_same_guesses(self, site: Site, browser: Browser) -> None:
        """5 in 15 minutes at one account."""
        new, old = site.new[0].url, site.old[1].url
        guesses = [sign_in(browser, url, "wrong", "guessed@example.com") for url in (old, new, old, new, old)]
        assert guesses == [401] * 5
        assert [sign_in(browser, url, "wrong", "guessed@example.com") for url in (new, old)] == [429, 429]


def test_a_release_replaces_another_under_steady_load_and_gives_way_again(make_site: Callable[[], Site]) -> None:
    """Each step of "Upgrade", and one step back."""
    site = make_site()
    with site.person() as person:
        flows = Flows(person)
        with flows.at_work():
            flows.wait_for_more()
            assert admin(site.new[0], "upgrade") == "the database is at the newest migration\n"
            flows.wait_for_more()
            assert flows.told.total() == 0
            for old, new in zip(site.old, site.new, strict=True):
                site.replace(old, new)
                flows.wait_for_more()
            cut_off_by_waitress = flows.told["cut off"]
            site.replace(site.new[0], site.old[0])
            flows.wait_for_more()
    print(f"{len(flows.tokens)} flows, {dict(flows.told)}")
    flows.check(site.database_url)
    assert flows.told == Counter({"cut off": cut_off_by_waitress})


def test_both_start_and_serve_on_the_wider_tables_of_a_release_to_come(
    make_site: Callable[[], Site], browser: Browser
) -> None:
    """A restart in mid-upgrade: "expand" has happened, and whoever starts does not know the migration."""
    site = make_site()
    admin(site.new[0], "upgrade")
    tables = [table.name for table in Base.metadata.sorted_tables]
    wider = [f"ALTER TABLE {name} ADD COLUMN of_tomorrow TEXT" for name in tables]
    site.execute(*wider, "CREATE TABLE tomorrow (id TEXT)", "UPDATE alembic_version SET version_num = '9999'")
    # That old one had no words for it; it does no harm.
    refused = site.old[0].admin("upgrade")
    assert (refused.returncode, refused.stdout) == (1, "")
    told = admin(site.new[0], "upgrade")
    assert told == "the database is at the migration 9999 of a newer release: nothing to do\n"
    site.replace(site.old[0], site.new[0])
    site.old[1].stop()
    site.old[1].start()
    one, other = site.new[0].url, site.old[1].url
    sign_in(browser, one)
    for url in (one, other):
        token = token_of(browser, url)
        assert refresh(browser, url, token["refresh_token"]).status_code == 200
        assert httpx.get(f"{url}/readyz", timeout=30).status_code == 200
    site.execute("SELECT of_tomorrow FROM sessions", "SELECT * FROM tomorrow")
