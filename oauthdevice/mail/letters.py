"""What a mail says, in the language of who reads it: a template whose first line is the subject."""

import re
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from functools import cache
from urllib.parse import urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from ..assets import folder
from ..domain.errors import MailRefused
from ..domain.notices import NewDeviceMail
from ..domain.undo import UNDO_DAYS
from ..languages import ALL, FILTERS, SOURCE, catalogue

# What makes a mail program take a word for an address that can be clicked.
_LINKING = re.compile(r"(?<=[.:/@])(?=\S)")
_WORD_JOINER = "\N{WORD JOINER}"


class Letters:
    """Writes the mails of the server at `public_url`, which come from the address `sender` under the name `brand`."""

    def __init__(self, public_url: str, sender: str, brand: str) -> None:
        self._public_url = public_url
        self._sender = sender
        self._brand = brand

    def new_device(self, mail: NewDeviceMail) -> EmailMessage:
        """Raises MailRefused for a recipient that cannot stand in a header."""
        language = mail.language if mail.language and mail.language in ALL else SOURCE
        text = (
            _environment(language)
            .get_template("mail_new_device.txt.jinja2")
            .render(
                locale_name=language,
                mail=mail,
                device=mail.device,
                undo_url=f"{self._public_url}/devices/undo?{urlencode({'token': mail.undo})}",
                undo_days=UNDO_DAYS,
                public_url=self._public_url,
            )
        )
        subject, _, body = text.strip().partition("\n")
        message = EmailMessage()
        message["Subject"] = one_line(subject)
        message["From"] = _address(self._sender, self._brand)
        message["To"] = _address(mail.to)
        message["Date"] = formatdate()
        message["Message-ID"] = make_msgid(domain=self._sender.rpartition("@")[2])
        # RFC 3834 §5: no machine is to answer, not even one that is out of office.
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(body.strip() + "\n")
        message["Content-Language"] = ALL[language].tag
        return message


def one_line(text: str) -> str:
    """Text of others as it may stand in a line of ours: what is not printable becomes a space."""
    return "".join(symbol if symbol.isprintable() else " " for symbol in text)


def unlinked(text: str) -> str:
    """As `one_line`, and no mail program makes a link of it: a stranger may have written it for that."""
    return _LINKING.sub(_WORD_JOINER, one_line(text))


def _address(text: str, name: str = "") -> Address:
    user, _, domain = text.rpartition("@")
    if not user or not domain or not text.isprintable():
        raise MailRefused(detail="the address of the recipient is malformed")
    # Taken apart here: the parser of the standard library takes no letters beyond ASCII.
    return Address(name, user, domain)


@cache
def _environment(locale_name: str) -> Environment:
    environment = Environment(
        loader=FileSystemLoader(folder("templates")),
        # Of HTML alone: the mails are plain text.
        autoescape=select_autoescape(["html.jinja2"]),
        extensions=["jinja2.ext.i18n"],
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(FILTERS, one_line=one_line, unlinked=unlinked)
    environment.install_gettext_translations(catalogue(locale_name))  # type: ignore[attr-defined]  # of the extension
    return environment
