"""Addresses that a server tells, which may be none."""

from urllib.parse import SplitResult, urljoin, urlsplit


def parts_of(address: object) -> SplitResult:
    """The parts of an address; all empty where it is none."""
    try:
        parts = urlsplit(address if isinstance(address, str) else "")
        # A port that is none, or a host that is half of an IPv6 address, raises only when it is read.
        parts.port, parts.hostname  # noqa: B018
    except ValueError:
        return SplitResult("", "", "", "", "")
    return parts


def joined(page: str, target: str) -> str:
    """Where a link of a page leads; "" where nowhere."""
    try:
        return urljoin(page, target)
    except ValueError:
        return ""
