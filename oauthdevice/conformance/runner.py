"""Tries requirements one after another, and never faster than the server asks."""

from collections.abc import Callable, Iterable, Sequence

from .probe import SLOW_DOWN_SECONDS, Probe
from .requirements import Finding, Level, NotApplicable, NotTried, Outcome, Requirement, Unmet
from .transport import Unreachable


def examine(
    probe: Probe, requirements: Sequence[Requirement], told: Callable[[Finding], None] = lambda _: None
) -> list[Finding]:
    """One finding for each, in the order of the requirements; `told` is called with each as it is found."""
    found: dict[str, Finding] = {}
    for one in sorted(requirements, key=lambda requirement: requirement.last):
        found[one.id] = _tried(probe, one)
        told(found[one.id])
    return [found[one.id] for one in requirements]


def _tried(probe: Probe, one: Requirement) -> Finding:
    try:
        return Finding(one, Outcome.PASSED, one.check(probe))
    except Unmet as seen:
        return Finding(one, Outcome.NOT_DONE if one.level is Level.MAY else Outcome.FAILED, str(seen))
    except NotApplicable as why:
        return Finding(one, Outcome.NOT_APPLICABLE, str(why))
    except NotTried as why:
        return Finding(one, Outcome.NOT_TRIED, str(why))
    except Unreachable as why:
        return Finding(one, Outcome.NOT_TRIED, f"no answer: {why}")


def waiting_seconds(probe: Probe, requirements: Iterable[Requirement]) -> float:
    """About how long the waits take: those between polls, and for a code to expire. Starts an authorization.

    What people take comes on top.
    """
    names = {one.id for one in requirements}
    seconds = 0.0
    try:
        first = probe.first
    except (NotApplicable, NotTried, Unreachable):
        # The checks will say why.
        return seconds
    if names & {"rfc8628-haste-is-told", "rfc8628-pending-after-slow-down", "rfc8628-slow-down-lasts"}:
        seconds += 2 * first.interval + SLOW_DOWN_SECONDS
    if "rfc8628-expired" in names and first.expires_in <= probe.http.max_wait_seconds:
        seconds = max(seconds, first.expires_in)
    return seconds
