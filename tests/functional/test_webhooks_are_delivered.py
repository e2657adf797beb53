"""Another program is told of what happens, by signed webhooks that neither an absence nor a kill loses."""

import json
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from oauthdevice.admin import main
from oauthdevice.domain.audit_chain import Anchor
from oauthdevice.stores.models import WebhookDeliveryRow

from ..certificates import self_signed
from ..conftest import WorldMaker
from ..factories import PASSWORD, SECRET, World
from ..installations import BIN, WARNINGS
from ..ports import free_port
from ..servers import wait_until
from ..webhook_receivers import WEBHOOK_SECRET, Receiver, running_receiver

INI = f"""
[app:main]
use = egg:oauthdevice
oauthdevice.mode = development
oauthdevice.public_url = http://localhost
oauthdevice.database_url = %s
oauthdevice.redis_url = embedded://
oauthdevice.secret = {SECRET}
oauthdevice.webhook_urls = %s
"""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with running_receiver() as one:
        yield one
    assert one.forged == []


def options(*urls: str, **more: str) -> dict[str, str]:
    return {"webhook_urls": " ".join(urls), "webhook_secret": WEBHOOK_SECRET, **more}


@pytest.fixture
def told(make: WorldMaker, receiver: Receiver) -> World:
    """A server that tells the receiver of everything."""
    return make(**options(receiver.url))


def deliver(world: World) -> int:
    return world.services.deliverer.once()


def fail_to_sign_in(world: World, times: int = 1) -> None:
    """An event each, and nothing else."""
    for number in range(times):
        form = world.browser().get("/login").form
        form["email"], form["password"] = f"nobody-{number}@example.com", "wrong password"
        form.submit(status=401)


def waiting(world: World, *, failed: bool = False) -> list[tuple[int, str | None]]:
    """Attempts so far and what came of the last one."""
    return [(one.attempts, one.problem) for one in world.services.webhooks.waiting(failed=failed)]


class TestTheReceiverIsThere:
    def test_it_is_told_the_whole_story_and_no_secret(self, told: World, receiver: Receiver) -> None:
        device, person = told.device().ask(device_label="laptop"), told.person()
        person.allow(device.user_code)
        token = device.poll().json["access_token"]
        assert receiver.got == []
        assert deliver(told) == 4
        assert sorted(receiver.events) == ["approved", "login", "redeemed", "started"]
        rows = {event.id: event for event in told.services.ledger.newest(10)}
        for one, webhook_id in zip(receiver.got, receiver.ids, strict=True):
            event, data = rows[webhook_id].members(), dict(one["data"])
            anchor = Anchor(data.pop("position"), data.pop("hash"))
            assert (one["type"], one["timestamp"], data) == (f"audit.{event['event']}", event["at"], event)
            assert told.services.proof.anchor(anchor.position) == anchor
        for secret in (device.user_code, device.device_code, token, PASSWORD, WEBHOOK_SECRET):
            assert secret not in json.dumps(receiver.got)
        assert deliver(told) == 0
        assert told.services.webhooks.counts() == (0, 0)

    def test_what_it_was_told_is_an_anchor_of_the_chain(self, told: World, receiver: Receiver) -> None:
        fail_to_sign_in(told, 3)
        deliver(told)
        anchors = [Anchor(one["data"]["position"], one["data"]["hash"]) for one in receiver.got]
        assert len(anchors) == 3
        assert list(told.services.proof.findings(expected=anchors)) == []

    def test_of_the_chosen_events_alone(self, make: WorldMaker, receiver: Receiver) -> None:
        world = make(**options(receiver.url, webhook_events="approved redeemed"))
        device = world.device().ask()
        world.person().allow(device.user_code)
        device.poll()
        deliver(world)
        assert sorted(receiver.events) == ["approved", "redeemed"]

    def test_nothing_waits_where_nobody_is_to_be_told(self, make: WorldMaker) -> None:
        world = make()
        fail_to_sign_in(world)
        assert world.services.webhooks.counts() == (0, 0)
        assert deliver(world) == 0


