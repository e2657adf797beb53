"""Tries requirements one after another, and never faster than the server asks."""

from collections.abc import Callable, Iterable, Sequence

from .probe import SLOW_DOWN_SECONDS, Probe
from .requirements import Finding, Level, NotApplicable, NotTried, Outcome, Requirement, Unmet
from .transport import Unreachable

# Some of what is seen is in the server's own words.
SEEN_LETTERS = 300
SLOW_DOWN = {"rfc8628-haste-is-told", "rfc8628-pending-after-slow-down", "rfc8628-slow-down-lasts"}
EXPIRED = "rfc8628-expired"


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
    outcome, seen = _outcome(probe, one)
    return Finding(one, outcome, seen[:SEEN_LETTERS])


def _outcome(probe: Probe, one: Requirement) -> tuple[Outcome, str]:
    try:
        return Outcome.PASSED, one.check(probe)
    except Unmet as seen:
        return Outcome.NOT_DONE if one.level is Level.MAY else Outcome.FAILED, str(seen)
    except NotApplicable as why:
        return Outcome.NOT_APPLICABLE, str(why)
    except NotTried as why:
        return Outcome.NOT_TRIED, str(why)
    except Unreachable as why:
        return Outcome.NOT_TRIED, f"no answer: {why}"


def waiting_seconds(probe: Probe, requirements: Iterable[Requirement]) -> float:
    """About how long the waits take: those between polls, and for a code to expire. May start an authorization.

    What people take comes on top.
    """
    names = {one.id for one in requirements}
    if not names & {*SLOW_DOWN, EXPIRED}:
        return 0
    try:
        first = probe.first
    except (NotApplicable, NotTried, Unreachable):
        # The checks will say why.
        return 0
    polling = 2 * first.interval + SLOW_DOWN_SECONDS if names & SLOW_DOWN else 0
    expiring = first.expires_in if EXPIRED in names and first.expires_in <= probe.http.max_wait_seconds else 0
    return max(polling, expiring)
