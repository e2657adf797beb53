"""One key per purpose, and an answer that only its own code opens."""

from typing import Any

import pytest
from cryptography.fernet import InvalidToken

from oauthdevice.domain.keys import derive_key, seal, unseal

ANSWER: dict[str, Any] = {"access_token": "dfoa_x", "expires_in": 60, "account": None, "name": "\u00c5da \U0001f511"}


class TestDerivedKeys:
    def test_a_key_is_32_bytes_and_always_the_same(self) -> None:
        assert len(derive_key(b"secret", "user_code")) == 32
        assert derive_key(b"secret", "user_code") == derive_key(b"secret", "user_code")

    def test_keys_differ_by_purpose_and_by_secret(self) -> None:
        keys = {
            derive_key(secret, purpose)
            for secret in (b"secret", b"other")
            for purpose in ("user_code", "browser session", "redelivery", "")
        }
        assert len(keys) == 8

    def test_a_key_does_not_show_the_secret(self) -> None:
        assert b"secret" not in derive_key(b"secret", "user_code")


class TestSealedAnswer:
    def test_its_own_code_opens_it(self) -> None:
        assert unseal("dc_own", seal("dc_own", ANSWER)) == ANSWER

    def test_no_other_code_does(self) -> None:
        with pytest.raises(InvalidToken):
            unseal("dc_other", seal("dc_own", ANSWER))

    def test_nothing_of_it_can_be_read(self) -> None:
        sealed = seal("dc_own", ANSWER)
        assert sealed.isascii()
        assert "dfoa_x" not in sealed
        assert "dc_own" not in sealed

    def test_two_seals_of_one_answer_differ(self) -> None:
        assert seal("dc_own", ANSWER) != seal("dc_own", ANSWER)

    @pytest.mark.parametrize("place", [0, 12, 40, -5])
    def test_a_changed_seal_does_not_open(self, place: int) -> None:
        sealed = seal("dc_own", ANSWER)
        changed = list(sealed)
        changed[place] = "A" if changed[place] != "A" else "B"
        with pytest.raises(InvalidToken):
            unseal("dc_own", "".join(changed))
