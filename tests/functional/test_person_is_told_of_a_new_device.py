"""The owner of a new device gets a mail; its link ends that device, without a sign-in."""

import re
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from urllib.parse import urlsplit

import pytest
from sqlalchemy import func, select
from webtest import TestResponse

from oauthdevice.domain.sessions import ALL, NewSession
from oauthdevice.domain.subjects import ExternalSubject
from oauthdevice.domain.undo import UndoSeal
from oauthdevice.stores.models import NoticeRow
from oauthdevice.stores.notices import SQLNoticeStore
from oauthdevice.stores.sessions import SQLSessionStore
from oauthdevice.stores.token_cache import NoTokenCache

from ..conftest import WorldMaker
from ..factories import Device, Person, World, audit_rows
from ..mail_servers import Mailbox, MailServer, running_mail_server
from ..servers import wait_until

FROM = "devices@login.example.com"
TOLD = re.compile(
    r"""Hello,

difyctl was signed in with your account on a device that is new to us\.

App: difyctl
Device: calls itself "build server"
When: \w+ \d+, \d{4}, \d\d:\d\d:\d\d UTC
From: address 198\.51\.100\.9

If this was you, there is nothing to do\.

If it was not you, end this device\. The link works for 7 days, without a sign-in, and for this device alone:

http://localhost/devices/undo\?token=[\w-]+

Then change your password: somebody may know it\. Nobody will ever ask you for it by mail, phone or chat\.
"""
)


@pytest.fixture
def mail_server() -> Iterator[MailServer]:
    with running_mail_server() as server:
        yield server


@pytest.fixture
def mailbox(mail_server: MailServer) -> Mailbox:
    return mail_server.mailbox


@pytest.fixture
def make_telling(make: WorldMaker, mail_server: MailServer) -> WorldMaker:
    """Makes servers that send mail when a test says so."""

    def maker(**options: str) -> World:
        world = make(**{"mail_server": mail_server.url, "mail_from": FROM, **options})
        assert world.services.sender is not None
        world.services.sender.stop()
        return world

    return maker


@pytest.fixture
def world(make_telling: WorldMaker) -> World:
    return make_telling()


def send(world: World) -> int:
    """What the thread does every few seconds."""
    assert world.services.notices is not None
    return world.services.notices.send_due()


def let_in(world: World, person: Person, address: str = "198.51.100.9", **asked: str) -> Device:
    """A device that has its token."""
    device = world.device(address=address).ask(**asked)
    world.services.approvals.approve(device.user_code, person.account, "192.0.2.7")
    assert device.poll().status_int == 200
    return device


def token_of(device: Device) -> str:
    return str(device.poll().json["access_token"])


def waiting(world: World) -> int:
    with world.services.database.read() as sql:
        return sql.scalar(select(func.count()).select_from(NoticeRow)) or 0


def link_in(text: str) -> str:
    found = re.search(r"http://localhost(/devices/undo\?token=\S+)", text)
    assert found is not None
    return found[1]


def heading(page: TestResponse) -> str:
    found = re.search(r"<h1>(.*?)</h1>", page.text, re.DOTALL)
    assert found is not None
    return " ".join(re.sub(r"<[^>]+>", " ", found[1]).split())


