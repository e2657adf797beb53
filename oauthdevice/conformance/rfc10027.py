"""Best Current Practice for Security of Cross-Device Flows (RFC 10027), and what RFC 9700 and 9325 ask of its pages.

RFC 10027 recommends that one or more of its mitigations are applied; each that can be seen from outside is a SHOULD.
"""

import re

from .addresses import joined, parts_of
from .answers import Answer
from .authorizations import Authorization, number, plain_code
from .pages import code_form
from .probe import Probe
from .requirements import Chapter, NotApplicable, NotTried, Unmet, expect
from .rfc8628 import link

chapter = Chapter()

# RFC 10027 gives no number; this is the expires_in in the example of RFC 8628 §3.2.
CODE_SECONDS = 1800
# None of these tells another site more than the origin.
REFERRERS_SAFE = (
    "no-referrer", "same-origin", "origin", "strict-origin", "origin-when-cross-origin",
    "strict-origin-when-cross-origin",
)  # fmt: skip
LOADS = re.compile(
    r"""<(?:script|img|iframe|link|source|video|audio)\b[^>]*?\b(?:src|href)\s*=\s*["']([^"']+)|@import\s+url\(["']?([^"')]+)""",
    re.IGNORECASE,
)


@chapter.should("RFC 10027 §6.1.2")
def codes_live_shortly(probe: Probe) -> str:
    """User codes are short-lived."""
    seconds = probe.first.expires_in
    return expect(0 < seconds <= CODE_SECONDS, f"{seconds:.0f} seconds")


@chapter.should("RFC 10027 §6.1.3")
def codes_work_once(probe: Probe) -> str:
    """Codes are of one-time use: a device code that was redeemed gives no second token."""
    life = probe.sessions.rotation
    answer = life.code_again
    if answer.members.get("access_token") and answer.body == life.tokens.answer.body:
        return "used again at once: the very same token"
    return expect("access_token" not in answer.members and answer.status >= 400, f"used again: {answer.told}")


@chapter.should("RFC 10027 §6.1.10")
def tokens_live_for_a_time(probe: Probe) -> str:
    """The life of access tokens is limited."""
    seconds = number(probe.sessions.access.tokens.answer.members.get("expires_in"))
    return expect(seconds is not None and seconds > 0, f"{seconds:.0f} seconds" if seconds else "no end is told")


@chapter.should("RFC 10027 §6.1.12")
def tokens_are_bound_to_a_key(probe: Probe) -> str:
    """Tokens can be sender-constrained: by DPoP (RFC 9449) or mutual TLS (RFC 8705)."""
    names = ("dpop_signing_alg_values_supported", "tls_client_certificate_bound_access_tokens")
    found = [name for name in names if probe.metadata.get(name)]
    return expect(bool(found), ", ".join(found) or "neither is announced")


@chapter.must("RFC 9700 §4.16")
def page_cannot_be_framed(probe: Probe) -> str:
    """Clickjacking is prevented: X-Frame-Options, or frame-ancestors of a Content-Security-Policy."""
    page = _page(probe)
    old, ancestors = page.header("x-frame-options").upper(), _ancestors(page)
    met = old in ("DENY", "SAMEORIGIN") or (ancestors is not None and "*" not in ancestors)
    return expect(met, f"X-Frame-Options: {old or '(absent)'}, frame-ancestors: {ancestors or '(absent)'}")


@chapter.should("RFC 9700 §4.16")
def page_has_frame_ancestors(probe: Probe) -> str:
    """Content Security Policy level 2 is used as well."""
    ancestors = _ancestors(_page(probe))
    return expect(ancestors is not None, f"frame-ancestors {ancestors}" if ancestors else "no frame-ancestors")


@chapter.should("RFC 9700 §4.2.4")
def page_keeps_its_address(probe: Probe) -> str:
    """The Referer header is suppressed by a Referrer-Policy: the address of the page may hold the code."""
    told = _page(probe).header("referrer-policy")
    # The last that a browser knows holds; all of these are known.
    policy = told.rpartition(",")[2].strip().lower()
    return expect(policy in REFERRERS_SAFE, f"Referrer-Policy: {told or '(absent)'}")


@chapter.should("RFC 9700 §4.2.4")
def page_loads_nothing_foreign(probe: Probe) -> str:
    """The page includes no third-party resources."""
    page = _page(probe)
    found = [joined(page.url, one or other) for one, other in LOADS.findall(page.text)]
    foreign = {parts_of(one).netloc for one in found if parts_of(one).scheme in ("http", "https")}
    foreign -= {parts_of(page.url).netloc}
    return expect(not foreign, f"from {', '.join(sorted(foreign))}" if foreign else "nothing from elsewhere")


@chapter.should("RFC 6749 §5.1")
def page_with_the_code_is_not_stored(probe: Probe) -> str:
    """Cache-Control: no-store in responses with sensitive information: here the page that shows the user_code."""
    page = probe.http.browse(link(probe))
    if plain_code(probe.first.user_code) not in plain_code(page.text):
        raise NotApplicable("the page of somebody who has not signed in shows no code")
    return expect(page.no_store, f"Cache-Control: {page.header('cache-control') or '(absent)'}")


@chapter.should("RFC 9325 §3.2")
def hsts(probe: Probe) -> str:
    """Web servers use Strict-Transport-Security to say that they are to be reached through TLS alone."""
    page = _page(probe)
    if parts_of(page.url).scheme != "https":
        raise NotApplicable("http on this machine alone")
    told = page.header("strict-transport-security")
    found = re.search(r"max-age\s*=\s*\"?(\d+)", told)
    return expect(found is not None and int(found[1]) > 0, f"Strict-Transport-Security: {told or '(absent)'}")


@chapter.should("RFC 8628 §5.1", last=True)
def guesses_are_limited(probe: Probe) -> str:
    """The server limits the rate at which user codes are tried."""
    if not probe.guesses:
        raise NotTried("may shut this address out for a while: --guesses NUMBER tries wrong codes")
    form = code_form(probe.http.browse(probe.first.member("verification_uri")))
    if form is None:
        raise NotTried("the verification page has no form that works without scripts")
    for tried in range(1, probe.guesses + 1):
        answer = probe.http.post(form.action, form.filled(_misspelt(probe.second, tried)), limited=True)
        if answer.status == 429:
            return f"429 at wrong code {tried}"
        # A form may work once, with what it hides.
        form = code_form(answer) or form
    raise Unmet(f"{probe.guesses} wrong codes in a row, and no 429")


def _page(probe: Probe) -> Answer:
    page = probe.verification_page
    if page.status != 200:
        raise NotTried(f"the verification page is not there: {page.told}")
    return page


def _ancestors(page: Answer) -> str | None:
    """The sources of frame-ancestors; None without it."""
    for directive in page.header("content-security-policy").replace(",", ";").split(";"):
        words = directive.split()
        if words and words[0].lower() == "frame-ancestors":
            return " ".join(words[1:]) or "'none'"
    return None


def _misspelt(one: Authorization, number_: int) -> str:
    """The code with its letters turned by some places: of the same form, and hardly anybody's."""
    letters = [place for place, letter in enumerate(one.user_code) if letter.isalnum()]
    turned = list(one.user_code)
    for place, source in zip(
        letters, letters[number_ % len(letters) :] + letters[: number_ % len(letters)], strict=True
    ):
        turned[place] = one.user_code[source]
    return "".join(turned)
