"""Whose word on the client's address is taken: `[filter:proxies]` of production.ini."""

from collections.abc import Callable, Iterable
from typing import Any

import pytest
from webtest import TestApp

from oauthdevice.proxies import make_filter
from oauthdevice.settings import SettingsError

ADDRESS_OF_CLIENT = "198.51.100.7"


def tell(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """A WSGI application that tells what it was told."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    names = ("REMOTE_ADDR", "wsgi.url_scheme", "HTTP_HOST", "SERVER_NAME")
    left = sorted(name for name in environ if "FORWARDED" in name)
    return [" ".join([*(str(environ[name]) for name in names), *left]).encode()]


def told(trusted: str, peer: str, **headers: str) -> list[str]:
    app = TestApp(make_filter({}, trusted=trusted)(tell), extra_environ={"REMOTE_ADDR": peer, "HTTP_HOST": "login"})
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return app.get("/", headers=given).text.split()


class TestAProxyOfOurs:
    @pytest.mark.parametrize(
        ("trusted", "peer"),
        [
            ("127.0.0.1", "127.0.0.1"),
            ("127.0.0.1 ::1", "::1"),
            ("10.1.0.0/16", "10.1.255.255"),
            ("127.0.0.1 10.1.0.0/16 fd00::/8", "fd00::2"),
            ("127.0.0.1", "::ffff:127.0.0.1"),
        ],
    )
    def test_tells_the_address_and_the_scheme(self, trusted: str, peer: str) -> None:
        answer = told(trusted, peer, X_Forwarded_For=ADDRESS_OF_CLIENT, X_Forwarded_Proto="https")
        assert answer[:2] == [ADDRESS_OF_CLIENT, "https"]

    def test_is_believed_on_what_it_adds_and_on_nothing_before(self) -> None:
        answer = told("127.0.0.1", "127.0.0.1", X_Forwarded_For=f"192.0.2.66, {ADDRESS_OF_CLIENT}")
        assert answer[0] == ADDRESS_OF_CLIENT

    def test_tells_an_address_of_ipv6(self) -> None:
        assert told("127.0.0.1", "127.0.0.1", X_Forwarded_For="2001:db8::7")[0] == "2001:db8::7"

    def test_that_tells_nothing_is_the_client(self) -> None:
        assert told("127.0.0.1", "127.0.0.1")[:2] == ["127.0.0.1", "http"]

    @pytest.mark.parametrize(
        "empty", ["", ",", f"{ADDRESS_OF_CLIENT},", '" "', '"\\ "', ":1.2", f"{ADDRESS_OF_CLIENT}, :."]
    )
    def test_that_names_nobody_is_the_client(self, empty: str) -> None:
        answer = told("127.0.0.1", "127.0.0.1", X_Forwarded_For=empty, X_Forwarded_Proto="https")
        assert answer[:2] == ["127.0.0.1", "https"]
        assert "HTTP_X_FORWARDED_FOR" not in answer

    def test_says_nothing_about_whom_was_asked_for(self) -> None:
        answer = told(
            "127.0.0.1",
            "127.0.0.1",
            X_Forwarded_Host="evil.example",
            X_Forwarded_Port="1",
            Forwarded="for=192.0.2.66;host=evil.example;proto=https",
        )
        assert answer == ["127.0.0.1", "http", "login", "localhost"]


class TestAnybodyElse:
    @pytest.mark.parametrize(
        ("trusted", "peer"),
        [
            ("", "127.0.0.1"),
            ("127.0.0.1", "127.0.0.2"),
            ("10.1.0.0/16", "10.2.0.1"),
            ("fd00::/8", "10.1.0.1"),
            ("127.0.0.1", ""),
        ],
    )
    def test_is_not_believed_and_leaves_no_trace(self, trusted: str, peer: str) -> None:
        answer = told(
            trusted,
            peer,
            X_Forwarded_For="192.0.2.66",
            X_Forwarded_Proto="https",
            X_Forwarded_Host="evil.example",
            Forwarded="for=192.0.2.66;host=evil.example;proto=https",
        )
        assert answer == [*([peer] if peer else []), "http", "login", "localhost"]


@pytest.mark.parametrize("trusted", ["localhost", "10.1.0.1/16", "127.0.0.1,::1", "*", "300.0.0.1"])
def test_what_is_no_network_stops_the_start(trusted: str) -> None:
    with pytest.raises(SettingsError, match=r"oauthdevice: \[filter:proxies\] trusted: must be addresses"):
        make_filter({}, trusted=trusted)
