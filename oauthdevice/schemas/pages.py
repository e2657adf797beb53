"""The forms that people send."""

import colander

from .fields import ConfirmationNumber, Field, TypedUserCode, UserCode


class _EnterCodeForm(colander.MappingSchema):
    user_code = TypedUserCode(missing="")


class _LoginForm(colander.MappingSchema):
    email = Field(missing="", validator=colander.Length(max=320))
    password = Field(missing="", validator=colander.Length(max=1024))
    again = Field(missing="", validator=colander.Length(max=1))


class _DecisionForm(colander.MappingSchema):
    user_code = UserCode()
    decision = Field(validator=colander.OneOf(["approve", "deny"]))
    confirmation_number = ConfirmationNumber(missing="")


class _ReportForm(colander.MappingSchema):
    # One or the other: of the consent page, or of the page of an outcome, which shows no code any more.
    user_code = UserCode(missing="")
    token_id = Field(missing="", validator=colander.Length(max=36))


enter_code_form = _EnterCodeForm()
login_form = _LoginForm()
decision_form = _DecisionForm()
report_form = _ReportForm()
