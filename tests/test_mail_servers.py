"""How a mail server is spoken to: encrypted, with a certificate that is checked, and signed in where it asks."""

import socket
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import pytest

from oauthdevice.domain.devices import Device
from oauthdevice.domain.errors import MailRefused, MailUnavailable
from oauthdevice.domain.notices import NewDeviceMail
from oauthdevice.domain.sessions import Session
from oauthdevice.domain.subjects import AccountSubject
from oauthdevice.mail.letters import Letters
from oauthdevice.mail.server import MailServer as Address
from oauthdevice.mail.server import parse_mail_server
from oauthdevice.mail.smtp import SMTPPost

from .mail_servers import PASSWORD, USER, MailServer, made_certificate, only_this_user, running_mail_server

HOST = "mail.example.com"
NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
SESSION = Session(
    id="one",
    subject=AccountSubject("ada"),
    account=None,
    client_id="tool",
    label="laptop",
    scopes=frozenset({"full"}),
    prefix="dfoa_",
    created_at=NOW,
    last_used_at=None,
    expires_at=NOW + timedelta(days=14),
    address="192.0.2.7",
)
DEVICE = Device(
    session=SESSION,
    client_name="Tool",
    scopes=(),
    age=timedelta(hours=1),
    idle=None,
    same_network=False,
    place=None,
)
MAIL = NewDeviceMail(to="ada@example.com", device=DEVICE, undo="a-token", language=None)


LETTERS = Letters("https://login.example.com", "us@example.com", "Example")


