"""OAuth 2.0 Device Authorization Grant (RFC 8628): starting a device authorization, and what it tells (§3.1 to §3.3).

Polling is in `polling`.
"""

import math
import re

from .addresses import parts_of
from .authorizations import number, plain_code
from .probe import Probe
from .requirements import Chapter, NotApplicable, NotTried, Unmet, expect

chapter = Chapter()

BASE20 = set("BCDFGHJKLMNPQRSTVWXZ")
# Pairs that RFC 8628 §6.1 names.
CONFUSED = (("0", "O"), ("1", "I"), ("1", "l"), ("I", "l"))
# The smaller of the two examples of RFC 8628 §6.1: nine digits.
USER_CODE_BITS = 9 * math.log2(10)
DEVICE_CODE_BITS = 128
SHORT_URI = 60
REFUSED = (400, 401)


@chapter.must("RFC 8628 §3.1")
def tls(probe: Probe) -> str:
    """All requests from the device use TLS."""
    return probe.check_tls(probe.address("device_authorization"))


@chapter.must("RFC 8628 §3.1")
def form_starts(probe: Probe) -> str:
    """A POST of a form with client_id (and scope) starts a device authorization."""
    answer = probe.start()
    return expect(answer.status == 200 and "device_code" in answer.members, answer.told)


@chapter.must("RFC 8628 §3.1")
def client_id_is_required(probe: Probe) -> str:
    """client_id is required where the client does not authenticate."""
    answer = probe.http.post(probe.endpoint("device_authorization"), [("scope", probe.scope)] if probe.scope else [])
    return expect(answer.status in REFUSED and answer.error in ("invalid_request", "invalid_client"), answer.told)


@chapter.must("RFC 8628 §3.2")
def unknown_client(probe: Probe) -> str:
    """An error is answered as RFC 6749 §5.2 says: invalid_client for a client that is unknown."""
    answer = probe.unknown_client
    return expect(answer.status in REFUSED and answer.error == "invalid_client", answer.told)


@chapter.must("RFC 8628 §3.1")
def empty_is_omitted(probe: Probe) -> str:
    """Parameters sent without a value are treated as if they were omitted."""
    started = probe.start([("scope", "")])
    if "device_code" not in started.members:
        raise Unmet(f"an empty scope: {started.told}")
    if probe.client.secret is not None and not probe.client.in_body:
        return f"an empty scope: {started.told}"
    without = probe.http.post(probe.endpoint("device_authorization"), [])
    empty = probe.http.post(probe.endpoint("device_authorization"), [("client_id", "")])
    return expect(empty.error == without.error, f"client_id empty: {empty.told}; omitted: {without.told}")


@chapter.must("RFC 8628 §3.1")
def unknown_is_ignored(probe: Probe) -> str:
    """Unrecognized request parameters are ignored."""
    answer = probe.start([("oauthdevice_conformance", "1")])
    return expect("device_code" in answer.members, answer.told)


@chapter.must("RFC 8628 §3.1")
def repeated_is_refused(probe: Probe) -> str:
    """Request parameters are not included more than once; RFC 6749 §5.2: invalid_request for one that is."""
    answer = probe.start([("scope", "a"), ("scope", "a")])
    return expect(answer.status in REFUSED and answer.error == "invalid_request", answer.told)


@chapter.must("RFC 8628 §3.2")
def answer_is_json(probe: Probe) -> str:
    """The answer has the status 200 and the media type application/json."""
    answer = probe.first.answer
    return expect(
        (answer.status, answer.media_type) == (200, "application/json"), f"{answer.status} {answer.media_type}"
    )


@chapter.must("RFC 8628 §3.2")
def required_members(probe: Probe) -> str:
    """device_code, user_code and verification_uri are strings, expires_in is a number of seconds."""
    members = probe.first.answer.members
    wrong = [name for name in ("device_code", "user_code", "verification_uri") if not probe.first.member(name)]
    wrong += [] if (number(members.get("expires_in")) or 0) > 0 else ["expires_in"]
    return expect(not wrong, f"absent or of another type: {', '.join(wrong)}" if wrong else probe.first.answer.told)


@chapter.must("RFC 8628 §3.2")
def interval_is_a_number(probe: Probe) -> str:
    """interval, where it is told, is a number of seconds; without it 5 holds."""
    told = probe.first.answer.members.get("interval", 5)
    met = number(told) is not None and float(told) >= 0
    return expect(met, f"{told!r} seconds" if "interval" in probe.first.answer.members else "not told, so 5 seconds")


@chapter.must("RFC 6749 §5.1")
def no_store(probe: Probe) -> str:
    """Any response with credentials has Cache-Control: no-store; so has the example of RFC 8628 §3.2."""
    answer = probe.first.answer
    return expect(answer.no_store, f"Cache-Control: {answer.header('cache-control') or '(absent)'}")


@chapter.must("RFC 8628 §3.2")
def codes_are_unique(probe: Probe) -> str:
    """Each answer has a unique device verification code and end-user code."""
    one, two = probe.first, probe.second
    return expect(one.device_code != two.device_code and one.user_code != two.user_code, "two answers compared")


