"""Clients that others wrote introspect, revoke and refresh: authlib, and oauthlib with requests-oauthlib."""

import hashlib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import pytest
import requests
from authlib.integrations.base_client import OAuthError
from authlib.integrations.requests_client import OAuth2Session as AuthlibSession
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata
from oauthlib.oauth2 import DeviceClient, OAuth2Error
from requests.auth import HTTPBasicAuth
from requests_oauthlib import OAuth2Session as OauthlibSession

from oauthdevice.domain.token_endpoint import DEVICE_GRANT

from ..conftest import WorldMaker
from ..factories import API, World
from .test_stock_clients import SECONDS, discover

SECRET = "the agent's own secret: /long=enough/"
SECRET_IN_BASE64 = "mT9+kq/Zb0+0Qw=="
INI = f"""
[client:cli]
name = CLI
scopes = full
refresh = on
access_token_lifetime_seconds = 3600
[client:agent]
name = Agent
scopes = full
refresh = on
access_token_lifetime_seconds = 3600
secret_sha256 = {hashlib.sha256(SECRET.encode()).hexdigest()}
[client:api]
name = API
scopes = full
device_flow = off
secret_sha256 = {hashlib.sha256(SECRET.encode()).hexdigest()}
[client:api-base64]
name = API
scopes = full
device_flow = off
secret_sha256 = {hashlib.sha256(SECRET_IN_BASE64.encode()).hexdigest()}
"""


