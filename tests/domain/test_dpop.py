"""Which proofs are good (RFC 9449 §4.3), without a server: every check by itself."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from oauthdevice.domain.clients import Policy
from oauthdevice.domain.dpop import (
    JTI_CHARACTERS,
    NONCE_SECONDS,
    PROOF_CHARACTERS,
    REMEMBERED_SECONDS,
    SKEW_SECONDS,
    BoundTokenRefused,
    DPoP,
    InvalidDPoPProof,
    SentProof,
    SignedProof,
    UseDPoPNonce,
)
from oauthdevice.domain.errors import InvalidGrant

URL, PATH = "https://login.example.com/auth", "/oauth/device/token"
TOKEN, ATH = "a token", "4zFuK6_rthA6NBjod4wK3JYNQCE6A6fn9PzTQm7YB78"
MINE, OTHER = "m" * 43, "o" * 43
SECRETS = ("the secret in force, long enough", "an earlier one, which is long too")


class Proofs:
    """The proofs of one server; what would be signed is written here as it is. Time moves when it is told to."""

    def __init__(self, secrets: tuple[str, ...] = SECRETS, url: str = URL, nonce_required: bool = False) -> None:
        self.now = datetime.fromtimestamp(1_800_000_000, UTC)
        self.said: SignedProof | None = None
        self.spent: set[str] = set()
        self.dpop = DPoP(
            read=lambda _: self.said,  # type: ignore[arg-type,return-value]
            store=self,
            url=url,
            secrets=secrets,
            nonce_required=nonce_required,
            clock=lambda: self.now,
        )

    def spend(self, digest: str) -> bool:
        is_first = digest not in self.spent
        self.spent.add(digest)
        return is_first

    def good(self, **claims: Any) -> dict[str, Any]:
        now = int(self.now.timestamp())
        return {"jti": f"proof {len(self.spent)}", "htm": "POST", "htu": URL + PATH, "iat": now, **claims}

    def say(self, typ: str = "dpop+jwt", thumbprint: str = MINE, **claims: Any) -> SentProof:
        said = {name: value for name, value in self.good(**claims).items() if value is not None}
        self.said = SignedProof(typ, thumbprint, said)
        return SentProof("a proof", "POST", PATH)

    def take(self, sent: SentProof) -> str | None:
        return self.dpop.key_at_start(Policy.ALLOWED, None, sent)

    def nonce(self) -> str:
        with pytest.raises(UseDPoPNonce) as raised:
            self.take(self.say(iat=0))
        return raised.value.nonce


@pytest.fixture
def proofs() -> Proofs:
    return Proofs()


class TestEachCheck:
    def test_of_a_good_one_passes(self, proofs: Proofs) -> None:
        assert proofs.take(proofs.say()) == MINE

    @pytest.mark.parametrize("typ", ["JWT", "at+jwt", "", "dpop"])
    def test_of_the_type(self, proofs: Proofs, typ: str) -> None:
        with pytest.raises(InvalidDPoPProof):
            proofs.take(proofs.say(typ))

    @pytest.mark.parametrize(
        "claims",
        [
            {"jti": None}, {"jti": 1}, {"jti": ""}, {"jti": "x" * (JTI_CHARACTERS + 1)}, {"jti": "\ud800"},
            {"htm": None}, {"htm": "GET"}, {"htm": "post"}, {"htm": ["POST"]},
            {"iat": None}, {"iat": "1800000000"}, {"iat": True}, {"iat": -1}, {"iat": 10**400}, {"iat": float("nan")},
            {"iat": float("inf")},
        ],
    )  # fmt: skip
    def test_of_a_claim(self, proofs: Proofs, claims: dict[str, Any]) -> None:
        with pytest.raises(InvalidDPoPProof) as raised:
            proofs.take(proofs.say(**claims))
        assert raised.value.error == "invalid_dpop_proof"
        assert proofs.spent == set()

    def test_of_its_length(self, proofs: Proofs) -> None:
        proofs.say()
        with pytest.raises(InvalidDPoPProof):
            proofs.take(SentProof("x" * (PROOF_CHARACTERS + 1), "POST", PATH))
        assert proofs.take(SentProof("x" * PROOF_CHARACTERS, "POST", PATH)) == MINE
        assert proofs.take(proofs.say(jti="x" * JTI_CHARACTERS)) == MINE

    @pytest.mark.parametrize(
        "htu",
        [
            URL + PATH, f"{URL}{PATH}?x=1", f"{URL}{PATH}#x", "HTTPS://LOGIN.example.COM:443/auth" + PATH,
            "https://login.example.com/auth/oauth/d%65vice/token",
        ],
    )  # fmt: skip
    def test_of_the_address_knows_what_is_the_same(self, proofs: Proofs, htu: str) -> None:
        """RFC 3986 §6.2.2, §6.2.3; without query and fragment."""
        assert proofs.take(proofs.say(htu=htu)) == MINE

    @pytest.mark.parametrize(
        "htu",
        [
            None, 1, "", PATH, "https://login.example.com" + PATH, f"http://login.example.com/auth{PATH}",
            f"https://login.example.com:8443/auth{PATH}", f"https://login.example.com.evil.example/auth{PATH}",
            f"https://login.example.com@evil.example/auth{PATH}", f"https://x@login.example.com/auth{PATH}",
            f"{URL}{PATH}/", f"{URL}//oauth/device/token", "https://login.example.com/auth/oauth/device%2Ftoke",
            "https://login.example.com/AUTH" + PATH, f"https://login.example.com:99999/auth{PATH}",
            f"https://[login.example.com/auth{PATH}", f"https://login.ex\u00e4mple.com/auth{PATH}", "\ud800",
        ],
    )  # fmt: skip
    def test_of_the_address_knows_what_is_another(self, proofs: Proofs, htu: Any) -> None:
        with pytest.raises(InvalidDPoPProof):
            proofs.take(proofs.say(htu=htu))

    def test_of_the_address_reads_a_path_as_the_server_does(self) -> None:
        proofs = Proofs(url="http://127.0.0.1:6543")
        proofs.say(htu="http://127.0.0.1:6543/caf%C3%A9")
        # PEP 3333: octets, as if they were latin-1.
        assert proofs.take(SentProof("a proof", "POST", "/caf\u00c3\u00a9")) == MINE

    def test_of_the_jti_lets_each_be_used_once(self, proofs: Proofs) -> None:
        assert proofs.take(proofs.say(jti="one")) == MINE
        with pytest.raises(InvalidDPoPProof):
            proofs.take(proofs.say(jti="one"))
        # Another key may have drawn the same.
        assert proofs.take(proofs.say(jti="one", thumbprint=OTHER)) == OTHER


class TestItsAge:
    @pytest.mark.parametrize("seconds", [-SKEW_SECONDS, 0, SKEW_SECONDS])
    def test_is_that_of_iat(self, proofs: Proofs, seconds: int) -> None:
        now = int(proofs.now.timestamp())
        assert proofs.take(proofs.say(iat=now + seconds)) == MINE
        with pytest.raises(UseDPoPNonce):
            proofs.take(proofs.say(iat=now + SKEW_SECONDS + 1))
        with pytest.raises(UseDPoPNonce):
            proofs.take(proofs.say(iat=now - SKEW_SECONDS - 1.5))

    def test_is_that_of_the_nonce_where_there_is_one(self, proofs: Proofs) -> None:
        assert proofs.take(proofs.say(iat=0, nonce=proofs.nonce())) == MINE

    def test_of_a_nonce_is_never_longer_than_a_proof_is_remembered(self) -> None:
        """Over a whole period, second by second: nobody can wait until a used proof is forgotten."""
        for begun in range(NONCE_SECONDS):
            one = Proofs()
            one.now += timedelta(seconds=begun)
            nonce = one.nonce()
            # A process whose clock is behind may take it a little earlier than it was made.
            lived = 0
            while lived <= REMEMBERED_SECONDS and is_taken(one, nonce):
                one.now += timedelta(seconds=10)
                lived += 10
            assert NONCE_SECONDS <= lived <= 2 * NONCE_SECONDS + 10
            one.now -= timedelta(seconds=lived + NONCE_SECONDS)
            assert is_taken(one, nonce)
        assert REMEMBERED_SECONDS >= 3 * NONCE_SECONDS
        assert REMEMBERED_SECONDS >= 2 * SKEW_SECONDS

    def test_of_a_nonce_of_an_earlier_secret(self, proofs: Proofs) -> None:
        nonce = Proofs(SECRETS[1:]).nonce()
        assert nonce != proofs.nonce()
        assert proofs.take(proofs.say(iat=0, nonce=nonce)) == MINE

    @pytest.mark.parametrize("nonce", ["", "x", "\u00e9" * 22, "\ud800", 1, True, [], {}])
    def test_of_no_nonce_of_ours(self, proofs: Proofs, nonce: Any) -> None:
        with pytest.raises(UseDPoPNonce):
            proofs.take(proofs.say(nonce=nonce))

    def test_needs_a_nonce_where_that_is_required(self) -> None:
        proofs = Proofs(nonce_required=True)
        with pytest.raises(UseDPoPNonce) as raised:
            proofs.take(proofs.say())
        assert proofs.take(proofs.say(nonce=raised.value.nonce)) == MINE


def is_taken(proofs: Proofs, nonce: str) -> bool:
    try:
        proofs.dpop.read(Policy.ALLOWED, proofs.say(iat=0, nonce=nonce))
    except UseDPoPNonce:
        return False
    return True


class TestTheStart:
    def test_of_a_client_that_has_it_off_is_bound_to_nothing(self, proofs: Proofs) -> None:
        assert proofs.dpop.key_at_start(Policy.OFF, MINE, proofs.say(htm="GET")) is None

    @pytest.mark.parametrize("policy", [Policy.ALLOWED, Policy.REQUIRED])
    def test_is_bound_to_what_is_announced(self, proofs: Proofs, policy: Policy) -> None:
        assert proofs.dpop.key_at_start(policy, MINE, None) == MINE
        assert proofs.dpop.key_at_start(policy, MINE, proofs.say()) == MINE
        with pytest.raises(InvalidDPoPProof):
            proofs.dpop.key_at_start(policy, OTHER, proofs.say())

    def test_without_either(self, proofs: Proofs) -> None:
        assert proofs.dpop.key_at_start(Policy.ALLOWED, None, None) is None
        with pytest.raises(InvalidDPoPProof):
            proofs.dpop.key_at_start(Policy.REQUIRED, None, None)


class TestAPoll:
    def key(self, proofs: Proofs, policy: Policy, bound_to: str | None, sent: SentProof | None) -> str | None:
        return proofs.dpop.key_at_poll(policy, bound_to, proofs.dpop.read(policy, sent))

    def test_of_what_is_bound_needs_that_key(self, proofs: Proofs) -> None:
        assert self.key(proofs, Policy.ALLOWED, MINE, proofs.say()) == MINE
        for sent in (None, proofs.say(thumbprint=OTHER)):
            with pytest.raises(InvalidGrant):
                self.key(proofs, Policy.ALLOWED, MINE, sent)
        # Also where it was switched off meanwhile: nothing that was bound is given away.
        with pytest.raises(InvalidGrant):
            self.key(proofs, Policy.OFF, MINE, None)

    def test_of_what_is_not_bound_binds(self, proofs: Proofs) -> None:
        assert self.key(proofs, Policy.ALLOWED, None, proofs.say()) == MINE
        assert self.key(proofs, Policy.ALLOWED, None, None) is None
        assert self.key(proofs, Policy.OFF, None, proofs.say()) is None
        for sent in (None, proofs.say()):
            with pytest.raises(InvalidGrant):
                self.key(proofs, Policy.REQUIRED, None, sent)


class TestARefresh:
    @pytest.mark.parametrize("policy", Policy)
    def test_of_what_is_bound_needs_that_key(self, proofs: Proofs, policy: Policy) -> None:
        proofs.dpop.key_at_refresh(policy, MINE, proofs.say())
        with pytest.raises(InvalidDPoPProof):
            proofs.dpop.key_at_refresh(policy, MINE, proofs.say(jti="proof 0"))
        for sent in (None, proofs.say(thumbprint=OTHER)):
            with pytest.raises(InvalidGrant):
                proofs.dpop.key_at_refresh(policy, MINE, sent)

    def test_of_what_is_not_bound_is_not_for_a_client_that_must(self, proofs: Proofs) -> None:
        proofs.dpop.key_at_refresh(Policy.ALLOWED, None, None)
        proofs.dpop.key_at_refresh(Policy.OFF, None, proofs.say())
        with pytest.raises(InvalidGrant):
            proofs.dpop.key_at_refresh(Policy.REQUIRED, None, proofs.say())


class TestAToken:
    def test_is_taken_with_its_key_and_its_digest(self, proofs: Proofs) -> None:
        proofs.dpop.check_token(MINE, TOKEN, proofs.say(ath=ATH))

    @pytest.mark.parametrize("ath", [None, 1, "", ATH[:-1], ATH + "=", "\ud800"])
    def test_is_refused_with_another_digest(self, proofs: Proofs, ath: Any) -> None:
        with pytest.raises(BoundTokenRefused) as raised:
            proofs.dpop.check_token(MINE, TOKEN, proofs.say(ath=ath))
        assert (raised.value.error, raised.value.nonce) == ("invalid_dpop_proof", "")

    def test_is_refused_to_another_key(self, proofs: Proofs) -> None:
        for bound_to in (OTHER, None):
            with pytest.raises(BoundTokenRefused) as raised:
                proofs.dpop.check_token(bound_to, TOKEN, proofs.say(ath=ATH))
            assert raised.value.error == "invalid_token"

    def test_is_told_with_a_nonce_where_one_is_needed(self, proofs: Proofs) -> None:
        with pytest.raises(BoundTokenRefused) as raised:
            proofs.dpop.check_token(MINE, TOKEN, proofs.say(ath=ATH, iat=0))
        assert (raised.value.error, raised.value.nonce) == ("use_dpop_nonce", proofs.nonce())
        with pytest.raises(BoundTokenRefused) as raised:
            proofs.dpop.check_token(MINE, TOKEN, None)
        assert (raised.value.error, raised.value.nonce) == ("invalid_dpop_proof", "")
