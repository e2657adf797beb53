"""The identity providers that the ini declares in `[sso:NAME]`, and what passes between us and one of them."""

from dataclasses import dataclass

# How long a person may take at the provider.
HANDSHAKE_SECONDS = 900


@dataclass(frozen=True, slots=True, kw_only=True)
class OIDCProvider:
    """An OpenID Connect provider; we are its client `client_id`, public without a secret.

    `label` is what its button says. With `email_domains`, only their e-mails are taken.
    `email_verified_claim` is the claim that must be true of the e-mail. `prompt` is passed on
    (OpenID Connect Core §3.1.2.1). `own_callback` gives this provider a callback of its own.
    """

    name: str
    label: str
    issuer: str
    client_id: str
    client_secret: str | None = None
    scope: str = "openid email"
    email_domains: frozenset[str] = frozenset()
    email_verified_claim: str = "email_verified"
    prompt: str | None = None
    own_callback: bool = False

    @property
    def subject_issuers(self) -> frozenset[str]:
        """Whose subjects it may vouch for."""
        return frozenset([self.issuer])


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerProvider:
    """A service that signs people in for us: a signed state goes out, a signed assertion comes back.

    `initiate_url` is asked where to send the person. The keys are JWK sets (RFC 7517): those of
    `state_keys_file` are ours, the first signs; those of `assertion_keys`, a file or an https
    address, verify. `issuer` and `audience` are what an assertion must name; `subject_issuers` are
    the identity providers that it may speak for.
    """

    name: str
    label: str
    issuer: str
    subject_issuers: frozenset[str]
    initiate_url: str
    state_keys_file: str
    assertion_keys: str
    audience: str = "api.device_flow.external_subject_assertion"
    email_domains: frozenset[str] = frozenset()


Provider = OIDCProvider | BrokerProvider


@dataclass(frozen=True, slots=True, kw_only=True)
class Handshake:
    """One round trip to a provider, from the browser that began it and for one code.

    `state`, `nonce` and `code_verifier` are secrets of this trip. `browser` is the digest of a secret
    in a cookie of the browser. `user_code` is normalised; `login_hint` is "" or an e-mail. `again`: the
    provider is to ask a person whom it knows too. `linked`: a page of another site sent the browser.
    """

    provider: str
    state: str
    nonce: str
    code_verifier: str
    browser: str
    user_code: str
    authorization_id: str
    login_hint: str = ""
    again: bool = False
    linked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderAnswer:
    """What a browser brought back from a provider; None where it brought nothing of the kind.

    `callback` is the name of the provider whose own callback it came to.
    """

    state: str | None = None
    code: str | None = None
    error: str | None = None
    issuer: str | None = None
    assertion: str | None = None
    callback: str | None = None
