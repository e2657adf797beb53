"""Assertions that an honest broker would not make: each is refused, and the honest one after it is not."""

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from joserfc.jwk import OctKey, RSAKey
from webtest import TestResponse

from ..conftest import WorldMaker
from ..factories import SSO_COMPLETE, Stranger, World
from ..scripted_providers import CLIENT_SECRET, ScriptedBroker, compact, hmac_with, new_key
from .test_broker_signs_in import Corp, callback, write_keys
from .test_provider_lies import At, resolved
from .test_stranger_is_attacked import REFUSALS, VERIFIED, assert_refused, assert_tells_nothing, waits

Claims = dict[str, Any]
REQUIRED = ("iss", "aud", "iat", "exp", "nonce", "email", "issuer", "user_code")
EVIL = "https://evil.example"


@pytest.fixture
def files(make: WorldMaker, tmp_path: Any, broker: ScriptedBroker) -> Corp:
    return Corp(make, tmp_path, broker)


@pytest.fixture
def corp(files: Corp) -> World:
    return files.start()


class SignIn:
    """A browser at the broker, for a code of its own."""

    def __init__(self, world: World, broker: ScriptedBroker) -> None:
        self.world, self.broker, self.ada = world, broker, Stranger(world)
        self.user_code = world.device().ask().user_code
        self.ada.leave(self.user_code)

    def back_with(self, assertion: str) -> TestResponse:
        return self.ada.come_back(callback(assertion))

    def assert_refused(self, assertion: str) -> None:
        answer = self.back_with(assertion)
        assert_refused(answer)
        assert_tells_nothing(answer, assertion, self.user_code, self.broker.states[-1]["nonce"])
        assert self.ada.approval == ""
        assert waits(self.world, self.user_code)

    def assert_failure_is_audited(self) -> None:
        (event,) = [one for one in self.world.services.ledger.newest(1000) if one.event == "login_failed"]
        assert (event.subject, event.address) == ("provider:corp", "192.0.2.7")
        assert event.reason not in (None, "", "sso_failed")


def assert_honest_taken(world: World, broker: ScriptedBroker) -> None:
    assert SignIn(world, broker).back_with(broker.assertion()).headers["Location"] == VERIFIED


NAN, INFINITY, HUGE = float("nan"), float("inf"), 10**400
LIES: dict[str, Claims] = {
    **{f"no {name}": {name: None} for name in REQUIRED if name != "nonce"},
    **{f"empty {name}": {name: ""} for name in REQUIRED if name != "nonce"},
    **{f"{name} as a list": {name: [name]} for name in REQUIRED if name != "nonce"},
    **{f"{name} as an object": {name: {}} for name in REQUIRED if name != "nonce"},
    **{f"{name} as true": {name: True} for name in REQUIRED if name != "nonce"},
    "iss of another": {"iss": "https://other.example.com"},
    "iss with a slash": {"iss": "https://broker.example.com/"},
    "iss of ours": {"iss": "http://localhost"},
    "aud of a state": {"aud": "api.sso.state_envelope"},
    "aud of an approval": {"aud": "api.device_flow.approval_grant"},
    "aud of others": {"aud": ["one", "two"]},
    "issuer that is not allowed": {"issuer": "https://third.example.com"},
    "issuer with a slash": {"issuer": "https://idp.example.com/"},
    "issuer in upper case": {"issuer": "HTTPS://IDP.EXAMPLE.COM"},
    "both issuers": {"issuer": "https://idp.example.com https://second.example.com"},
    "expired": {"iat": At(-340), "exp": At(-40)},
    "expired in 1970": {"iat": 1, "exp": 2},
    "iat in the future": {"iat": At(120), "exp": At(300)},
    "nbf in the future": {"nbf": At(600)},
    "a life of 301 s": {"iat": At(0), "exp": At(301)},
    "a life of a day": {"iat": At(-43_200), "exp": At(43_200)},
    "a life of 300.5 s": {"iat": 0.5, "exp": 300.9},
    "exp before iat": {"iat": At(20), "exp": At(10)},
    "exp at iat": {"iat": At(10), "exp": At(10)},
    "exp as text": {"exp": "4000000000"},
    "iat as text": {"iat": "1"},
    "exp no number": {"exp": NAN},
    "iat no number": {"iat": NAN},
    "exp never": {"exp": INFINITY},
    "iat long ago": {"iat": -INFINITY},
    "exp huge": {"exp": HUGE},
    "exp huge and iat broken": {"exp": HUGE, "iat": 0.5},
    "exp huge and iat as small": {"exp": HUGE, "iat": -HUGE},
    "iat huge below": {"iat": -HUGE},
    "user_code of nobody": {"user_code": "BCDF-GHJK"},
    "user_code that is none": {"user_code": "nonsense"},
    "user_code with NUL": {"user_code": "\x00"},
    "sub as a number": {"sub": 5},
    "sub as a list": {"sub": ["ada"]},
    "sub too long": {"sub": "a" * 256},
    "sub with a line break": {"sub": "a\nb"},
    "e-mail without @": {"email": "ada.corp.example"},
    "e-mail with two @": {"email": "ada@evil.example@corp.example"},
    "e-mail without a name": {"email": "@corp.example"},
    "e-mail with a space": {"email": "a da@corp.example"},
    "e-mail with a line break": {"email": "ada@corp.example\n"},
    "e-mail with NUL": {"email": "ada\x00@corp.example"},
    "e-mail with a direction": {"email": "ada\u202e@corp.example"},
    "e-mail with half a character": {"email": "ada\ud800@corp.example"},
    "e-mail too long": {"email": "a" * 254 + "@corp.example"},
}