@chapter.should("RFC 8628 §3.2")
def verification_uri_is_short(probe: Probe) -> str:
    """The verification_uri is short and easy to remember, as people type it."""
    told = probe.first.member("verification_uri")
    return expect(0 < len(told) <= SHORT_URI and not parts_of(told).query, f"{len(told)} characters")


@chapter.should("RFC 8628 §3.3")
def code_is_not_in_verification_uri(probe: Probe) -> str:
    """It is not recommended to include the user_code in verification_uri."""
    met = plain_code(probe.first.user_code) not in plain_code(probe.first.member("verification_uri"))
    return expect(met, "it is not there" if met else "it is there")


@chapter.must("RFC 8628 §3.2")
def link_has_the_code(probe: Probe) -> str:
    """verification_uri_complete includes the user_code, or what has the same function."""
    address = link(probe)
    if plain_code(probe.first.user_code) in plain_code(address):
        return "it has the user_code"
    mine, other = probe.first.member("verification_uri"), probe.second.member("verification_uri_complete")
    return expect(address not in (mine, other), "it has something else of this code alone")


@chapter.must("RFC 6749 §3.1")
def verification_page_tls(probe: Probe) -> str:
    """TLS where people authenticate and authorize: here at the verification_uri."""
    return probe.check_tls(probe.first.member("verification_uri"))


@chapter.must("RFC 8628 §3.3")
def verification_page_is_there(probe: Probe) -> str:
    """A person visits the verification_uri with a browser."""
    page = probe.verification_page
    return expect(page.status == 200 and page.media_type in ("text/html", "application/xhtml+xml"), page.told)


@chapter.must("RFC 8628 §3.3.1")
def link_alone_approves_nothing(probe: Probe) -> str:
    """With verification_uri_complete the interaction of §3.3 still follows: opening it is no approval."""
    link(probe)
    one = probe.authorization()
    probe.http.browse(one.member("verification_uri_complete"))
    answer = probe.poll(one)
    return expect(answer.error in ("authorization_pending", "slow_down"), f"opened, then polled: {answer.told}")


@chapter.should("RFC 8628 §3.3.1")
def page_shows_the_code(probe: Probe) -> str:
    """With verification_uri_complete the server displays the user_code, to be compared with the device's."""
    page = probe.http.browse(link(probe))
    if plain_code(probe.first.user_code) not in plain_code(page.text):
        raise NotTried("the page of somebody who has not signed in shows none: look at it signed in")
    return "it is on the page"


@chapter.should("RFC 8628 §5.1")
def user_code_entropy(probe: Probe) -> str:
    """The user code has enough entropy that, with rate limits, a brute-force attack is infeasible."""
    code = "".join(letter for letter in probe.first.user_code if letter.isalnum())
    alphabet = _alphabet(code + probe.second.user_code)
    bits = len(code) * math.log2(alphabet) if code else 0
    return expect(bits >= USER_CODE_BITS - 1e-9, f"{len(code)} of {alphabet} letters: about {bits:.0f} bits")


@chapter.should("RFC 8628 §5.2")
def device_code_entropy(probe: Probe) -> str:
    """As nobody reads the device code, a very high entropy code is used."""
    code = probe.first.device_code
    kinds = ((r"[a-z]", 26), (r"[A-Z]", 26), (r"[0-9]", 10), (r"[-_.~+/]", 2))
    bits = len(code) * math.log2(max(2, sum(size for pattern, size in kinds if re.search(pattern, code))))
    if re.fullmatch(r"[0-9a-fA-F-]+", code):
        bits = 4 * len(code.replace("-", ""))
    return expect(bits >= DEVICE_CODE_BITS, f"{len(code)} characters: at most {bits:.0f} bits")


@chapter.should("RFC 8628 §6.1")
def no_confusing_letters(probe: Probe) -> str:
    """Character sets are avoided that contain two characters that are easily confused, like 0 and O."""
    used = set(probe.first.user_code + probe.second.user_code)
    found = [f"{one} and {other}" for one, other in CONFUSED if {one, other} <= used]
    return expect(not found, f"both {', '.join(found)}" if found else "none in two codes")


@chapter.should("RFC 8628 §6.1")
def code_is_read_with_tolerance(probe: Probe) -> str:
    """What is typed is uppercased, and punctuation that was only there to be read is stripped."""
    if plain_code(probe.first.user_code) == probe.first.user_code:
        raise NotApplicable("the code has neither capitals nor punctuation")
    met = probe.sessions.rotation.typed_plain
    return expect(met, "approved in small letters without punctuation" if met else "approved as shown alone")


def link(probe: Probe) -> str:
    """The verification_uri_complete of the first code. Raises NotApplicable without one."""
    found = probe.first.member("verification_uri_complete")
    if not found:
        raise NotApplicable("no verification_uri_complete is told")
    return found


def _alphabet(letters: str) -> int:
    """How many letters a code is made of, read from some of them; the smaller guess where two fit."""
    found = {letter.upper() for letter in letters if letter.isalnum()}
    if all(letter.isdigit() for letter in found):
        return 10
    digits = 10 if any(letter.isdigit() for letter in found) else 0
    return digits + (20 if {letter for letter in found if letter.isalpha()} <= BASE20 else 26)
