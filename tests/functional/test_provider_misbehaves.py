"""A provider whose documents make no sense, that rotates keys, is slow or down; and how often it is asked."""

import time
from pathlib import Path
from typing import Any

import pytest
from webob import Response

from ..conftest import WorldMaker
from ..factories import SSO_INITIATE, Stranger, World
from ..scripted_providers import CLIENT_SECRET, ScriptedProvider, new_key, running
from .test_approval_is_attacked import ini_file
from .test_provider_lies import assert_honest_taken, assert_lie_refused, comes_back
from .test_stranger_is_attacked import VERIFIED, assert_refused, assert_tells_nothing

DISCOVERY = "/.well-known/openid-configuration"
FAILED = {
    "error": "sso_initiate_failed",
    "error_description": "The identity provider cannot be reached. Try again shortly.",
}
HOUR = 3600


@pytest.fixture
def user_code(corp: World) -> str:
    return corp.device().ask().user_code


def assert_not_begun(world: World, user_code: str) -> None:
    """502 for a program, a page for a person; no cookie and no handshake."""
    browser = world.browser()
    answer = browser.get(SSO_INITIATE, {"user_code": user_code}, status=502)
    assert (answer.content_type, answer.json) == ("application/json", FAILED)
    assert_tells_nothing(answer, user_code, "127.0.0.1", CLIENT_SECRET)
    assert not list(world.redis.scan_iter("*handshake*"))
    form = browser.get("/device").form
    form["user_code"] = user_code
    form.submit(status=303)
    page = browser.get("/login/sso?provider=corp", status=502)
    assert page.content_type == "text/html"
    assert "127.0.0.1" not in page.text


def redirect(url: str) -> Response:
    return Response(status=302, location=url)


def nested() -> Response:
    return Response(b'{"keys":' + b"[" * 50_000, content_type="application/json")


class TestUserinfo:
    @pytest.fixture(autouse=True)
    def elsewhere(self, provider: ScriptedProvider) -> None:
        provider.told_by_userinfo = True

    def test_may_tell_the_email(self, corp: World, provider: ScriptedProvider, user_code: str) -> None:
        ada = Stranger(corp).sign_in(provider, user_code)
        assert ada.context()["subject_email"] == "ada@corp.example"
        assert provider.paths[-1] == "/userinfo"

    @pytest.mark.parametrize(
        "lie",
        [
            {"sub": "eve-1"},
            {"sub": None},
            {"sub": ["ada-1"]},
            {"email_verified": False},
            {"email_verified": None},
            {"email": None},
            {"email": "ada@corp.example\n"},
        ],
    )
    def test_that_lies_is_refused(
        self, corp: World, provider: ScriptedProvider, user_code: str, lie: dict[str, Any]
    ) -> None:
        provider.userinfo = lie
        assert_lie_refused(corp, provider, user_code)
        provider.userinfo = {}
        assert_honest_taken(corp, provider, user_code)

    @pytest.mark.parametrize(
        "claims", [{"email": "eve@corp.example"}, {"email_verified": True}, {"email": None, "email_verified": True}]
    )
    def test_tells_both_or_neither(
        self, corp: World, provider: ScriptedProvider, user_code: str, claims: dict[str, Any]
    ) -> None:
        """That one e-mail is verified says nothing of another."""
        provider.claims = claims
        ada = Stranger(corp).sign_in(provider, user_code)
        assert ada.context()["subject_email"] == "ada@corp.example"

    def test_does_not_verify_the_email_of_the_id_token(
        self, corp: World, provider: ScriptedProvider, user_code: str
    ) -> None:
        provider.claims = {"email": "eve@corp.example"}
        provider.userinfo = {"email": None}
        provider.person = {"sub": "ada-1", "email_verified": True}
        assert_lie_refused(corp, provider, user_code)

    @pytest.mark.parametrize(
        "answer",
        [
            Response(status=500),
            Response(status=401),
            Response("<html>", content_type="text/html"),
            Response(json_body=["ada-1"]),
            Response(json_body=None),
            nested(),
            redirect("/userinfo2"),
        ],
    )
    def test_that_is_none_is_refused(
        self, corp: World, provider: ScriptedProvider, user_code: str, answer: Response
    ) -> None:
        provider.replaced["/userinfo"] = answer
        assert_lie_refused(corp, provider, user_code)
        assert_honest_taken(corp, provider, user_code)


