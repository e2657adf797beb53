"""Who we are to a browser: the host and the origin of `public_url`, and whether it would use passkeys there."""

import pytest

from oauthdevice.domain.relying_party import relying_party


@pytest.mark.parametrize(
    ("public_url", "id_", "origin"),
    [
        ("https://login.example.com", "login.example.com", "https://login.example.com"),
        ("https://LOGIN.example.com:443/sign-in", "login.example.com", "https://login.example.com"),
        ("https://login.example.com:8443/a/b", "login.example.com", "https://login.example.com:8443"),
        ("https://xn--bcher-kva.example", "xn--bcher-kva.example", "https://xn--bcher-kva.example"),
        ("http://localhost:6543", "localhost", "http://localhost:6543"),
        ("http://localhost:80", "localhost", "http://localhost"),
        ("http://login.localhost:443", "login.localhost", "http://login.localhost:443"),
    ],
)
def test_the_host_and_the_origin(public_url: str, id_: str, origin: str) -> None:
    us = relying_party(public_url)
    assert (us.id, us.origin, us.problem) == (id_, origin, "")


@pytest.mark.parametrize(
    ("public_url", "problem"),
    [
        ("http://login.example.com", "public_url is neither https nor localhost"),
        ("http://notlocalhost", "public_url is neither https nor localhost"),
        ("https://192.0.2.1", "the host of public_url is an IP address, not a name"),
        ("http://127.0.0.1:6543", "the host of public_url is an IP address, not a name"),
        ("https://[2001:db8::1]", "the host of public_url is an IP address, not a name"),
        ("https://b\u00fccher.example", "the host of public_url must be written as browsers send it, with xn--"),
    ],
)
def test_where_no_browser_would_use_a_passkey(public_url: str, problem: str) -> None:
    assert relying_party(public_url).problem == problem
