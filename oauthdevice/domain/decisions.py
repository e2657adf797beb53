"""News of decisions: who tells them, and who hears them. Protocols, as those of `ports`."""

from typing import Protocol


class DecisionListener(Protocol):
    """Who waits for decisions. Each method returns at once, and may be called in any thread."""

    def decided(self, digest: str) -> None:
        """The state of the record of this device_code has changed."""

    def all_may_be_decided(self) -> None:
        """That of any may have: news may have been lost."""

    def is_waiting(self) -> bool:
        """False where there is nothing to wait for: it need not be told until it listens again."""


class Decisions(Protocol):
    """News of decisions, from every process of this server."""

    def listen(self, listener: DecisionListener) -> bool:
        """Tell it from now on, for as long as it waits. False where no news can be had now."""