class TestMetadata:
    @pytest.mark.parametrize(
        "answer",
        [
            Response(status=404),
            Response(status=500),
            Response("<html>not JSON</html>"),
            Response(json_body=[]),
            Response(json_body=None),
            Response(json_body={}),
            Response(b"\xff\xfe", content_type="application/json"),
            nested(),
            redirect("/elsewhere"),
        ],
    )
    def test_that_is_none_begins_nothing(
        self, corp: World, provider: ScriptedProvider, user_code: str, answer: Response
    ) -> None:
        provider.replaced[DISCOVERY] = answer
        assert_not_begun(corp, user_code)
        assert set(provider.paths) == {DISCOVERY}
        assert_honest_taken(corp, provider, user_code)

    @pytest.mark.parametrize("issuer", [None, "https://other.example", "", 5, "/"])
    def test_of_another_issuer_begins_nothing(
        self, corp: World, provider: ScriptedProvider, user_code: str, issuer: Any
    ) -> None:
        """RFC 8414 §3.3, OpenID Connect Discovery §4.3."""
        provider.metadata["issuer"] = provider.url + issuer if issuer == "/" else issuer
        assert_not_begun(corp, user_code)

    @pytest.mark.parametrize(
        "endpoint",
        [None, "", "/authorize", "//evil.example", "javascript:alert(1)", "ftp://evil.example", 5, "https://x\r\ny"],
    )
    def test_without_an_address_to_go_to_begins_nothing(
        self, corp: World, provider: ScriptedProvider, user_code: str, endpoint: Any
    ) -> None:
        provider.metadata["authorization_endpoint"] = endpoint
        assert_not_begun(corp, user_code)

    @pytest.mark.parametrize("name", ["token_endpoint", "jwks_uri", "userinfo_endpoint"])
    @pytest.mark.parametrize("endpoint", [None, "/here", "file:///etc/passwd", ["x"]])
    def test_without_an_address_to_ask_completes_nothing(
        self, corp: World, provider: ScriptedProvider, user_code: str, name: str, endpoint: Any
    ) -> None:
        provider.told_by_userinfo = True
        provider.metadata[name] = endpoint
        assert_lie_refused(corp, provider, user_code)

    def test_and_keys_are_kept_for_an_hour(self, corp: World, provider: ScriptedProvider) -> None:
        def signs_in() -> tuple[int, int]:
            now = int(time.time() + corp.clock.offset.total_seconds())
            provider.claims = {"iat": now, "exp": now + 300}
            assert comes_back(corp, provider, corp.device().ask().user_code).headers["Location"] == VERIFIED
            return provider.paths.count(DISCOVERY), provider.paths.count("/jwks")

        assert [signs_in() for _ in range(3)] == [(1, 1)] * 3
        corp.clock.pass_seconds(HOUR - 60)
        assert signs_in() == (1, 1)
        corp.clock.pass_seconds(61)
        assert [signs_in(), signs_in()] == [(2, 2)] * 2


