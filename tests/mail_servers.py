"""A real mail server of the tests' own, which keeps what it takes; with TLS and users where a test wants them."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from .certificates import self_signed
from .ports import free_port

USER, PASSWORD = "oauth device", "p@ss/word"


class Mailbox:
    """What a mail server took. `answer` is told instead, where a test sets one."""

    def __init__(self) -> None:
        self.messages: list[EmailMessage] = []
        self.envelopes: list[Envelope] = []
        self.answer = ""

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802  # aiosmtpd asks
        if self.answer:
            return self.answer
        self.messages.append(message_from_bytes(envelope.original_content or b"", policy=policy.default))
        self.envelopes.append(envelope)
        return "250 OK"

    @property
    def texts(self) -> list[str]:
        return [str(message.get_content()) for message in self.messages]


class MailServer:
    """A server on a port of its own, which a test may stop and start again."""

    def __init__(self, **options: Any) -> None:
        self.mailbox = Mailbox()
        self.port = free_port()
        self._options = options
        self._controller: Controller | None = None

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.port}"

    def start(self) -> None:
        self._controller = Controller(self.mailbox, hostname="127.0.0.1", port=self.port, **self._options)
        self._controller.start()

    def stop(self) -> None:
        if self._controller is not None:
            controller, self._controller = self._controller, None
            controller.stop()


@contextmanager
def running_mail_server(**options: Any) -> Iterator[MailServer]:
    """`options` are those of aiosmtpd."""
    server = MailServer(**options)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def only_this_user(
    _server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, given: LoginPassword
) -> AuthResult:
    """What aiosmtpd asks about a sign-in."""
    # Not handled: it is to tell the refusal itself.
    return AuthResult(success=given == LoginPassword(USER.encode(), PASSWORD.encode()), handled=False)


def made_certificate(folder: Path, host: str) -> tuple[Path, ssl.SSLContext]:
    """A certificate of `host` that signs itself, as a file to trust, and the context of a server that shows it."""
    certificate, key = self_signed(host)
    trusted, secret = folder / "certificate.pem", folder / "key.pem"
    trusted.write_bytes(certificate)
    secret.write_bytes(key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(trusted, secret)
    return trusted, context
