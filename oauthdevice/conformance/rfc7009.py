"""OAuth 2.0 Token Revocation (RFC 7009)."""

from .answers import Answer
from .probe import STRANGER, Probe, basic
from .requirements import Chapter, NotApplicable, NotTried, expect

chapter = Chapter()

REFUSED = (400, 401)


@chapter.must("RFC 7009 §2")
def revocation_tls(probe: Probe) -> str:
    """The revocation endpoint is an https address."""
    return probe.check_tls(probe.address("revocation"))


@chapter.must("RFC 7009 §2.2")
def unknown_token_is_no_error(probe: Probe) -> str:
    """200 where the client submitted an invalid token."""
    answer = probe.revoke(STRANGER)
    return expect(answer.status == 200, answer.told)


@chapter.must("RFC 7009 §2.2")
def unknown_hint_is_ignored(probe: Probe) -> str:
    """An invalid token type hint is ignored and does not influence the response."""
    answer = probe.revoke(STRANGER, [("token_type_hint", "oauthdevice-conformance")])
    return expect(answer.status == 200, answer.told)


@chapter.must("RFC 7009 §2.1")
def token_is_required(probe: Probe) -> str:
    """token is required; errors are those of RFC 6749 §5.2."""
    signed, headers = probe.client.sign([])
    answer = probe.http.post(probe.endpoint("revocation"), signed, headers)
    return expect(answer.status == 400 and answer.error == "invalid_request", answer.told)


@chapter.must("RFC 7009 §2.1")
def client_is_validated(probe: Probe) -> str:
    """The server first validates the client credentials, and refuses where that fails."""
    answer = probe.http.post(probe.endpoint("revocation"), [("token", STRANGER)], [basic(STRANGER, "wrong")])
    return expect(answer.status in REFUSED and answer.error == "invalid_client", answer.told)


@chapter.must("RFC 7009 §2.1")
def client_is_required(probe: Probe) -> str:
    """A request without any client is refused."""
    answer = probe.http.post(probe.endpoint("revocation"), [("token", STRANGER)])
    return expect(answer.status in REFUSED and bool(answer.error), answer.told)


@chapter.should("RFC 7009 §2.1")
def revocation_takes_post_alone(probe: Probe) -> str:
    """The client sends an HTTP POST: tokens in an address end up in logs, so GET is not taken."""
    answer = probe.http.get(f"{probe.endpoint('revocation')}?token={STRANGER}&client_id={probe.client.client_id}")
    return expect(answer.status >= 400, f"GET: {answer.told}")


@chapter.should("RFC 7009 §2")
def access_tokens_are_revoked(probe: Probe) -> str:
    """Revocation of access tokens is supported; otherwise unsupported_token_type (§2.2.1)."""
    return expect(_revoked(probe).status == 200, _revoked(probe).told)


@chapter.must("RFC 7009 §2.1")
def revoked_access_token_is_dead(probe: Probe) -> str:
    """The invalidation takes place immediately; the token cannot be used again."""
    if _revoked(probe).status != 200:
        raise NotApplicable(f"no access token is revoked: {_revoked(probe).told}")
    after = probe.sessions.access.introspected_after
    if after is None:
        raise NotTried("needs introspection and --introspection-client ID:SECRET")
    return expect(after.members.get("active") is False, f"introspected: active {after.members.get('active')!r}")


@chapter.must("RFC 7009 §2")
def refresh_tokens_are_revoked(probe: Probe) -> str:
    """Revocation of refresh tokens is supported."""
    answer = probe.sessions.revoked.answer
    return expect(answer.status == 200, answer.told)


@chapter.must("RFC 7009 §2.1")
def revoked_refresh_token_is_dead(probe: Probe) -> str:
    """A refresh token that was revoked gives nothing any more."""
    answer = probe.sessions.revoked.refreshed_after
    return expect(answer.status in REFUSED and answer.error == "invalid_grant", answer.told)


@chapter.should("RFC 7009 §2.1")
def access_token_dies_with_refresh_token(probe: Probe) -> str:
    """With a refresh token, all access tokens of the same grant are invalidated too."""
    after = probe.sessions.revoked.introspected_after
    if after is None:
        raise NotTried("needs introspection and --introspection-client ID:SECRET")
    return expect(after.members.get("active") is False, f"introspected: active {after.members.get('active')!r}")


def _revoked(probe: Probe) -> Answer:
    probe.endpoint("revocation")
    found = probe.sessions.access.revoked
    if found is None:
        raise NotTried("no access token was there to revoke")
    return found
