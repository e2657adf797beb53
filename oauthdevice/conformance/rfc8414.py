"""OAuth 2.0 Authorization Server Metadata (RFC 8414)."""

import base64
import json

from ..client.addresses import is_loopback
from .addresses import parts_of
from .answers import Answer
from .probe import DEVICE_GRANT, Probe
from .requirements import Chapter, NotApplicable, Unmet, expect

chapter = Chapter()

LISTS = (
    "scopes_supported",
    "response_types_supported",
    "response_modes_supported",
    "grant_types_supported",
    "token_endpoint_auth_methods_supported",
    "token_endpoint_auth_signing_alg_values_supported",
    "ui_locales_supported",
    "revocation_endpoint_auth_methods_supported",
    "introspection_endpoint_auth_methods_supported",
    "code_challenge_methods_supported",
)
ADDRESSES = (
    "authorization_endpoint",
    "token_endpoint",
    "jwks_uri",
    "registration_endpoint",
    "service_documentation",
    "op_policy_uri",
    "op_tos_uri",
    "revocation_endpoint",
    "introspection_endpoint",
    "device_authorization_endpoint",
)
# What the methods of RFC 8414 §2 need that are signed with a key or a secret.
SIGNED_METHODS = {"private_key_jwt", "client_secret_jwt"}


@chapter.must("RFC 8414 §3")
def location(probe: Probe) -> str:
    """The document is at the well-known path inserted between the host and the path of the issuer."""
    first = probe.metadata_answers[0]
    return expect(first.status == 200 and bool(first.members), f"{parts_of(first.url).path}: {first.told}")


@chapter.must("RFC 8414 §3.2")
def content_type(probe: Probe) -> str:
    """A successful response is 200 OK with a JSON object of the media type application/json."""
    answer = _document(probe)
    return expect(answer.media_type == "application/json", f"{answer.status} {answer.media_type or 'no media type'}")


@chapter.must("RFC 8414 §3.3")
def issuer_is_identical(probe: Probe) -> str:
    """The issuer value is identical to the identifier that the well-known path was inserted into."""
    told = probe.metadata.get("issuer")
    # An issuer that is all host may be asked for with or without the last slash: both lead to the same place.
    same = told == probe.issuer or (
        isinstance(told, str)
        and parts_of(told).path in ("", "/")
        and told.removesuffix("/") == probe.issuer.removesuffix("/")
    )
    return expect(same, f"issuer is {told!r}")


@chapter.must("RFC 8414 §2")
def issuer_form(probe: Probe) -> str:
    """The issuer uses the https scheme and has no query or fragment."""
    told = probe.metadata.get("issuer")
    if not isinstance(told, str) or not parts_of(told).netloc:
        raise Unmet(f"issuer is {told!r}")
    parts = parts_of(told)
    if parts.query or parts.fragment:
        raise Unmet("it has a query or a fragment")
    return probe.check_tls(told)


@chapter.must("RFC 8414 §2")
def required_members(probe: Probe) -> str:
    """issuer, token_endpoint and response_types_supported are there."""
    names = ("issuer", "token_endpoint", "response_types_supported")
    missing = [name for name in names if name not in probe.metadata]
    return expect(not missing, f"missing: {', '.join(missing)}" if missing else "all there")


@chapter.must("RFC 8414 §2")
def authorization_endpoint(probe: Probe) -> str:
    """authorization_endpoint is there, unless no grant type is supported that uses it."""
    # What holds where the member is omitted.
    grants = probe.metadata.get("grant_types_supported", ["authorization_code", "implicit"])
    using = [one for one in ("authorization_code", "implicit") if isinstance(grants, list) and one in grants]
    if not using:
        raise NotApplicable("no grant type that is supported uses it")
    return expect("authorization_endpoint" in probe.metadata, f"grant types: {', '.join(using)}")


@chapter.must("RFC 8414 §2")
def types_of_lists(probe: Probe) -> str:
    """Members that name several values are JSON arrays of strings."""
    wrong = [name for name in LISTS if name in probe.metadata and not _strings(probe.metadata[name])]
    return expect(not wrong, f"no arrays of strings: {', '.join(wrong)}" if wrong else "arrays of strings")