class TestTheMail:
    def test_tells_what_where_when_and_how_to_end_it(self, world: World, mailbox: Mailbox) -> None:
        person = world.person()
        let_in(world, person, device_label="build server")
        assert (send(world), send(world)) == (1, 0)
        [message] = mailbox.messages
        assert TOLD.fullmatch(mailbox.texts[0].replace("\r\n", "\n").replace("\N{WORD JOINER}", ""))
        assert message["Subject"] == "A new device can use your account"
        assert (message["From"], message["To"]) == (f"oauthdevice <{FROM}>", person.account.email)
        assert message["Auto-Submitted"] == "auto-generated"
        assert message["Content-Language"] == "en"
        assert re.fullmatch(r"<[^<>@\s]+@login\.example\.com>", message["Message-ID"])
        assert message["Date"].datetime is not None
        [envelope] = mailbox.envelopes
        assert (envelope.mail_from, envelope.rcpt_tos) == (FROM, [person.account.email])

    def test_comes_once_per_device_and_not_again_for_the_same(self, world: World, mailbox: Mailbox) -> None:
        person = world.person()
        for label in ("laptop", "laptop", "desktop", "laptop"):
            let_in(world, person, device_label=label)
            send(world)
        assert [("laptop" in text, "desktop" in text) for text in mailbox.texts] == [(True, False), (False, True)]

    def test_comes_each_time_for_a_device_without_a_name(self, world: World, mailbox: Mailbox) -> None:
        person = world.person()
        for _ in range(2):
            let_in(world, person)
            send(world)
        assert ["Device: it gave no name" in text for text in mailbox.texts] == [True, True]

    def test_comes_again_for_a_device_that_was_ended_and_is_back(self, world: World, mailbox: Mailbox) -> None:
        person = world.person()
        for _ in range(2):
            device = let_in(world, person, device_label="laptop")
            send(world)
            headers = {"Authorization": f"Bearer {token_of(device)}"}
            device.http.delete("/openapi/v1/account/sessions/self", headers=headers, status=200)
        assert len(mailbox.messages) == 2

    def test_is_not_sent_of_what_was_ended_before(self, world: World, mailbox: Mailbox) -> None:
        person = world.person()
        for end in (
            lambda: world.services.registry.end_all(ALL),
            lambda: world.services.accounts.set_active(person.account.email, False),
        ):
            let_in(world, person, device_label="laptop")
            end()
            assert (send(world), waiting(world)) == (0, 0)
        assert mailbox.messages == []

    def test_is_not_sent_where_nobody_is_let_in(self, world: World) -> None:
        device, person = world.device().ask(), world.person()
        device.poll()
        assert waiting(world) == 0
        person.deny(device.user_code)
        device.poll()
        assert waiting(world) == 0

    def test_is_no_business_of_a_server_without_a_mail_server(self, make: WorldMaker) -> None:
        world = make()
        let_in(world, world.person())
        assert waiting(world) == 0
        assert (world.services.sender, world.services.notices, world.services.post) == (None, None, None)

    def test_is_in_the_language_of_whoever_approved(self, world: World, mailbox: Mailbox) -> None:
        device, person = world.device().ask(), world.person()
        person.browser.extra_environ["HTTP_ACCEPT_LANGUAGE"] = "de-AT, en;q=0.5"
        person.allow(device.user_code)
        device.poll()
        send(world)
        assert mailbox.messages[0]["Content-Language"] == "de"
        assert re.search(r"\d{1,2}\. \w+ \d{4}", mailbox.texts[0])

    def test_cannot_be_bent_by_what_the_device_calls_itself(self, world: World, mailbox: Mailbox) -> None:
        label = 'x" Bcc: eve@evil.example <b>http://evil.example/now</b> www.evil.example {{ 7*7 }}'
        let_in(world, world.person(), device_label=label)
        send(world)
        text = mailbox.texts[0]
        assert label in text.replace("\N{WORD JOINER}", "")
        # No mail program makes a link of it.
        for word in ("evil.example", "http://evil", "www.evil", "eve@evil"):
            assert word not in text
        assert mailbox.messages[0]["Bcc"] is None

    def test_goes_to_the_address_that_the_account_has_now(self, make_telling: WorldMaker, mailbox: Mailbox) -> None:
        world = make_telling()
        let_in(world, world.person("before@example.com"))
        with world.services.database.engine.begin() as sql:
            sql.exec_driver_sql("UPDATE accounts SET email = 'after@example.com'")
        send(world)
        assert mailbox.messages[0]["To"] == "after@example.com"

    def test_goes_to_a_person_of_an_identity_provider_too(self, world: World, mailbox: Mailbox) -> None:
        store, now = (
            SQLSessionStore(world.services.database, NoTokenCache(), audit_rows(world.services.database)),
            world.clock(),
        )
        order = NewSession(
            id=str(uuid.uuid4()),
            attempt=1,
            subject=ExternalSubject("https://idp.example", "eve", "eve@corp.example"),
            client_id="difyctl",
            label="laptop",
            scopes=frozenset({"apps:run"}),
            prefix="dfoe_",
            token_digest="x" * 64,
            refresh_digest=None,
            issued_at=now,
            expires_at=now + timedelta(days=14),
            token_expires_at=now + timedelta(days=14),
            notify=True,
        )
        store.mint(order)
        # As after a crash before the answer.
        store.mint(replace(order, attempt=2, token_digest="y" * 64))
        assert (send(world), send(world)) == (1, 0)
        assert mailbox.messages[0]["To"] == "eve@corp.example"
        page = world.browser().get(link_in(mailbox.texts[0])).follow()
        assert heading(page.form.submit().follow()) == "The device is signed out"
        assert store.get(order.id) is None


