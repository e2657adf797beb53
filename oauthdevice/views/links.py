"""Links that carry a user_code, and codes whose link a page of another site had this browser follow.

A link of either kind only fills the field. But who sends codes to strangers does it by links, so that
such a code is warned about until it is decided.
"""

from urllib.parse import urlsplit

from pyramid.request import Request

from ..domain.codes import normalise_user_code
from ..security import LINKED

# So many are told apart. Beyond, every code of this browser counts as one of them: else a page could
# open link after link until the one that matters is forgotten.
_LINKED_MAX = 10
_PORTS = {"http": 80, "https": 443}


def is_from_another_site(request: Request) -> bool:
    """Whether a page that is not ours made the browser come here.

    What was typed, or opened from another program, is from no site at all. Source: Fetch Metadata §2.3.
    """
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site not in ("same-origin", "none")
    # Browsers without that header, and all of them where we are not reached by https.
    return bool(request.referer) and _origin(request.referer) != _origin(request.options.public_url)


def remember_link(request: Request, user_code: str) -> None:
    """From now on this code is one that came by a link on another site."""
    normalised = normalise_user_code(user_code)
    linked = request.session.get(LINKED, [])
    if normalised is not None and normalised not in linked and len(linked) <= _LINKED_MAX:
        request.session[LINKED] = [*linked, normalised]


def came_by_link(request: Request, user_code: str) -> bool:
    """Whether this code came to this browser by a link on another site."""
    linked = request.session.get(LINKED, [])
    return len(linked) > _LINKED_MAX or normalise_user_code(user_code) in linked


def forget_link(request: Request, user_code: str) -> None:
    """The code is decided: it is worth no warning any more."""
    normalised, linked = normalise_user_code(user_code), request.session.get(LINKED, [])
    if normalised in linked and len(linked) <= _LINKED_MAX:
        request.session[LINKED] = [one for one in linked if one != normalised]


def _origin(address: str) -> tuple[str, str | None, int | None] | None:
    """Scheme, host and port; None for what is no address."""
    try:
        parts = urlsplit(address)
        return parts.scheme, parts.hostname, parts.port or _PORTS.get(parts.scheme)
    except ValueError:
        return None
