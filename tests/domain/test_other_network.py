"""What another network demands; the number that confirms, and the sign-in that does."""

from datetime import UTC, datetime, timedelta

import pytest

from oauthdevice.domain.other_network import (
    OtherNetwork,
    SignInAgain,
    demanded,
    digits,
    is_right_number,
    new_confirmation_number,
)

NEAR, FAR = "192.0.2.7", "203.0.113.9"
NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


class TestWhatIsDemanded:
    @pytest.mark.parametrize("policy", list(OtherNetwork))
    @pytest.mark.parametrize(
        ("asked_from", "approved_from", "near"),
        [
            (NEAR, NEAR, True),
            ("2001:db8::1", "2001:db8::2", True),
            ("::ffff:192.0.2.7", NEAR, True),
            (NEAR, FAR, False),
            ("2001:db8::1", "2001:db8:0:1::1", False),
            # Nobody knows where either of them is.
            ("", "", False),
            ("unknown", "unknown", False),
            (NEAR, "", False),
        ],
    )
    def test_is_nothing_in_the_same_network(
        self, policy: OtherNetwork, asked_from: str, approved_from: str, near: bool
    ) -> None:
        assert demanded(policy, asked_from, approved_from) is (OtherNetwork.OFF if near else policy)


class TestTheNumber:
    def test_has_two_digits_and_every_one_comes_up(self) -> None:
        drawn = {new_confirmation_number() for _ in range(5000)}
        assert drawn == {str(number) for number in range(10, 100)}

    @pytest.mark.parametrize(
        ("typed", "read"),
        [
            ("47", "47"),
            (" 4 7\t", "47"),
            ("#47.", "47"),
            ("\u0664\u0667", "47"),
            ("\uff14\uff17", "47"),
            ("047", "047"),
            ("forty-seven", ""),
            ("\u00b2\u2463", ""),
            ("", ""),
        ],
    )
    def test_is_read_as_digits(self, typed: str, read: str) -> None:
        assert digits(typed) == read

    @pytest.mark.parametrize(
        ("typed", "right"), [("47", True), ("4 7", True), ("74", False), ("047", False), ("", False)]
    )
    def test_is_right_or_wrong(self, typed: str, right: bool) -> None:
        assert is_right_number("47", typed) is right

    @pytest.mark.parametrize("typed", ["", "47", "None"])
    def test_where_there_is_none_nothing_is_right(self, typed: str) -> None:
        assert not is_right_number(None, typed)


class TestASignIn:
    AGAIN = SignInAgain("one", "account:ada", NOW)

    @pytest.mark.parametrize(("seconds", "counts"), [(0, True), (299.9, True), (300, False), (1e6, False), (-2, True)])
    def test_counts_for_five_minutes(self, seconds: float, counts: bool) -> None:
        # Two processes of ours may differ by a little.
        assert self.AGAIN.counts("one", "account:ada", NOW + timedelta(seconds=seconds)) is counts

    @pytest.mark.parametrize(("code", "subject"), [("two", "account:ada"), ("one", "account:bob"), ("", "")])
    def test_counts_for_its_code_and_subject_alone(self, code: str, subject: str) -> None:
        assert not self.AGAIN.counts(code, subject, NOW)
