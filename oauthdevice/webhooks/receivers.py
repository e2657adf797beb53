"""One POST to a receiver, bounded in time, following no redirect."""

from ..domain.webhooks import Reply


class HTTPReceivers:
    """See `oauthdevice.domain.webhooks.Receivers`."""

    def __init__(self, timeout_seconds: int) -> None:
        self._timeout_seconds = timeout_seconds

    def post(self, url: str, headers: dict[str, str], body: bytes) -> Reply:
        # Imported here: a server only writes down what is to be delivered, and requests costs megabytes.
        import requests  # noqa: PLC0415

        told = {**headers, "user-agent": "oauthdevice"}
        try:
            # The status says it all: what else is in the answer stays unread, however long it is.
            with requests.post(
                url, data=body, headers=told, timeout=self._timeout_seconds, allow_redirects=False, stream=True
            ) as answer:
                return Reply(answer.status_code, retry_after_seconds=_seconds(answer.headers.get("retry-after", "")))
        except requests.RequestException as error:
            # Not its text, which may quote the address.
            return Reply(None, type(error).__name__)


def _seconds(text: str) -> int:
    """Retry-After in seconds (RFC 9110 section 10.2.3); 0 for a date, which is rare, and for nonsense."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else 0