class TestTheLink:
    def test_ends_that_device_and_no_other_without_a_sign_in(self, world: World, mailbox: Mailbox) -> None:
        person = world.person()
        stranger = let_in(world, person, device_label="stranger's")
        token = token_of(stranger)
        send(world)
        own = let_in(world, person, device_label="mine")
        browser = world.browser("203.0.113.5")
        clean = browser.get(link_in(mailbox.texts[0]), status=303)
        # The token leaves the address bar.
        assert clean.location == "http://localhost/devices/undo"
        page = clean.follow(status=200)
        assert heading(page) == "End this device?"
        for told in ("stranger&#39;s", "difyctl", "198.51.100.9"):
            assert told in page.text
        assert stranger.account(token).status_int == 200
        done = page.form.submit(status=303).follow(status=200)
        assert heading(done) == "The device is signed out"
        assert "Change your password" in done.text
        assert done.click("See your devices").location == "http://localhost/login"
        assert (stranger.account(token).status_int, own.account(token_of(own)).status_int) == (401, 200)
        event = next(one for one in reversed(world.services.ledger.newest(5)) if one.event == "revoked")
        assert (event.reason, event.address, event.device_label) == ("by mail", "203.0.113.5", "stranger's")

    def test_changes_nothing_by_being_opened(self, world: World, mailbox: Mailbox) -> None:
        device = let_in(world, world.person())
        token = token_of(device)
        send(world)
        for _ in range(3):
            # Of mail scanners, without cookies.
            world.browser().get(link_in(mailbox.texts[0]), status=303)
            world.browser().head(link_in(mailbox.texts[0]), status=303)
        assert device.account(token).status_int == 200

    def test_used_twice_says_so(self, world: World, mailbox: Mailbox) -> None:
        let_in(world, world.person())
        send(world)
        first, second = world.browser(), world.browser()
        pages = [one.get(link_in(mailbox.texts[0])).follow() for one in (first, second)]
        pages[0].form.submit(status=303)
        assert heading(pages[1].form.submit(status=410)) == "This device was ended already"
        assert heading(second.get(link_in(mailbox.texts[0]), status=410)) == "This device was ended already"

    def test_too_old_says_so(self, world: World, mailbox: Mailbox) -> None:
        device = let_in(world, world.person())
        token = token_of(device)
        send(world)
        world.clock.pass_seconds(7 * 86_400 - 60)
        page = world.browser().get(link_in(mailbox.texts[0]), status=303).follow()
        world.clock.pass_seconds(60)
        assert heading(page.form.submit(status=410)) == "This link has expired"
        assert heading(world.browser().get(link_in(mailbox.texts[0]), status=410)) == "This link has expired"
        assert device.account(token).status_int == 200

    @pytest.mark.parametrize(
        "bend",
        [
            lambda link: link[:-1],
            lambda link: link[:-20],
            lambda link: link + "A",
            lambda link: link.replace("token=", "token=gAAAA"),
            lambda _: "/devices/undo?token=x",
            lambda _: "/devices/undo?token=%00%ff".replace("%ff", "%C3%BF"),
            lambda _: "/devices/undo?token=",
            lambda _: "/devices/undo",
        ],
    )
    def test_that_is_not_whole_says_so(self, world: World, mailbox: Mailbox, bend: Callable[[str], str]) -> None:
        let_in(world, world.person())
        send(world)
        answer = world.browser().get(bend(link_in(mailbox.texts[0])), status="*")
        assert answer.status_int in (400, 404)
        if answer.status_int == 404:
            assert heading(answer) == "This link does not work"

    def test_of_another_server_or_made_with_another_key_does_not_work(self, world: World) -> None:
        device = let_in(world, world.person(), device_label="laptop")
        session = world.services.registry.live()[0]
        forged = UndoSeal(["another secret of more than 32 characters"], world.clock).seal(session)
        world.browser().get(f"/devices/undo?token={forged}", status=404)
        # What is sealed for something else opens nothing here.
        other = world.services.approval_seal._ring.encrypt(b"{}").decode().rstrip("=")
        world.browser().get(f"/devices/undo?token={other}", status=404)
        assert device.account(token_of(device)).status_int == 200

    def test_of_an_earlier_secret_works_on(self, make_telling: WorldMaker, mailbox: Mailbox) -> None:
        before = make_telling()
        let_in(before, before.person())
        send(before)
        after = make_telling(secret="a new secret, long enough for everybody", previous_secrets=before.settings.secret)
        assert heading(after.browser().get(link_in(mailbox.texts[0])).follow()) == "End this device?"

    def test_needs_its_page(self, world: World, mailbox: Mailbox) -> None:
        device = let_in(world, world.person())
        token = token_of(device)
        send(world)
        link = link_in(mailbox.texts[0])
        world.browser().post(link, status=403)
        browser = world.browser()
        page = browser.get(link).follow()
        browser.post("/devices/undo", {}, status=403)
        world.browser().post("/devices/undo", {"csrf_token": page.form["csrf_token"].value}, status=403)
        assert device.account(token).status_int == 200

    def test_is_kept_when_the_page_is_read_in_another_language(self, world: World, mailbox: Mailbox) -> None:
        let_in(world, world.person())
        send(world)
        page = world.browser().get(link_in(mailbox.texts[0])).follow().click("Deutsch")
        assert 'lang="de"' in page.text
        page.form.submit(status=303)
        assert world.services.registry.live() == []

    def test_outcome_without_a_link_leads_to_the_devices(self, world: World) -> None:
        assert world.browser().get("/devices/undone", status=303).location == "http://localhost/devices"
        world.browser().post("/devices/undone", status=405)


