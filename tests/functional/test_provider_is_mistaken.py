"""Answers that pass for those of another provider or of another sign-in, and addresses that are none."""

from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from oauthdevice.identity_providers.documents import is_address

from ..conftest import WorldMaker
from ..factories import SSO_COMPLETE, SSO_INITIATE, Stranger, World
from ..scripted_providers import CLIENT_ID, CLIENT_SECRET, ScriptedProvider
from .test_provider_lies import assert_honest_taken, assert_lie_refused, comes_back
from .test_stranger_is_attacked import VERIFIED, assert_refused


@pytest.fixture
def user_code(corp: World) -> str:
    return corp.device().ask().user_code


class TestASignIn:
    def test_is_bound_to_a_challenge_of_its_own(self, corp: World, user_code: str) -> None:
        """RFC 7636 §4: S256, and another one each time."""
        sent = [
            {name: values[0] for name, values in parse_qs(urlsplit(Stranger(corp).leave(user_code)).query).items()}
            for _ in range(3)
        ]
        for name in ("code_challenge", "state", "nonce"):
            assert len({one[name] for one in sent}) == 3
            assert all(len(one[name]) == 43 for one in sent)
        fixed = {
            "response_type": "code",
            "client_id": CLIENT_ID,
            "redirect_uri": f"http://localhost{SSO_COMPLETE}",
            "scope": "openid email",
            "code_challenge_method": "S256",
        }
        for one in sent:
            assert {**one, **fixed} == one
            assert one.keys() == {*fixed, "code_challenge", "state", "nonce"}
            assert CLIENT_SECRET not in one.values()

    def test_refuses_the_code_of_another(self, corp: World, provider: ScriptedProvider, user_code: str) -> None:
        ada, eve = Stranger(corp), Stranger(corp)
        stolen = parse_qs(urlsplit(provider.sign_in(ada.leave(user_code))).query)["code"][0]
        answer = eve.come_back(provider.sign_in(eve.leave(corp.device().ask().user_code), code=stolen))
        assert_refused(answer)
        # By the provider, before there was an ID token to look at.
        assert provider.paths[-1] == "/token"


class TestTheIssuerOfAnAnswer:
    """RFC 9207 §2.4, RFC 9700 §4.4: an answer of one provider must not pass for that of another."""

    def world(self, make: WorldMaker, folder: Path, **providers: str) -> World:
        """One that knows these providers: NAME=URL, and after a space more of its section."""
        sections = []
        for name, told in providers.items():
            url, _, more = told.partition(" ")
            sections.append(
                f"[sso:{name}]\nissuer = {url}\nclient_id = {CLIENT_ID}\nclient_secret = {CLIENT_SECRET}\n{more}\n"
            )
        path = folder / "many.ini"
        path.write_text("".join(sections), "utf-8")
        return make(edition="enterprise", ini_file=str(path))

    @pytest.mark.parametrize("issuer", [None, "", "https://other.example", "/", "x" * 900])
    def test_must_be_told_where_it_is_promised(
        self, corp: World, provider: ScriptedProvider, user_code: str, issuer: str | None
    ) -> None:
        assert_lie_refused(corp, provider, user_code, iss=provider.url + "/" if issuer == "/" else issuer)
        assert "/token" not in provider.paths
        assert_honest_taken(corp, provider, user_code)

    def test_may_be_missing_where_there_is_one_provider(
        self, corp: World, provider: ScriptedProvider, user_code: str
    ) -> None:
        provider.metadata["authorization_response_iss_parameter_supported"] = None
        assert comes_back(corp, provider, user_code, iss=None).headers["Location"] == VERIFIED
        assert_refused(comes_back(corp, provider, user_code, iss="https://other.example"))

    def test_must_be_told_where_two_share_a_callback(
        self, make: WorldMaker, tmp_path: Path, provider: ScriptedProvider
    ) -> None:
        provider.metadata["authorization_response_iss_parameter_supported"] = None
        world = self.world(make, tmp_path, corp=provider.url, other="http://127.0.0.1:1")
        user_code = world.device().ask().user_code
        assert (
            world.browser().get(SSO_INITIATE, {"user_code": user_code}, status=400).json["error"] == "invalid_request"
        )
        for issuer, taken in ((None, False), ("http://127.0.0.1:1", False), (provider.url, True)):
            ada = Stranger(world)
            answer = ada.come_back(provider.sign_in(ada.leave(user_code, provider="corp"), iss=issuer))
            assert (answer.headers["Location"] == VERIFIED) is taken

    def test_may_be_missing_at_a_callback_of_its_own(
        self, make: WorldMaker, tmp_path: Path, provider: ScriptedProvider
    ) -> None:
        provider.metadata["authorization_response_iss_parameter_supported"] = None
        own, other = f"{provider.url} own_callback = on", "http://127.0.0.1:1 own_callback = on"
        world = self.world(make, tmp_path, corp=own, other=other, third="http://127.0.0.1:2")
        user_code = world.device().ask().user_code
        for wrong in (f"{SSO_COMPLETE}/other", SSO_COMPLETE, f"{SSO_COMPLETE}/third", f"{SSO_COMPLETE}/CORP"):
            ada = Stranger(world)
            callback = provider.sign_in(ada.leave(user_code, provider="corp"), iss=None)
            path, _, query = callback.partition("?")
            assert path == f"{SSO_COMPLETE}/corp"
            assert_refused(ada.come_back(f"{wrong}?{query}"))
        assert "/token" not in provider.paths
        ada = Stranger(world)
        answer = ada.come_back(provider.sign_in(ada.leave(user_code, provider="corp"), iss=None))
        assert answer.headers["Location"] == VERIFIED


@pytest.mark.parametrize("secure_as", ["https://idp.example", "http://idp.example"])
class TestAnAddress:
    @pytest.mark.parametrize("found", ["https://idp.example", "https://idp.example:8443/a?b=c"])
    def test_of_https_always_is_one(self, found: str, secure_as: str) -> None:
        assert is_address(found, secure_as=secure_as)

    def test_of_http_is_one_only_where_the_issuer_is(self, secure_as: str) -> None:
        """RFC 9700 §2.6: what was declared to be secure leads to nothing that is not."""
        assert is_address("http://idp.example/token", secure_as=secure_as) is secure_as.startswith("http:")

    @pytest.mark.parametrize(
        "found",
        [
            None,
            5,
            True,
            b"https://idp.example",
            ["https://idp.example"],
            "",
            "https:",
            "https:idp.example",
            "https://",
            "https:///path",
            "//idp.example",
            "/token",
            "javascript:alert(1)",
            "ftp://idp.example",
            "file:///etc/passwd",
            " https://idp.example",
            "https://idp.example/\r\nSet-Cookie: a=b",
            "https://idp.example/ x",
            "https://idp.ex\u00e4mple",
            "https://idp.example/\x00",
        ],
    )
    def test_of_anything_else_never_is_one(self, found: object, secure_as: str) -> None:
        assert not is_address(found, secure_as=secure_as)
