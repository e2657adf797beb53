"""One conversation with a mail server (RFC 5321).

The standard library's `smtplib`: one message at a time, blocking, in a thread of its own, is what it is for.
"""

import smtplib
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from ..domain.errors import MailRefused, MailUnavailable
from ..domain.notices import NewDeviceMail
from .letters import Letters
from .server import MailServer

TIMEOUT_SECONDS = 10


class SMTPPost:
    """See `oauthdevice.domain.ports.Post`.

    On its way to another machine a mail is encrypted, to a server with a certificate that this machine trusts.
    With `may_be_clear` it goes in clear where a server of `smtp:` offers nothing else.
    """

    def __init__(self, server: MailServer, letters: Letters, *, may_be_clear: bool) -> None:
        self._server = server
        self._letters = letters
        self._may_be_clear = may_be_clear

    def send(self, mail: NewDeviceMail) -> None:
        message = self._letters.new_device(mail)
        with self._conversation() as smtp:
            try:
                smtp.send_message(message)
            except smtplib.SMTPNotSupportedError as error:
                raise MailRefused(detail="the mail server takes no address with such letters") from error
            except (smtplib.SMTPRecipientsRefused, smtplib.SMTPSenderRefused, smtplib.SMTPDataError) as error:
                code = _code(error)
                # RFC 5321 §4.2.1: 5yz is for good, 4yz for now.
                refusal = MailRefused if code >= 500 else MailUnavailable
                raise refusal(detail=f"the mail server answers {code}") from error

    def check(self) -> str:
        with self._conversation() as smtp:
            smtp.noop()
            encrypted = isinstance(smtp.sock, ssl.SSLSocket)
        where = f"{self._server.scheme}://{self._server.host}:{self._server.port}"
        return f"{where} answers, {'encrypted' if encrypted else 'in clear'}"

    @contextmanager
    def _conversation(self) -> Iterator[smtplib.SMTP]:
        """Connected, encrypted and signed in. Raises MailUnavailable."""
        try:
            smtp = self._connect()
        except (OSError, smtplib.SMTPException) as error:
            raise MailUnavailable(detail=_words(error)) from error
        try:
            yield smtp
        except (OSError, smtplib.SMTPException) as error:
            raise MailUnavailable(detail=_words(error)) from error
        finally:
            with suppress(OSError, smtplib.SMTPException):
                smtp.quit()

    def _connect(self) -> smtplib.SMTP:
        one = self._server
        if one.scheme == "smtps":
            context = ssl.create_default_context()
            smtp: smtplib.SMTP = smtplib.SMTP_SSL(one.host, one.port, timeout=TIMEOUT_SECONDS, context=context)
        else:
            smtp = smtplib.SMTP(one.host, one.port, timeout=TIMEOUT_SECONDS)
        try:
            self._prepare(smtp)
        except BaseException:
            smtp.close()
            raise
        return smtp

    def _prepare(self, smtp: smtplib.SMTP) -> None:
        smtp.ehlo_or_helo_if_needed()
        if self._server.scheme == "smtp" and not self._server.is_here:
            if smtp.has_extn("starttls"):
                smtp.starttls(context=ssl.create_default_context())
                smtp.ehlo()
            elif not self._may_be_clear:
                raise smtplib.SMTPNotSupportedError("it offers no STARTTLS")
        if self._server.user:
            smtp.login(self._server.user, self._server.password)


def _code(error: smtplib.SMTPException) -> int:
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        # One mail has one recipient.
        return max(code for code, _ in error.recipients.values())
    return int(getattr(error, "smtp_code", 0))


def _words(error: OSError | smtplib.SMTPException) -> str:
    """What went wrong, for the log. Of an answer the code alone: its text may repeat what we sent."""
    if isinstance(error, smtplib.SMTPResponseException):
        return f"the mail server answers {error.smtp_code}"
    if isinstance(error, ssl.SSLError):
        return f"the mail server: {error.reason or 'TLS failed'}"
    if isinstance(error, smtplib.SMTPException):
        return f"the mail server: {error}"
    return f"the mail server cannot be reached: {error.strerror or type(error).__name__}"
