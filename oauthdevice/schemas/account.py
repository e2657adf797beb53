"""One schema per service of the account branch. Instances: a schema has no state."""

import colander

from .fields import (
    ClientId,
    ClientSecret,
    CodeChallenge,
    CodeChallengeMethod,
    CodeVerifier,
    ConfirmationNumber,
    DeviceCode,
    DeviceLabel,
    GrantType,
    Scope,
    Thumbprint,
    Token,
    UserCode,
)


class _DeviceCodeRequest(colander.MappingSchema):
    client_id = ClientId(missing=None)
    client_secret = ClientSecret(missing=None)
    scope = Scope(missing="")
    device_label = DeviceLabel(missing=None)
    code_challenge = CodeChallenge(missing=None)
    code_challenge_method = CodeChallengeMethod(missing=None)
    dpop_jkt = Thumbprint(missing=None)


class _DeviceTokenRequest(colander.MappingSchema):
    grant_type = GrantType(missing=None)
    device_code = DeviceCode(missing=None)
    code_verifier = CodeVerifier(missing=None)
    refresh_token = Token(missing=None)
    scope = Scope(missing="")
    client_id = ClientId(missing=None)
    client_secret = ClientSecret(missing=None)


class _UserCodeRequest(colander.MappingSchema):
    user_code = UserCode()


class _ApproveRequest(_UserCodeRequest):
    confirmation_number = ConfirmationNumber(missing="")


# RFC 8628 §3.1, with the label of the original dialect the challenge of RFC 7636 and the key of RFC 9449.
device_code_request = _DeviceCodeRequest()
# RFC 8628 §3.4.
device_token_request = _DeviceTokenRequest()
# lookup, deny.
user_code_request = _UserCodeRequest()
approve_request = _ApproveRequest()
