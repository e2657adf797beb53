"""The pages of a person's devices."""

import colander

from .fields import DeviceLabel, Field, PageNumber, Token


class _PageQuery(colander.MappingSchema):
    page = PageNumber(missing=1)


class _ActionForm(colander.MappingSchema):
    action = Field(validator=colander.OneOf(["rename", "end", "end_others"]))


class _NameForm(colander.MappingSchema):
    # Under the rule of a label: either may stand for the device.
    name = DeviceLabel(missing="")


class _UndoQuery(colander.MappingSchema):
    token = Token(missing=None)


page_query = _PageQuery()
action_form = _ActionForm()
name_form = _NameForm()
undo_query = _UndoQuery()
