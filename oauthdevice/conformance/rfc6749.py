"""The OAuth 2.0 Authorization Framework (RFC 6749): the token endpoint (§3.2), its answers (§5) and refreshing (§6)."""

import re
from urllib.parse import urlencode

from .addresses import parts_of
from .answers import Answer
from .authorizations import number, text
from .probe import DEVICE_GRANT, STRANGER, Probe, basic
from .requirements import Chapter, NotApplicable, NotTried, Unmet, expect

chapter = Chapter()

REFUSED = (400, 401)
# RFC 6749 §5.2: %x20-21 / %x23-5B / %x5D-7E.
PLAIN = re.compile(r"[\x20-\x21\x23-\x5B\x5D-\x7E]*")
# RFC 6749 §A.12: VSCHAR.
VISIBLE = re.compile(r"[\x20-\x7E]+")


@chapter.must("RFC 6749 §3.2")
def token_tls(probe: Probe) -> str:
    """The token endpoint is reached through TLS, as credentials go there."""
    return probe.check_tls(probe.address("token"))


@chapter.must("RFC 6749 §3.2")
def token_endpoint_has_no_fragment(probe: Probe) -> str:
    """The endpoint URI does not include a fragment."""
    met = not parts_of(probe.address("token")).fragment
    return expect(met, "it has none" if met else "it has one")


@chapter.should("RFC 6749 §3.2")
def token_takes_post_alone(probe: Probe) -> str:
    """Access token requests use POST: credentials in an address end up in logs, so GET is not taken."""
    query = {"grant_type": DEVICE_GRANT, "device_code": probe.second.device_code, "client_id": probe.client.client_id}
    answer = probe.http.get(f"{probe.endpoint('token')}?{urlencode(query)}")
    served = answer.status == 200 or answer.error in ("authorization_pending", "slow_down")
    return expect(not served, f"GET: {answer.told}")


@chapter.must("RFC 6749 §3.2")
def empty_is_omitted_at_token(probe: Probe) -> str:
    """Parameters sent without a value are treated as if they were omitted."""
    empty = probe.token([("grant_type", DEVICE_GRANT), ("device_code", "")])
    return expect(_same(empty, probe.missing_code), f"empty: {empty.told}; omitted: {probe.missing_code.told}")


@chapter.must("RFC 6749 §3.2")
def unknown_is_ignored_at_token(probe: Probe) -> str:
    """Unrecognized request parameters are ignored."""
    form = [("grant_type", DEVICE_GRANT), ("device_code", STRANGER), ("oauthdevice_conformance", "1")]
    answer = probe.token(form)
    return expect(_same(answer, probe.unknown_code), f"with: {answer.told}; without: {probe.unknown_code.told}")


@chapter.must("RFC 6749 §5.2")
def repeated_is_refused_at_token(probe: Probe) -> str:
    """invalid_request for a request that repeats a parameter."""
    answer = probe.token([("grant_type", DEVICE_GRANT), ("device_code", STRANGER), ("device_code", STRANGER)])
    return expect(_is(answer, "invalid_request"), answer.told)


@chapter.must("RFC 6749 §5.2")
def grant_type_is_required(probe: Probe) -> str:
    """invalid_request for a request that lacks a required parameter, here grant_type."""
    answer = probe.token([("device_code", STRANGER)])
    return expect(_is(answer, "invalid_request"), answer.told)


@chapter.must("RFC 6749 §5.2")
def unknown_grant_type(probe: Probe) -> str:
    """unsupported_grant_type for a grant type that the server does not support."""
    answer = probe.unknown_grant
    return expect(_is(answer, "unsupported_grant_type"), answer.told)


@chapter.must("RFC 6749 §5.2")
def unknown_refresh_token(probe: Probe) -> str:
    """invalid_grant for a refresh token that is invalid."""
    answer = probe.sessions.refresh(STRANGER)
    if answer.error in ("unsupported_grant_type", "unauthorized_client"):
        raise NotApplicable(f"this client does not refresh: {answer.told}")
    return expect(_is(answer, "invalid_grant"), answer.told)


