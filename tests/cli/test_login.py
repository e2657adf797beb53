"""`DeviceLogin` and `AsyncDeviceLogin` over httpx: what they refuse, what they keep to themselves."""

import asyncio
import inspect
import json
import logging
import threading
import traceback
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from oauthdevice.client import (
    AsyncDeviceLogin,
    BadAnswer,
    Cancelled,
    DeviceLogin,
    DeviceLoginError,
    InsecureAddress,
    InvalidGrant,
    InvalidToken,
    IssuerMismatch,
    Refused,
    ServerMetadata,
    Tokens,
    Unreachable,
    Unsupported,
)
from oauthdevice.client.transport import ANSWER_BYTES

from .event_loops import run
from .scripted import ISSUER, METADATA, PENDING, STARTED, TOKENS, Answers, answer

SERVER = ServerMetadata(f"{ISSUER}/code", f"{ISSUER}/token", f"{ISSUER}/revoke")


class Sync:
    """The blocking driver, asked as the other one is."""

    def __init__(self, answers: Answers, *arguments: Any, **options: Any) -> None:
        self.login = answers.login(*arguments, **options)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return getattr(self.login, name)


class Async:
    """The asynchronous driver, each call in a loop of its own."""

    def __init__(self, answers: Answers, *arguments: Any, **options: Any) -> None:
        self.login = answers.async_login(*arguments, **options)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self.login, name)
        if not inspect.iscoroutinefunction(method):
            return method
        return lambda *arguments, **options: run(method(*arguments, **options))


Driver = type[Sync] | type[Async]
both = pytest.mark.parametrize("driver", [Sync, Async])


@both
class TestEitherDriver:
    def test_signs_in_in_five_lines(self, driver: Driver) -> None:
        answers = Answers(answer(METADATA), answer(STARTED), answer(PENDING, 400), answer(TOKENS))
        login, told = driver(answers), []
        started = login.start(scope="full", device_label="build server")
        tokens = login.wait(started, on_pending=told.append)
        assert (started.user_code, started.verification_uri) == ("WDJB-MJHT", f"{ISSUER}/device")
        assert tokens.access_token == "the-token"
        assert [request.url.path for request in answers.requests] == [
            "/.well-known/oauth-authorization-server",
            "/code",
            "/token",
            "/token",
        ]
        assert [len(told), answers.pauses] == [1, [6, 6]]

    def test_asks_for_the_metadata_once(self, driver: Driver) -> None:
        answers = Answers(answer(METADATA), answer(TOKENS), answer(TOKENS), answer({}))
        login = driver(answers)
        tokens = login.refresh("a")
        login.refresh(tokens if tokens.refresh_token else "b")
        login.revoke(tokens)
        assert len(answers.requests) == 4

    def test_follows_no_redirect(self, driver: Driver) -> None:
        elsewhere = httpx.Response(307, headers={"Location": "https://elsewhere.example.com/"})
        answers = Answers(elsewhere)
        with pytest.raises(BadAnswer, match="307"):
            driver(answers, metadata=SERVER).start()
        assert [request.url.host for request in answers.requests] == ["login.example.com"]

    def test_reads_no_endless_answer(self, driver: Driver) -> None:
        read = 0

        def endless() -> Any:
            nonlocal read
            while True:
                read += 65536
                yield b" " * 65536

        class Stream(httpx.SyncByteStream, httpx.AsyncByteStream):
            def __iter__(self) -> Any:
                return endless()

            async def __aiter__(self) -> Any:
                for chunk in endless():
                    yield chunk

        answers = Answers(httpx.Response(200, stream=Stream()))
        with pytest.raises(Unreachable, match="larger"):
            driver(answers, metadata=SERVER).start()
        assert read <= ANSWER_BYTES + 65536

    def test_unpacks_nothing(self, driver: Driver) -> None:
        answers = Answers(answer(STARTED))
        driver(answers, metadata=SERVER).start()
        assert answers.requests[0].headers["Accept-Encoding"] == "identity"

    @pytest.mark.parametrize(
        "fault",
        [
            httpx.ConnectError("no such host"),
            httpx.ReadTimeout("slow"),
            httpx.RemoteProtocolError("gone"),
            httpx.ReadError("reset"),
            httpx.ProxyError("no"),
        ],
    )
    def test_outlives_a_fault(self, driver: Driver, fault: Exception) -> None:
        answers = Answers(fault, answer(STARTED), fault, answer(TOKENS))
        login = driver(answers, metadata=SERVER)
        assert login.wait(login.start()).access_token == "the-token"
        assert answers.pauses == [1, 6, 6]

    def test_tries_no_certificate_twice(self, driver: Driver) -> None:
        fault = httpx.ConnectError("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed")
        with pytest.raises(Unreachable, match="not trusted"):
            driver(Answers(fault), metadata=SERVER).start()

    def test_calls_an_api(self, driver: Driver) -> None:
        answers = Answers(answer({"id": 1}), answer({"error": "invalid_token"}, 401))
        login = driver(answers)
        assert login.call("GET", f"{ISSUER}/me", "the-token") == {"id": 1}
        assert answers.requests[0].headers["Authorization"] == "Bearer the-token"
        with pytest.raises(Refused):
            login.call("GET", f"{ISSUER}/me", "the-token")


