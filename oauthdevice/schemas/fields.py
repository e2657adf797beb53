"""One node per protocol parameter: type and bounds. A value that is no text is malformed, not converted."""

import re
import unicodedata
from typing import Any

import colander

from ..domain.scopes import is_scope_token


class Text(colander.SchemaType):
    """A str and nothing else: no number, list or object becomes one."""

    def deserialize(self, node: colander.SchemaNode, cstruct: Any) -> Any:
        if cstruct is colander.null:
            return colander.null
        if not isinstance(cstruct, str):
            raise colander.Invalid(node, "not text")
        try:
            # JSON can write half of a surrogate pair, which is no character.
            cstruct.encode()
        except UnicodeEncodeError:
            raise colander.Invalid(node, "not text") from None
        return cstruct


class Field(colander.SchemaNode):
    """A required text; `missing=None` makes it optional."""

    schema_type = Text


def _matches(pattern: str) -> Any:
    compiled = re.compile(pattern)

    def validator(node: colander.SchemaNode, value: str) -> None:
        if compiled.fullmatch(value) is None:
            raise colander.Invalid(node, "malformed")

    return validator


def _scope(node: colander.SchemaNode, value: str) -> None:
    words = value.split(" ")
    if len(value) > 1024 or not all(is_scope_token(word) for word in words if word):
        raise colander.Invalid(node, "malformed")


# Letters and a symbol that nobody sees.
_BLANK = frozenset("\u115f\u1160\u2800\u3164\uffa0")


def _is_visible(symbol: str) -> bool:
    """Whether it shows by itself: no space, and no mark on another one."""
    return symbol not in _BLANK and unicodedata.category(symbol)[0] not in "ZM"


def _label(node: colander.SchemaNode, value: str) -> None:
    if len(value) > 128 or not value.isprintable() or (value and not any(map(_is_visible, value))):
        raise colander.Invalid(node, "malformed")


class ClientId(Field):
    """RFC 6749 §A.1, at most 64 characters."""

    validator = staticmethod(_matches(r"[\x20-\x7e]{1,64}"))


class ClientSecret(Field):
    """RFC 6749 §A.2, at most 256 characters."""

    validator = staticmethod(_matches(r"[\x20-\x7e]{1,256}"))


class GrantType(Field):
    """RFC 6749 §A.10, at most 128 characters. Which ones there are is the domain's to say."""

    validator = staticmethod(_matches(r"[\x21-\x7e]{1,128}"))


class DeviceCode(Field):
    """Any short text; whether it has the form of one of ours is the domain's to say."""

    validator = staticmethod(_matches(r"[\x20-\x7e]{1,256}"))


class CodeChallenge(Field):
    """RFC 7636 §4.2: a SHA-256, in base64url without padding."""

    validator = staticmethod(_matches(r"[A-Za-z0-9_-]{43}"))


class CodeChallengeMethod(Field):
    """RFC 7636 §4.3. Which ones there are is the domain's to say."""

    validator = staticmethod(_matches(r"[\x21-\x7e]{1,32}"))


class CodeVerifier(Field):
    """RFC 7636 §4.1: 43 to 128 unreserved characters."""

    validator = staticmethod(_matches(r"[A-Za-z0-9._~-]{43,128}"))


class Thumbprint(Field):
    """RFC 7638, with SHA-256: base64url without padding (RFC 9449 §10)."""

    validator = staticmethod(_matches(r"[A-Za-z0-9_-]{43}"))


class Token(Field):
    """Any short text; whether it has the form of one of ours is the domain's to say."""

    validator = staticmethod(_matches(r"[\x20-\x7e]{1,1024}"))


class UserCode(Field):
    """What a person typed: at most 64 characters of anything."""

    validator = colander.Length(min=1, max=64)


class TypedUserCode(Field):
    """What a person typed or pasted into the field for the code, a whole link perhaps: at most 512 characters."""

    validator = colander.Length(max=512)


class ConfirmationNumber(Field):
    """What a person typed: at most 16 characters of anything."""

    validator = colander.Length(max=16)


class Scope(Field):
    """Scope tokens between spaces (RFC 6749 §3.3), at most 1024 characters."""

    validator = staticmethod(_scope)


class DeviceLabel(Field):
    """1 to 128 printable characters, of which one can be seen: no control, line break or text direction override."""

    validator = staticmethod(_label)


class PasskeyId(Field):
    """As we make them; whose it is, is the domain's to say."""

    validator = staticmethod(_matches(r"[0-9a-f-]{36}"))


class WholeNumber(colander.SchemaType):
    """Decimal digits and nothing else, as an int."""

    def deserialize(self, node: colander.SchemaNode, cstruct: Any) -> Any:
        if cstruct is colander.null:
            return colander.null
        if re.fullmatch(r"[0-9]{1,9}", str(cstruct), re.ASCII) is None:
            raise colander.Invalid(node, "not a whole number")
        return int(cstruct)


class PageNumber(colander.SchemaNode):
    """From 1."""

    schema_type = WholeNumber
    validator = colander.Range(min=1, max=1_000_000)


class PageLimit(colander.SchemaNode):
    """1 to 200."""

    schema_type = WholeNumber
    validator = colander.Range(min=1, max=200)