def post_to(url: str, *, may_be_clear: bool = False) -> SMTPPost:
    return SMTPPost(
        parse_mail_server(url),
        LETTERS,
        may_be_clear=may_be_clear,
    )


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """The name of another machine, which leads here."""
    ask = socket.getaddrinfo

    def answer(host: str, *rest: object, **options: object) -> object:
        return ask("127.0.0.1" if host == HOST else host, *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", answer)


def problem(call: Callable[[], object]) -> str:
    with pytest.raises(MailUnavailable) as raised:
        call()
    return raised.value.detail


@pytest.mark.usefixtures("elsewhere")
class TestOnAnotherMachine:
    def test_it_is_encrypted_and_signed_in(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        trusted, context = made_certificate(tmp_path, HOST)
        monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
        options = {"tls_context": context, "require_starttls": True, "auth_required": True}
        with running_mail_server(**options, authenticator=only_this_user) as server:
            post = post_to(f"smtp://{quote(USER)}:{quote(PASSWORD, safe='')}@{HOST}:{server.port}")
            assert post.check() == f"smtp://{HOST}:{server.port} answers, encrypted"
            post.send(MAIL)
            assert [message["To"] for message in server.mailbox.messages] == ["ada@example.com"]
            wrong = post_to(f"smtp://{quote(USER)}:wrong@{HOST}:{server.port}")
            for call in (wrong.check, lambda: wrong.send(MAIL)):
                assert problem(call) == "the mail server answers 535"

    def test_tls_from_the_first_byte(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        trusted, context = made_certificate(tmp_path, HOST)
        monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
        with running_mail_server(ssl_context=context) as server:
            post = post_to(f"smtps://{HOST}:{server.port}")
            assert post.check() == f"smtps://{HOST}:{server.port} answers, encrypted"
            post.send(MAIL)
            assert len(server.mailbox.messages) == 1

    @pytest.mark.parametrize("may_be_clear", [False, True])
    def test_a_certificate_that_is_not_trusted_ends_it(self, tmp_path: Path, may_be_clear: bool) -> None:
        _, context = made_certificate(tmp_path, HOST)
        with running_mail_server(tls_context=context) as server:
            post = post_to(f"smtp://{HOST}:{server.port}", may_be_clear=may_be_clear)
            assert problem(lambda: post.send(MAIL)) == "the mail server: CERTIFICATE_VERIFY_FAILED"
            assert server.mailbox.messages == []

    def test_a_certificate_of_another_name_ends_it(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        trusted, context = made_certificate(tmp_path, "other.example.com")
        monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
        with running_mail_server(tls_context=context) as server:
            assert "CERTIFICATE_VERIFY_FAILED" in problem(post_to(f"smtp://{HOST}:{server.port}").check)

    def test_one_that_offers_no_encryption_gets_no_mail(self) -> None:
        with running_mail_server() as server:
            post = post_to(f"smtp://{HOST}:{server.port}")
            assert problem(lambda: post.send(MAIL)) == "the mail server: it offers no STARTTLS"
            assert server.mailbox.messages == []

    def test_but_in_development_it_does(self) -> None:
        with running_mail_server() as server:
            post = post_to(f"smtp://{HOST}:{server.port}", may_be_clear=True)
            assert post.check() == f"smtp://{HOST}:{server.port} answers, in clear"
            post.send(MAIL)
            assert len(server.mailbox.messages) == 1


class TestOnThisMachine:
    @pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
    def test_it_may_be_in_clear(self, host: str) -> None:
        with running_mail_server() as server:
            post = post_to(f"smtp://{host}:{server.port}")
            post.send(MAIL)
            assert len(server.mailbox.messages) == 1

    def test_its_certificate_does_not_matter(self, tmp_path: Path) -> None:
        _, context = made_certificate(tmp_path, "localhost")
        with running_mail_server(tls_context=context) as server:
            post_to(f"smtp://localhost:{server.port}").send(MAIL)
            assert len(server.mailbox.messages) == 1


class TestWhatItDoesNotTake:
    def test_nobody_there(self) -> None:
        server = MailServer()
        assert problem(post_to(server.url).check) == "the mail server cannot be reached: Connection refused"

    def test_one_that_hangs_up(self) -> None:
        with running_mail_server() as server:
            server.mailbox.answer = "421 going away"
            assert problem(lambda: post_to(server.url).send(MAIL)) == "the mail server answers 421"

    def test_an_address_with_letters_that_it_does_not_know(self) -> None:
        with running_mail_server(enable_SMTPUTF8=False) as server, pytest.raises(MailRefused, match="such letters"):
            post_to(server.url).send(replace(MAIL, to="jürgen@example.com"))

    def test_such_an_address_where_it_does(self) -> None:
        with running_mail_server(enable_SMTPUTF8=True) as server:
            post_to(server.url).send(replace(MAIL, to="jürgen@example.com"))
            assert server.mailbox.envelopes[0].rcpt_tos == ["jürgen@example.com"]

    @pytest.mark.parametrize("to", ["", "ada", "ada@example.com\nBcc: eve@example.com", "@", "a@"])
    def test_an_address_that_is_none(self, to: str) -> None:
        with running_mail_server() as server, pytest.raises(MailRefused):
            post_to(server.url).send(replace(MAIL, to=to))
        assert server.mailbox.messages == []


class TestTheLetter:
    @pytest.mark.parametrize("client_name", ["Tool\r\nBcc: eve@example.com", "Tool\x00", "T\N{LINE SEPARATOR}ool"])
    def test_what_others_wrote_adds_no_line(self, client_name: str) -> None:
        plain = LETTERS.new_device(replace(MAIL, device=replace(DEVICE, client_name="Tool")))
        session = replace(SESSION, label="lap\ntop\r\nhttps://evil.example")
        bent = LETTERS.new_device(replace(MAIL, device=replace(DEVICE, client_name=client_name, session=session)))
        assert bent.keys() == plain.keys()
        assert len(bent.get_content().splitlines()) == len(plain.get_content().splitlines())

    @pytest.mark.parametrize("brand", ["Example", "Beispiel & Söhne", 'A "B" <c@evil.example>, d'])
    def test_comes_under_the_name_of_the_operator(self, brand: str) -> None:
        message = Letters("https://login.example.com", "us@example.com", brand).new_device(MAIL)
        (sender,) = message["From"].addresses
        assert (sender.display_name, sender.addr_spec) == (brand, "us@example.com")

    @pytest.mark.parametrize("language", ["ar", "de", "es", "fr", "ja", "zh_Hans"])
    def test_is_written_in_every_language(self, language: str) -> None:
        message = LETTERS.new_device(replace(MAIL, language=language))
        assert message["Content-Language"] == language.replace("_", "-")
        assert "https://login.example.com/devices/undo?token=a-token" in message.get_content()
        assert message["Subject"]

    @pytest.mark.parametrize("language", [None, "xx", ""])
    def test_is_in_english_where_the_language_is_none_of_ours(self, language: str | None) -> None:
        message = LETTERS.new_device(replace(MAIL, language=language))
        assert message["Content-Language"] == "en"


class TestAnAddress:
    @pytest.mark.parametrize(
        ("text", "address"),
        [
            ("smtp://mail.example.com", Address("smtp", "mail.example.com", 587)),
            ("smtps://mail.example.com", Address("smtps", "mail.example.com", 465)),
            ("smtp://[::1]:25", Address("smtp", "::1", 25)),
            ("smtp://a%40b:c%2Fd@mail.example.com:2525", Address("smtp", "mail.example.com", 2525, "a@b", "c/d")),
        ],
    )
    def test_is_read(self, text: str, address: Address) -> None:
        assert parse_mail_server(text) == address

    @pytest.mark.parametrize(
        ("host", "here"),
        [
            ("localhost", True),
            ("127.0.0.1", True),
            ("127.9.9.9", True),
            ("::1", True),
            ("192.0.2.1", False),
            (HOST, False),
        ],
    )
    def test_is_here_or_elsewhere(self, host: str, here: bool) -> None:
        assert Address("smtp", host, 25).is_here is here

    def test_does_not_show_its_password(self) -> None:
        assert "secret" not in repr(parse_mail_server("smtp://me:secret@mail.example.com"))
