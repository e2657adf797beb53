"""Challenges: each is good for one browser and one purpose, once, within five minutes."""

from datetime import UTC, datetime, timedelta

import pytest

from oauthdevice.domain.challenges import CHALLENGE_SECONDS, Challenges
from oauthdevice.domain.errors import PasskeyRefused

START = datetime(2026, 1, 31, 12, tzinfo=UTC)
SECRET, EARLIER = "the secret in force, long enough now", "an earlier secret, which was replaced"


class Server:
    """Challenges over a set in memory, at a time that tests set."""

    def __init__(self, *secrets: str) -> None:
        self.now, self.used = START, set[str]()
        self.challenges = Challenges(self, lambda: self.now, secrets or (SECRET,))

    def spend(self, digest: str) -> bool:
        is_first = digest not in self.used
        self.used.add(digest)
        return is_first

    def refuses(self, challenge: bytes, purpose: str = "sign in", browser: str = "a browser") -> str:
        """Why."""
        with pytest.raises(PasskeyRefused) as refused:
            self.challenges.spend(challenge, purpose, browser)
        assert refused.value.description == "The passkey was not accepted."
        return refused.value.detail


class TestAChallenge:
    def test_is_good_once(self) -> None:
        server = Server()
        challenge = server.challenges.issue("sign in", "a browser")
        server.challenges.spend(challenge, "sign in", "a browser")
        assert server.refuses(challenge) == "the challenge was used before"

    def test_is_never_the_same(self) -> None:
        challenges = Server().challenges
        assert len({challenges.issue("sign in", "a browser") for _ in range(100)}) == 100

    @pytest.mark.parametrize(
        ("purpose", "browser"), [("sign in", "another browser"), ("add to 1", "a browser"), ("sign in", "")]
    )
    def test_is_for_one_purpose_and_browser(self, purpose: str, browser: str) -> None:
        server = Server()
        challenge = server.challenges.issue("sign in", "a browser")
        assert server.refuses(challenge, purpose, browser).startswith("the challenge is not ours")
        assert server.used == set()
        server.challenges.spend(challenge, "sign in", "a browser")

    def test_is_good_for_five_minutes(self) -> None:
        server = Server()
        first, second = (server.challenges.issue("sign in", "a browser") for _ in range(2))
        server.now += timedelta(seconds=CHALLENGE_SECONDS - 1)
        server.challenges.spend(first, "sign in", "a browser")
        server.now += timedelta(seconds=1)
        assert server.refuses(second) == "the challenge has expired"

    def test_cannot_be_changed(self) -> None:
        server = Server()
        challenge = server.challenges.issue("sign in", "a browser")
        for place in range(len(challenge)):
            changed = bytearray(challenge)
            changed[place] ^= 1
            assert server.refuses(bytes(changed)).startswith("the challenge is not ours")
        for cut in (b"", challenge[:-1], challenge + b"\0", challenge[:32], bytes(64)):
            assert server.refuses(cut).startswith("the challenge is not ours")
        assert server.used == set()

    def test_outlives_a_change_of_the_secret(self) -> None:
        challenge = Server(EARLIER).challenges.issue("sign in", "a browser")
        Server(SECRET, EARLIER).challenges.spend(challenge, "sign in", "a browser")
        assert Server(SECRET).refuses(challenge).startswith("the challenge is not ours")