def hand_signed(broker: ScriptedBroker, claims: Claims | bytes, **header: Any) -> str:
    """Under the key of the broker, by nobody's library: any JSON goes."""
    given = {"alg": "HS256", "kid": broker.assertion_key.kid, **header}
    given = {name: value for name, value in given.items() if value is not None}
    return compact(given, claims, hmac_with(broker.assertion_key.raw_value))


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
def test_a_claim_that_lies_is_refused(corp: World, broker: ScriptedBroker, lie: Claims) -> None:
    sign_in = SignIn(corp, broker)
    sign_in.assert_refused(hand_signed(broker, broker.claims(**resolved(lie))))
    sign_in.assert_failure_is_audited()
    # That was the end of the handshake; the next one is as good as ever.
    sign_in.assert_refused(broker.assertion())
    assert SignIn(corp, broker).back_with(hand_signed(broker, broker.claims())).headers["Location"] == VERIFIED


@pytest.mark.parametrize(
    "claims",
    [
        {"iat": At(0), "exp": At(300)},
        {"iat": At(-290), "exp": At(10)},
        {"iat": At(-310), "exp": At(-10)},
        {"iat": At(20), "exp": At(300)},
        {"sub": "ada-1"},
        {"sub_type": "external_sso", "groups": ["any"]},
        {"issuer": "https://second.example.com"},
        {"email": "a" * 60 + "@corp.example"},
    ],
)
def test_a_claim_within_the_rules_is_taken(corp: World, broker: ScriptedBroker, claims: Claims) -> None:
    sign_in = SignIn(corp, broker)
    answer = sign_in.back_with(broker.assertion(broker.claims(**resolved(claims))))
    assert answer.headers["Location"] == VERIFIED


def test_the_code_may_be_written_as_people_write_it(corp: World, broker: ScriptedBroker) -> None:
    sign_in = SignIn(corp, broker)
    claims = broker.claims(user_code=sign_in.user_code.lower().replace("-", " "))
    assert sign_in.back_with(broker.assertion(claims)).headers["Location"] == VERIFIED