@both
class TestCall:
    @pytest.mark.parametrize(
        "told", [httpx.ReadError("reset"), httpx.Response(503), httpx.Response(200, text="<html>")]
    )
    def test_is_sent_twice_only_where_that_does_nothing(self, driver: Driver, told: Any) -> None:
        for method in ("GET", "HEAD", "DELETE", "PUT", "OPTIONS", "get"):
            answers = Answers(told, answer({"id": 1}))
            assert driver(answers).call(method, f"{ISSUER}/jobs", "the-token") == {"id": 1}, method
        for method in ("POST", "PATCH", "BREW"):
            answers = Answers(told)
            with pytest.raises(Unreachable):
                driver(answers).call(method, f"{ISSUER}/jobs", "the-token", json={"name": "x"})
            assert len(answers.requests) == 1

    def test_sends_json(self, driver: Driver) -> None:
        answers = Answers(answer({"id": 1}, 201))
        assert driver(answers).call("POST", f"{ISSUER}/jobs", "the-token", json={"name": "x"}) == {"id": 1}
        (request,) = answers.requests
        assert request.headers["Content-Type"] == "application/json"
        assert json.loads(request.content) == {"name": "x"}

    @pytest.mark.parametrize("status", [200, 201, 202, 204, 205])
    def test_takes_any_success(self, driver: Driver, status: int) -> None:
        assert driver(Answers(httpx.Response(status))).call("DELETE", f"{ISSUER}/jobs/1", "the-token") == {}
        assert driver(Answers(answer({"error": None}, status))).call("GET", f"{ISSUER}/jobs/1", "t") == {"error": None}

    @pytest.mark.parametrize("told", [answer([1], 201), httpx.Response(202, text="Accepted")])
    def test_takes_nothing_but_an_object(self, driver: Driver, told: Any) -> None:
        with pytest.raises(BadAnswer, match="no JSON object"):
            driver(Answers(told)).call("POST", f"{ISSUER}/jobs", "the-token")

    def test_is_refused_without_a_body_too(self, driver: Driver) -> None:
        """RFC 6750 §3: the header says it."""
        with pytest.raises(InvalidToken):
            driver(Answers(httpx.Response(401))).call("GET", f"{ISSUER}/me", "the-token")

    def test_needs_an_address(self, driver: Driver) -> None:
        with pytest.raises(Unsupported):
            driver(Answers()).call("GET", SERVER.account_endpoint, "the-token")


