"""ApprovalSeal: what it sealed opens again, until it expires, for whoever has one of its secrets; nothing else does."""

import base64
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.fernet import InvalidToken
from hypothesis import given
from hypothesis import strategies as st

from oauthdevice.domain.approval_seal import ApprovalSeal
from oauthdevice.domain.keys import derive_key, key_ring
from oauthdevice.domain.subjects import Approval, ExternalSubject

FIRST, SECOND, THIRD = "the first secret " * 3, "the second secret " * 3, "the third secret " * 3
NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
END = NOW + timedelta(seconds=300)
APPROVAL = Approval(
    id="the-id-of-the-approval",
    subject=ExternalSubject("https://idp.example", "ada-1", "ada@corp.example"),
    user_code="BCDFGHJK",
    authorization_id="the-id-of-the-request",
    csrf_token="the-csrf-token",
    expires_at=END,
)


def seal_of(*secrets: str, at: datetime = NOW) -> ApprovalSeal:
    return ApprovalSeal(secrets, lambda: at)


texts = st.text(max_size=60)
approvals = st.builds(
    Approval,
    id=texts,
    subject=st.builds(ExternalSubject, texts, texts, texts),
    user_code=texts,
    authorization_id=texts,
    csrf_token=texts,
    expires_at=st.datetimes(min_value=datetime(2026, 2, 1), max_value=datetime(2100, 1, 1), timezones=st.just(UTC)),
    signed_in_again=st.booleans(),
    linked=st.booleans(),
)


class TestASealedApproval:
    @given(approvals)
    def test_opens_as_it_was(self, approval: Approval) -> None:
        sealed = seal_of(FIRST).seal(approval)
        assert sealed.isascii()
        assert seal_of(FIRST).unseal(sealed) == approval

    def test_can_be_opened_by_the_former_release(self) -> None:
        members = json.loads(key_ring([FIRST], "approval").decrypt(seal_of(FIRST).seal(APPROVAL).encode()))
        assert members.keys() == {"id", "subject", "user_code", "authorization_id", "csrf_token", "expires_at"}

    @given(approvals, st.text("ABCxyz019-_=", min_size=1, max_size=8))
    def test_opens_with_nothing_behind_it(self, approval: Approval, more: str) -> None:
        assert seal_of(FIRST).unseal(seal_of(FIRST).seal(approval) + more) is None

    def test_lives_to_the_second(self) -> None:
        sealed = seal_of(FIRST).seal(APPROVAL)
        for moment in (NOW, END - timedelta(seconds=1), END - timedelta(microseconds=1)):
            assert seal_of(FIRST, at=moment).unseal(sealed) == APPROVAL
        for moment in (END, END + timedelta(microseconds=1), END + timedelta(days=1)):
            assert seal_of(FIRST, at=moment).unseal(sealed) is None

    def test_opens_where_its_secret_is_an_earlier_one(self) -> None:
        sealed = seal_of(FIRST).seal(APPROVAL)
        assert seal_of(SECOND, FIRST).unseal(sealed) == APPROVAL
        assert seal_of(THIRD, SECOND, FIRST).unseal(sealed) == APPROVAL
        assert seal_of(SECOND, THIRD).unseal(sealed) is None

    def test_is_sealed_with_the_newest_secret(self) -> None:
        sealed = seal_of(SECOND, FIRST).seal(APPROVAL)
        assert seal_of(SECOND).unseal(sealed) == APPROVAL
        assert seal_of(FIRST).unseal(sealed) is None

    def test_cannot_be_read_without_the_key(self) -> None:
        sealed = seal_of(FIRST).seal(APPROVAL)
        laid_open = base64.urlsafe_b64decode(sealed)
        # By chance it may have letters of theirs, but not so many.
        for secret in ("ada@corp", "corp.example", "idp.example", "BCDFGHJK", "the-id", "the-csrf-token", "subject"):
            assert secret not in sealed
            assert secret.encode() not in laid_open
        for secret, purpose in ((SECOND, "approval"), (FIRST, "redelivery"), (FIRST, "browser session"), (FIRST, "")):
            with pytest.raises(InvalidToken):
                key_ring([secret], purpose).decrypt(sealed.encode())
        assert derive_key(FIRST.encode(), "approval") not in laid_open

    def test_tells_two_alike_from_each_other_to_nobody(self) -> None:
        seal = seal_of(FIRST)
        assert seal.seal(APPROVAL) != seal.seal(APPROVAL)
        assert len(seal.seal(APPROVAL)) == len(seal.seal(replace(APPROVAL, user_code="ZZZZZZZZ")))


class TestAnythingElse:
    @given(st.binary(max_size=300))
    def test_of_bytes_is_none(self, raw: bytes) -> None:
        for text in (raw.decode("latin-1"), base64.urlsafe_b64encode(raw).decode(), raw.hex()):
            assert seal_of(FIRST, SECOND).unseal(text) is None

    @given(st.text(max_size=300))
    def test_of_text_is_none(self, text: str) -> None:
        assert seal_of(FIRST).unseal(text) is None

    @given(st.data())
    def test_of_a_seal_with_one_change_is_none(self, data: st.DataObject) -> None:
        raw = bytearray(base64.urlsafe_b64decode(seal_of(FIRST).seal(APPROVAL)))
        place = data.draw(st.integers(0, len(raw) - 1))
        raw[place] ^= data.draw(st.integers(1, 255))
        assert seal_of(FIRST).unseal(base64.urlsafe_b64encode(bytes(raw)).decode()) is None

    @given(st.data())
    def test_of_a_part_of_a_seal_is_none(self, data: st.DataObject) -> None:
        sealed = seal_of(FIRST).seal(APPROVAL)
        start = data.draw(st.integers(0, len(sealed)))
        part = sealed[start : data.draw(st.integers(start, len(sealed)))]
        if part != sealed:
            assert seal_of(FIRST).unseal(part) is None

    @pytest.mark.parametrize("purpose", ["redelivery", "browser session", "user_code", ""])
    def test_that_we_sealed_for_another_purpose_is_none(self, purpose: str) -> None:
        plain = key_ring([FIRST], "approval").decrypt(seal_of(FIRST).seal(APPROVAL).encode())
        assert json.loads(plain)["user_code"] == "BCDFGHJK"
        assert seal_of(FIRST).unseal(key_ring([FIRST], purpose).encrypt(plain).decode()) is None

    def test_longer_than_a_cookie_is_none(self) -> None:
        assert seal_of(FIRST).unseal("gAAAAA" + "A" * 1_000_000) is None

    @pytest.mark.parametrize("change", [{"of_a_newer_release": 1}, {"csrf_token": None}, {"subject": {"email": "a@b"}}])
    def test_that_another_release_sealed_is_no_error(self, change: dict[str, Any]) -> None:
        """During a rolling upgrade two releases share the key; their members may differ (W50)."""
        ring = key_ring([FIRST], "approval")
        members = {**json.loads(ring.decrypt(seal_of(FIRST).seal(APPROVAL).encode())), **change}
        members = {name: value for name, value in members.items() if value is not None}
        assert seal_of(FIRST).unseal(ring.encrypt(json.dumps(members).encode()).decode()) in (None, APPROVAL)
