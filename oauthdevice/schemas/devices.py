"""The pages of a person's devices."""

from typing import Any

import colander

from .fields import DeviceLabel, Field, PageNumber, Token


def _stripped(value: Any) -> Any:
    return value.strip() if isinstance(value, str) else value


class _PageQuery(colander.MappingSchema):
    page = PageNumber(missing=1)


class _ActionForm(colander.MappingSchema):
    action = Field(validator=colander.OneOf(["rename", "end", "end_others"]))


class _NameForm(colander.MappingSchema):
    # Under the rule of a label: either may stand for the device. One of spaces takes the name back.
    name = DeviceLabel(missing="", preparer=_stripped)


class _UndoQuery(colander.MappingSchema):
    token = Token(missing=None)


page_query = _PageQuery()
action_form = _ActionForm()
name_form = _NameForm()
undo_query = _UndoQuery()