class TestClientOfTheCaller:
    """An httpx client that was made for more than this."""

    def answer(self, request: httpx.Request) -> httpx.Response:
        """Read already, unlike one from the network."""
        return httpx.Response(200, json={"agent": request.headers["User-Agent"]})

    def asked(self, **options: Any) -> list[Any]:
        transport = httpx.MockTransport(self.answer)
        with DeviceLogin(ISSUER, "cli", http=httpx.Client(transport=transport, **options)) as login:
            told = login.call("GET", f"{ISSUER}/me", "the-token")["agent"]
        other = AsyncDeviceLogin(ISSUER, "cli", http=httpx.AsyncClient(transport=transport, **options))
        return [told, run(other.call("GET", f"{ISSUER}/me", "the-token"))["agent"]]

    def test_may_have_read_the_answer(self) -> None:
        assert self.asked() == ["oauthdevice", "oauthdevice"]

    def test_keeps_its_name(self) -> None:
        assert self.asked(headers={"User-Agent": "my-cli/3"}) == ["my-cli/3", "my-cli/3"]

    def test_may_not_have_read_too_much(self) -> None:
        transport = httpx.MockTransport(lambda _: httpx.Response(200, content=b" " * (ANSWER_BYTES + 1)))
        with pytest.raises(Unreachable, match="larger than"):
            DeviceLogin(ISSUER, "cli", http=httpx.Client(transport=transport)).metadata()


class TestDiscovery:
    def test_looks_where_three_standards_say(self) -> None:
        """RFC 8414 §3.1 and §5, OpenID Connect Discovery §4."""
        nowhere = [httpx.Response(404) for _ in range(3)]
        answers = Answers(*nowhere)
        with pytest.raises(Unsupported, match="no OAuth server"):
            answers.login(f"{ISSUER}/tenant").metadata()
        assert [request.url.path for request in answers.requests] == [
            "/.well-known/oauth-authorization-server/tenant",
            "/.well-known/openid-configuration/tenant",
            "/tenant/.well-known/openid-configuration",
        ]

    def test_believes_no_other_issuer(self) -> None:
        """RFC 8414 §3.3."""
        for issuer in ("https://evil.example", f"{ISSUER}/tenant", None, 7):
            with pytest.raises(IssuerMismatch):
                Answers(answer({**METADATA, "issuer": issuer})).login().metadata()

    def test_forgives_a_slash_at_the_end(self) -> None:
        assert Answers(answer(METADATA)).login(f"{ISSUER}/").metadata().token_endpoint == f"{ISSUER}/token"

    @pytest.mark.parametrize("name", ["device_authorization_endpoint", "token_endpoint", "revocation_endpoint"])
    def test_takes_no_endpoint_without_tls(self, name: str) -> None:
        with pytest.raises(InsecureAddress):
            Answers(answer({**METADATA, name: "http://login.example.com/x"})).login().metadata()

    def test_says_that_a_server_has_no_device_flow(self) -> None:
        members = {name: value for name, value in METADATA.items() if name != "device_authorization_endpoint"}
        with pytest.raises(Unsupported, match="no device flow"):
            Answers(answer(members)).login().metadata()


class TestAddresses:
    @pytest.mark.parametrize(
        "issuer",
        ["http://login.example.com", "http://10.0.0.1", "ftp://x", "login.example.com", "https://", "https://a b",
         "http://localhost.example.com", "https://user:pw@login.example.com", "https://x:port", "https://\u0131.example"],
    )  # fmt: skip
    def test_that_are_not_safe_are_not_asked(self, issuer: str) -> None:
        answers = Answers()
        with pytest.raises(InsecureAddress):
            answers.login(issuer).start()
        assert answers.requests == []

    @pytest.mark.parametrize("host", ["localhost", "localhost:6543", "127.0.0.1:1", "[::1]:1", "a.localhost"])
    def test_of_this_machine_need_no_tls(self, host: str) -> None:
        """RFC 8252 §8.3."""
        url = f"http://{host}"
        members = {"issuer": url, "device_authorization_endpoint": f"{url}/c", "token_endpoint": f"{url}/t"}
        assert Answers(answer(members)).login(url).metadata().token_endpoint == f"{url}/t"

    def test_need_no_tls_where_somebody_says_so(self) -> None:
        answers = Answers(answer({name: value.replace("https:", "http:") for name, value in METADATA.items()}))
        answers.login("http://login.example.com", insecure=True).metadata()


