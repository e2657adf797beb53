"""A broker: it signs people in for us. A signed state goes out, a signed assertion comes back.

The envelopes are those of the original system, with every claim of theirs required.
"""

import hmac
import json

from joserfc import jwt
from joserfc.jwk import Key, KeySet, OctKey

from ..domain.codes import format_user_code, normalise_user_code
from ..domain.errors import SSOFailed, SSOInitiateFailed
from ..domain.external_subjects import vouched_for
from ..domain.identity_providers import HANDSHAKE_SECONDS, BrokerProvider, Handshake, ProviderAnswer
from ..domain.ports import Clock
from ..domain.subjects import ExternalSubject
from .documents import Kept, Unreachable, cause, fetch, is_address, read_file
from .refusals import check_error
from .signatures import MALFORMED, algorithms_of, read_keys, unverified_claim, verified

STATE_AUDIENCE = "api.sso.state_envelope"
ASSERTION_MAX_SECONDS = 300
LEEWAY_SECONDS = 30
REQUIRED = ("iss", "aud", "iat", "exp", "nonce", "email", "issuer", "user_code")


class Broker:
    """See `oauthdevice.domain.ports.IdentityProvider`.

    `public_url` is the issuer of our states. Raises Unreachable where a file of keys is of no use.
    """

    def __init__(
        self, provider: BrokerProvider, public_url: str, callback: str, timeout_seconds: int, clock: Clock
    ) -> None:
        self._provider = provider
        self._public_url = public_url
        self._callback = callback
        self._timeout = timeout_seconds
        self._clock = clock
        self._state_keys = Kept(self._load_state_keys, clock)
        self._assertion_keys = Kept(self._load_assertion_keys, clock)
        # What would fail later fails at the start; what is read later meets the same checks.
        self._state_keys.get()
        if not _is_url(provider.assertion_keys):
            self._assertion_keys.get()

    def check(self) -> None:
        try:
            self._state_keys.renewed()
            self._assertion_keys.renewed()
        except Unreachable as error:
            raise SSOInitiateFailed(detail=str(error)) from error

    def state_of(self, answer: ProviderAnswer) -> str | None:
        # An assertion has the nonce of our state inside, an error comes beside it.
        if answer.assertion:
            return unverified_claim(answer.assertion, "nonce")
        return answer.state if answer.error else None

    def begin(self, handshake: Handshake) -> str:
        initiate_url = self._provider.initiate_url
        try:
            reply = fetch(initiate_url, self._timeout, posted={"signed_state": self._signed_state(handshake)})
        except (Unreachable, *MALFORMED) as error:
            told = str(error) if isinstance(error, Unreachable) else cause(error)
            raise SSOInitiateFailed(detail=f"{self._provider.name}: {told}") from error
        address = reply.get("url")
        if not is_address(address, secure_as=initiate_url):
            raise SSOInitiateFailed(detail=f"{self._provider.name}: told no address")
        return address

    def complete(self, handshake: Handshake, answer: ProviderAnswer) -> ExternalSubject:
        provider = self._provider
        check_error(provider.name, answer)
        if answer.assertion is None or answer.callback is not None:
            raise SSOFailed(detail=f"{provider.name}: no assertion")
        try:
            claims = verified(answer.assertion, self._assertion_keys, named_key=True).claims
            self._registry().validate(claims)
        except Unreachable as error:
            raise SSOFailed(detail=f"{provider.name}: {error}") from error
        except MALFORMED as error:
            raise SSOFailed(detail=f"{provider.name}: {cause(error)}") from error
        if claims["aud"] not in (provider.audience, [provider.audience]):
            raise SSOFailed(detail=f"{provider.name}: the assertion is for others too")
        if not all(isinstance(claims[name], str) for name in ("nonce", "email", "issuer", "user_code")):
            raise SSOFailed(detail=f"{provider.name}: a claim is no text")
        if not all(isinstance(claims[name], int) for name in ("exp", "iat")):
            raise SSOFailed(detail=f"{provider.name}: a time is no whole number")
        if not 0 < claims["exp"] - claims["iat"] <= ASSERTION_MAX_SECONDS:
            raise SSOFailed(detail=f"{provider.name}: the assertion lives too long")
        if not hmac.compare_digest(claims["nonce"].encode(), handshake.state.encode()):
            raise SSOFailed(detail=f"{provider.name}: the nonce is of another sign-in")
        if normalise_user_code(claims["user_code"]) != handshake.user_code:
            raise SSOFailed(detail=f"{provider.name}: the assertion is for another user_code")
        if claims["issuer"] not in provider.subject_issuers:
            raise SSOFailed(detail=f"{provider.name}: it may not speak for this issuer")
        # The original's broker names people by nothing but their e-mail.
        subject_id = claims.get("sub") or f"email:{claims['email'].casefold()}"
        return vouched_for(claims["issuer"], subject_id, claims["email"], provider.email_domains)

    def _registry(self) -> jwt.JWTClaimsRegistry:
        required: dict[str, jwt.ClaimsOption] = {name: {"essential": True} for name in REQUIRED}
        required["iss"] = {"essential": True, "value": self._provider.issuer}
        required["aud"] = {"essential": True, "value": self._provider.audience}
        return jwt.JWTClaimsRegistry(now=int(self._clock().timestamp()), leeway=LEEWAY_SECONDS, **required)

    def _signed_state(self, handshake: Handshake) -> str:
        key = self._state_keys.get().keys[0]
        now = int(self._clock().timestamp())
        claims = {
            "iss": self._public_url,
            "aud": STATE_AUDIENCE,
            "iat": now,
            "exp": now + HANDSHAKE_SECONDS,
            "nonce": handshake.state,
            "intent": "device_flow",
            "user_code": format_user_code(handshake.user_code),
            "idp_callback_url": self._callback,
            # Members that the original's broker reads and that mean nothing here.
            "redirect_url": "",
            "app_code": "",
            "return_to": "",
        }
        algorithm = algorithms_of(key)[0]
        return jwt.encode({"alg": algorithm, "kid": key.kid}, claims, key, algorithms=[algorithm])

    def _load_state_keys(self) -> KeySet:
        keys = _read_own(self._provider.state_keys_file)
        if not keys.keys[0].is_private or not algorithms_of(keys.keys[0]):
            raise Unreachable("the first key of state_keys_file cannot sign")
        return keys

    def _load_assertion_keys(self) -> KeySet:
        source = self._provider.assertion_keys
        if _is_url(source):
            # What anybody can read is no shared secret.
            return read_keys(fetch(source, self._timeout))
        keys = _read_own(source)
        # Either side could forge what the other signs.
        if {_material(key) for key in self._state_keys.get()} & {_material(key) for key in keys}:
            raise Unreachable("state_keys_file and assertion_keys share a key")
        return keys


def _is_url(source: str) -> bool:
    return source.startswith(("https://", "http://"))


def _read_own(path: str) -> KeySet:
    """The keys of a file that the operator wrote: each named, no shared secret short. Raises Unreachable."""
    document = read_file(path)
    keys = read_keys(document, symmetric=True)
    # Looked up in the file: in a key set, a key without a name has got one.
    if not all("kid" in key for key in document["keys"]):
        raise Unreachable(f"{path}: a key without a kid")
    if any(isinstance(key, OctKey) and len(key.raw_value) < 32 for key in keys):
        raise Unreachable("a shared secret has fewer than 32 bytes")
    return keys


def _material(key: Key) -> str:
    return json.dumps(key.thumbprint())
