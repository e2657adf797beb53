"""OAuth 2.0 Token Introspection (RFC 7662)."""

from .answers import Answer
from .authorizations import text
from .probe import STRANGER, Probe, basic
from .requirements import Chapter, NotTried, expect

chapter = Chapter()

TEXTS = ("scope", "client_id", "username", "token_type", "sub", "iss", "jti")
MOMENTS = ("exp", "iat", "nbf")
LATER = 60


@chapter.must("RFC 7662 §4")
def introspection_tls(probe: Probe) -> str:
    """The introspection endpoint is protected by TLS."""
    return probe.check_tls(probe.address("introspection"))


@chapter.must("RFC 7662 §2.1")
def authorization_is_required(probe: Probe) -> str:
    """To prevent token scanning, the endpoint requires some form of authorization."""
    answer = probe.http.post(probe.endpoint("introspection"), [("token", STRANGER)])
    return expect(answer.status in (400, 401, 403) and "active" not in answer.members, answer.told)


@chapter.must("RFC 7662 §2.3")
def wrong_credentials_are_401(probe: Probe) -> str:
    """401 as in RFC 6749 §5.2 where the caller's client credentials are invalid."""
    answer = probe.http.post(probe.endpoint("introspection"), [("token", STRANGER)], [basic(STRANGER, "wrong")])
    met = answer.status == 401 and answer.error == "invalid_client"
    return expect(met, f"{answer.told}, WWW-Authenticate: {answer.header('www-authenticate') or '(absent)'}")


@chapter.must("RFC 7662 §2.2")
def unknown_token_is_inactive(probe: Probe) -> str:
    """For a token that does not exist the answer is a success with active set to false."""
    answer = probe.introspect(STRANGER)
    return expect(answer.status == 200 and answer.members.get("active") is False, _told(answer))


@chapter.should("RFC 7662 §2.2")
def inactive_tells_no_more(probe: Probe) -> str:
    """Nothing more is told about an inactive token, not even why it is inactive."""
    more = [name for name in probe.introspect(STRANGER).members if name != "active"]
    return expect(not more, f"also {', '.join(more)}" if more else "active alone")


@chapter.must("RFC 7662 §2.1")
def introspected_token_is_required(probe: Probe) -> str:
    """token is required."""
    if probe.other_client is None:
        probe.endpoint("introspection")
        raise NotTried("needs --introspection-client ID:SECRET")
    signed, headers = probe.other_client.sign([])
    answer = probe.http.post(probe.endpoint("introspection"), signed, headers)
    return expect(answer.status == 400 and answer.error == "invalid_request", answer.told)


@chapter.must("RFC 7662 §2.2")
def introspection_is_json(probe: Probe) -> str:
    """The answer is a JSON object of the media type application/json."""
    answer = probe.introspect(STRANGER)
    return expect(answer.media_type == "application/json" and bool(answer.members), answer.media_type or answer.told)


@chapter.must("RFC 7662 §2.2")
def live_token_is_active(probe: Probe) -> str:
    """active is the boolean true for a token that is valid."""
    answer = _live(probe)
    return expect(answer.status == 200 and answer.members.get("active") is True, _told(answer))


@chapter.must("RFC 7662 §2.2")
def types_of_members(probe: Probe) -> str:
    """Texts are strings, moments are integers of seconds, aud is a string or a list of strings."""
    members = _active(probe).members
    wrong = [name for name in TEXTS if name in members and not isinstance(members[name], str)]
    wrong += [name for name in MOMENTS if name in members and type(members[name]) is not int]
    audience = members.get("aud", "")
    listed = isinstance(audience, list) and all(isinstance(one, str) for one in audience)
    wrong += [] if isinstance(audience, str) or listed else ["aud"]
    return expect(not wrong, f"of another type: {', '.join(wrong)}" if wrong else f"{len(members)} members")


@chapter.must("RFC 7662 §2.2")
def members_are_true(probe: Probe) -> str:
    """client_id, scope and exp tell of the token what its client was told."""
    members, tokens = _active(probe).members, probe.sessions.access.tokens
    wrong = []
    if members.get("client_id", probe.client.client_id) != probe.client.client_id:
        wrong.append("client_id")
    told = text(tokens.answer, "scope")
    if told and "scope" in members and set(str(members["scope"]).split()) != set(told.split()):
        wrong.append("scope")
    lifetime, start, end = tokens.answer.members.get("expires_in"), members.get("iat"), members.get("exp")
    if isinstance(lifetime, int) and isinstance(start, int) and isinstance(end, int):
        wrong += ["exp"] if abs(end - start - lifetime) > LATER else []
    return expect(not wrong, f"not as the client was told: {', '.join(wrong)}" if wrong else "as the client was told")


@chapter.must("RFC 7662 §2.1")
def wrong_hint_is_no_hindrance(probe: Probe) -> str:
    """With a token_type_hint that is wrong, the search extends across all token types."""
    _live(probe)
    answer = probe.sessions.access.introspected_with_hint
    if answer is None:
        raise NotTried("needs --introspection-client ID:SECRET")
    return expect(answer.members.get("active") is True, f"hinted as a refresh token: {_told(answer)}")


def _live(probe: Probe) -> Answer:
    probe.endpoint("introspection")
    if probe.other_client is None:
        raise NotTried("needs --introspection-client ID:SECRET")
    found = probe.sessions.access.introspected
    if found is None:
        raise NotTried("the token was not introspected")
    return found


def _active(probe: Probe) -> Answer:
    answer = _live(probe)
    if answer.members.get("active") is not True:
        raise NotTried(f"the token is not active: {_told(answer)}")
    return answer


def _told(answer: Answer) -> str:
    return f"{answer.told}: {answer.members['active']!r}" if "active" in answer.members else answer.told