@chapter.must("RFC 8414 §3.2")
def no_empty_lists(probe: Probe) -> str:
    """Claims with zero elements are omitted from the response."""
    empty = [name for name in LISTS if probe.metadata.get(name, ...) == []]
    # RFC 8414 §2 requires this one, and it has no element where nothing uses the authorization endpoint.
    wrong = [name for name in empty if name != "response_types_supported"]
    return expect(not wrong, f"empty: {', '.join(empty)}" if empty else "none is empty")


@chapter.must("RFC 8414 §2")
def addresses_are_absolute(probe: Probe) -> str:
    """Endpoints and documents are told as absolute URLs."""
    told = {name: probe.metadata[name] for name in ADDRESSES if name in probe.metadata}
    wrong = [name for name, value in told.items() if not _absolute(value)]
    return expect(not wrong, f"no absolute URLs: {', '.join(wrong)}" if wrong else f"{len(told)} absolute URLs")


@chapter.must("RFC 8414 §6.1")
def tls(probe: Probe) -> str:
    """Every endpoint that the document names is reached through TLS."""
    told = [str(probe.metadata[name]) for name in ADDRESSES if _absolute(probe.metadata.get(name))]
    # Those of this machine last: they stop the check.
    for one in sorted(told, key=lambda address: is_loopback(parts_of(address).hostname or "")):
        probe.check_tls(one)
    return f"{len(told)} addresses with https"


@chapter.must("RFC 8414 §2")
def signing_algorithms(probe: Probe) -> str:
    """With private_key_jwt or client_secret_jwt, the signing algorithms are told, and none is not among them."""
    found = []
    for endpoint in ("token", "revocation", "introspection"):
        methods = probe.metadata.get(f"{endpoint}_endpoint_auth_methods_supported")
        if not isinstance(methods, list) or not SIGNED_METHODS & set(map(str, methods)):
            continue
        told = probe.metadata.get(f"{endpoint}_endpoint_auth_signing_alg_values_supported")
        if not isinstance(told, list) or not told or "none" in told:
            raise Unmet(f"{endpoint}_endpoint_auth_signing_alg_values_supported is {told!r}")
        found.append(endpoint)
    if not found:
        raise NotApplicable("no such method is supported")
    return f"told for {', '.join(found)}"


@chapter.should("RFC 8414 §2")
def scopes_are_told(probe: Probe) -> str:
    """scopes_supported is recommended."""
    told = probe.metadata.get("scopes_supported")
    return expect(isinstance(told, list), f"{len(told)} scopes" if isinstance(told, list) else "absent")


@chapter.must("RFC 8414 §2.1")
def signed_metadata(probe: Probe) -> str:
    """signed_metadata is a JWT that is signed and contains an iss claim."""
    told = probe.metadata.get("signed_metadata")
    if told is None:
        raise NotApplicable("there is none")
    try:
        head, claims, signature = str(told).split(".")
        algorithm, issuer = _part(head).get("alg"), _part(claims).get("iss")
    except ValueError:
        raise Unmet("it is no signed JWT") from None
    return expect(bool(signature and issuer) and algorithm not in (None, "none"), f"alg {algorithm}, iss {issuer}")


@chapter.must("RFC 8628 §4")
def device_grant_is_announced(probe: Probe) -> str:
    """The device grant is among grant_types_supported, and device_authorization_endpoint is told."""
    grants = probe.metadata.get("grant_types_supported")
    if "device_authorization_endpoint" not in probe.metadata:
        raise Unmet("no device_authorization_endpoint")
    met = isinstance(grants, list) and DEVICE_GRANT in grants
    return expect(met, "both there" if met else "grant_types_supported does not name it")


def _document(probe: Probe) -> Answer:
    answer = probe.metadata_answers[-1]
    if answer.status != 200 or not answer.members:
        raise Unmet(f"no document: {answer.told}")
    return answer


def _strings(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _absolute(value: object) -> bool:
    return isinstance(value, str) and parts_of(value).scheme in ("https", "http") and bool(parts_of(value).netloc)


def _part(encoded: str) -> dict[str, object]:
    found = json.loads(base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)))
    if not isinstance(found, dict):
        raise ValueError("no object")
    return found