class TestKeys:
    @pytest.mark.parametrize(
        "answer",
        [
            Response(status=404),
            Response(status=500),
            Response("<html>"),
            Response(json_body=[]),
            Response(json_body={}),
            Response(json_body={"keys": []}),
            Response(json_body={"keys": None}),
            Response(json_body={"keys": 5}),
            Response(json_body={"keys": [None, "x", {}, []]}),
            Response(json_body={"keys": [{"kty": "RSA", "kid": "first"}]}),
            Response(json_body={"keys": [{"kty": "RSA", "kid": "first", "n": "AA", "e": "AQAB"}]}),
            Response(json_body={"keys": [{"kty": "RSA", "kid": "first", "n": "\u00e9", "e": 5}]}),
            Response(json_body={"keys": [{"kty": "EC", "kid": "first", "crv": "P-256", "x": "AA", "y": "AA"}]}),
            Response(json_body={"keys": [{"kty": "oct", "kid": "first", "k": "c2VjcmV0" * 6}]}),
            nested(),
            redirect("/elsewhere"),
        ],
    )
    def test_that_are_none_verify_nothing(
        self, corp: World, provider: ScriptedProvider, user_code: str, answer: Response
    ) -> None:
        provider.replaced["/jwks"] = answer
        assert_lie_refused(corp, provider, user_code)
        assert "/elsewhere" not in provider.paths
        assert_honest_taken(corp, provider, user_code)

    def test_that_rotated_are_loaded_anew(self, corp: World, provider: ScriptedProvider, user_code: str) -> None:
        old = provider.key
        assert_honest_taken(corp, provider, user_code)
        provider.rotate()
        assert_honest_taken(corp, provider, corp.device().ask().user_code)
        assert provider.paths.count("/jwks") == 2
        # And the old key is nobody's any more.
        new, provider.key = provider.key, old
        assert_lie_refused(corp, provider, user_code)
        provider.key = new
        assert_honest_taken(corp, provider, user_code)

    def test_for_something_else_verify_nothing(self, corp: World, provider: ScriptedProvider, user_code: str) -> None:
        told = provider.key.as_dict(private=False)
        for other in ({"use": "enc"}, {"alg": "RSA-OAEP"}, {"alg": "RS512"}):
            provider.replaced["/jwks"] = Response(json_body={"keys": [{**told, **other}]})
            assert_refused(comes_back(corp, provider, user_code))
        assert_honest_taken(corp, provider, user_code)

    def test_of_two_the_named_one_verifies(self, corp: World, provider: ScriptedProvider, user_code: str) -> None:
        provider.published = [new_key("another"), provider.key]
        assert_honest_taken(corp, provider, user_code)
        provider.key = new_key("another")
        assert_lie_refused(corp, provider, user_code)


class TestTheTokenEndpoint:
    @pytest.mark.parametrize(
        "answer",
        [
            Response(status=500),
            Response(status=400, json_body={"error": "invalid_grant", "error_description": "ada@corp.example"}),
            Response(status=400, json_body={"error": ["invalid_grant"]}),
            Response("<html>", content_type="text/html"),
            Response(json_body=[]),
            Response(json_body=None),
            Response(json_body="x"),
            Response(json_body=5),
            Response(json_body={}),
            Response(json_body={"id_token": "a.b.c", "expires_in": "soon"}),
            Response(b"\xff", content_type="application/json"),
            nested(),
            redirect("/elsewhere"),
            Response(status=307, location="/elsewhere"),
        ],
    )
    def test_that_gives_nothing_is_refused(
        self, corp: World, provider: ScriptedProvider, user_code: str, answer: Response
    ) -> None:
        provider.replaced["/token"] = answer
        assert_lie_refused(corp, provider, user_code)
        assert "/elsewhere" not in provider.paths
        assert_honest_taken(corp, provider, user_code)


class TestAProviderThatIsAway:
    def test_begins_nothing(self, corp: World, provider: ScriptedProvider, user_code: str) -> None:
        provider.down = True
        assert_not_begun(corp, user_code)
        provider.down = False
        assert_honest_taken(corp, provider, user_code)

    def test_and_does_not_listen_begins_nothing(self, make: WorldMaker, tmp_path: Path) -> None:
        with running(ScriptedProvider()) as gone:
            path = ini_file(tmp_path, gone)
        world = make(edition="enterprise", ini_file=path)
        assert_not_begun(world, world.device().ask().user_code)

    @pytest.mark.parametrize("when", ["on the way out", "on the way back"])
    def test_and_answers_late_is_not_waited_for(
        self, make: WorldMaker, tmp_path: Path, provider: ScriptedProvider, when: str
    ) -> None:
        world = make(edition="enterprise", ini_file=ini_file(tmp_path, provider), sso_timeout_seconds="1")
        user_code, ada = world.device().ask().user_code, Stranger(world)
        callback = provider.sign_in(ada.leave(user_code)) if when == "on the way back" else ""
        provider.answering.clear()
        began = time.monotonic()
        if callback:
            assert_refused(ada.come_back(callback))
        else:
            answer = ada.browser.get(SSO_INITIATE, {"user_code": user_code}, status=502)
            assert answer.json == FAILED
        assert time.monotonic() - began < 5
        provider.answering.set()
        assert_honest_taken(world, provider, user_code)
