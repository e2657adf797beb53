"""Clients that others wrote sign in over a real socket: authlib, and oauthlib with requests-oauthlib."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
from authlib.integrations.base_client import OAuthError
from authlib.integrations.requests_client import OAuth2Session as AuthlibSession
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata, get_well_known_url
from oauthlib.oauth2 import DeviceClient, OAuth2Error
from requests_oauthlib import OAuth2Session as OauthlibSession

from oauthdevice.domain.token_endpoint import DEVICE_GRANT

from ..conftest import WorldMaker
from ..factories import API, TOKEN, World

SECONDS = 10


@pytest.fixture(autouse=True)
def _plain_http_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server of these tests listens on the loopback interface, without TLS."""
    monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")
    monkeypatch.setenv("AUTHLIB_INSECURE_TRANSPORT", "1")


def discover(world: World, suffix: str = "oauth-authorization-server") -> AuthorizationServerMetadata:
    """From nothing but the issuer, as RFC 8414 §3 says."""
    answer = requests.get(get_well_known_url(world.settings.public_url, True, suffix), timeout=SECONDS)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("application/json")
    return AuthorizationServerMetadata(answer.json())


class Authlib:
    """authlib: its session asks and polls with the grant_type that it is told."""

    def __init__(self, world: World, client_id: str = "difyctl", **options: Any) -> None:
        self.metadata = discover(world)
        self.session = AuthlibSession(client_id, token_endpoint_auth_method="none", **options)
        self.client_id = client_id

    def start(self, **parameters: str) -> dict[str, Any]:
        answer = self.session.post(
            self.metadata["device_authorization_endpoint"],
            data={"client_id": self.client_id, **parameters},
            withhold_token=True,
            timeout=SECONDS,
        )
        answer.raise_for_status()
        return answer.json()

    def poll(self, device_code: str) -> dict[str, Any]:
        return self.session.fetch_token(
            self.metadata["token_endpoint"], grant_type=DEVICE_GRANT, device_code=device_code, timeout=SECONDS
        )

    def refusal(self, device_code: str) -> str:
        with pytest.raises(OAuthError) as raised:
            self.poll(device_code)
        assert raised.value.description
        return str(raised.value.error)


class Oauthlib:
    """oauthlib's DeviceClient in a session of requests-oauthlib; its default is HTTP Basic without a password."""

    def __init__(self, world: World, client_id: str = "difyctl", **options: Any) -> None:
        self.metadata = discover(world, "openid-configuration")
        self.session = OauthlibSession(client=DeviceClient(client_id))
        self.client_id = client_id
        self.options = options

    def start(self, **parameters: str) -> dict[str, Any]:
        answer = self.session.post(
            self.metadata["device_authorization_endpoint"],
            data={"client_id": self.client_id, **parameters},
            withhold_token=True,
            timeout=SECONDS,
        )
        answer.raise_for_status()
        return answer.json()

    def poll(self, device_code: str) -> dict[str, Any]:
        return self.session.fetch_token(
            self.metadata["token_endpoint"], device_code=device_code, timeout=SECONDS, **self.options
        )

    def refusal(self, device_code: str) -> str:
        with pytest.raises(OAuth2Error) as raised:
            self.poll(device_code)
        assert raised.value.description
        return str(raised.value.error)


class OauthlibInBody(Oauthlib):
    """The same with the client_id in the form."""

    def __init__(self, world: World, client_id: str = "difyctl") -> None:
        super().__init__(world, client_id, include_client_id=True)


Client = Authlib | Oauthlib
Connect = Callable[..., Client]


@pytest.fixture
def connect(live: World) -> Iterator[Connect]:
    """Makes clients of a library; their connections end before the server does."""
    made: list[Client] = []

    def maker(library: type[Client], *arguments: str) -> Client:
        made.append(library(live, *arguments))
        return made[-1]

    yield maker
    for client in made:
        client.session.close()