class TestAnAssertionOfAnotherSignIn:
    @pytest.mark.parametrize(
        "nonce", [None, "", "unknown", "a" * 43, "\u00e9" * 43, "\ud800", "\x00", 5, True, ["a"], {}, "a" * 3000]
    )
    def test_with_a_nonce_of_nobody_is_refused_and_spends_nothing(
        self, corp: World, broker: ScriptedBroker, nonce: Any
    ) -> None:
        sign_in = SignIn(corp, broker)
        honest = broker.assertion()
        claims = {**broker.claims(), "nonce": nonce}
        sign_in.assert_refused(hand_signed(broker, claims))
        assert sign_in.back_with(honest).headers["Location"] == VERIFIED

    def test_with_the_nonce_of_another_handshake_is_refused(self, corp: World, broker: ScriptedBroker) -> None:
        """Of the same browser: the code of one handshake beside the nonce of another."""
        sign_in = SignIn(corp, broker)
        first = broker.states[-1]
        other = corp.device().ask().user_code
        sign_in.ada.leave(other)
        sign_in.assert_refused(broker.assertion(broker.claims(nonce=first["nonce"])))
        assert waits(corp, other)

    def test_with_the_code_of_another_device_is_refused(self, corp: World, broker: ScriptedBroker) -> None:
        sign_in, other = SignIn(corp, broker), corp.device().ask().user_code
        sign_in.assert_refused(broker.assertion(broker.claims(user_code=other)))
        assert waits(corp, other)

    def test_serves_once(self, corp: World, broker: ScriptedBroker) -> None:
        sign_in = SignIn(corp, broker)
        assertion = broker.assertion()
        assert sign_in.back_with(assertion).headers["Location"] == VERIFIED
        approval = sign_in.ada.approval
        for browser in (sign_in.ada, Stranger(corp)):
            answer = browser.come_back(callback(assertion))
            assert_refused(answer)
            assert_tells_nothing(answer, assertion)
        assert sign_in.ada.approval == approval

    def test_serves_in_its_own_browser_alone(self, corp: World, broker: ScriptedBroker) -> None:
        sign_in = SignIn(corp, broker)
        assertion, victim = broker.assertion(), SignIn(corp, broker)
        for browser in (Stranger(corp), victim.ada):
            assert_refused(browser.come_back(callback(assertion)))
            assert browser.approval == ""
        assert sign_in.back_with(assertion).headers["Location"] == VERIFIED

    def test_serves_for_fifteen_minutes(self, corp: World, broker: ScriptedBroker) -> None:
        sign_in = SignIn(corp, broker)
        corp.clock.pass_seconds(900)
        now = int(time.time()) + 900
        answer = sign_in.back_with(broker.assertion(broker.claims(iat=now, exp=now + 300)))
        assert_refused(answer)

    def test_without_one_or_beside_an_error_is_refused(self, corp: World, broker: ScriptedBroker) -> None:
        sign_in = SignIn(corp, broker)
        assertion, state = broker.assertion(), broker.states[-1]["nonce"]
        assert_refused(sign_in.ada.come_back(callback("")))
        assert_refused(sign_in.ada.come_back(f"{callback(assertion)}&sso_assertion={assertion}"))
        assert_refused(sign_in.ada.come_back(f"{SSO_COMPLETE}?state={state}&code=x"))
        assert sign_in.back_with(assertion).headers["Location"] == VERIFIED
        other = SignIn(corp, broker)
        answer = other.ada.come_back(f"{callback(broker.assertion())}&error=access_denied")
        assert_refused(answer, "sso_cancelled")

    @pytest.mark.parametrize("name", ["corp", "other"])
    def test_at_the_callback_of_a_provider_is_refused(self, corp: World, broker: ScriptedBroker, name: str) -> None:
        sign_in = SignIn(corp, broker)
        answer = sign_in.ada.come_back(callback(broker.assertion(), f"{SSO_COMPLETE}/{name}"))
        assert_refused(answer)
        assert sign_in.ada.approval == ""


def pem(key: RSAKey) -> bytes:
    return key.as_pem(private=False)


Forge = Callable[[ScriptedBroker, Claims], str]


def header(**changed: Any) -> Forge:
    return lambda broker, claims: hand_signed(broker, claims, **changed)


def under(secret: bytes, **changed: Any) -> Forge:
    return lambda _, claims: compact({"alg": "HS256", "kid": "assertion-1", **changed}, claims, hmac_with(secret))


def parts(change: Callable[[list[str]], list[str]]) -> Forge:
    return lambda broker, claims: ".".join(change(hand_signed(broker, claims).split(".")))


FORGERIES: dict[str, Forge] = {
    "no kid": header(kid=None),
    "kid empty": header(kid=""),
    "kid unknown": header(kid="assertion-2"),
    "kid of the state key": header(kid="state-1"),
    "kid as a number": header(kid=1),
    "kid as a list": header(kid=["assertion-1"]),
    "kid as an object": header(kid={"assertion-1": 1}),
    "kid as a path": header(kid="../../../../dev/null"),
    "alg none": lambda _, claims: compact({"alg": "none", "kid": "assertion-1"}, claims),
    "alg none, signed": header(alg="none"),
    "alg None": lambda _, claims: compact({"alg": "None", "kid": "assertion-1"}, claims),
    "no alg": header(alg=None),
    "alg as a list": header(alg=["HS256"]),
    "alg as an object": header(alg={}),
    "alg as a number": header(alg=5),
    "alg unknown": header(alg="XS256"),
    "alg of another digest": header(alg="HS512"),
    "alg of another key": header(alg="RS256"),
    "alg that encrypts": header(alg="dir", enc="A256GCM"),
    "unencoded": header(b64=False, crit=["b64"]),
    "critical and unknown": header(crit=["exp"], exp=1),
    "critical as text": header(crit="exp"),
    "the state key": lambda broker, claims: compact(
        {"alg": "HS256", "kid": "assertion-1"}, claims, hmac_with(broker.state_key.raw_value)
    ),
    "another key": under(OctKey.generate_key(256).raw_value),
    "no secret": under(b""),
    "a secret of ours": under(CLIENT_SECRET.encode()),
    "another key that the header brings": under(b"k" * 32, jwk={"kty": "oct", "k": "a2tra2tra2tra2tra2tra2tra2tra2s"}),
    "another key at an address": under(b"k" * 32, jku=f"{EVIL}/jwks", x5u=f"{EVIL}/x5u"),
    "no signature": parts(lambda found: [*found[:2], ""]),
    "half a signature": parts(lambda found: [*found[:2], found[2][:20]]),
    "a signature that is no base64": parts(lambda found: [*found[:2], "*" * 43]),
    "two parts": parts(lambda found: found[:2]),
    "four parts": parts(lambda found: [*found, "x"]),
    "five parts": parts(lambda found: [*found, "x", "x"]),
    "a header that is a list": lambda _, claims: compact(["alg", "kid"], claims),
    "a header that is text": lambda _, claims: compact("alg kid", claims),
    "a header that is null": lambda _, claims: compact(None, claims),
    "a header that is no JSON": lambda _, claims: compact(b"{", claims),
    "a header that is nested deeply": lambda _, claims: compact(b'{"alg":"HS256","kid":' + b"[" * 1500, claims),
    "a header that is no UTF-8": lambda _, claims: compact(b'{"alg":"\xff"}', claims),
    "claims that are a list": lambda broker, claims: hand_signed(broker, json.dumps([claims]).encode()),
    "claims that are text": lambda broker, _: hand_signed(broker, b'"nonce"'),
    "claims that are null": lambda broker, _: hand_signed(broker, b"null"),
    "claims that are no JSON": lambda broker, _: hand_signed(broker, b"{"),
    "claims that are no UTF-8": lambda broker, _: hand_signed(broker, b'{"nonce":"\xff"}'),
    "claims that are nested deeply": lambda broker, _: hand_signed(broker, b'{"nonce":' + b"[" * 3000),
    "claims with a number of 5000 digits": lambda broker, _: hand_signed(broker, b'{"exp":' + b"9" * 5000 + b"}"),
    "claims beyond all bounds": lambda broker, claims: hand_signed(broker, {**claims, "x": "a" * 9000}),
    "garbage": lambda _broker, _claims: "garbage",
    "dots": lambda _broker, _claims: "..",
    "not ASCII": lambda _broker, _claims: "%C3%A9.%C3%A9.%C3%A9",
    "NUL": lambda _broker, _claims: "%00.%00.%00",
}


