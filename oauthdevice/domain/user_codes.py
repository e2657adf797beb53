"""From a user_code as a person typed it to the record behind it; what was burned is found no more."""

from collections.abc import Sequence

from . import codes
from .audit import Audit, Event
from .device_authorization import State, burn
from .ports import AuthorizationStore, BurnStore, Stored
from .rate_limits import network


class UserCodes:
    """`keys` digest user_codes: that of the secret in force, then those of earlier ones, as a code may wait
    while it changes.
    """

    def __init__(self, *, store: AuthorizationStore, burns: BurnStore, keys: Sequence[bytes], audit: Audit) -> None:
        self._store = store
        self._burns = burns
        self._keys = keys
        self._audit = audit

    def find(self, user_code: str) -> Stored | None:
        """The record, or None where the code is unknown, expired or burned."""
        stored = self.find_any(user_code)
        if stored is None or stored.record.is_expired(stored.now) or self._is_burned(stored):
            return None
        return stored

    def find_any(self, user_code: str) -> Stored | None:
        """The record while it is kept, whatever has become of it."""
        normalised = codes.normalise_user_code(user_code)
        if normalised is None:
            return None
        found = (self._store.find(codes.user_code_digest(key, normalised)) for key in self._keys)
        return next((stored for stored in found if stored is not None), None)

    def _is_burned(self, stored: Stored) -> bool:
        """Whether it waits and somebody has reported its network since. It then waits no more.

        Polls do not ask: they cost one round trip. Denied here, the device hears of it at its next poll;
        and before that, nobody can approve it.
        """
        record = stored.record
        if record.burned or record.state is not State.PENDING:
            return record.burned
        burned_at = self._burns.burned_at(network(record.request.address))
        if burned_at is None or record.issued_at > burned_at:
            return False
        # Whoever else has changed it meanwhile asked a moment before us.
        if self._store.swap(stored, burn(record)) is not None:
            self._audit.record(
                Event.DENIED,
                token_id=record.request.id,
                client_id=record.request.client_id,
                device_label=record.request.device_label,
                scopes=record.request.scopes,
                address=record.request.address,
                reason="its network was reported",
            )
        return True
