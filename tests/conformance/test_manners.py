"""The kit waits as servers ask, and hands nothing to strangers."""

import itertools
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from webob import Request, Response

from oauthdevice.conformance.people import Asked, Commands
from oauthdevice.conformance.probe import Client, Probe
from oauthdevice.conformance.requirements import NotTried, Outcome
from oauthdevice.conformance.transport import Transport, Unreachable

from .conftest import Kit, passing

METADATA = {"device_authorization_endpoint": "https://a.example/code", "token_endpoint": "https://a.example/token"}
ASKED = Asked("WDJB-MJHT", "https://login.example.com/device", "")


class Time:
    """Moves when somebody waits."""

    def __init__(self) -> None:
        self.now = 0.0
        self.waits: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds


def transport(time: Time, answers: Callable[[httpx.Request], httpx.Response], max_wait: float = 60) -> Transport:
    http = httpx.Client(transport=httpx.MockTransport(answers))
    return Transport(http, max_wait, sleep=time.sleep, now=lambda: time.now)


def reply(status: int, body: bytes = b"{}", **headers: str) -> httpx.Response:
    """Read as it comes, as one from a socket."""
    return httpx.Response(status, headers=headers, stream=httpx.ByteStream(body))


def limited(*statuses: int, retry_after: str = "7") -> Callable[[httpx.Request], httpx.Response]:
    left = list(statuses)
    return lambda _: reply(left.pop(0), **{"Retry-After": retry_after})


class TestLimits:
    def test_it_comes_again_when_the_server_says(self) -> None:
        time = Time()
        assert transport(time, limited(429, 200)).get("https://a.example/").status == 200
        assert time.waits == [7]

    def test_it_waits_a_minute_where_the_server_does_not_say(self) -> None:
        time = Time()
        transport(time, limited(429, 200, retry_after="soon")).get("https://a.example/")
        assert time.waits == [60]

    def test_it_does_not_come_a_third_time(self) -> None:
        with pytest.raises(NotTried, match="for longer than it says"):
            transport(Time(), limited(429, 429)).get("https://a.example/")

    def test_it_waits_no_longer_than_was_agreed(self) -> None:
        time = Time()
        with pytest.raises(NotTried, match=r"takes 7 s, and --max-wait is 5"):
            transport(time, limited(429), max_wait=5).get("https://a.example/")
        assert time.waits == []


class TestPolls:
    def test_it_polls_when_the_interval_has_passed(self) -> None:
        """The server's own, and 5 seconds more for good after slow_down."""
        time, polled = Time(), []
        errors = ["authorization_pending", "slow_down", "authorization_pending", "authorization_pending"]

        def answers(request: httpx.Request) -> httpx.Response:
            if request.url.path == "/token":
                polled.append(time.now)
                return reply(400, json.dumps({"error": errors[len(polled) - 1]}).encode())
            if request.url.path.startswith("/.well-known"):
                return reply(200, json.dumps(METADATA).encode())
            return reply(200, b'{"device_code": "d", "user_code": "u", "interval": 3}')

        probe = Probe("https://a.example", transport(time, answers), Client("cli"), Commands(None, None))
        probe.discover()
        one = probe.authorization()
        for _ in errors:
            probe.poll(one)
        gaps = [later - before for before, later in itertools.pairwise(polled)]
        assert gaps == pytest.approx([3.2, 8.2, 8.2])


def test_secrets_do_not_go_without_tls_to_another_machine(kit: Kit) -> None:
    """Although the metadata, which came from this machine, sends them there."""

    def after(_: Request, told: Response) -> None:
        told.body = told.body.replace(b"http://localhost/openapi", b"http://elsewhere.example/openapi")

    changed = passing("/oauth-authorization-server", after)(kit.world.app)

    def watched(environ: dict[str, Any], start_response: Any) -> Any:
        assert environ["HTTP_HOST"] == "localhost"
        return changed(environ, start_response)

    found = kit.examine(app=watched)
    assert found["rfc8628-tls"].outcome is Outcome.FAILED
    assert found["rfc8628-form-starts"].seen == (
        "the device_authorization_endpoint is without TLS: --insecure allows http"
    )


class TestCommands:
    def test_one_is_told_codes_and_addresses(self, tmp_path: Path) -> None:
        program = (
            f"{sys.executable} -c \"import sys; open(sys.argv[1], 'w').write(repr(sys.argv[2:]))\" {tmp_path}/told"
        )
        Commands(program, None).decide(ASKED, True)
        assert (tmp_path / "told").read_text() == "['WDJB-MJHT', 'https://login.example.com/device', '']"

    @pytest.mark.parametrize("code", ["-rf", "--output=/etc/passwd", "A\x1b[2J", "A\x00"])
    def test_no_code_becomes_an_option(self, tmp_path: Path, code: str) -> None:
        with pytest.raises(NotTried, match="are not fit for the command"):
            Commands(f"touch {tmp_path}/called", None).decide(Asked(code, ASKED.verification_uri, ""), True)
        assert not (tmp_path / "called").exists()

    def test_one_who_only_approves_does_not_deny(self) -> None:
        with pytest.raises(NotTried, match="--deny-with COMMAND"):
            Commands("true", None).decide(ASKED, False)


@pytest.mark.parametrize("address", ["", "file:///etc/passwd", "http://", "http://[", "ftp://a.example/"])
def test_what_is_no_address_of_the_web_is_not_asked(address: str) -> None:
    with pytest.raises(Unreachable, match="no address"):
        transport(Time(), limited(200)).get(address)


def test_an_answer_without_end_is_cut_off() -> None:
    with pytest.raises(Unreachable, match="larger than"):
        transport(Time(), lambda _: reply(200, b"x" * (1024 * 1024 + 1))).get("https://a.example/")