class TestTheReceiverFails:
    def test_it_is_told_again_until_it_takes_it(self, told: World, receiver: Receiver) -> None:
        receiver.answers = [500, 404]
        fail_to_sign_in(told)
        assert deliver(told) == 0
        assert waiting(told) == [(1, "status 500")]
        assert deliver(told) == 0
        assert len(receiver.got) == 1
        told.clock.pass_seconds(6.1)
        assert deliver(told) == 0
        assert waiting(told) == [(2, "status 404")]
        told.clock.pass_seconds(240)
        assert deliver(told) == 0
        assert len(receiver.got) == 2
        assert len(set(receiver.ids)) == 1

    def test_it_may_ask_for_time(self, told: World, receiver: Receiver) -> None:
        receiver.answers = [(503, {"retry-after": "60"})]
        fail_to_sign_in(told)
        deliver(told)
        told.clock.pass_seconds(59)
        assert deliver(told) == 0
        told.clock.pass_seconds(1.1)
        assert deliver(told) == 1

    def test_it_is_followed_nowhere(self, told: World, receiver: Receiver) -> None:
        with running_receiver() as elsewhere:
            receiver.answers = [(307, {"location": elsewhere.url})]
            fail_to_sign_in(told)
            assert deliver(told) == 0
            assert waiting(told) == [(1, "status 307")]
            assert elsewhere.got == elsewhere.forged == []

    def test_it_is_not_waited_for_longer_than_the_time_out(self, make: WorldMaker, receiver: Receiver) -> None:
        world = make(**options(receiver.url, webhook_timeout_seconds="1"))
        receiver.answers = [None]
        fail_to_sign_in(world)
        assert deliver(world) == 0
        assert waiting(world) == [(1, "ReadTimeout")]

    def test_when_it_was_away_it_is_told_once_it_is_back(self, make: WorldMaker) -> None:
        port = free_port()
        world = make(**options(f"http://localhost:{port}/hook"))
        fail_to_sign_in(world, 3)
        assert deliver(world) == 0
        # One was tried; the others were not put off.
        assert sorted(waiting(world), key=str) == [(0, None), (0, None), (1, "ConnectionError")]
        with running_receiver(port) as back:
            assert deliver(world) == 2
            world.clock.pass_seconds(6.1)
            assert deliver(world) == 1
            assert len(set(back.ids)) == 3

    def test_another_one_is_told_meanwhile(self, make: WorldMaker, receiver: Receiver) -> None:
        world = make(**options(f"http://localhost:{free_port()}/hook", receiver.url))
        fail_to_sign_in(world, 2)
        assert deliver(world) == 2
        assert sorted(waiting(world), key=str) == [(0, None), (1, "ConnectionError")]

    def test_one_that_is_gone_is_told_no_more_of_it_but_by_an_operator(self, told: World, receiver: Receiver) -> None:
        receiver.answers = [410]
        fail_to_sign_in(told)
        assert deliver(told) == 0
        assert waiting(told) == []
        assert waiting(told, failed=True) == [(1, "status 410")]
        assert told.services.webhooks.retry(None) == 1
        assert deliver(told) == 1

    def test_a_certificate_that_nobody_vouches_for_is_refused(
        self, make: WorldMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        paths = tmp_path / "certificate.pem", tmp_path / "key.pem"
        for path, content in zip(paths, self_signed("localhost"), strict=True):
            path.write_bytes(content)
        with running_receiver(certificate=paths) as receiver:
            world = make(**options(receiver.url))
            fail_to_sign_in(world)
            assert deliver(world) == 0
            assert waiting(world) == [(1, "SSLError")]
            monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(paths[0]))
            world.clock.pass_seconds(6.1)
            assert deliver(world) == 1
            assert receiver.events == ["login_failed"]


class TestSeveralDeliver:
    def test_each_is_told_once(self, make: WorldMaker, receiver: Receiver) -> None:
        worlds = [make(**options(receiver.url)) for _ in range(4)]
        fail_to_sign_in(worlds[0], 18)
        barrier, delivered = threading.Barrier(len(worlds)), []

        def work(world: World) -> None:
            barrier.wait()
            delivered.append(deliver(world))

        threads = [threading.Thread(target=work, args=[world]) for world in worlds]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sum(delivered) == len(receiver.ids) == len(set(receiver.ids)) == 18


