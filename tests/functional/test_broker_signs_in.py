"""A broker signs people in for us: signed states go out, signed assertions come back, keys rotate.

The envelopes are those of PARITY.md §4.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from joserfc import jws
from joserfc.jwk import ECKey, Key, KeySet, OctKey
from webob import Response
from webtest import TestResponse

from oauthdevice.settings import SettingsError

from ..conftest import WorldMaker
from ..factories import APPROVE_EXTERNAL, SSO_COMPLETE, SSO_INITIATE, Stranger, World
from ..scripted_providers import ScriptedBroker, new_key
from .test_stranger_is_attacked import VERIFIED, assert_refused, assert_tells_nothing

ISSUER = "https://idp.example.com"


def write_keys(path: Path, *keys: Key, private: bool = True) -> None:
    """A JWK set. Shared secrets have no public half."""
    sets = [KeySet([key]).as_dict(private=private or key.key_type == "oct")["keys"][0] for key in keys]
    path.write_text(json.dumps({"keys": sets}), "utf-8")


class Corp:
    """A server whose people sign in through `broker`, and the files of keys on both sides."""

    def __init__(self, make: WorldMaker, folder: Path, broker: ScriptedBroker) -> None:
        self.broker = broker
        self.state_keys, self.assertion_keys = folder / "state.json", folder / "assertion.json"
        self._make, self._ini = make, folder / "broker.ini"
        write_keys(self.state_keys, broker.state_key)
        write_keys(self.assertion_keys, broker.assertion_key)

    def start(self, assertion_keys: str = "", options: dict[str, str] | None = None, **section: str) -> World:
        told = {
            "mode": "broker",
            "issuer": self.broker.issuer,
            "subject_issuers": f"{ISSUER} https://second.example.com",
            "initiate_url": f"{self.broker.url}/initiate",
            "state_keys_file": str(self.state_keys),
            "assertion_keys": assertion_keys or str(self.assertion_keys),
            **section,
        }
        lines = [f"{name} = {value}\n" for name, value in told.items() if value]
        self._ini.write_text(f"[sso:corp]\n{''.join(lines)}", "utf-8")
        return self._make(edition="enterprise", ini_file=str(self._ini), **(options or {}))


@pytest.fixture
def files(make: WorldMaker, tmp_path: Path, broker: ScriptedBroker) -> Corp:
    return Corp(make, tmp_path, broker)


@pytest.fixture
def corp(files: Corp) -> World:
    return files.start()


def callback(assertion: str, path: str = SSO_COMPLETE) -> str:
    return f"{path}?sso_assertion={assertion}"


def comes_back(world: World, broker: ScriptedBroker, **changed: Any) -> TestResponse:
    """A sign-in of its own, with the claims of an honest assertion changed."""
    ada = Stranger(world)
    ada.leave(world.device().ask().user_code)
    answer = ada.come_back(callback(broker.assertion(broker.claims(**changed))))
    assert bool(ada.approval) is (answer.headers["Location"] == VERIFIED)
    return answer


class TestAPersonOfTheBroker:
    @pytest.mark.parametrize(("error", "told"), [("access_denied", "sso_cancelled"), ("server_error", "sso_failed")])
    def test_may_go_back_there(self, corp: World, broker: ScriptedBroker, error: str, told: str) -> None:
        ada = Stranger(corp)
        ada.leave(corp.device().ask().user_code)
        answer = ada.come_back(f"{SSO_COMPLETE}?error={error}&state={broker.states[-1]['nonce']}")
        assert answer.headers["Location"] == f"http://localhost/device?sso_error={told}"

    def test_approves_and_the_token_speaks_for_them(self, corp: World, broker: ScriptedBroker) -> None:
        device, ada = corp.device().ask(), Stranger(corp)
        assert ada.leave(device.user_code) == f"{broker.url}/login"
        assert ada.come_back(callback(broker.assertion())).headers["Location"] == VERIFIED
        context = ada.context()
        told = (context["subject_email"], context["subject_issuer"], context["user_code"])
        assert told == ("ada@corp.example", ISSUER, device.user_code)
        assert ada.decide(APPROVE_EXTERNAL, device.user_code).json == {"status": "approved"}
        answer = device.poll().json
        assert (answer["subject_email"], answer["subject_issuer"]) == ("ada@corp.example", ISSUER)

    def test_leaves_with_a_state_that_says_all_that_the_original_said(
        self, corp: World, broker: ScriptedBroker
    ) -> None:
        """PARITY.md §4, with the issuer of the state beside it."""
        user_code, before = corp.device().ask().user_code, int(time.time())
        Stranger(corp).leave(user_code, return_to="https://evil.example", redirect_url="https://evil.example")
        (state,) = broker.states
        assert before <= state["iat"] <= int(time.time())
        assert len(state["nonce"]) == 43
        assert state == {
            "iss": "http://localhost",
            "aud": "api.sso.state_envelope",
            "iat": state["iat"],
            "exp": state["iat"] + 900,
            "nonce": state["nonce"],
            "intent": "device_flow",
            "user_code": user_code,
            "idp_callback_url": f"http://localhost{SSO_COMPLETE}",
            "redirect_url": "",
            "app_code": "",
            "return_to": "",
        }
        Stranger(corp).leave(user_code)
        assert broker.states[1]["nonce"] != state["nonce"]

    def test_leaves_with_a_state_whose_header_names_its_key(self, corp: World, broker: ScriptedBroker) -> None:
        sent: list[Any] = []
        honest = broker.answer
        broker.answer = lambda request: sent.append(request.json) or honest(request)  # type: ignore[method-assign]  # listens in
        Stranger(corp).leave(corp.device().ask().user_code)
        (body,) = sent
        assert body.keys() == {"signed_state"}
        header = jws.extract_compact(body["signed_state"].encode()).headers()
        assert header == {"alg": "HS256", "typ": "JWT", "kid": "state-1"}
        assert broker.paths == ["/initiate"]

    def test_is_the_same_person_the_next_time(self, corp: World, broker: ScriptedBroker) -> None:
        """By the e-mail, in whatever case, where the broker names no subject."""
        subjects = []
        for changed in ({}, {"email": "ADA@corp.example"}, {"sub": "ada-1"}, {"sub": "ada-1", "email": "a@b.example"}):
            device, ada = corp.device().ask(), Stranger(corp)
            ada.leave(device.user_code)
            ada.come_back(callback(broker.assertion(broker.claims(**changed))))
            ada.decide(APPROVE_EXTERNAL, device.user_code)
            subjects.append(corp.services.ledger.newest(1)[0].subject)
        prefix = f"external:{len(ISSUER)}:{ISSUER}"
        assert subjects == [f"{prefix}:email:ada@corp.example"] * 2 + [f"{prefix}:ada-1"] * 2


SIGNERS: dict[str, Callable[[], Key]] = {
    "HS256": lambda: OctKey.generate_key(256, {"kid": "assertion-1"}),
    "RS256": lambda: new_key("assertion-1"),
    "ES256": lambda: ECKey.generate_key("P-256", {"kid": "assertion-1", "alg": "ES256"}),
}


def signed_by(broker: ScriptedBroker) -> str:
    """An honest assertion under the key of the broker, whatever its kind."""
    algorithm = {"oct": "HS256", "RSA": "RS256", "EC": "ES256"}[broker.assertion_key.key_type]
    return broker.assertion(None, None, alg=algorithm)


class TestKeys:
    @pytest.mark.parametrize("kind", SIGNERS)
    def test_in_a_file_verify(self, files: Corp, broker: ScriptedBroker, kind: str) -> None:
        broker.assertion_key = SIGNERS[kind]()
        write_keys(files.assertion_keys, broker.assertion_key, private=False)
        world = files.start()
        ada = Stranger(world)
        ada.leave(world.device().ask().user_code)
        assert ada.come_back(callback(signed_by(broker))).headers["Location"] == VERIFIED
        assert broker.paths == ["/initiate"]

    @pytest.mark.parametrize("kind", ["RS256", "ES256"])
    def test_at_an_address_verify_and_are_kept_for_an_hour(
        self, files: Corp, broker: ScriptedBroker, kind: str
    ) -> None:
        broker.assertion_key = SIGNERS[kind]()
        world = files.start(f"{broker.url}/jwks")
        assert broker.paths == []
        for _ in range(3):
            ada = Stranger(world)
            ada.leave(world.device().ask().user_code)
            assert ada.come_back(callback(signed_by(broker))).headers["Location"] == VERIFIED
        assert broker.paths.count("/jwks") == 1
        world.clock.pass_seconds(3601)
        ada = Stranger(world)
        ada.leave(world.device().ask().user_code)
        now = int(time.time()) + 3601
        claims = broker.claims(iat=now, exp=now + 300)
        algorithm = {"RSA": "RS256", "EC": "ES256"}[broker.assertion_key.key_type]
        answer = ada.come_back(callback(broker.assertion(claims, alg=algorithm)))
        assert answer.headers["Location"] == VERIFIED
        assert broker.paths.count("/jwks") == 2

    def test_at_an_address_that_are_shared_secrets_are_none(self, files: Corp, broker: ScriptedBroker) -> None:
        """What anybody can read is no secret."""
        secret, public = broker.assertion_key, new_key("public-1")
        shared = secret.as_dict(private=True)
        world = files.start(f"{broker.url}/jwks")
        for keys in ([shared], [shared, public.as_dict(private=False)]):
            broker.replaced["/jwks"] = Response(json_body={"keys": keys})
            assert_refused(comes_back(world, broker))
        broker.assertion_key = public
        assert comes_back(world, broker).headers["Location"] == VERIFIED

    @pytest.mark.parametrize("source", ["file", "address"])
    def test_rotate_without_a_restart(self, files: Corp, broker: ScriptedBroker, source: str) -> None:
        old, new = new_key("old"), new_key("new")
        broker.assertion_key = old
        write_keys(files.assertion_keys, old, private=False)
        world = files.start("" if source == "file" else f"{broker.url}/jwks")
        assert comes_back(world, broker).headers["Location"] == VERIFIED
        # Both for a while, then the new one alone.
        write_keys(files.assertion_keys, old, new, private=False)
        broker.replaced["/jwks"] = Response(json_body=KeySet([old, new]).as_dict())
        for broker.assertion_key in (new, old):
            assert comes_back(world, broker).headers["Location"] == VERIFIED
        # And another one: what is not in the set any more verifies nothing.
        newest = new_key("newest")
        write_keys(files.assertion_keys, newest, private=False)
        broker.replaced["/jwks"] = Response(json_body=KeySet([newest]).as_dict())
        broker.assertion_key = newest
        assert comes_back(world, broker).headers["Location"] == VERIFIED
        for broker.assertion_key in (old, new):
            assert_refused(comes_back(world, broker))

    def test_of_states_rotate_without_a_restart(self, files: Corp, broker: ScriptedBroker) -> None:
        world, new = files.start(), OctKey.generate_key(256, {"kid": "state-2"})
        write_keys(files.state_keys, new, broker.state_key)
        world.clock.pass_seconds(3601)
        broker.state_key = new
        Stranger(world).leave(world.device().ask().user_code)
        assert len(broker.states) == 1

    @pytest.mark.parametrize(
        "answer",
        [
            Response(status=500),
            Response(status=404),
            Response("<html>"),
            Response(json_body=[]),
            Response(json_body={"keys": []}),
            Response(b'{"keys":' + b"[" * 50_000, content_type="application/json"),
            Response(json_body={"keys": [{"kty": "RSA", "kid": "assertion-1", "n": "AA", "e": "AQAB"}]}),
            Response(json_body={"keys": [{"kty": "EC", "kid": "assertion-1", "crv": "P-256", "x": "AA", "y": "AA"}]}),
            Response(json_body={"keys": [{"kty": "EC", "kid": "assertion-1", "crv": "P-0", "x": "AA", "y": "AA"}]}),
            Response(status=302, location="/elsewhere"),
        ],
    )
    def test_at_an_address_that_are_none_verify_nothing(
        self, files: Corp, broker: ScriptedBroker, answer: Response
    ) -> None:
        broker.assertion_key = new_key("assertion-1")
        world = files.start(f"{broker.url}/jwks")
        broker.replaced["/jwks"] = answer
        assert_refused(comes_back(world, broker))
        assert "/elsewhere" not in broker.paths
        broker.replaced = {}
        assert comes_back(world, broker).headers["Location"] == VERIFIED


class TestABrokerThatIsAway:
    FAILED = "The identity provider cannot be reached. Try again shortly."

    def assert_not_begun(self, world: World) -> None:
        user_code = world.device().ask().user_code
        answer = world.browser().get(SSO_INITIATE, {"user_code": user_code}, status=502)
        assert answer.json == {"error": "sso_initiate_failed", "error_description": self.FAILED}
        assert_tells_nothing(answer, user_code, "127.0.0.1", "evil.example")
        assert not list(world.redis.scan_iter("*handshake*"))

    def test_begins_nothing(self, corp: World, broker: ScriptedBroker) -> None:
        broker.down = True
        self.assert_not_begun(corp)
        broker.down = False
        assert comes_back(corp, broker).headers["Location"] == VERIFIED

    def test_and_does_not_listen_begins_nothing(self, files: Corp) -> None:
        self.assert_not_begun(files.start(initiate_url="http://127.0.0.1:1/initiate"))

    def test_and_answers_late_is_not_waited_for(self, files: Corp, broker: ScriptedBroker) -> None:
        world = files.start(options={"sso_timeout_seconds": "1"})
        broker.answering.clear()
        began = time.monotonic()
        self.assert_not_begun(world)
        assert time.monotonic() - began < 5

    @pytest.mark.parametrize(
        "reply",
        [
            {},
            {"url": None},
            {"url": ""},
            {"url": 5},
            {"url": ["https://idp.example"]},
            {"URL": "https://idp.example"},
            {"url": "javascript:alert(1)"},
            {"url": "data:text/html,x"},
            {"url": "//evil.example"},
            {"url": "/login"},
            {"url": "ftp://evil.example"},
            {"url": "https://evil.example\r\nSet-Cookie: a=b"},
            {"url": "https://"},
            {"url": "https://ex\u00e4mple"},
            {"error": "no_such_user", "url": None},
        ],
    )
    def test_without_an_address_begins_nothing(self, corp: World, broker: ScriptedBroker, reply: Any) -> None:
        broker.reply = reply
        self.assert_not_begun(corp)

    @pytest.mark.parametrize(
        "answer",
        [
            Response("<html>"),
            Response(json_body=["https://idp.example"]),
            Response(status=201, json_body={"url": "https://idp.example"}),
            Response(status=302, location="https://evil.example", json_body={"url": "https://evil.example"}),
            Response(b"[" * 50_000, content_type="application/json"),
        ],
    )
    def test_without_a_reply_begins_nothing(self, corp: World, broker: ScriptedBroker, answer: Response) -> None:
        broker.replaced["/initiate"] = answer
        self.assert_not_begun(corp)


class TestAtTheStart:
    """Refused by one line that names the section, before anybody could be let in."""

    def assert_refused(self, files: Corp, words: str, **section: str) -> None:
        with pytest.raises(SettingsError, match=r"^oauthdevice: \[sso:corp\][^\n]*" + words) as refused:
            files.start(**section)
        for key in (files.broker.state_key, files.broker.assertion_key):
            assert str(key.as_dict(private=True).get("k", key.kid)) not in str(refused.value)

    @pytest.mark.parametrize("name", ["state_keys_file", "assertion_keys"])
    @pytest.mark.parametrize("text", [None, "", "not JSON", "[]", "{}", '{"keys": []}', '{"keys": [{"kty": "x"}]}'])
    def test_a_file_without_keys(self, files: Corp, tmp_path: Path, name: str, text: str | None) -> None:
        path = tmp_path / "bad.json"
        if text is not None:
            path.write_text(text, "utf-8")
        self.assert_refused(files, "", **{name: str(path)})

    @pytest.mark.parametrize("kid", ["assertion-1", "another"])
    def test_one_key_on_both_sides(self, files: Corp, broker: ScriptedBroker, kid: str) -> None:
        """Either could forge what the other signs (W59)."""
        shared = OctKey.import_key(broker.state_key.as_dict(private=True)["k"], {"kid": kid})
        same = OctKey.import_key({**broker.state_key.as_dict(private=True), "kid": kid})
        write_keys(files.assertion_keys, shared, same)
        self.assert_refused(files, "share a key")
        key = new_key("state-1")
        write_keys(files.state_keys, key)
        write_keys(files.assertion_keys, broker.assertion_key, key, private=False)
        self.assert_refused(files, "share a key")

    @pytest.mark.parametrize("length", [8, 31])
    @pytest.mark.parametrize("side", ["state", "assertion", "state, assertions by address"])
    @pytest.mark.filterwarnings("ignore:Key size")
    def test_a_short_shared_secret(self, files: Corp, broker: ScriptedBroker, side: str, length: int) -> None:
        short = OctKey.import_key("k" * length, {"kid": "short"})
        write_keys(files.assertion_keys if side == "assertion" else files.state_keys, short)
        address = {"assertion_keys": f"{broker.url}/jwks"} if "address" in side else {}
        self.assert_refused(files, "32 bytes", **address)

    def test_a_state_key_that_cannot_sign(self, files: Corp, broker: ScriptedBroker) -> None:
        write_keys(files.state_keys, new_key("state-1"), private=False)
        self.assert_refused(files, "cannot sign")
        write_keys(files.state_keys, broker.state_key)
        assert files.start()

    @pytest.mark.parametrize(
        "missing", ["issuer", "subject_issuers", "initiate_url", "state_keys_file", "assertion_keys"]
    )
    def test_a_section_without_what_it_needs(self, files: Corp, missing: str) -> None:
        self.assert_refused(files, missing, **{missing: " "})