@chapter.must("RFC 6749 §5.2")
def errors_are_400(probe: Probe) -> str:
    """Errors have the status 400, unless another is specified (401 for invalid_client)."""
    wrong = [one for one in _errors(probe) if one.status != (401 if one.error == "invalid_client" else 400)]
    wrong = [one for one in wrong if not (one.error == "invalid_client" and one.status == 400)]
    return expect(not wrong, "; ".join(one.told for one in wrong or _errors(probe)))


@chapter.must("RFC 6749 §5.2")
def errors_are_json(probe: Probe) -> str:
    """The parameters of an error are in a body of the media type application/json."""
    wrong = [one for one in _errors(probe) if one.media_type != "application/json" or not one.error]
    return expect(not wrong, ", ".join(f"{one.told} {one.media_type}" for one in wrong) or "all are JSON")


@chapter.must("RFC 6749 §5.2")
def errors_are_ascii(probe: Probe) -> str:
    """error and error_description hold no characters outside %x20-21 / %x23-5B / %x5D-7E."""
    answers = _errors(probe)
    found = [
        str(one.members[name]) for one in answers for name in ("error", "error_description") if name in one.members
    ]
    wrong = [value for value in found if not PLAIN.fullmatch(value)]
    return expect(not wrong, ascii(wrong[0])[:60] if wrong else f"{len(found)} values")


@chapter.must("RFC 6749 §5.2")
def challenge_where_authorization_was_used(probe: Probe) -> str:
    """A client that tried the Authorization header is answered 401 with a WWW-Authenticate of that scheme."""
    form = [("grant_type", DEVICE_GRANT), ("device_code", STRANGER)]
    answer = probe.http.post(probe.endpoint("token"), form, [basic(STRANGER, "wrong")])
    challenge = answer.header("www-authenticate")
    met = answer.status == 401 and challenge.lower().startswith("basic") and answer.error == "invalid_client"
    return expect(met, f"{answer.told}, WWW-Authenticate: {challenge or '(absent)'}")


@chapter.must("RFC 6749 §2.3.1")
def basic_is_supported(probe: Probe) -> str:
    """HTTP Basic is supported for clients that were issued a password."""
    with_secret = next((one for one in (probe.client, probe.other_client) if one is not None and one.secret), None)
    if with_secret is None or with_secret.secret is None:
        raise NotTried("needs a client with a secret")
    header = basic(with_secret.client_id, with_secret.secret)
    answer = probe.http.post(
        probe.endpoint("token"), [("grant_type", DEVICE_GRANT), ("device_code", STRANGER)], [header]
    )
    return expect(bool(answer.error) and answer.error != "invalid_client", answer.told)


@chapter.must("RFC 6749 §5.1")
def token_members(probe: Probe) -> str:
    """A 200 answer with access_token and token_type, both strings."""
    answer = _token(probe)
    met = answer.status == 200 and VISIBLE.fullmatch(text(answer, "access_token")) and text(answer, "token_type")
    return expect(bool(met), answer.told)


@chapter.must("RFC 6749 §5.1")
def token_is_json(probe: Probe) -> str:
    """The parameters are in a body of the media type application/json."""
    return expect(_token(probe).media_type == "application/json", _token(probe).media_type or "no media type")


@chapter.must("RFC 6749 §5.1")
def token_is_not_stored(probe: Probe) -> str:
    """Cache-Control: no-store in any response that contains tokens."""
    answer = _token(probe)
    return expect(answer.no_store, f"Cache-Control: {answer.header('cache-control') or '(absent)'}")


@chapter.must("RFC 6749 §5.1")
def token_has_pragma(probe: Probe) -> str:
    """Pragma: no-cache as well."""
    told = _token(probe).header("pragma")
    return expect("no-cache" in told.lower(), f"Pragma: {told or '(absent)'}")


