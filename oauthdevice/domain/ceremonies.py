"""The two ceremonies of WebAuthn, making a passkey and using one, as the library `webauthn` checks them.

What is asked of a browser, and whether its answer is true. Whose passkey it is, and whether the challenge was
good, is for `oauthdevice.domain.passkeys` to say.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from webauthn import (
    generate_authentication_options,
    generate_registration_options,
    verify_authentication_response,
    verify_registration_response,
)
from webauthn.helpers import (
    options_to_json_dict,
    parse_authentication_credential_json,
    parse_client_data_json,
    parse_registration_credential_json,
)
from webauthn.helpers.cose import COSEAlgorithmIdentifier
from webauthn.helpers.structs import (
    AuthenticationCredential,
    AuthenticatorSelectionCriteria,
    AuthenticatorTransport,
    PublicKeyCredentialDescriptor,
    RegistrationCredential,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from .challenges import CHALLENGE_SECONDS
from .errors import PasskeyRefused
from .passkeys import Credential, Passkey
from .relying_party import RelyingParty
from .subjects import Account

ALGORITHMS = [
    COSEAlgorithmIdentifier.ECDSA_SHA_256,
    COSEAlgorithmIdentifier.EDDSA,
    COSEAlgorithmIdentifier.RSASSA_PKCS1_v1_5_SHA_256,
]
# WebAuthn §4: no credential id is longer.
CREDENTIAL_ID_MAX_BYTES = 1023


@dataclass(frozen=True, slots=True)
class Creation:
    """What a browser says it made, nothing of it verified yet."""

    challenge: bytes
    answer: RegistrationCredential


@dataclass(frozen=True, slots=True)
class Assertion:
    """What a browser says it signed, nothing of it verified yet."""

    challenge: bytes
    answer: AuthenticationCredential

    @property
    def credential_id(self) -> bytes:
        return self.answer.raw_id

    @property
    def user_handle(self) -> bytes | None:
        return self.answer.response.user_handle


class Ceremonies:
    """The ceremonies of one relying party. Everything that reads an answer raises PasskeyRefused.

    `name` is what the person reads beside the e-mail where the browser asks.
    """

    def __init__(self, us: RelyingParty, name: str) -> None:
        self._us = us
        self._name = name

    def creation_options(self, account: Account, challenge: bytes, known: Sequence[Passkey]) -> dict[str, Any]:
        """PublicKeyCredentialCreationOptionsJSON, for a passkey that is found without an e-mail.

        An authenticator that holds one of `known` makes no second one.
        """
        options = generate_registration_options(
            rp_id=self._us.id,
            rp_name=self._name,
            user_id=account.id.encode(),
            user_name=account.email,
            user_display_name=account.name,
            challenge=challenge,
            timeout=CHALLENGE_SECONDS * 1000,
            authenticator_selection=AuthenticatorSelectionCriteria(
                resident_key=ResidentKeyRequirement.REQUIRED,
                user_verification=UserVerificationRequirement.REQUIRED,
            ),
            exclude_credentials=[
                PublicKeyCredentialDescriptor(
                    id=one.credential_id, transports=[AuthenticatorTransport(word) for word in one.transports]
                )
                for one in known
            ],
            supported_pub_key_algs=ALGORITHMS,
        )
        return options_to_json_dict(options)

    def request_options(self, challenge: bytes) -> dict[str, Any]:
        """PublicKeyCredentialRequestOptionsJSON, for any passkey of ours that the person chooses."""
        options = generate_authentication_options(
            rp_id=self._us.id,
            challenge=challenge,
            timeout=CHALLENGE_SECONDS * 1000,
            user_verification=UserVerificationRequirement.REQUIRED,
        )
        return options_to_json_dict(options)

    def read_creation(self, text: str) -> Creation:
        """A RegistrationResponseJSON."""
        with _refusing():
            answer = parse_registration_credential_json(text)
            return Creation(_challenge(answer.response.client_data_json), answer)

    def read_assertion(self, text: str) -> Assertion:
        """An AuthenticationResponseJSON."""
        with _refusing():
            answer = parse_authentication_credential_json(text)
            return Assertion(_challenge(answer.response.client_data_json), answer)

    def verify_creation(self, creation: Creation) -> Credential:
        """The new credential (WebAuthn §7.1), made for us by a person whom the authenticator has verified."""
        with _refusing():
            verified = verify_registration_response(
                credential=creation.answer,
                expected_challenge=creation.challenge,
                expected_rp_id=self._us.id,
                expected_origin=self._us.origin,
                require_user_verification=True,
                supported_pub_key_algs=ALGORITHMS,
            )
        if len(verified.credential_id) > CREDENTIAL_ID_MAX_BYTES:
            raise PasskeyRefused(detail="the credential id is too long")
        return Credential(
            credential_id=verified.credential_id,
            public_key=verified.credential_public_key,
            sign_count=verified.sign_count,
            transports=tuple(one.value for one in creation.answer.response.transports or ()),
        )

    def verify_assertion(self, assertion: Assertion, credential: Credential) -> int:
        """The sign count told by an assertion of this credential (WebAuthn §7.2); whether it grew is not asked."""
        with _refusing():
            verified = verify_authentication_response(
                credential=assertion.answer,
                expected_challenge=assertion.challenge,
                expected_rp_id=self._us.id,
                expected_origin=self._us.origin,
                credential_public_key=credential.public_key,
                # The count is compared where it is stored: two assertions at once must not both pass.
                credential_current_sign_count=0,
                require_user_verification=True,
            )
        return verified.new_sign_count


def _challenge(client_data: bytes) -> bytes:
    told = parse_client_data_json(client_data)
    # The library does not ask: somebody else's page, with ours in a frame, is none of ours.
    if told.cross_origin:
        raise PasskeyRefused(detail="the answer was made in a frame of another origin")
    return told.challenge


@contextmanager
def _refusing() -> Iterator[None]:
    """Whatever is wrong with an answer is one refusal."""
    try:
        yield
    except PasskeyRefused:
        raise
    except Exception as error:
        # JSON, CBOR, COSE and X.509 of a stranger, read by four libraries with errors of their own: a list of
        # these would miss one, and each that is missed is a fault of ours. Nothing in here does I/O.
        raise PasskeyRefused(detail=f"{type(error).__name__} {str(error)[:200]!r}") from error
