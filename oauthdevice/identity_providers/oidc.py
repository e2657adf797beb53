"""OpenID Connect: we are the relying party (authorization code flow with PKCE).

Source: OpenID Connect Core 1.0 §3.1, Discovery 1.0 §4, RFC 7636, RFC 9207, RFC 9700 §2.1, §4.4.
"""

from typing import Any
from urllib.parse import quote_plus

import requests
from authlib.common.errors import AuthlibBaseError
from authlib.integrations.requests_client import OAuth2Session
from authlib.oidc.core import CodeIDToken
from joserfc.jwk import KeySet
from requests.auth import HTTPBasicAuth

from ..domain.errors import SSOFailed, SSOInitiateFailed
from ..domain.external_subjects import vouched_for
from ..domain.identity_providers import Handshake, OIDCProvider, ProviderAnswer
from ..domain.other_network import SIGN_IN_AGAIN_SECONDS
from ..domain.ports import Clock
from ..domain.subjects import ExternalSubject
from .documents import Document, Kept, Unreachable, bounded, cause, fetch, is_address
from .refusals import check_error
from .signatures import MALFORMED, read_keys, verified

# How far the clock of a provider may be from ours.
LEEWAY_SECONDS = 60
Claims = dict[str, Any]


class OpenIDConnect:
    """See `oauthdevice.domain.ports.IdentityProvider`.

    `callback` is where answers come to. `alone` is False where other OpenID Connect providers share
    that address, so that an answer must say whose it is.
    """

    def __init__(
        self, provider: OIDCProvider, callback: str, timeout_seconds: int, clock: Clock, *, alone: bool
    ) -> None:
        self._provider = provider
        self._callback = f"{callback}/{provider.name}" if provider.own_callback else callback
        self._timeout = timeout_seconds
        self._clock = clock
        self._alone = alone or provider.own_callback
        self._metadata = Kept(self._discover, clock)
        self._keys = Kept(self._load_keys, clock)

    def check(self) -> None:
        try:
            self._endpoint("authorization_endpoint")
            self._endpoint("token_endpoint")
            self._keys.renewed()
        except Unreachable as error:
            raise SSOInitiateFailed(detail=str(error)) from error

    def state_of(self, answer: ProviderAnswer) -> str | None:
        return answer.state

    def begin(self, handshake: Handshake) -> str:
        provider = self._provider
        # OpenID Connect Core §3.1.2.1: with `login` it asks whom it knows too.
        prompt = "login" if handshake.again else provider.prompt
        optional = {"prompt": prompt, "login_hint": handshake.login_hint}
        try:
            endpoint = self._endpoint("authorization_endpoint")
        except Unreachable as error:
            raise SSOInitiateFailed(detail=str(error)) from error
        with self._session("none") as session:
            address, _ = session.create_authorization_url(
                endpoint,
                state=handshake.state,
                nonce=handshake.nonce,
                code_verifier=handshake.code_verifier,
                **{name: value for name, value in optional.items() if value},
            )
        return str(address)

    def complete(self, handshake: Handshake, answer: ProviderAnswer) -> ExternalSubject:
        try:
            self._check_sender(answer)
            check_error(self._provider.name, answer)
            subject_id, claims = self._claims(handshake, answer)
        except Unreachable as error:
            raise SSOFailed(detail=str(error)) from error
        except (AuthlibBaseError, requests.RequestException, *MALFORMED) as error:
            raise SSOFailed(detail=f"{self._provider.name}: {cause(error)}") from error
        if not _is_true(claims.get(self._provider.email_verified_claim)):
            raise SSOFailed(detail=f"{self._provider.name}: the e-mail is not verified")
        return vouched_for(self._provider.issuer, subject_id, claims.get("email"), self._provider.email_domains)

    def _check_sender(self, answer: ProviderAnswer) -> None:
        """No answer of one provider passes for that of another (RFC 9207 §2.4, RFC 9700 §4.4)."""
        provider = self._provider
        if answer.callback != (provider.name if provider.own_callback else None):
            raise SSOFailed(detail=f"{provider.name}: came to the callback of another provider")
        if answer.issuer is not None:
            if answer.issuer != provider.issuer:
                raise SSOFailed(detail=f"{provider.name}: another issuer answered")
            return
        if self._metadata.get().get("authorization_response_iss_parameter_supported") is True:
            raise SSOFailed(detail=f"{provider.name}: the answer lacks its issuer")
        if not self._alone:
            raise SSOFailed(detail=f"{provider.name}: tells no issuer and shares its callback; set own_callback = on")

    def _claims(self, handshake: Handshake, answer: ProviderAnswer) -> tuple[object, Claims]:
        """The `sub` of the ID token, and the claims that tell the e-mail and whether it is verified."""
        if not answer.code:
            raise SSOFailed(detail=f"{self._provider.name}: neither code nor error")
        authentication = self._authentication()
        with self._session(authentication) as session:
            token = session.fetch_token(
                self._endpoint("token_endpoint"),
                auth=self._basic() if authentication == "client_secret_basic" else None,
                grant_type="authorization_code",
                code=answer.code,
                code_verifier=handshake.code_verifier,
                redirect_uri=self._callback,
                allow_redirects=False,
            )
            claims = self._id_token(token, handshake.nonce)
            self._check_asked(handshake, claims)
            if "email" in claims and self._provider.email_verified_claim in claims:
                return claims["sub"], claims
            told = session.get(self._endpoint("userinfo_endpoint"), allow_redirects=False)
            told.raise_for_status()
            userinfo = told.json()
        # OpenID Connect Core §5.3.2: what is said of another subject must not be used.
        if not isinstance(userinfo, dict) or userinfo.get("sub") != claims["sub"]:
            raise SSOFailed(detail=f"{self._provider.name}: the userinfo is about another subject")
        return claims["sub"], userinfo

    def _id_token(self, token: Document, nonce: str) -> Claims:
        """The claims of the ID token, checked (OpenID Connect Core §3.1.3.7)."""
        provider = self._provider
        statement = verified(str(token["id_token"]), self._keys, named_key=False)
        # Authlib checks `aud` only where it is told to.
        options: Any = {
            "iss": {"essential": True, "values": [provider.issuer]},
            "aud": {"essential": True, "values": [provider.client_id]},
            "nonce": {"essential": True, "values": [nonce]},
        }
        params = {"nonce": nonce, "client_id": provider.client_id, "access_token": token.get("access_token")}
        claims = CodeIDToken(statement.claims, statement.header, options, params)
        claims.validate(now=int(self._clock().timestamp()), leeway=LEEWAY_SECONDS)
        # No other audience is trusted (§3.1.3.7, step 3).
        if claims["aud"] not in (provider.client_id, [provider.client_id]):
            raise SSOFailed(detail=f"{provider.name}: the ID token is for others too")
        return dict(claims)

    def _check_asked(self, handshake: Handshake, claims: Claims) -> None:
        """A provider that was to ask the person again has not let pass an older sign-in, where it tells when that was.

        Both times are of its own clock.
        """
        auth_time = claims.get("auth_time")
        if not handshake.again or not isinstance(auth_time, int | float):
            return
        if claims["iat"] - auth_time > SIGN_IN_AGAIN_SECONDS:
            raise SSOFailed(detail=f"{self._provider.name}: did not ask the person again")

    def _session(self, authentication: str) -> OAuth2Session:
        session = OAuth2Session(
            self._provider.client_id,
            self._provider.client_secret,
            token_endpoint_auth_method=authentication,
            redirect_uri=self._callback,
            scope=self._provider.scope,
            code_challenge_method="S256",
            default_timeout=self._timeout,
        )
        return bounded(session, self._timeout)

    def _authentication(self) -> str:
        if self._provider.client_secret is None:
            return "none"
        # Discovery §3: where the provider names none, it takes client_secret_basic.
        known = self._metadata.get().get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        return "client_secret_basic" if "client_secret_basic" in known else "client_secret_post"

    def _basic(self) -> HTTPBasicAuth:
        # Authlib sends both as they are; RFC 6749 §2.3.1 wants them encoded as in a form first.
        return HTTPBasicAuth(quote_plus(self._provider.client_id), quote_plus(self._provider.client_secret or ""))

    def _discover(self) -> Document:
        issuer = self._provider.issuer
        metadata = fetch(f"{issuer.rstrip('/')}/.well-known/openid-configuration", self._timeout)
        if metadata.get("issuer") != issuer:
            raise Unreachable(f"{self._provider.name}: the metadata is that of another issuer")
        return metadata

    def _endpoint(self, name: str) -> str:
        address = self._metadata.get().get(name)
        if not is_address(address, secure_as=self._provider.issuer):
            raise Unreachable(f"{self._provider.name}: no {name}")
        return address

    def _load_keys(self) -> KeySet:
        return read_keys(fetch(self._endpoint("jwks_uri"), self._timeout))


def _is_true(claim: Any) -> bool:
    # Some providers write booleans as text, and xms_edov of Microsoft is 1 or "1".
    return claim is True or (isinstance(claim, str | int) and str(claim).lower() in ("true", "1"))
