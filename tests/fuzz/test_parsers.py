"""What reads texts of strangers and operators: whatever the text, an answer or the one error that is meant."""

import base64
import configparser
import contextlib
import json
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import KeySet, OctKey

from oauthdevice.declarations import read_clients, read_identity_providers, read_scopes
from oauthdevice.domain.approval_seal import ApprovalSeal
from oauthdevice.domain.codes import (
    LONG_USER_CODE_LENGTH,
    USER_CODE_ALPHABET,
    USER_CODE_LENGTH,
    format_user_code,
    is_device_code,
    normalise_user_code,
)
from oauthdevice.domain.credentials import is_credential, new_credential
from oauthdevice.domain.errors import SSOFailed
from oauthdevice.domain.rate_limits import DEFAULT_LIMITS
from oauthdevice.domain.subjects import Approval, ExternalSubject
from oauthdevice.domain.undo import UndoExpired, UndoMalformed, UndoSeal
from oauthdevice.identity_providers.documents import Kept
from oauthdevice.identity_providers.signatures import unverified_claim, verified
from oauthdevice.settings import PER_CLIENT, Settings, SettingsError, read_settings
from oauthdevice.stores.sql import create_database
from oauthdevice.views.account import wished_seconds

from ..factories import SECRET
from .inputs import fuzzed

TEXTS = st.text(max_size=60)
NOW = datetime(2030, 1, 1, tzinfo=UTC)


def clock() -> datetime:
    return NOW


def changed(whole: str) -> st.SearchStrategy[str]:
    """Something like `whole`: some of its characters are others, more or fewer."""
    edits = st.tuples(st.integers(0, len(whole)), st.integers(0, 3), st.text(max_size=3))
    return st.lists(edits, min_size=1, max_size=3).map(lambda some: _edited(whole, some))


def _edited(text: str, edits: list[tuple[int, int, str]]) -> str:
    for start, length, put in edits:
        text = text[:start] + put + text[start + length :]
    return text


class TestCodes:
    @fuzzed(300, st.text(max_size=40) | st.text(USER_CODE_ALPHABET + USER_CODE_ALPHABET.lower() + " -._", max_size=20))
    def test_a_user_code_is_whole_or_none(self, text: str) -> None:
        normalised = normalise_user_code(text)
        if normalised is None:
            return
        assert len(normalised) in (USER_CODE_LENGTH, LONG_USER_CODE_LENGTH)
        assert set(normalised) <= set(USER_CODE_ALPHABET)
        assert normalise_user_code(format_user_code(normalised)) == normalised

    @fuzzed(200, TEXTS | st.text("0123456789abcdefABCDEF_-", min_size=40, max_size=50))
    def test_a_device_code_or_none(self, text: str) -> None:
        assert is_device_code(text) in (True, False)

    @fuzzed(200, TEXTS | changed(new_credential("dfoa_")))
    def test_a_mistyped_token_is_none(self, text: str) -> None:
        assert not is_credential(text, "dfoe_") or text.startswith("dfoe_")
        assert is_credential(text, "dfoa_") in (True, False)


class TestSeals:
    SEAL = ApprovalSeal([SECRET], clock)
    SUBJECT = ExternalSubject("https://corp.example", "ada", "ada@corp.example")

    SEALED = SEAL.seal(
        Approval(
            id="1",
            authorization_id="2",
            user_code="BCDFGHJK",
            subject=SUBJECT,
            csrf_token="3",
            expires_at=datetime(2031, 1, 1, tzinfo=UTC),
        )
    )

    @fuzzed(200, TEXTS | st.binary(max_size=200).map(lambda raw: base64.urlsafe_b64encode(raw).decode()))
    def test_nobody_makes_an_approval(self, text: str) -> None:
        assert self.SEAL.unseal(text) is None

    @fuzzed(200, changed(SEALED))
    def test_nobody_changes_one(self, text: str) -> None:
        assert (self.SEAL.unseal(text) is not None) is (text == self.SEALED)

    @fuzzed(200, TEXTS | st.binary(max_size=200).map(lambda raw: base64.urlsafe_b64encode(raw).decode()))
    def test_nobody_makes_a_link_that_ends_a_device(self, text: str) -> None:
        with pytest.raises((UndoMalformed, UndoExpired)):
            UndoSeal([SECRET], clock).unseal(text)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