class TestTheMailServerFails:
    def test_away_for_a_while_the_mail_comes_once_it_is_back(
        self, world: World, mail_server: MailServer, caplog: pytest.LogCaptureFixture
    ) -> None:
        mail_server.stop()
        let_in(world, world.person(), device_label="laptop")
        assert send(world) == 0
        assert "waits: the mail server cannot be reached" in caplog.text
        world.clock.pass_seconds(59)
        mail_server.start()
        assert send(world) == 0
        world.clock.pass_seconds(2)
        assert (send(world), send(world)) == (1, 0)
        assert len(mail_server.mailbox.messages) == 1

    def test_the_waits_double_up_to_an_hour_and_end_after_a_day(
        self, world: World, mail_server: MailServer, caplog: pytest.LogCaptureFixture
    ) -> None:
        mail_server.stop()
        let_in(world, world.person())
        tried = []
        for minute in range(26 * 60):
            caplog.clear()
            if send(world) == 0 and "the mail about" in caplog.text:
                tried.append(minute)
            if "given up" in caplog.text:
                break
            world.clock.offset += timedelta(minutes=1, milliseconds=10)
        assert tried[:8] == [0, 1, 3, 7, 15, 31, 63, 123]
        assert 24 * 60 <= tried[-1] <= 25 * 60
        assert waiting(world) == 0

    @pytest.mark.parametrize(("answer", "waits"), [("451 later", 1), ("554 never", 0)])
    def test_it_refuses_for_now_or_for_good(
        self, world: World, mailbox: Mailbox, caplog: pytest.LogCaptureFixture, answer: str, waits: int
    ) -> None:
        person = world.person()
        let_in(world, person)
        mailbox.answer = answer
        assert (send(world), waiting(world)) == (0, waits)
        assert f"the mail server answers {answer[:3]}" in caplog.text
        assert person.account.email not in "".join(one.message for one in caplog.records if "mail" in one.message)
        mailbox.answer = ""
        world.clock.pass_seconds(61)
        assert send(world) == waits

    def test_one_bad_address_stops_no_other(self, world: World, mailbox: Mailbox, caplog) -> None:
        bad, good = world.person("bad@example.com"), world.person("good@example.com")
        let_in(world, bad)
        with world.services.database.engine.begin() as sql:
            sql.exec_driver_sql("UPDATE accounts SET email = 'a b\nBcc: x@y.z' WHERE email = 'bad@example.com'")
        let_in(world, good)
        assert send(world) == 1
        assert [message["To"] for message in mailbox.messages] == ["good@example.com"]
        assert "was refused: the address of the recipient is malformed" in caplog.text
        assert waiting(world) == 0

    def test_the_token_answer_does_not_wait(self, world: World, mail_server: MailServer) -> None:
        mail_server.stop()
        device = let_in(world, world.person())
        assert device.account(token_of(device)).status_int == 200