class Process:
    """`oauthdevice-admin webhooks …` on the database of a world."""

    def __init__(self, folder: Path, world: World, url: str) -> None:
        self.ini, self._world = folder / "deliverer.ini", world
        self.ini.write_text(INI % (world.settings.database_url.replace("%", "%%"), url))
        self._environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith("OAUTHDEVICE")},
            "PYTHONWARNINGS": WARNINGS,
            "OAUTHDEVICE_WEBHOOK_SECRET": WEBHOOK_SECRET,
        }

    def _command(self, *arguments: str) -> list[str]:
        return [str(BIN / "oauthdevice-admin"), "-c", str(self.ini), "webhooks", *arguments]

    def start(self) -> subprocess.Popen[bytes]:
        """The loop."""
        return subprocess.Popen(self._command("deliver"), env=self._environ, stderr=subprocess.PIPE)

    def once(self) -> str:
        """What one round prints."""
        done = subprocess.run(
            self._command("deliver", "--once"), env=self._environ, capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    def run(self, *arguments: str) -> int:
        """Any other command, in this process; the exit status."""
        return main(["-c", str(self.ini), "webhooks", *arguments])

    def lapse(self) -> None:
        """Time goes by until what was claimed is due again."""
        ago = self._world.clock() - timedelta(seconds=1)
        with self._world.services.database.write() as sql:
            sql.execute(update(WebhookDeliveryRow).values(next_attempt_at=ago))


@pytest.fixture
def process(tmp_path: Path, told: World, receiver: Receiver) -> Process:
    return Process(tmp_path, told, receiver.url)


class TestTheProcess:
    def test_is_killed_and_what_it_had_begun_goes_on_after_the_restart(
        self, process: Process, told: World, receiver: Receiver
    ) -> None:
        fail_to_sign_in(told, 3)
        receiver.answers = [None]
        with process.start() as begun:
            assert receiver.asked.wait(30)
            begun.send_signal(signal.SIGKILL)
        assert len(receiver.ids) == 1
        assert told.services.webhooks.counts() == (3, 0)
        assert process.once() == "delivered 2\n"
        process.lapse()
        assert process.once() == "delivered 1\n"
        assert len(receiver.ids) == 4
        assert len(set(receiver.ids)) == 3
        assert told.services.webhooks.counts() == (0, 0)

    def test_delivers_what_happens_while_it_runs_and_ends_when_told_to(
        self, process: Process, told: World, receiver: Receiver
    ) -> None:
        with process.start() as running:
            fail_to_sign_in(told, 2)
            wait_until(lambda: len(receiver.ids) == 2, "both webhooks", lambda: running.poll() is not None)
            running.terminate()
            assert running.wait(30) == 0
            assert running.stderr is not None
            assert running.stderr.read() == b""


class TestAnOperator:
    def test_sees_what_was_given_up_and_decides(
        self, process: Process, told: World, receiver: Receiver, capsys: pytest.CaptureFixture[str]
    ) -> None:
        def run(*arguments: str) -> str:
            assert process.run(*arguments) == 0
            return capsys.readouterr().out

        receiver.answers = [410]
        fail_to_sign_in(told, 2)
        assert len(run("list").splitlines()) == 2
        assert deliver(told) == 1
        assert run("list") == ""
        (line,) = run("list", "--failed").splitlines()
        shown: dict[str, Any] = json.loads(line)
        expected = {"url": receiver.url, "attempts": 1, "next_attempt_at": None, "problem": "status 410"}
        assert expected.items() <= shown.items()
        assert shown["event"]["event"] == "login_failed"
        assert run("retry", shown["id"]) == "1 to be delivered again\n"
        assert json.loads(run("list"))["attempts"] == 0
        assert run("forget", shown["id"]) == "forgot 1\n"
        assert run("forget", "--failed") == "forgot 0\n"
        assert run("retry", "--failed") == "0 to be delivered again\n"

    @pytest.mark.parametrize("command", ["retry", "forget"])
    def test_is_told_where_there_is_no_such_delivery(
        self, process: Process, command: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert process.run(command, "nothing") == 1
        refused = capsys.readouterr()
        assert refused.err == "oauthdevice-admin: There is no such delivery: it arrived or never was.\n"
        assert refused.out == ""
        with pytest.raises(SystemExit, match="2"):
            process.run(command)

    def test_is_told_what_is_missing(
        self, process: Process, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("OAUTHDEVICE_WEBHOOK_SECRET", raising=False)
        assert process.run("deliver") == 1
        assert capsys.readouterr().err == "oauthdevice-admin: oauthdevice.webhook_secret must be set\n"


def test_a_request_waits_for_no_receiver(make: WorldMaker) -> None:
    """Even while the deliverer waits for one that says nothing."""
    with ExitStack() as stack:
        receiver = stack.enter_context(running_receiver())
        receiver.answers = [None]
        world = make(**options(receiver.url, webhook_timeout_seconds="60"))
        fail_to_sign_in(world)
        delivering = threading.Thread(target=deliver, args=[world])
        delivering.start()
        stack.callback(delivering.join)
        stack.callback(receiver.closed.set)
        assert receiver.asked.wait(30)
        device = world.device().ask()
        world.person().allow(device.user_code)
        assert "access_token" in device.poll().json
        assert delivering.is_alive()