class TestStatements:
    KEY = OctKey.import_key("a shared secret of thirty-two bytes!", {"kid": "first", "alg": "HS256"})
    KEYS = Kept(lambda: KeySet([TestStatements.KEY]), clock)
    WHOLE = jwt.encode({"alg": "HS256", "kid": "first"}, {"sub": "ada"}, KEY)

    @fuzzed(300, TEXTS | changed(WHOLE))
    def test_one_that_is_not_signed_is_refused(self, text: str) -> None:
        assert unverified_claim(text, "iss") is None or isinstance(unverified_claim(text, "iss"), str)
        try:
            claims = verified(text, self.KEYS, named_key=True).claims
        except SSOFailed:
            return
        # What no decoder looks at may differ; what it says may not.
        assert claims == {"sub": "ada"}

    @fuzzed(300, VALUES, VALUES, st.booleans())
    def test_parts_of_any_json(self, header: Any, claims: Any, named_key: bool) -> None:
        parts = (json.dumps(part).encode() for part in (header, claims))
        text = ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)
        for statement in (f"{text}.", f"{text}.AAAA", text):
            with pytest.raises(SSOFailed):
                verified(statement, self.KEYS, named_key=named_key)
            assert unverified_claim(statement, "iss") is None or isinstance(claims, dict)


class TestHeaders:
    @fuzzed(300, TEXTS | st.from_regex(r'[ ,;]*wait *= *"?[0-9]{0,12}"?[ ,;a-z=]*', fullmatch=True))
    def test_prefer(self, text: str) -> None:
        assert 0 <= wished_seconds(text) < 10**9


OPTIONS = [one.name for one in fields(Settings) if "parse" in one.metadata and not one.name.endswith("_file")]
# None that is a file or is imported: those are of the operator's machine.
IN_TEXT = sorted(set(OPTIONS) - {"accounts", "templates", "static", "place_database"})
WORDS = st.sampled_from(
    ["http://", "https://", "redis://", "redis+cluster://", "redis+sentinel://", "sqlite:///", "postgresql+psycopg://",
     "smtp://", "[::1", "]", ":", "@", "/", "?", "#", "%", "%zz", "localhost", "é", "\x00", "\n", " ", "-1", "0", "٣",
     "1e9", "9" * 30, "on", "60/hour", "full", "\ud800", "xn--", "*", "."]
)  # fmt: skip
GARBAGE = TEXTS | st.lists(WORDS, max_size=6).map("".join) | st.lists(WORDS | TEXTS, max_size=4).map(" ".join)


BASE = {
    "public_url": "https://login.example.com",
    "database_url": "postgresql+psycopg://localhost/oauthdevice",
    "redis_url": "redis://localhost",
    "secret": SECRET,
}
CLIENT = ("name", "scopes", "refresh", "device_flow", "other_network", "secret_sha256", "secret_argon2", *PER_CLIENT)
SCOPE = ("text", "text.de", "subjects", "optional", "sensitive")
PROVIDER = (
    "mode", "label", "issuer", "email_domains", "client_id", "client_secret", "scope", "email_verified_claim",
    "prompt", "own_callback", "subject_issuers", "initiate_url", "audience",
)  # fmt: skip


def accepted(name: str, text: str) -> Settings | None:
    """The settings of a server with this one, or None where it is refused in the way that is meant."""
    given = {f"oauthdevice.{one}": value for one, value in {**BASE, name: text}.items()}
    with contextlib.suppress(SettingsError):
        return read_settings(given, None, environ={})
    return None


class TestSettings:
    @fuzzed(1000, st.sampled_from(IN_TEXT), GARBAGE)
    def test_of_the_server(self, name: str, text: str) -> None:
        settings = accepted(name, text)
        if settings is not None:
            create_database(settings.database_url).engine.dispose()

    @fuzzed(200, st.sampled_from(["code", "bearer", "guesses", "", "no such"]), GARBAGE)
    def test_of_limits(self, name: str, text: str) -> None:
        assert (accepted(f"limit.{name}", text) is None) or name in DEFAULT_LIMITS

    @fuzzed(
        500,
        st.sampled_from(["client:x", "scope:x", "sso:x", "client:", "sso:\xc4", "scope: "]),
        st.dictionaries(st.sampled_from(sorted({*CLIENT, *SCOPE, *PROVIDER})), GARBAGE, max_size=5),
    )
    def test_of_sections(self, section: str, options: dict[str, str]) -> None:
        file = configparser.ConfigParser(interpolation=None)
        file[section] = options
        for read in (
            lambda: read_scopes([file]),
            lambda: read_identity_providers([file], {}),
            lambda: read_clients([file], {name: getattr(Settings, name) for name in PER_CLIENT}),
        ):
            with contextlib.suppress(SettingsError):
                assert isinstance(read(), dict)
