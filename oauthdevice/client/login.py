"""The two drivers of a flow: one that blocks, one for asyncio."""

import asyncio
import inspect
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx

from .errors import Cancelled
from .flow import Flow, Steps
from .messages import Fault, Pause, Pending, Reply, Request, StartedLogin, Tokens
from .metadata import ServerMetadata
from .transport import send, send_async

T = TypeVar("T")
OnPending = Callable[[Pending], object]
OnPause = Callable[[Pause], object]

TIMEOUT_SECONDS = 5.0


class DeviceLogin:
    """Signs somebody in at `issuer`, the address of a server, for the client `client_id`.

    `http` is an httpx.Client of yours, to be closed by you; `metadata` stands in for a server that publishes none.
    `sleep` and `clock` count seconds. `on_pause` is told of each wait before another try. Without `pkce` none is used,
    for a server whose metadata tells of it and whose device flow does not know it.
    Everything raises DeviceLoginError, and nothing else that comes from the network.
    """

    def __init__(
        self,
        issuer: str,
        client_id: str,
        *,
        client_secret: str | None = None,
        insecure: bool = False,
        metadata: ServerMetadata | None = None,
        http: httpx.Client | None = None,
        timeout_seconds: float = TIMEOUT_SECONDS,
        tries: int = 5,
        sleep: Callable[[float], object] | None = None,
        clock: Callable[[], float] = time.monotonic,
        on_pause: OnPause | None = None,
        pkce: bool = True,
    ) -> None:
        self._flow = Flow(issuer, client_id, clock, client_secret, insecure, tries, metadata, pkce)
        self._own_http = http is None
        self._http = http or httpx.Client()
        self._timeout_seconds = timeout_seconds
        self._cancelled = threading.Event()
        self._sleep = sleep or self._cancelled.wait
        self._on_pause = on_pause

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._flow.issuer!r}, {self._flow.client_id!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End the connections."""
        if self._own_http:
            self._http.close()

    def metadata(self) -> ServerMetadata:
        """What the server says about itself."""
        return self._run(self._flow.discover())

    def start(
        self, scope: str = "", device_label: str | None = None, extra: Mapping[str, str] | None = None
    ) -> StartedLogin:
        """The code to show and the address to open. `extra` are parameters of the server's own, as `audience`."""
        return self._run(self._flow.start(scope, device_label, extra or {}))

    def wait(self, started: StartedLogin, on_pending: OnPending | None = None) -> Tokens:
        """The tokens, once the person said yes. Raises AccessDenied, CodeExpired, Cancelled, Unreachable, Refused."""
        return self._run(self._flow.wait(started), on_pending)

    def cancel(self) -> None:
        """Make `wait` in another thread raise Cancelled, and from now on whatever would wait."""
        self._cancelled.set()

    def refresh(self, tokens: Tokens | str, scope: str = "") -> Tokens:
        """New tokens for a refresh token, which is spent by this. Raises InvalidGrant where it is no good."""
        token, scope = _to_refresh(tokens, scope)
        return self._run(self._flow.refresh(token, scope))

    def revoke(self, tokens: Tokens | str, hint: str = "access_token") -> None:
        """Give a token back (RFC 7009): of Tokens, the refresh token if there is one. Raises Unsupported."""
        self._run(self._flow.revoke(*_to_revoke(tokens, hint)))

    def call(
        self, method: str, url: str | None, access_token: str, json: Mapping[str, Any] | None = None
    ) -> Mapping[str, Any]:
        """The JSON object that an API answers to the bearer of this token; an empty one where it answers with nothing.

        `json` is what is sent. A request that is not safe to be sent twice (POST, PATCH) is sent once. Raises
        InvalidToken, Refused, Unreachable, BadAnswer, and Unsupported where `url` is None: the metadata has none.
        """
        return self._run(self._flow.call(method, url, access_token, json))

    def _run(self, steps: Steps[T], on_pending: OnPending | None = None) -> T:
        outcome: Reply | Fault | None = None
        try:
            while True:
                step = steps.send(outcome)
                outcome = None
                if isinstance(step, Request):
                    outcome = send(self._http, step, self._timeout_seconds)
                elif isinstance(step, Pause):
                    if self._on_pause is not None:
                        self._on_pause(step)
                    self._sleep(step.seconds)
                    if self._cancelled.is_set():
                        raise Cancelled
                elif on_pending is not None:
                    on_pending(step)
        except StopIteration as end:
            return end.value
        finally:
            steps.close()


class AsyncDeviceLogin:
    """As DeviceLogin, for asyncio. To cancel, cancel the task. `on_pending` may be a coroutine function."""

    def __init__(
        self,
        issuer: str,
        client_id: str,
        *,
        client_secret: str | None = None,
        insecure: bool = False,
        metadata: ServerMetadata | None = None,
        http: httpx.AsyncClient | None = None,
        timeout_seconds: float = TIMEOUT_SECONDS,
        tries: int = 5,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
        on_pause: OnPause | None = None,
        pkce: bool = True,
    ) -> None:
        self._flow = Flow(issuer, client_id, clock, client_secret, insecure, tries, metadata, pkce)
        self._own_http = http is None
        self._http = http or httpx.AsyncClient()
        self._timeout_seconds = timeout_seconds
        self._sleep = sleep
        self._on_pause = on_pause

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._flow.issuer!r}, {self._flow.client_id!r})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End the connections."""
        if self._own_http:
            await self._http.aclose()

    async def metadata(self) -> ServerMetadata:
        """As `DeviceLogin.metadata`."""
        return await self._run(self._flow.discover())

    async def start(
        self, scope: str = "", device_label: str | None = None, extra: Mapping[str, str] | None = None
    ) -> StartedLogin:
        """As `DeviceLogin.start`."""
        return await self._run(self._flow.start(scope, device_label, extra or {}))

    async def wait(self, started: StartedLogin, on_pending: OnPending | None = None) -> Tokens:
        """As `DeviceLogin.wait`."""
        return await self._run(self._flow.wait(started), on_pending)

    async def refresh(self, tokens: Tokens | str, scope: str = "") -> Tokens:
        """As `DeviceLogin.refresh`."""
        token, scope = _to_refresh(tokens, scope)
        return await self._run(self._flow.refresh(token, scope))

    async def revoke(self, tokens: Tokens | str, hint: str = "access_token") -> None:
        """As `DeviceLogin.revoke`."""
        await self._run(self._flow.revoke(*_to_revoke(tokens, hint)))

    async def call(
        self, method: str, url: str | None, access_token: str, json: Mapping[str, Any] | None = None
    ) -> Mapping[str, Any]:
        """As `DeviceLogin.call`."""
        return await self._run(self._flow.call(method, url, access_token, json))

    async def _run(self, steps: Steps[T], on_pending: OnPending | None = None) -> T:
        outcome: Reply | Fault | None = None
        try:
            while True:
                step = steps.send(outcome)
                outcome = None
                if isinstance(step, Request):
                    outcome = await send_async(self._http, step, self._timeout_seconds)
                elif isinstance(step, Pause):
                    if self._on_pause is not None:
                        self._on_pause(step)
                    await self._sleep(step.seconds)
                elif on_pending is not None:
                    told = on_pending(step)
                    if inspect.isawaitable(told):
                        await told
        except StopIteration as end:
            return end.value
        finally:
            steps.close()


def _to_refresh(tokens: Tokens | str, scope: str) -> tuple[str, str]:
    if isinstance(tokens, str):
        return tokens, scope
    if tokens.refresh_token is None:
        raise ValueError("these tokens came without a refresh token")
    return tokens.refresh_token, scope or tokens.scope


def _to_revoke(tokens: Tokens | str, hint: str) -> tuple[str, str]:
    if isinstance(tokens, str):
        return tokens, hint
    if tokens.refresh_token is not None:
        return tokens.refresh_token, "refresh_token"
    return tokens.access_token, "access_token"