class TestSecrets:
    """Whatever is printed or raised holds none."""

    SECRETS = ("the-device-code", "the-token", "the-refresh-token", "client-secret")

    def test_are_in_no_repr(self) -> None:
        answers = Answers(answer(STARTED), answer({**TOKENS, "refresh_token": "the-refresh-token"}))
        login = answers.login(metadata=SERVER, client_secret="client-secret")
        started = login.start()
        tokens = login.wait(started)
        for printed in map(repr, (login, started, tokens, login._flow, login.metadata())):
            assert not any(secret in printed for secret in self.SECRETS)

    @pytest.mark.parametrize(
        "outcome",
        [
            httpx.ConnectError("the-refresh-token"),
            httpx.Response(400, text="the-refresh-token"),
            httpx.Response(200, text="the-refresh-token"),
            httpx.Response(500, json={"error": "the-refresh-token"}),
            answer({"error": "invalid_grant"}, 400),
            answer({"access_token": "the-token", "token_type": "the-token"}),
            answer({"access_token": "the-token with a space"}),
        ],
    )
    def test_are_in_no_error(self, outcome: Any, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG)
        answers = Answers(*[outcome] * 5)
        login = answers.login(metadata=SERVER, client_secret="client-secret")
        with pytest.raises(DeviceLoginError) as raised:
            login.refresh("the-refresh-token")
        printed = "".join(traceback.format_exception(raised.value)) + repr(raised.value) + caplog.text
        lines = [line for line in printed.splitlines() if "login.refresh(" not in line]
        assert not any(secret in "\n".join(lines) for secret in self.SECRETS)

    def test_are_in_no_line_of_the_log_and_request_ids_are(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG, "oauthdevice.client")
        answers = Answers(answer(STARTED, **{"X-Request-ID": "r-17"}), answer(TOKENS))
        login = answers.login(metadata=SERVER, client_secret="client-secret")
        login.wait(login.start())
        assert "POST https://login.example.com/code: 200 request id 'r-17'" in caplog.text
        assert not any(secret in caplog.text for secret in self.SECRETS)


class TestCancelling:
    def test_ends_the_wait_of_another_thread(self) -> None:
        login = Answers(*[answer(PENDING, 400)] * 3).login(metadata=SERVER)
        login._sleep = login._cancelled.wait
        waiting = threading.Event()
        started = Answers(answer(STARTED)).login(metadata=SERVER).start()

        def cancel() -> None:
            waiting.wait(5)
            login.cancel()

        thread = threading.Thread(target=cancel)
        thread.start()
        login._on_pause = lambda _: waiting.set()
        with pytest.raises(Cancelled):
            login.wait(started)
        thread.join()

    def test_that_comes_before_the_wait_is_not_forgotten(self) -> None:
        login = Answers(answer(TOKENS)).login(metadata=SERVER)
        login.cancel()
        with pytest.raises(Cancelled):
            login.wait(Answers(answer(STARTED)).login(metadata=SERVER).start())

    def test_of_a_task_cancels_the_asynchronous_one(self) -> None:
        async def story() -> None:
            login = Answers(answer(STARTED)).async_login(metadata=SERVER)
            login._sleep = asyncio.sleep
            task = asyncio.create_task(login.wait(await login.start()))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        run(story())

    def test_a_coroutine_is_told_of_pending(self) -> None:
        async def story() -> list[float]:
            told: list[float] = []

            async def on_pending(pending: Any) -> None:
                told.append(pending.interval)

            answers = Answers(answer(STARTED), answer(PENDING, 400), answer(TOKENS))
            async with answers.async_login(metadata=SERVER) as login:
                await login.wait(await login.start(), on_pending)
            return told

        assert run(story()) == [5]


class TestTokens:
    def test_without_a_refresh_token_cannot_be_refreshed(self) -> None:
        with pytest.raises(ValueError, match="without a refresh token"):
            Answers().login().refresh(Tokens("a", "Bearer", "", None))

    def test_a_refresh_token_that_is_no_good_says_so(self) -> None:
        with pytest.raises(InvalidGrant):
            Answers(answer({"error": "invalid_grant"}, 400)).login(metadata=SERVER).refresh("x")

    def test_of_unknown_age_expire_never(self) -> None:
        assert not Tokens("a", "Bearer", "", None).expires_within(1e6)