@chapter.should("RFC 6749 §5.1")
def token_expires_in(probe: Probe) -> str:
    """expires_in is recommended; where it is there, it is a number."""
    told = _token(probe).members.get("expires_in")
    return expect((number(told) or 0) > 0, f"{told} seconds" if number(told) is not None else "absent or no number")


@chapter.must("RFC 6749 §5.1")
def scope_is_told_where_it_differs(probe: Probe) -> str:
    """scope is required where it is not what was asked for."""
    told = _token(probe).members.get("scope")
    if told is not None:
        return expect(isinstance(told, str), f"scope is {told!r}")
    introspected = probe.sessions.access.introspected
    if introspected is None or "scope" not in introspected.members:
        raise NotTried("no scope is told, and introspection does not say what was granted")
    met = set(text(introspected, "scope").split()) == set(probe.scope.split())
    return expect(met, f"none is told; granted: {text(introspected, 'scope')}")


@chapter.must("RFC 6749 §6")
def narrower_scope(probe: Probe) -> str:
    """A refresh may ask for a part of the scope that was granted."""
    life = probe.sessions.access
    if life.narrowed is None:
        raise NotApplicable("no refresh token was issued")
    if not life.narrowed_to:
        raise NotTried("the granted scope is not known")
    met = text(life.narrowed, "access_token") and text(life.narrowed, "scope") in ("", life.narrowed_to)
    return expect(bool(met), f"asked for {life.narrowed_to}: {life.narrowed.told}")


@chapter.must("RFC 6749 §6")
def broader_scope(probe: Probe) -> str:
    """A refresh must not ask for a scope that was not granted: invalid_scope, or it is not given."""
    broadened = probe.sessions.access.broadened
    if broadened is None:
        raise NotApplicable("no refresh token was issued")
    if text(broadened, "access_token"):
        given = text(broadened, "scope").split()
        return expect(bool(given) and "oauthdevice-conformance" not in given, f"given: {' '.join(given) or 'not told'}")
    return expect(_is(broadened, "invalid_scope"), broadened.told)


@chapter.must("RFC 6749 §6")
def refresh_token_is_of_its_client(probe: Probe) -> str:
    """The refresh token was issued to the client that presents it."""
    life = probe.sessions.access
    if not life.tokens.refresh_token:
        raise NotApplicable("no refresh token was issued")
    if life.by_another is None:
        raise NotTried("needs --introspection-client ID:SECRET as another client")
    return expect(life.by_another.status in REFUSED and bool(life.by_another.error), life.by_another.told)


@chapter.must("RFC 9700 §4.14.2")
def refresh_token_replay(probe: Probe) -> str:
    """Replay of a public client's refresh token is detected: by rotation, or it is bound to a key."""
    life = probe.sessions.rotation
    if life.refreshed is None or life.refreshed_again is None:
        raise NotApplicable("no refresh token was issued")
    if probe.client.secret is not None:
        raise NotApplicable("this client has a secret")
    if not text(life.refreshed, "access_token"):
        raise Unmet(f"the first use: {life.refreshed.told}")
    if not text(life.refreshed, "refresh_token"):
        raise Unmet("the same refresh token goes on and on")
    if life.refreshed_again.body == life.refreshed.body:
        return "used again at once: the very same tokens"
    return expect(_is(life.refreshed_again, "invalid_grant"), f"used again: {life.refreshed_again.told}")


def _token(probe: Probe) -> Answer:
    return probe.sessions.access.tokens.answer


def _errors(probe: Probe) -> list[Answer]:
    return [probe.unknown_client, probe.unknown_code, probe.missing_code, probe.unknown_grant]


def _is(answer: Answer, *errors: str) -> bool:
    return answer.status in REFUSED and answer.error in errors


def _same(one: Answer, other: Answer) -> bool:
    return (one.status, one.error) == (other.status, other.error)
