"""ID tokens that an honest provider would not issue: each is refused, and the honest one after it is not.

Sections are those of OpenID Connect Core 1.0 where none else is named.
"""

import hashlib
import json
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, RSAKey

from ..conftest import WorldMaker
from ..factories import APPROVE_EXTERNAL, Stranger, World
from ..scripted_providers import CLIENT_ID, CLIENT_SECRET, ScriptedProvider, compact, hmac_with, new_key
from .test_approval_is_attacked import ini_file
from .test_stranger_is_attacked import VERIFIED, assert_refused, assert_tells_nothing, waits

Claims = dict[str, Any]
Lie = Callable[[ScriptedProvider], Any]


class At(int):
    """Seconds from the moment in which the claim is made."""


def resolved(claims: Claims) -> Claims:
    return {name: int(time.time()) + value if isinstance(value, At) else value for name, value in claims.items()}


@pytest.fixture
def user_code(corp: World) -> str:
    return corp.device().ask(device_label="laptop").user_code


def comes_back(world: World, provider: ScriptedProvider, user_code: str, **changed: str | None) -> Any:
    """What a browser of its own is answered, back from the provider."""
    ada = Stranger(world)
    answer = ada.come_back(provider.sign_in(ada.leave(user_code), **changed))
    assert bool(ada.approval) is (answer.headers["Location"] == VERIFIED)
    return answer


def assert_lie_refused(world: World, provider: ScriptedProvider, user_code: str, **changed: str | None) -> None:
    """A sign-in fails as the provider is now; nothing is told and nothing is decided."""
    answer = comes_back(world, provider, user_code, **changed)
    assert_refused(answer)
    assert_tells_nothing(answer, CLIENT_SECRET, "an access token", provider.asked["nonce"], provider.url)
    assert waits(world, user_code)
    (event,) = [one for one in world.services.ledger.newest(1000) if one.event == "login_failed"]
    assert (event.subject, event.address) == ("provider:corp", "192.0.2.7")
    assert event.reason not in (None, "", "sso_failed")


def assert_honest_taken(world: World, provider: ScriptedProvider, user_code: str) -> None:
    """A sign-in succeeds once the provider tells the truth: it was the lie that was refused."""
    provider.claims, provider.signed, provider.token_answer, provider.replaced = {}, None, None, {}
    provider.person = {"sub": "ada-1", "email": "ada@corp.example", "email_verified": True}
    assert comes_back(world, provider, user_code).headers["Location"] == VERIFIED


