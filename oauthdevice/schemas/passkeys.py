"""What the page of passkeys and the scripts of the pages send."""

import colander

from .fields import DeviceLabel, Field, PasskeyId


class _CredentialAnswer(colander.MappingSchema):
    # JSON inside of a text: what is in there is for WebAuthn to say, and bounded with the body.
    credential = Field()


class _PasswordAnswer(colander.MappingSchema):
    password = Field(missing="", validator=colander.Length(max=1024))


class _NewPasskey(colander.MappingSchema):
    name = DeviceLabel()
    credential = Field()


class _RemoveForm(colander.MappingSchema):
    passkey = PasskeyId()


credential_answer = _CredentialAnswer()
password_answer = _PasswordAnswer()
new_passkey = _NewPasskey()
remove_form = _RemoveForm()
