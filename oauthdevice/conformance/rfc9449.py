"""OAuth 2.0 Demonstrating Proof of Possession (RFC 9449), where the server announces it.

The wrong proofs are sent with a device code that somebody approved, where there is somebody, or else with one that
still waits: a server may look at the code first.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

from .answers import Answer
from .authorizations import Authorization, text
from .probe import Probe
from .proofs import Header, Prover
from .requirements import Chapter, NotApplicable, NotTried, Unmet, expect
from .sessions import Tokens

chapter = Chapter()

SYMMETRIC = ("HS256", "HS384", "HS512", "none")
DAY = 86_400
REFUSED = (400, 401)


@dataclass
class Bound:
    """One session with a key. None: the server or who runs this lacks what it takes."""

    tokens: Tokens
    introspected: Answer | None = None
    as_bearer: Answer | None = None
    with_proof: Answer | None = None
    refreshed_bare: Answer | None = None
    refreshed_by_another: Answer | None = None
    refreshed: Answer | None = None
    proof_again: Answer | None = None


class Possession:
    """What the checks of this chapter share: a key, a code for wrong proofs, and a session that is bound."""

    def __init__(self, probe: Probe) -> None:
        self.probe = probe
        told = probe.metadata.get("dpop_signing_alg_values_supported")
        if told is None:
            raise NotApplicable("no dpop_signing_alg_values_supported in the metadata")
        self.prover = Prover(told if isinstance(told, list) else [], probe.http.now)
        self.url = probe.endpoint("token")
        self._code: Authorization | None = None
        self._bound: Bound | NotTried | None = None

    @property
    def code(self) -> Authorization:
        """Approved, if anybody approves; a new one where the last is spent."""
        if self._code is None:
            try:
                self._code = self.probe.sessions.decided(True)
                self._code.decided = True
            except NotTried:
                self._code = self.probe.authorization()
        return self._code

    def claims(self, **changes: Any) -> dict[str, Any]:
        return self.prover.claims("POST", self.url, **changes)

    def refused(self, wrong: Callable[[], list[Header]]) -> str:
        """What is seen where the wrong proofs that this makes are refused as §5 says."""
        answer = self.probe.poll(self.code, headers=wrong())
        if answer.error == "use_dpop_nonce":
            self.prover.learn(answer)
            answer = self.probe.poll(self.code, headers=wrong())
        return self.refusal(answer)

    def refusal(self, answer: Answer) -> str:
        """What is seen, where it is what §5 says of a wrong proof."""
        if answer.error in ("authorization_pending", "slow_down"):
            raise NotTried("the proof is not looked at while the code is pending, and nobody approves")
        if answer.members.get("access_token"):
            self._code = None
        return expect(answer.status in REFUSED and answer.error == "invalid_dpop_proof", answer.told)

    @property
    def bound(self) -> Bound:
        if self._bound is None:
            try:
                self._bound = self._live()
            except NotTried as why:
                self._bound = why
        if isinstance(self._bound, NotTried):
            raise self._bound
        return self._bound

    def _live(self) -> Bound:
        sessions, post = self.probe.sessions, partial(self.prover.proof, "POST", self.url)
        code = self.code if self.code.decided else sessions.decided(True)
        answer = self.probe.poll(code, headers=[post()])
        if answer.error == "use_dpop_nonce":
            self.prover.learn(answer)
            answer = self.probe.poll(code, headers=[post()])
        if answer.error in ("authorization_pending", "slow_down"):
            answer = sessions.outcome(code, lambda: [post()])
        self._code = None
        life = Bound(Tokens(code, answer))
        if not life.tokens.access_token:
            raise NotTried(f"no token with a right proof: {answer.told}")
        self._use(life)
        if life.tokens.refresh_token:
            self._refresh(life)
        return life

    def _use(self, life: Bound) -> None:
        probe, token = self.probe, life.tokens.access_token
        if probe.other_client is not None and "introspection_endpoint" in probe.metadata:
            life.introspected = probe.introspect(token)
        if probe.resource:
            life.as_bearer = probe.http.get(probe.resource, [("authorization", f"Bearer {token}")])
            proof = self.prover.proof("GET", probe.resource, token)
            life.with_proof = probe.http.get(probe.resource, [("authorization", f"DPoP {token}"), proof])

    def _refresh(self, life: Bound) -> None:
        sessions, token = self.probe.sessions, life.tokens.refresh_token
        life.refreshed_bare = sessions.refresh(token)
        another = self.prover.another()
        another.nonce = self.prover.nonce
        life.refreshed_by_another = sessions.refresh(token, "", lambda: [another.proof("POST", self.url)])
        proof = self.prover.proof("POST", self.url)
        life.refreshed = sessions.refresh(token, "", lambda: [proof])
        newest = text(life.refreshed, "refresh_token") or token
        life.proof_again = sessions.refresh(newest, "", lambda: [proof])


@chapter.must("RFC 9449 §5.1")
def algorithms(probe: Probe) -> str:
    """dpop_signing_alg_values_supported is a JSON array of asymmetric JWS algorithms."""
    told = probe.metadata.get("dpop_signing_alg_values_supported")
    if told is None:
        raise NotApplicable("no dpop_signing_alg_values_supported in the metadata")
    met = isinstance(told, list) and bool(told) and not set(SYMMETRIC) & set(map(str, told))
    return expect(met, ", ".join(map(str, told)) if isinstance(told, list) else repr(told))


@chapter.must("RFC 9449 §4.3")
def one_proof_alone(probe: Probe) -> str:
    """1. There is not more than one DPoP header field."""
    own = _of(probe)
    return own.refused(lambda: [own.prover.sign(own.claims()), own.prover.sign(own.claims())])


@chapter.must("RFC 9449 §4.3")
def proof_is_a_jwt(probe: Probe) -> str:
    """2. The value is a single and well-formed JWT."""
    return _of(probe).refused(lambda: [("dpop", "this.is-no.jwt")])


@chapter.must("RFC 9449 §4.3")
def proof_has_its_claims(probe: Probe) -> str:
    """3. All required claims are contained: here jti is not."""
    own = _of(probe)
    return own.refused(lambda: [own.prover.sign(own.claims(jti=None))])


@chapter.must("RFC 9449 §4.3")
def proof_has_its_type(probe: Probe) -> str:
    """4. The typ is dpop+jwt."""
    own = _of(probe)
    return own.refused(lambda: [own.prover.sign(own.claims(), typ="JWT")])


@chapter.must("RFC 9449 §4.3")
def proof_is_not_unsigned(probe: Probe) -> str:
    """5. The alg is an asymmetric digital signature algorithm, and not none."""
    own = _of(probe)
    return own.refused(lambda: [own.prover.unsigned(own.claims())])


@chapter.must("RFC 9449 §4.3")
def proof_verifies(probe: Probe) -> str:
    """6. The signature verifies with the public key in the jwk."""
    own = _of(probe)
    return own.refused(lambda: [own.prover.forged(own.claims())])


@chapter.must("RFC 9449 §4.3")
def proof_shows_no_private_key(probe: Probe) -> str:
    """7. The jwk does not contain a private key."""
    own = _of(probe)
    return own.refused(lambda: [own.prover.sign(own.claims(), jwk=own.prover.private)])


@chapter.must("RFC 9449 §4.3")
def proof_is_for_the_method(probe: Probe) -> str:
    """8. The htm matches the HTTP method of the request."""
    own = _of(probe)
    return own.refused(lambda: [own.prover.sign(own.claims(htm="GET"))])


@chapter.must("RFC 9449 §4.3")
def proof_is_for_the_address(probe: Probe) -> str:
    """9. The htu matches the address of the request."""
    own = _of(probe)
    return own.refused(lambda: [own.prover.sign(own.claims(htu=own.url + "/elsewhere"))])


@chapter.must("RFC 9449 §11.1")
def proof_is_recent(probe: Probe) -> str:
    """11. Proofs are accepted for a limited time after their creation: here one is a day old, and has no nonce."""
    own = _of(probe)
    answer = probe.poll(own.code, headers=[own.prover.sign(own.claims(iat=int(probe.http.now()) - DAY, nonce=None))])
    # §8: a server may answer so. From then on the nonce tells how old a proof is, and iat need not (§4.3).
    return answer.told if answer.error == "use_dpop_nonce" else own.refusal(answer)


@chapter.must("RFC 9449 §5")
def token_type_is_dpop(probe: Probe) -> str:
    """token_type DPoP tells the client that the token was bound to its key."""
    told = text(_of(probe).bound.tokens.answer, "token_type")
    return expect(told.lower() == "dpop", f"token_type {told}")


@chapter.must("RFC 9449 §6.2")
def introspection_tells_the_key(probe: Probe) -> str:
    """The introspection of a bound token has cnf with jkt, the thumbprint of the key."""
    answer = _of(probe).bound.introspected
    if answer is None:
        raise NotTried("needs introspection and --introspection-client ID:SECRET")
    confirmation = answer.members.get("cnf")
    told = confirmation.get("jkt") if isinstance(confirmation, dict) else None
    return expect(told == _of(probe).prover.thumbprint, "cnf.jkt of the key" if told else f"no cnf.jkt: {answer.told}")


@chapter.must("RFC 9449 §7.2")
def no_downgrade_to_bearer(probe: Probe) -> str:
    """A resource rejects a bound token that comes as a bearer token."""
    life = _of(probe).bound
    if life.as_bearer is None or life.with_proof is None:
        raise NotTried("needs a resource to ask: --resource URL")
    if life.with_proof.status >= 400:
        raise NotTried(f"the resource does not take it with a proof either: {life.with_proof.told}")
    return expect(life.as_bearer.status == 401, f"as Bearer: {life.as_bearer.told}")


@chapter.must("RFC 9449 §5")
def refresh_token_is_bound(probe: Probe) -> str:
    """A public client's refresh token is bound to the key: no refresh with another, or without a proof."""
    if probe.client.secret is not None:
        raise NotApplicable("this client has a secret")
    life = _of(probe).bound
    if life.refreshed_bare is None or life.refreshed_by_another is None:
        raise NotApplicable("no refresh token was issued")
    seen = f"without: {life.refreshed_bare.told}; another key: {life.refreshed_by_another.told}"
    return expect(bool(life.refreshed_bare.error and life.refreshed_by_another.error), seen)


@chapter.must("RFC 9449 §5")
def refresh_with_the_key(probe: Probe) -> str:
    """A refresh with a proof of the same key gives a token that is bound to it."""
    life = _of(probe).bound
    if life.refreshed is None:
        raise NotApplicable("no refresh token was issued")
    told = text(life.refreshed, "token_type")
    if not told:
        raise Unmet(life.refreshed.told)
    return expect(told.lower() == "dpop", f"token_type {told}")


@chapter.may("RFC 9449 §11.1")
def proofs_work_once(probe: Probe) -> str:
    """Servers can store the jti of each proof, to prevent multiple uses of the same."""
    answer = _of(probe).bound.proof_again
    if answer is None:
        raise NotTried("no refresh token was issued, to use a proof twice with")
    return expect(bool(answer.error), f"used again: {answer.told}")


@lru_cache(maxsize=1)
def _of(probe: Probe) -> Possession:
    """The one of this probe, for every check of the chapter."""
    return Possession(probe)