@pytest.mark.parametrize("forge", FORGERIES.values(), ids=FORGERIES)
def test_a_forged_assertion_is_refused(corp: World, broker: ScriptedBroker, forge: Forge) -> None:
    sign_in = SignIn(corp, broker)
    sign_in.assert_refused(forge(broker, broker.claims()))
    assert SignIn(corp, broker).back_with(hand_signed(broker, broker.claims())).headers["Location"] == VERIFIED


@pytest.mark.parametrize("source", ["file", "address"])
@pytest.mark.parametrize(
    "secret",
    [
        pem,
        lambda key: pem(key).strip(),
        lambda key: key.public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        lambda key: key.public_key.public_bytes(Encoding.DER, PublicFormat.PKCS1),
        lambda key: json.dumps(key.as_dict(private=False)).encode(),
        lambda key: str(key.as_dict(private=False)["n"]).encode(),
    ],
    ids=["PEM", "PEM, stripped", "DER", "PKCS 1", "JWK", "modulus"],
)
def test_a_public_key_is_no_shared_secret(
    files: Corp, broker: ScriptedBroker, secret: Callable[[RSAKey], bytes], source: str
) -> None:
    """RFC 8725 §2.1."""
    broker.assertion_key = new_key("assertion-1")
    write_keys(files.assertion_keys, broker.assertion_key, private=False)
    world = files.start("" if source == "file" else f"{broker.url}/jwks")
    sign_in, known = SignIn(world, broker), secret(broker.assertion_key)
    sign_in.assert_refused(under(known)(broker, broker.claims()))
    assert_honest_taken(world, broker)


def test_whatever_comes_the_browser_is_sent_to_the_page(files: Corp, broker: ScriptedBroker) -> None:
    """Unsigned, so that anybody can send it."""
    text = st.one_of(st.text(max_size=20), st.binary(max_size=20).map(lambda raw: raw.decode("latin-1")))
    values = st.recursive(
        st.one_of(st.none(), st.booleans(), st.floats(), st.integers(), text),
        lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(text, inner, max_size=3)),
    )
    members = st.dictionaries(st.sampled_from(["alg", "kid", "nonce", "crit", "b64", "zip", "exp", "typ"]), values)
    world = files.start(options={"limit.sso_initiate": "off"})
    sign_in = SignIn(world, broker)

    @settings(max_examples=200, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
    @given(head=st.one_of(members, values), claims=st.one_of(members, values), mine=st.booleans())
    def every(head: Any, claims: Any, mine: bool) -> None:
        if mine:
            # Of a handshake of one's own: the way to the signature is open.
            sign_in.ada.leave(sign_in.user_code)
            claims = {**(claims if isinstance(claims, dict) else {}), "nonce": broker.states[-1]["nonce"]}
        assertion = compact(head, claims, hmac_with(b"k" * 32))
        answer = sign_in.ada.browser.get(callback(assertion), status="*")
        assert (answer.status_int, answer.headers.get("Location") in REFUSALS) == (302, True)

    every()