class TestSeveralProcesses:
    def test_send_each_mail_once(self, make_telling: WorldMaker, mailbox: Mailbox) -> None:
        worlds = [make_telling(**{"limit.decide": "off"}) for _ in range(2)]
        person = worlds[0].person()
        for number in range(12):
            let_in(worlds[0], person, device_label=f"device {number}")
        barrier, sent = threading.Barrier(2), []

        def run(world: World) -> None:
            barrier.wait(10)
            sent.append(send(world))

        threads = [threading.Thread(target=run, args=(world,)) for world in worlds]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert sum(sent) == 12
        told = sorted(re.findall(r'calls itself "(.*?)"', "".join(mailbox.texts)))
        assert told == sorted(f"device {number}" for number in range(12))

    def test_one_that_dies_in_the_middle_leaves_it_to_another(self, world: World, mailbox: Mailbox) -> None:
        let_in(world, world.person())
        store = SQLNoticeStore(world.services.database)
        claimed = store.claim(world.clock(), world.clock() + timedelta(minutes=5))
        assert claimed is not None
        assert send(world) == 0
        world.clock.pass_seconds(301)
        assert send(world) == 1
        assert len(mailbox.messages) == 1

    def test_the_thread_sends_by_itself_and_wants_no_second_request(
        self, make: WorldMaker, mail_server: MailServer
    ) -> None:
        world = make(mail_server=mail_server.url, mail_from=FROM)
        let_in(world, world.person())
        wait_until(lambda: mail_server.mailbox.messages, "the mail")
        wait_until(lambda: not waiting(world), "the row to go")
        assert world.services.sender is not None
        world.services.sender.stop()
        assert not any(one.name == "oauthdevice-mail" and one.is_alive() for one in threading.enumerate())


class TestAPrefix:
    def test_is_in_the_link(self, make_telling: WorldMaker, mailbox: Mailbox) -> None:
        world = make_telling(public_url="https://www.example.com/sign-in")
        let_in(world, world.person())
        send(world)
        found = re.search(r"https://\S+", mailbox.texts[0])
        assert found is not None
        assert urlsplit(found[0]).path == "/sign-in/devices/undo"
