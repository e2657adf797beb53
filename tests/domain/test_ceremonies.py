"""Whatever a browser says of a passkey is true or is refused: no parser beneath becomes a fault of ours."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from webauthn.helpers import encode_cbor, parse_cbor

from oauthdevice.domain.ceremonies import Ceremonies
from oauthdevice.domain.errors import PasskeyRefused
from oauthdevice.domain.passkeys import Credential
from oauthdevice.domain.relying_party import relying_party
from oauthdevice.domain.subjects import Account

from ..authenticators import Authenticator, base64url

ADA = Account("3f9d1f2e-0000-4000-8000-000000000001", "ada@example.com", "Ada", active=True)
FORMATS = ["none", "packed", "tpm", "apple", "android-key", "android-safetynet", "fido-u2f", "x", "", 7, None]
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=6,
)
CBOR_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.binary(max_size=80) | st.text(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["alg", "sig", "x5c", "ver", "certInfo", "pubArea", "response", 1, 3, -1, -2, -3]), inner
        )
    ),
    max_leaves=8,
)


@pytest.fixture(scope="module")
def ceremonies() -> Ceremonies:
    return Ceremonies(relying_party("http://localhost"), "Example")


def made(ceremonies: Ceremonies) -> tuple[Authenticator, dict[str, Any]]:
    one = Authenticator()
    return one, one.create(ceremonies.creation_options(ADA, b"a challenge", []))


def try_creation(ceremonies: Ceremonies, credential: Any) -> Credential | None:
    try:
        return ceremonies.verify_creation(ceremonies.read_creation(json.dumps(credential)))
    except PasskeyRefused:
        return None


def try_assertion(ceremonies: Ceremonies, answer: Any, credential: Credential) -> int | None:
    try:
        return ceremonies.verify_assertion(ceremonies.read_assertion(json.dumps(answer)), credential)
    except PasskeyRefused:
        return None


class TestACreation:
    def test_that_is_true_is_a_credential(self, ceremonies: Ceremonies) -> None:
        one, credential = made(ceremonies)
        credential["response"]["transports"] = ["internal", "hybrid", "teleport", 7]
        assert ceremonies.read_creation(json.dumps(credential)).challenge == b"a challenge"
        assert try_creation(ceremonies, credential) == Credential(
            credential_id=one.credential_id,
            public_key=one.public_key(),
            sign_count=0,
            transports=("internal", "hybrid"),
        )

    @given(member=st.sampled_from(["id", "rawId", "type", "response", "transports"]), value=JSON_VALUES)
    def test_with_a_strange_member_is_refused_or_a_credential(
        self, ceremonies: Ceremonies, member: str, value: Any
    ) -> None:
        _, credential = made(ceremonies)
        (credential["response"] if member == "transports" else credential)[member] = value
        try_creation(ceremonies, credential)

    @given(client_data=st.dictionaries(st.sampled_from(["type", "challenge", "origin", "tokenBinding"]), JSON_VALUES))
    def test_with_strange_client_data_is_refused(self, ceremonies: Ceremonies, client_data: dict[str, Any]) -> None:
        _, credential = made(ceremonies)
        credential["response"]["clientDataJSON"] = base64url(json.dumps(client_data).encode())
        assert try_creation(ceremonies, credential) is None

    @given(fmt=st.sampled_from(FORMATS), statement=CBOR_VALUES)
    def test_with_a_strange_attestation_is_refused(self, ceremonies: Ceremonies, fmt: Any, statement: Any) -> None:
        _, credential = made(ceremonies)
        told = parse_cbor(base64.urlsafe_b64decode(credential["response"]["attestationObject"] + "==="))
        told |= {"fmt": fmt, "attStmt": statement}
        credential["response"]["attestationObject"] = base64url(encode_cbor(told))
        assert try_creation(ceremonies, credential) is None or fmt == "none"

    @given(key=CBOR_VALUES)
    def test_with_a_strange_key_is_a_key_that_signs_nothing(self, ceremonies: Ceremonies, key: Any) -> None:
        one = Authenticator()
        one.public_key = lambda: encode_cbor(key)  # type: ignore[method-assign]  # the lie
        credential = try_creation(ceremonies, one.create(ceremonies.creation_options(ADA, b"a challenge", [])))
        if credential is not None:
            answer = one.get(ceremonies.request_options(b"another challenge"))
            assert try_assertion(ceremonies, answer, credential) is None


class TestAnAssertion:
    def test_that_is_true_tells_its_count(self, ceremonies: Ceremonies) -> None:
        one, created = made(ceremonies)
        credential = try_creation(ceremonies, created)
        assert credential is not None
        answers = [one.get(ceremonies.request_options(b"another challenge")) for _ in range(2)]
        assert [try_assertion(ceremonies, answer, credential) for answer in answers] == [1, 2]

    @given(
        member=st.sampled_from(["clientDataJSON", "authenticatorData", "signature"]),
        place=st.integers(0, 10_000),
        bit=st.integers(0, 7),
    )
    def test_with_one_bit_changed_is_refused(self, ceremonies: Ceremonies, member: str, place: int, bit: int) -> None:
        one, created = made(ceremonies)
        credential = try_creation(ceremonies, created)
        assert credential is not None
        answer = one.get(ceremonies.request_options(b"another challenge"))
        content = bytearray(base64.urlsafe_b64decode(answer["response"][member] + "==="))
        content[place % len(content)] ^= 1 << bit
        answer["response"][member] = base64url(bytes(content))
        assert try_assertion(ceremonies, answer, credential) is None

    @given(
        member=st.sampled_from(["clientDataJSON", "authenticatorData", "signature", "userHandle"]),
        value=JSON_VALUES | st.binary(max_size=200).map(base64url),
    )
    def test_with_a_strange_member_is_refused(self, ceremonies: Ceremonies, member: str, value: Any) -> None:
        one, created = made(ceremonies)
        credential = try_creation(ceremonies, created)
        assert credential is not None
        answer = one.get(ceremonies.request_options(b"another challenge"))
        answer["response"][member] = value
        assert try_assertion(ceremonies, answer, credential) is None or member == "userHandle"
