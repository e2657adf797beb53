"""The JWT of a proof: who may have signed it, and by what (RFC 9449 §4.2, §4.3)."""

import json
from typing import Any

import pytest
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from oauthdevice.domain.dpop import ALGORITHMS, PROOF_CHARACTERS, InvalidDPoPProof
from oauthdevice.signed_proofs import read_proof

from .key_holders import KEYS, base64url, signed

CLAIMS = {"jti": "one", "htm": "POST", "htu": "https://login.example.com/", "iat": 1}


def header(key: Any, alg: str, **more: Any) -> dict[str, Any]:
    return {"typ": "dpop+jwt", "alg": alg, "jwk": key.as_dict(private=False), **more}


def refused(proof: str) -> bool:
    with pytest.raises(InvalidDPoPProof):
        read_proof(proof)
    return True


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_each_algorithm_is_read(alg: str) -> None:
    key = KEYS[alg]
    read = read_proof(signed(key, header(key, alg), CLAIMS))
    assert (read.typ, read.thumbprint, read.claims) == ("dpop+jwt", key.thumbprint(), CLAIMS)


def test_the_thumbprint_is_that_of_the_key_alone() -> None:
    """RFC 7638 §3: whatever else a JWK tells."""
    key = KEYS["ES256"]
    jwk = {**key.as_dict(private=False), "kid": "7", "use": "enc", "alg": "RS256", "key_ops": ["encrypt"], "x5c": ["x"]}
    assert read_proof(signed(key, header(key, "ES256", jwk=jwk), CLAIMS)).thumbprint == key.thumbprint()


@pytest.mark.parametrize("alg", ["none", "HS256", "HS512", "ES512", "RS512", "ES256K", "es256", "", None, 7, ["ES256"]])
def test_no_other_algorithm_is(alg: Any) -> None:
    good = signed(KEYS["ES256"], header(KEYS["ES256"], "ES256"), CLAIMS)
    _, payload, signature = good.split(".")
    top = base64url(json.dumps(header(KEYS["ES256"], alg)).encode())
    assert refused(f"{top}.{payload}.{signature}")
    assert refused(f"{top}.{payload}.")


@pytest.mark.parametrize(
    ("key", "alg"),
    [
        (ECKey.generate_key("P-521"), "ES512"), (ECKey.generate_key("secp256k1"), "ES256K"),
        (OKPKey.generate_key("Ed448"), "EdDSA"), (OctKey.generate_key(256), "HS256"),
    ],
)  # fmt: skip
def test_no_other_key_is(key: Any, alg: str) -> None:
    shown = key.as_dict(private=isinstance(key, OctKey))
    assert refused(signed(key, header(KEYS["ES256"], alg, jwk=shown), CLAIMS))


@pytest.mark.parametrize("alg", ["ES256", "Ed25519", "RS256"])
def test_no_private_key_is_taken(alg: str) -> None:
    key = KEYS[alg]
    assert refused(signed(key, header(key, alg, jwk=key.as_dict(private=True)), CLAIMS))
    # Nor a part of one.
    assert refused(signed(key, header(key, alg, jwk={**key.as_dict(private=False), "d": "x"}), CLAIMS))


@pytest.mark.parametrize("bits", [1024, 2047, 4097, 16384])
def test_an_rsa_key_is_neither_weak_nor_slow(bits: int) -> None:
    """Refused before it is used, so any number will do for one."""
    jwk = {**KEYS["RS256"].as_dict(private=False), "n": base64url((2**bits - 1).to_bytes((bits + 7) // 8, "big"))}
    assert refused(signed(KEYS["RS256"], header(KEYS["RS256"], "RS256", jwk=jwk), CLAIMS))


def test_an_rsa_key_has_no_large_exponent() -> None:
    jwk = {**KEYS["RS256"].as_dict(private=False), "e": base64url((2**64 + 1).to_bytes(9, "big"))}
    assert refused(signed(KEYS["RS256"], header(KEYS["RS256"], "RS256", jwk=jwk), CLAIMS))


def test_the_longest_that_is_taken_fits() -> None:
    key = RSAKey.generate_key(4096)
    longest = signed(key, header(key, "PS256", kid="x" * 43), CLAIMS | {"ath": "x" * 43, "nonce": "x" * 22})
    assert len(longest) < PROOF_CHARACTERS
    assert read_proof(longest).typ == "dpop+jwt"


@pytest.mark.parametrize("claims", [[], "x", 7, None, [["jti", "x"]]])
def test_claims_are_an_object(claims: Any) -> None:
    assert refused(signed(KEYS["ES256"], header(KEYS["ES256"], "ES256"), claims))


@pytest.mark.parametrize(
    "more",
    [
        {"jwk": None}, {"jwk": "x"}, {"jwk": []}, {"jwk": {}}, {"jwk": {"kty": "EC"}}, {"typ": None}, {"typ": 7},
        {"jwk": {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}}, {"jwk": {"kty": ["EC"], "crv": "P-256"}},
        {"jwk": {"kty": "EC", "crv": {}, "x": 1, "y": 2}}, {"jwk": {"kty": "OKP", "crv": "Ed25519", "x": "AA"}},
        {"crit": ["b64"], "b64": False}, {"crit": ["exp"], "exp": 1}, {"crit": 7},
    ],
)  # fmt: skip
def test_a_header_is_what_it_has_to_be(more: dict[str, Any]) -> None:
    assert refused(signed(KEYS["ES256"], header(KEYS["ES256"], "ES256", **more), CLAIMS))


@pytest.mark.parametrize(
    "text",
    [
        "", ".", "..", "...", "x", "x.y", "x.y.z", "x.y.z.w", "e30.e30.", "bnVsbA.e30.AA", "W10.e30.AA", "IjEi.e30.AA",
        "\u00e9.e30.AA", "e30.e30.AA\n", " e30.e30.AA", "e30=.e30.AA",
        base64url(b"[" * 2000) + ".e30.AA", base64url(b'{"jwk":' * 400) + ".e30.AA",
    ],
)  # fmt: skip
def test_what_is_no_jwt_is_refused(text: str) -> None:
    assert refused(text)


def test_one_altered_letter_is_noticed() -> None:
    key = KEYS["ES256"]
    good = signed(key, header(key, "ES256"), CLAIMS)
    for place in range(0, len(good), 7):
        letter = "B" if good[place] != "B" else "C"
        if good[place] != ".":
            assert refused(good[:place] + letter + good[place + 1 :])
