"""HTTP as the checks need it: exact bytes, no redirects of its own, patience with a server that limits requests."""

import time
from collections.abc import Callable, Iterable
from urllib.parse import urlencode

import httpx

from .addresses import joined, parts_of
from .answers import Answer
from .requirements import NotTried

Pairs = Iterable[tuple[str, str]]
ANSWER_BYTES = 1024 * 1024
REDIRECTS_MAX = 8


class Unreachable(Exception):
    """No answer at all; the message is why, without what was sent."""


class Transport:
    """One connection pool, and how long to wait.

    `sleep` and `now` are in seconds, `now` since 1970; tests put a clock of theirs in their place.
    `max_wait_seconds` bounds every single wait.
    """

    def __init__(
        self,
        http: httpx.Client,
        max_wait_seconds: float,
        sleep: Callable[[float], None] = time.sleep,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._http = http
        self.max_wait_seconds = max_wait_seconds
        self._sleep = sleep
        self.now = now

    def wait(self, seconds: float, what: str) -> None:
        """Raises NotTried where that is longer than anybody agreed to."""
        if seconds > self.max_wait_seconds:
            raise NotTried(f"{what} takes {seconds:.0f} s, and --max-wait is {self.max_wait_seconds:.0f}")
        if seconds > 0:
            self._sleep(seconds)

    def get(self, url: str, headers: Pairs = (), *, limited: bool = False) -> Answer:
        """Redirects are answers."""
        return self._patiently("GET", url, list(headers), None, limited)

    def browse(self, url: str) -> Answer:
        """The page that a browser without cookies ends at."""
        self._http.cookies.clear()
        answer = self.get(url, [("accept", "text/html")])
        for _ in range(REDIRECTS_MAX):
            target = answer.header("location")
            if answer.status not in (301, 302, 303, 307, 308) or not target:
                break
            answer = self.get(joined(answer.url, target), [("accept", "text/html")])
        return answer

    def post(self, url: str, form: Pairs, headers: Pairs = (), *, limited: bool = False) -> Answer:
        """A form, parameter for parameter as given, repeated ones too. With `limited`, 429 is an answer."""
        body = urlencode(list(form)).encode()
        sent = [("content-type", "application/x-www-form-urlencoded"), *headers]
        return self._patiently("POST", url, sent, body, limited)

    def _patiently(self, method: str, url: str, headers: Pairs, body: bytes | None, limited: bool) -> Answer:
        answer = self._send(method, url, headers, body)
        if answer.status != 429 or limited:
            return answer
        told = answer.header("retry-after")
        self.wait(float(told[:6]) if told.isascii() and told.isdigit() else 60, "the limit of requests (429)")
        answer = self._send(method, url, headers, body)
        if answer.status == 429:
            raise NotTried("the server limits requests (429) for longer than it says")
        return answer

    def _send(self, method: str, url: str, headers: Pairs, body: bytes | None) -> Answer:
        if parts_of(url).scheme not in ("https", "http") or not parts_of(url).hostname:
            raise Unreachable("this is no address")
        # A compressed answer might unpack to anything.
        asked = [("accept-encoding", "identity"), ("user-agent", "oauthdevice-conformance"), *headers]
        if not any(name == "accept" for name, _ in asked):
            asked.append(("accept", "application/json"))
        try:
            with self._http.stream(method, url, headers=asked, content=body, follow_redirects=False) as response:
                received = bytearray()
                for chunk in response.iter_raw():
                    received += chunk
                    if len(received) > ANSWER_BYTES:
                        raise Unreachable(f"the answer is larger than {ANSWER_BYTES} bytes")
        except httpx.TimeoutException as error:
            raise Unreachable("no answer in time") from error
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise Unreachable("this is no address") from error
        except httpx.HTTPError as error:
            # Its message may hold what was sent, or be empty.
            raise Unreachable(_reason(error)) from error
        pairs = tuple((name.lower(), value) for name, value in response.headers.multi_items())
        return Answer(url, response.status_code, pairs, bytes(received))


def _reason(error: httpx.HTTPError) -> str:
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return "the certificate of the server is not trusted"
    return "no connection" if isinstance(error, httpx.ConnectError) else "the connection broke off"
