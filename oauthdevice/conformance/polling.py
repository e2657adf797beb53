"""OAuth 2.0 Device Authorization Grant (RFC 8628): the token request and what it is answered (§3.4, §3.5)."""

from .answers import Answer
from .probe import DEVICE_GRANT, STRANGER, Client, Probe
from .requirements import Chapter, NotApplicable, expect

chapter = Chapter()

REFUSED = (400, 401)


@chapter.must("RFC 8628 §3.4")
def device_code_is_required(probe: Probe) -> str:
    """device_code is required."""
    return expect(_is(probe.missing_code, "invalid_request", "invalid_grant"), probe.missing_code.told)


@chapter.must("RFC 8628 §3.4")
def client_id_is_required_to_poll(probe: Probe) -> str:
    """client_id is required in a token request of a client that does not authenticate."""
    form = [("grant_type", DEVICE_GRANT), ("device_code", probe.second.device_code)]
    answer = probe.http.post(probe.endpoint("token"), form)
    return expect(_is(answer, "invalid_request", "invalid_client"), answer.told)


@chapter.must("RFC 8628 §3.5")
def unknown_code(probe: Probe) -> str:
    """A device_code that the server never gave is invalid_grant (RFC 6749 §5.2)."""
    return expect(_is(probe.unknown_code, "invalid_grant"), probe.unknown_code.told)


@chapter.must("RFC 8628 §3.5")
def pending(probe: Probe) -> str:
    """authorization_pending while the end user has not decided yet."""
    answer = probe.pending
    return expect(answer.status == 400 and answer.error == "authorization_pending", answer.told)


@chapter.must("RFC 6749 §5.2")
def code_is_of_its_client(probe: Probe) -> str:
    """A grant that was issued to another client is refused: invalid_grant (or that client may not use the grant)."""
    other = probe.other_client or Client(STRANGER)
    answer = probe.token([("grant_type", DEVICE_GRANT), ("device_code", probe.second.device_code)], client=other)
    refused = _is(answer, "invalid_grant", "unauthorized_client", "invalid_client", "invalid_request")
    who = "a client that exists" if probe.other_client else "an unknown client"
    return expect(refused, f"asked by {who}: {answer.told}")


@chapter.may("RFC 8628 §3.5")
def haste_is_told(probe: Probe) -> str:
    """A client that polls before its interval has passed is told slow_down."""
    answer = probe.hurry.early
    return expect(_is(answer, "slow_down"), f"two polls at once: {answer.told}")


@chapter.must("RFC 8628 §3.5")
def pending_after_slow_down(probe: Probe) -> str:
    """After slow_down the interval is 5 seconds longer: a client that keeps to it is not slowed again."""
    hurry = probe.hurry
    if hurry.early.error != "slow_down":
        raise NotApplicable("the server never says slow_down")
    answer = hurry.long_enough
    return expect(_is(answer, "authorization_pending"), f"a poll after interval + 5: {answer.told}")


@chapter.may("RFC 8628 §3.5")
def slow_down_lasts(probe: Probe) -> str:
    """The longer interval is for all subsequent requests: the old one is too short from then on."""
    hurry = probe.hurry
    if hurry.early.error != "slow_down":
        raise NotApplicable("the server never says slow_down")
    return expect(_is(hurry.old_interval, "slow_down"), f"a poll after the old interval: {hurry.old_interval.told}")


@chapter.must("RFC 8628 §3.5")
def denied(probe: Probe) -> str:
    """access_denied when the person said no."""
    answer = probe.sessions.denied
    return expect(_is(answer, "access_denied"), answer.told)


@chapter.must("RFC 8628 §3.5", last=True)
def expired(probe: Probe) -> str:
    """expired_token when the device_code has expired, after expires_in seconds."""
    one = probe.first
    left = one.started_at + one.expires_in + 1 - probe.http.now()
    probe.http.wait(left, "a code to expire")
    answer = probe.poll(one)
    return expect(_is(answer, "expired_token"), f"after {one.expires_in:.0f} s: {answer.told}")


def _is(answer: Answer, *errors: str) -> bool:
    """Whether this is one of these errors, with the status of RFC 6749 §5.2."""
    return answer.status in REFUSED and answer.error in errors
