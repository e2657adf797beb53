"""How a client proves who it is."""

import hashlib

import pytest
from argon2 import PasswordHasher

from oauthdevice.domain.clients import Client, ClientCredentials, Clients
from oauthdevice.domain.errors import InvalidClient
from oauthdevice.domain.rate_limits import RateLimits

SECRET = "of the printer"


def client(client_id: str, secret: str | None = None) -> Client:
    return Client(
        client_id=client_id,
        name=client_id.title(),
        scopes=frozenset({"full"}),
        device_code_lifetime_seconds=900,
        interval_seconds=5,
        access_token_lifetime_seconds=3600,
        refresh_token_lifetime_seconds=86400,
        secret_sha256=hashlib.sha256(secret.encode()).hexdigest() if secret is not None else None,
    )


# Off: what is limited is told in tests/functional/test_limits.py.
UNLIMITED = RateLimits(None, {"login_address": None}, None, None, None)  # type: ignore[arg-type]  # none is asked
PUBLIC, CONFIDENTIAL = client("tool"), client("printer", SECRET)
CLIENTS = Clients({"tool": PUBLIC, "printer": CONFIDENTIAL}, PasswordHasher(), UNLIMITED)


class TestClients:
    def test_a_declared_client_is_found_by_its_id(self) -> None:
        assert CLIENTS.get("tool") == PUBLIC

    @pytest.mark.parametrize("client_id", ["", "Tool", "tool ", "other"])
    def test_any_other_id_is_nobodys(self, client_id: str) -> None:
        assert CLIENTS.get(client_id) is None
        with pytest.raises(InvalidClient):
            CLIENTS.authenticate(ClientCredentials(client_id))

    def test_a_public_client_names_itself(self) -> None:
        assert CLIENTS.authenticate(ClientCredentials("tool")) == PUBLIC

    @pytest.mark.parametrize("secret", ["", "x", SECRET])
    def test_a_public_client_brings_no_secret(self, secret: str) -> None:
        with pytest.raises(InvalidClient):
            CLIENTS.authenticate(ClientCredentials("tool", secret))

    def test_a_confidential_client_brings_its_own(self) -> None:
        assert CLIENTS.authenticate(ClientCredentials("printer", SECRET)) == CONFIDENTIAL

    @pytest.mark.parametrize("secret", [None, "", "x", SECRET + " ", SECRET.upper(), "\u00e9\u2028"])
    def test_no_other_secret_will_do(self, secret: str | None) -> None:
        with pytest.raises(InvalidClient):
            CLIENTS.authenticate(ClientCredentials("printer", secret))

    def test_the_digest_is_not_the_secret(self) -> None:
        with pytest.raises(InvalidClient):
            CLIENTS.authenticate(ClientCredentials("printer", CONFIDENTIAL.secret_sha256))

    def test_an_unknown_client_and_a_wrong_secret_are_told_alike(self) -> None:
        told = []
        for credentials in (ClientCredentials("other"), ClientCredentials("printer", "wrong")):
            with pytest.raises(InvalidClient) as raised:
                CLIENTS.authenticate(credentials)
            told.append(raised.value.description)
        assert told[0] == told[1]