@pytest.mark.parametrize("library", [Authlib, Oauthlib, OauthlibInBody])
class TestAStockClient:
    def test_signs_in(self, live: World, connect: Connect, library: type[Client]) -> None:
        client, person = connect(library), live.person()
        started = client.start()
        assert started["verification_uri"] == f"{live.settings.public_url}/device"
        assert (started["expires_in"], started["interval"]) == (900, 5)
        assert client.refusal(started["device_code"]) == "authorization_pending"
        assert person.allow(started["user_code"]).request.path == "/device/approved"
        token = client.poll(started["device_code"])
        assert token["token_type"] == "Bearer"
        assert token["expires_in"] == 14 * 86400
        assert token["scope"] in ("full", ["full"])
        assert token["account"]["email"] == person.account.email
        answer = client.session.get(f"{live.settings.public_url}{API}/account", timeout=SECONDS)
        assert answer.status_code == 200
        assert answer.json()["account"]["id"] == person.account.id

    def test_learns_that_the_person_said_no(self, live: World, connect: Connect, library: type[Client]) -> None:
        client = connect(library)
        started = client.start()
        live.person().deny(started["user_code"])
        assert client.refusal(started["device_code"]) == "access_denied"
        assert client.refusal(started["device_code"]) == "access_denied"

    def test_learns_that_it_is_too_late(self, live: World, connect: Connect, library: type[Client]) -> None:
        client = connect(library)
        started = client.start()
        live.clock.pass_seconds(900)
        assert client.refusal(started["device_code"]) == "expired_token"

    def test_learns_that_it_polls_too_fast(self, live: World, connect: Connect, library: type[Client]) -> None:
        client = connect(library)
        started = client.start()
        assert client.refusal(started["device_code"]) == "authorization_pending"
        assert client.refusal(started["device_code"]) == "slow_down"
        live.clock.pass_seconds(10)
        assert client.refusal(started["device_code"]) == "authorization_pending"

    def test_that_keeps_the_interval_never_hears_slow_down(
        self, live: World, connect: Connect, library: type[Client]
    ) -> None:
        client = connect(library)
        started = client.start()
        for _ in range(5):
            assert client.refusal(started["device_code"]) == "authorization_pending"
            live.clock.pass_seconds(started["interval"])

    def test_learns_that_its_code_is_none(self, connect: Connect, library: type[Client]) -> None:
        assert connect(library).refusal("nonsense") == "invalid_grant"

    def test_learns_that_nobody_knows_it(self, connect: Connect, library: type[Client]) -> None:
        device_code = connect(library).start()["device_code"]
        assert connect(library, "nobody").refusal(device_code) == "invalid_client"

    def test_loses_its_answer_and_asks_again(self, live: World, connect: Connect, library: type[Client]) -> None:
        client = connect(library)
        started = client.start()
        live.person().allow(started["user_code"])
        assert (
            client.poll(started["device_code"])["access_token"] == client.poll(started["device_code"])["access_token"]
        )

    def test_asks_for_the_scopes_of_openid(self, live: World, connect: Connect, library: type[Client]) -> None:
        client = connect(library)
        started = client.start(scope="openid profile email offline_access")
        live.person().allow(started["user_code"])
        assert client.poll(started["device_code"])["scope"] in ("full", ["full"])

    def test_is_told_of_a_limit_by_its_library(self, connect: Connect, library: type[Client]) -> None:
        client = connect(library)
        for _ in range(60):
            client.start()
        with pytest.raises(requests.HTTPError) as raised:
            client.start()
        assert raised.value.response.status_code == 429
        assert 1 <= int(raised.value.response.headers["Retry-After"]) <= 3600


class TestTheMetadata:
    def test_passes_every_check_of_rfc_8414(self, live: World) -> None:
        """All that authlib knows of §2, with its own exemption for plain http."""
        discover(live).validate()

    def test_passes_them_on_the_loopback_interface_without_an_exemption(
        self, live: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        document = discover(live)
        monkeypatch.delenv("AUTHLIB_INSECURE_TRANSPORT")
        document.validate()

    def test_of_an_issuer_with_a_path_stands_where_rfc_8414_looks(self, make: WorldMaker) -> None:
        """§3.1: the path of the issuer goes behind the well-known name."""
        world = make(public_url="https://login.example.com/tenant")
        address = get_well_known_url("https://login.example.com/tenant", True)
        document = AuthorizationServerMetadata(world.browser().get(address).json)
        document.validate()
        assert document["issuer"] == "https://login.example.com/tenant"
        assert document["token_endpoint"] == f"https://login.example.com/tenant{TOKEN}"

    def test_is_found_under_both_names(self, live: World) -> None:
        document = discover(live)
        assert document == discover(live, "openid-configuration")
        assert document["issuer"] == live.settings.public_url
        assert document["grant_types_supported"] == [DEVICE_GRANT]
        assert document["token_endpoint_auth_methods_supported"] == ["none"]
        assert {"scopes_supported", "response_types_supported"} <= document.keys()