@pytest.fixture(autouse=True)
def _plain_http_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server of these tests listens on the loopback interface, without TLS."""
    monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")
    monkeypatch.setenv("AUTHLIB_INSECURE_TRANSPORT", "1")


class Authlib:
    """authlib. `method` is how the client authenticates, as the metadata names it."""

    def __init__(self, world: World, client_id: str, method: str) -> None:
        self.metadata = discover(world)
        secret = None if method == "none" else SECRET
        self.http = AuthlibSession(client_id, secret, token_endpoint_auth_method=method)

    def sign_in(self, device_code: str) -> dict[str, Any]:
        return self.http.fetch_token(
            self.metadata["token_endpoint"], grant_type=DEVICE_GRANT, device_code=device_code, timeout=SECONDS
        )

    def refresh(self, token: str, scope: str | None = None) -> dict[str, Any]:
        parameters = {"scope": scope} if scope else {}
        return self.http.refresh_token(
            self.metadata["token_endpoint"], refresh_token=token, timeout=SECONDS, **parameters
        )

    def refusal_to_refresh(self, token: str, scope: str | None = None) -> str:
        with pytest.raises(OAuthError) as raised:
            self.refresh(token, scope)
        assert raised.value.description
        return str(raised.value.error)

    def introspect(self, token: str, hint: str | None = None) -> requests.Response:
        return self.http.introspect_token(
            self.metadata["introspection_endpoint"], token=token, token_type_hint=hint, timeout=SECONDS
        )

    def revoke(self, token: str, hint: str | None = None) -> requests.Response:
        return self.http.revoke_token(
            self.metadata["revocation_endpoint"], token=token, token_type_hint=hint, timeout=SECONDS
        )


class Oauthlib:
    """oauthlib in a session of requests-oauthlib, which introspects nothing: that is a plain request."""

    def __init__(self, world: World, client_id: str, method: str) -> None:
        self.metadata = discover(world)
        self.client = DeviceClient(client_id)
        self.http = OauthlibSession(client=self.client)
        self.in_body: dict[str, str] = {"client_id": client_id}
        self.auth: HTTPBasicAuth | None = None
        if method == "client_secret_basic":
            self.in_body, self.auth = {}, HTTPBasicAuth(client_id, SECRET)
        elif method == "client_secret_post":
            self.in_body["client_secret"] = SECRET

    def sign_in(self, device_code: str) -> dict[str, Any]:
        secret = self.in_body.get("client_secret")
        return self.http.fetch_token(
            self.metadata["token_endpoint"],
            device_code=device_code,
            auth=self.auth,
            include_client_id=bool(self.in_body),
            timeout=SECONDS,
            **({"client_secret": secret} if secret else {}),
        )

    def refresh(self, token: str, scope: str | None = None) -> dict[str, Any]:
        self.http.scope = scope
        return self.http.refresh_token(
            self.metadata["token_endpoint"], refresh_token=token, auth=self.auth, timeout=SECONDS, **self.in_body
        )

    def refusal_to_refresh(self, token: str, scope: str | None = None) -> str:
        with pytest.raises(OAuth2Error) as raised:
            self.refresh(token, scope)
        assert raised.value.description
        return str(raised.value.error)

    def introspect(self, token: str, hint: str | None = None) -> requests.Response:
        form = {**self.in_body, "token": token, **({"token_type_hint": hint} if hint else {})}
        return requests.post(self.metadata["introspection_endpoint"], form, auth=self.auth, timeout=SECONDS)

    def revoke(self, token: str, hint: str | None = None) -> requests.Response:
        url, headers, body = self.client.prepare_token_revocation_request(
            self.metadata["revocation_endpoint"], token, hint or "access_token", **self.in_body
        )
        return requests.post(url, body, headers=headers, auth=self.auth, timeout=SECONDS)


Client = Authlib | Oauthlib
LIBRARIES = pytest.mark.parametrize("library", [Authlib, Oauthlib])
METHODS = pytest.mark.parametrize(
    ("client_id", "method"), [("cli", "none"), ("agent", "client_secret_basic"), ("agent", "client_secret_post")]
)


@pytest.fixture
def live(make_live: WorldMaker, tmp_path: Path) -> World:
    ini = tmp_path / "clients.ini"
    ini.write_text(INI)
    return make_live(ini_file=str(ini))


class Connect:
    """Makes clients of a library; their connections end before the server does."""

    def __init__(self, world: World, stack: ExitStack) -> None:
        self._world = world
        self._stack = stack

    def __call__(self, library: type[Client], client_id: str = "cli", method: str = "none") -> Client:
        made = library(self._world, client_id, method)
        self._stack.callback(made.http.close)
        return made


@pytest.fixture
def connect(live: World) -> Iterator[Connect]:
    with ExitStack() as stack:
        yield Connect(live, stack)


def ask(live: World, client: Client, client_id: str, method: str) -> str:
    """The device_code of an approved authorization of this client."""
    form = {"client_id": client_id, **({} if method == "none" else {"client_secret": SECRET})}
    started = requests.post(client.metadata["device_authorization_endpoint"], form, timeout=SECONDS).json()
    live.person().allow(started["user_code"])
    return str(started["device_code"])


def signed_in(live: World, client: Client, client_id: str = "cli", method: str = "none") -> dict[str, Any]:
    return client.sign_in(ask(live, client, client_id, method))


def account(live: World, token: str) -> int:
    headers = {"Authorization": f"Bearer {token}"}
    return requests.get(f"{live.settings.public_url}{API}/account", headers=headers, timeout=SECONDS).status_code


@LIBRARIES
class TestIntrospection:
    @pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
    @pytest.mark.parametrize("hint", [None, "access_token", "refresh_token"])
    def test_tells_of_both_kinds_of_token(
        self, live: World, connect: Connect, library: type[Client], method: str, hint: str | None
    ) -> None:
        token, api = signed_in(live, connect(library)), connect(library, "api", method)
        for kind in ("access_token", "refresh_token"):
            told = api.introspect(token[kind], hint)
            assert told.status_code == 200
            about = {"active": True, "client_id": "cli", "username": token["account"]["email"], "scope": "full"}
            assert about.items() <= told.json().items()
        assert api.introspect("unknown", hint).json() == {"active": False}

    def test_is_refused_to_a_public_client(self, live: World, connect: Connect, library: type[Client]) -> None:
        client = connect(library)
        told = client.introspect(signed_in(live, client)["access_token"])
        assert (told.status_code, told.json()["error"]) == (401, "invalid_client")


@LIBRARIES
@METHODS
class TestRevocation:
    @pytest.mark.parametrize("kind", ["access_token", "refresh_token"])
    def test_ends_the_session(
        self, live: World, connect: Connect, library: type[Client], client_id: str, method: str, kind: str
    ) -> None:
        client = connect(library, client_id, method)
        token = signed_in(live, client, client_id, method)
        assert account(live, token["access_token"]) == 200
        assert client.revoke(token[kind], kind).status_code == 200
        assert account(live, token["access_token"]) == 401
        api = connect(library, "api", "client_secret_basic")
        assert api.introspect(token["refresh_token"]).json() == {"active": False}
        assert client.refusal_to_refresh(token["refresh_token"]) == "invalid_grant"
        assert client.revoke(token[kind], kind).status_code == 200

    def test_of_a_foreign_token_does_nothing(
        self, live: World, connect: Connect, library: type[Client], client_id: str, method: str
    ) -> None:
        client = connect(library, client_id, method)
        token = signed_in(live, client, client_id, method)
        assert connect(library, "api", "client_secret_post").revoke(token["access_token"]).status_code == 200
        assert account(live, token["access_token"]) == 200


@LIBRARIES
@METHODS
class TestRefreshing:
    def test_rotates(self, live: World, connect: Connect, library: type[Client], client_id: str, method: str) -> None:
        client = connect(library, client_id, method)
        held = signed_in(live, client, client_id, method)
        for _ in range(3):
            live.clock.pass_seconds(3600)
            assert account(live, held["access_token"]) == 401
            answer = client.refresh(held["refresh_token"])
            assert answer["refresh_token"] != held["refresh_token"]
            assert answer["token_id"] == held["token_id"]
            assert answer["expires_in"] == 3600
            assert account(live, answer["access_token"]) == 200
            held = answer

    def test_twice_with_one_token_is_told_as_an_error_and_ends_the_session(
        self, live: World, connect: Connect, library: type[Client], client_id: str, method: str
    ) -> None:
        client = connect(library, client_id, method)
        first = dict(signed_in(live, client, client_id, method))
        second = dict(client.refresh(first["refresh_token"]))
        # What was lost on its way is given again, and no more than that.
        assert client.refresh(first["refresh_token"])["refresh_token"] == second["refresh_token"]
        live.clock.pass_seconds(31)
        assert client.refusal_to_refresh(first["refresh_token"]) == "invalid_grant"
        assert client.refusal_to_refresh(second["refresh_token"]) == "invalid_grant"
        assert account(live, second["access_token"]) == 401
        assert [one.event for one in live.services.ledger.newest(1)] == ["reuse_detected"]


@LIBRARIES
class TestARefreshIsRefused:
    def test_for_more_than_was_granted(self, live: World, connect: Connect, library: type[Client]) -> None:
        client = connect(library)
        token = signed_in(live, client)
        assert client.refusal_to_refresh(token["refresh_token"], scope="full admin") == "invalid_scope"

    def test_to_another_client(self, live: World, connect: Connect, library: type[Client]) -> None:
        token = dict(signed_in(live, connect(library)))
        other = connect(library, "agent", "client_secret_basic")
        assert other.refusal_to_refresh(token["refresh_token"]) == "invalid_grant"
        assert account(live, token["access_token"]) == 200

    def test_to_a_client_that_may_not(self, live: World, connect: Connect, library: type[Client]) -> None:
        token = dict(signed_in(live, connect(library)))
        api = connect(library, "api", "client_secret_post")
        assert api.refusal_to_refresh(token["refresh_token"]) == "unauthorized_client"


class TestAPlusSignInASecret:
    """RFC 6749 §2.3.1 encodes the credentials as in a form before HTTP Basic; neither library does."""

    def test_is_understood_as_the_standard_encodes_it(self, live: World) -> None:
        auth = HTTPBasicAuth("api-base64", quote_plus(SECRET_IN_BASE64))
        address = discover(live)["introspection_endpoint"]
        assert requests.post(address, {"token": "unknown"}, auth=auth, timeout=SECONDS).json() == {"active": False}

    def test_is_understood_as_the_libraries_send_it(self, live: World) -> None:
        address = discover(live)["introspection_endpoint"]
        session = AuthlibSession("api-base64", SECRET_IN_BASE64, token_endpoint_auth_method="client_secret_basic")
        assert session.introspect_token(address, token="unknown", timeout=SECONDS).json() == {"active": False}
        auth = HTTPBasicAuth("api-base64", SECRET_IN_BASE64)
        assert requests.post(address, {"token": "unknown"}, auth=auth, timeout=SECONDS).json() == {"active": False}


def test_the_metadata_tells_how_to(live: World) -> None:
    document: AuthorizationServerMetadata = discover(live)
    document.validate()
    assert document["grant_types_supported"] == [DEVICE_GRANT, "refresh_token"]
    methods = ["none", "client_secret_basic", "client_secret_post"]
    assert document["token_endpoint_auth_methods_supported"] == methods
    assert document["revocation_endpoint_auth_methods_supported"] == methods
    assert document["introspection_endpoint_auth_methods_supported"] == methods[1:]