LIES: dict[str, Claims | Callable[[ScriptedProvider], Claims]] = {
    # §3.1.3.7, step 2
    "iss of another": {"iss": "https://other.example"},
    "iss in upper case": lambda provider: {"iss": provider.url.upper()},
    "iss with a slash": lambda provider: {"iss": provider.url + "/"},
    "iss as a list": lambda provider: {"iss": [provider.url]},
    "no iss": {"iss": None},
    "empty iss": {"iss": ""},
    # step 3
    "aud of another": {"aud": "another"},
    "aud of another, azp of us": {"aud": "another", "azp": CLIENT_ID},
    "aud of us and another": {"aud": [CLIENT_ID, "another"]},
    "aud of us and another, azp of us": {"aud": [CLIENT_ID, "another"], "azp": CLIENT_ID},
    "aud twice us": {"aud": [CLIENT_ID, CLIENT_ID]},
    "aud of us in a list in a list": {"aud": [[CLIENT_ID]]},
    "aud as an object": {"aud": {CLIENT_ID: True}},
    "aud in upper case": {"aud": CLIENT_ID.upper()},
    "empty aud": {"aud": []},
    "no aud": {"aud": None},
    # steps 4 and 5
    "azp of another": {"azp": "another"},
    "azp as a list": {"azp": [CLIENT_ID]},
    # step 9
    "expired": {"exp": At(-120), "iat": At(-400)},
    "expired in 1970": {"exp": 1},
    "exp as text": {"exp": "4000000000"},
    "exp as true": {"exp": True},
    "exp as a list": {"exp": [4000000000]},
    "exp no number": {"exp": float("nan")},
    "exp never": {"exp": float("inf")},
    "no exp": {"exp": None},
    # step 10
    "iat in the future": {"iat": At(600), "exp": At(900)},
    "iat as text": {"iat": "1000000000"},
    "iat no number": {"iat": float("nan")},
    "no iat": {"iat": None},
    "nbf in the future": {"nbf": At(600)},
    # step 11
    "another nonce": {"nonce": "another"},
    "nonce in a list": {"nonce": ["another"]},
    "empty nonce": {"nonce": ""},
    "no nonce": {"nonce": None},
    # §3.1.3.8
    "at_hash of another token": {"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"},
    "at_hash as a number": {"at_hash": 5},
    # §2
    "no sub": {"sub": None},
    "empty sub": {"sub": ""},
    "sub too long": {"sub": "a" * 256},
    "sub with a line break": {"sub": "ada\n1"},
    "sub with an escape": {"sub": "ada\x1b[31m"},
    "sub with a direction": {"sub": "ada\u202e1"},
    "sub as a number": {"sub": 1},
    "sub as a list": {"sub": ["ada-1"]},
    "sub as true": {"sub": True},
    # §5.7
    "e-mail not verified": {"email_verified": False},
    "e-mail not verified, as text": {"email_verified": "false"},
    "e-mail not verified, as 0": {"email_verified": 0},
    "e-mail verified, nobody knows": {"email_verified": "yes"},
    "e-mail verified, twice": {"email_verified": 2},
    "e-mail verified, a list": {"email_verified": [True]},
    "e-mail verified, an object": {"email_verified": {"is": True}},
    # what we take of one
    "e-mail empty": {"email": ""},
    "e-mail without @": {"email": "ada.corp.example"},
    "e-mail with two @": {"email": "ada@evil.example@corp.example"},
    "e-mail without a name": {"email": "@corp.example"},
    "e-mail without a domain": {"email": "ada@"},
    "e-mail with a space": {"email": "ada @corp.example"},
    "e-mail with a line break": {"email": "ada@corp.example\n"},
    "e-mail with a second line": {"email": "ada@corp.example\r\nBcc:eve@evil.example"},
    "e-mail with NUL": {"email": "ada\x00@corp.example"},
    "e-mail with an escape": {"email": "ada\x1b[31m@corp.example"},
    "e-mail with a direction": {"email": "ada\u202e@corp.example"},
    "e-mail with half a character": {"email": "ada\ud800@corp.example"},
    "e-mail too long": {"email": "a" * 254 + "@corp.example"},
    "e-mail as a number": {"email": 5},
    "e-mail as a list": {"email": ["ada@corp.example"]},
    "e-mail as an object": {"email": {"address": "ada@corp.example"}},
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
def test_a_claim_that_lies_is_refused(corp: World, provider: ScriptedProvider, user_code: str, lie: Any) -> None:
    provider.claims = resolved(lie(provider) if callable(lie) else lie)
    assert_lie_refused(corp, provider, user_code)
    assert_honest_taken(corp, provider, user_code)


class TestWhatIsTakenNonetheless:
    @pytest.mark.parametrize(
        "claims",
        [
            {"aud": [CLIENT_ID]},
            {"azp": CLIENT_ID},
            {"email_verified": "true"},
            {"iat": At(-50), "exp": At(-30)},
            {"iat": At(30), "exp": At(300)},
            {"nbf": At(-5)},
            {"sub": "a" * 255},
            {"groups": ["any"], "amr": ["pwd"], "acr": "1", "sid": "x"},
        ],
    )
    def test_a_claim_within_the_rules(
        self, corp: World, provider: ScriptedProvider, user_code: str, claims: Claims
    ) -> None:
        provider.claims = resolved(claims)
        assert comes_back(corp, provider, user_code).headers["Location"] == VERIFIED

    def test_the_hash_of_our_access_token(self, corp: World, provider: ScriptedProvider, user_code: str) -> None:
        half = hashlib.sha256(b"an access token").digest()[:16]
        provider.claims = {"at_hash": urlsafe_b64encode(half).decode().rstrip("=")}
        assert comes_back(corp, provider, user_code).headers["Location"] == VERIFIED


def pem(key: RSAKey) -> bytes:
    return key.as_pem(private=False)


def der(key: RSAKey, kind: PublicFormat) -> bytes:
    return key.public_key.public_bytes(Encoding.DER, kind)


def forged(header: Claims, secret: bytes, digest: str = "sha256") -> Lie:
    return lambda _: lambda claims: compact(header, claims, hmac_with(secret, digest))


def with_public_key(secret: Callable[[RSAKey], bytes]) -> Lie:
    """HS256 under a key that everybody knows (RFC 8725 §2.1)."""
    return lambda provider: forged({"alg": "HS256", "kid": "first"}, secret(provider.key))(provider)


def by(key: Any, **header: Any) -> Lie:
    """A true signature, of another key or under another header."""

    def signer(provider: ScriptedProvider) -> Callable[[Claims], str]:
        signing = key or provider.key
        algorithm = {"RSA": "RS256", "EC": "ES256", "oct": "HS256"}[signing.key_type]
        given = {"alg": algorithm, "kid": "first", **header}
        given = {name: value for name, value in given.items() if value is not None}
        return lambda claims: jwt.encode(given, claims, signing, algorithms=[algorithm])

    return signer


def altered(alter: Callable[[list[str]], list[str]]) -> Lie:
    """The honest ID token with its three parts changed."""
    return lambda provider: lambda claims: ".".join(alter(provider.id_token(claims).split(".")))


def forged_claims(parts: list[str]) -> list[str]:
    header, claims, signature = parts
    told = json.loads(bytes.fromhex(_decoded(claims).hex()))
    changed = compact({}, {**told, "email": "eve@corp.example"}).split(".")[1]
    return [header, changed, signature]


def _decoded(part: str) -> bytes:
    from base64 import urlsafe_b64decode  # noqa: PLC0415

    return urlsafe_b64decode(part + "=" * (-len(part) % 4))


NONE = {"alg": "none", "kid": "first"}
FORGERIES: dict[str, Lie] = {
    "alg none": lambda _: lambda claims: compact(NONE, claims),
    "alg None": lambda _: lambda claims: compact({**NONE, "alg": "None"}, claims),
    "alg none, no kid": lambda _: lambda claims: compact({"alg": "none"}, claims),
    "alg none over a true signature": altered(lambda parts: [compact(NONE, {}).split(".")[0], *parts[1:]]),
    "no alg": lambda _: lambda claims: compact({"kid": "first"}, claims),
    "alg as a list": lambda _: lambda claims: compact({"alg": ["RS256"], "kid": "first"}, claims),
    "alg unknown": lambda _: lambda claims: compact({"alg": "XS256", "kid": "first"}, claims),
    "HS256 with the public key as PEM": with_public_key(pem),
    "HS256 with the public key as PEM, stripped": with_public_key(lambda key: pem(key).strip()),
    "HS256 with the public key as DER": with_public_key(lambda key: der(key, PublicFormat.SubjectPublicKeyInfo)),
    "HS256 with the public key as PKCS 1": with_public_key(lambda key: der(key, PublicFormat.PKCS1)),
    "HS256 with the public key as JWK": with_public_key(lambda key: json.dumps(key.as_dict(private=False)).encode()),
    "HS256 with the modulus": with_public_key(lambda key: str(key.as_dict(private=False)["n"]).encode()),
    "HS256 with our client_secret": forged({"alg": "HS256", "kid": "first"}, CLIENT_SECRET.encode()),
    "HS256 with our client_secret, no kid": forged({"alg": "HS256"}, CLIENT_SECRET.encode()),
    "HS512 with our client_secret": forged({"alg": "HS512", "kid": "first"}, CLIENT_SECRET.encode(), "sha512"),
    "HS256 with nothing": forged({"alg": "HS256", "kid": "first"}, b""),
    "another key under the same kid": by(new_key("first")),
    "another key, kid unknown": by(new_key("other"), kid="other"),
    "another key, no kid": by(new_key("other"), kid=None),
    "another key that the header brings": by(new_key("first"), jwk=new_key("first").as_dict(private=False)),
    "another kind of key under the same kid": by(ECKey.generate_key("P-256", {"kid": "first"})),
    "a shared secret under the same kid": by(OctKey.generate_key(256, {"kid": "first"})),
    "the right key, kid unknown": by(None, kid="other"),
    "the right key, kid empty": by(None, kid=""),
    "the signature of nothing": altered(lambda parts: [*parts[:2], ""]),
    "half a signature": altered(lambda parts: [*parts[:2], parts[2][:100]]),
    "claims that were not signed": altered(forged_claims),
    "two parts": altered(lambda parts: parts[:2]),
    "four parts": altered(lambda parts: [*parts, ""]),
    "five parts": altered(lambda parts: [*parts, "", ""]),
    "a header that is a list": lambda _: lambda claims: compact(["alg"], claims),
    "a header that is nested deeply": lambda _: lambda claims: compact(b"[" * 5000, claims),
    "claims that are a list": lambda provider: lambda _: jws_of(provider, b"[]"),
    "claims that are no JSON": lambda provider: lambda _: jws_of(provider, b"{"),
    "claims that are nested deeply": lambda provider: lambda _: jws_of(provider, b'{"a":' + b"[" * 5000),
    "claims that are no UTF-8": lambda provider: lambda _: jws_of(provider, b'{"a":"\xff"}'),
    "critical parameters that we do not know": by(None, crit=["exp"], exp=1),
    "garbage": lambda _: lambda _: "garbage",
    "dots": lambda _: lambda _: "..",
    "not ASCII": lambda _: lambda _: "\u00e9.\u00e9.\u00e9",
    "empty": lambda _: lambda _: "",
}


def jws_of(provider: ScriptedProvider, payload: bytes) -> str:
    """A true signature over any bytes."""
    signer = provider.key.private_key
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15  # noqa: PLC0415
    from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415

    header = {"alg": "RS256", "kid": provider.key.kid}
    return compact(header, payload, lambda text: signer.sign(text, PKCS1v15(), SHA256()))


@pytest.mark.parametrize("forge", FORGERIES.values(), ids=FORGERIES)
def test_a_forged_signature_is_refused(corp: World, provider: ScriptedProvider, user_code: str, forge: Lie) -> None:
    provider.signed = forge(provider)
    assert_lie_refused(corp, provider, user_code)
    # What makes the forgeries makes statements that are taken, too.
    provider.signed = lambda claims: jws_of(provider, json.dumps(claims).encode())
    assert comes_back(corp, provider, user_code).headers["Location"] == VERIFIED


@pytest.mark.parametrize("told", [None, 5, True, [], {}, ["a.b.c"], ""])
def test_an_id_token_that_is_no_text_is_refused(
    corp: World, provider: ScriptedProvider, user_code: str, told: Any
) -> None:
    provider.token_answer = {"access_token": "an access token", "token_type": "Bearer", "id_token": told}
    assert_lie_refused(corp, provider, user_code)
    assert_honest_taken(corp, provider, user_code)


def test_an_answer_without_an_id_token_is_refused(corp: World, provider: ScriptedProvider, user_code: str) -> None:
    """OAuth alone says nothing of who signed in: userinfo of any access token would do."""
    provider.token_answer = {"access_token": "an access token", "token_type": "Bearer"}
    assert_lie_refused(corp, provider, user_code)
    assert "/userinfo" not in provider.paths
    assert_honest_taken(corp, provider, user_code)


class TestEmailDomains:
    @pytest.fixture
    def corp(self, make: WorldMaker, tmp_path: Any, provider: ScriptedProvider) -> World:
        path = ini_file(tmp_path, provider)
        with open(path, "a", encoding="utf-8") as ini:
            ini.write("email_domains = corp.example Corp.Example.org\n")
        return make(edition="enterprise", ini_file=path)

    @pytest.mark.parametrize(
        "email",
        [
            "ada@evil.example",
            "ada@sub.corp.example",
            "ada@corp.example.evil.example",
            "ada@notcorp.example",
            "ada@corp.example.",
            "ada@corp.examp\u013ee",
            "corp.example@evil.example",
            "ada@example",
        ],
    )
    def test_another_is_refused(self, corp: World, provider: ScriptedProvider, user_code: str, email: str) -> None:
        provider.person["email"] = email
        assert_lie_refused(corp, provider, user_code)
        assert_honest_taken(corp, provider, user_code)

    @pytest.mark.parametrize("email", ["ADA@CORP.EXAMPLE", "ada@corp.example.org"])
    def test_one_of_them_is_taken(self, corp: World, provider: ScriptedProvider, email: str) -> None:
        provider.person["email"] = email
        device = corp.device().ask()
        ada = Stranger(corp).sign_in(provider, device.user_code)
        assert ada.decide(APPROVE_EXTERNAL, device.user_code).status_int == 200
        assert device.poll().json["subject_email"] == email
