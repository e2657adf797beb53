"""From a user_code as a person typed it to the record behind it; what was burned is found no more."""

from collections.abc import Sequence

from . import codes
from .audit import Audit, Event
from .device_authorization import DeviceAuthorization, State, burn
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
        stored = self._find_alive(user_code)
        if stored is None or not self._is_reported(stored.record):
            return stored
        if self._burn(stored):
            return None
        # Somebody was faster: a decision of theirs holds, and whoever asks is told of it.
        stored = self._find_alive(user_code)
        return None if stored is None or stored.record.state is State.PENDING else stored

    def find_any(self, user_code: str) -> Stored | None:
        """The record while it is kept, whatever has become of it."""
        normalised = codes.normalise_user_code(user_code)
        if normalised is None:
            return None
        found = (self._store.find(codes.user_code_digest(key, normalised)) for key in self._keys)
        return next((stored for stored in found if stored is not None), None)

    def _find_alive(self, user_code: str) -> Stored | None:
        stored = self.find_any(user_code)
        return None if stored is None or stored.record.burned or stored.record.is_expired(stored.now) else stored

    def _is_reported(self, record: DeviceAuthorization) -> bool:
        """Whether it waits and somebody has reported its network since. It may then wait no more.

        Polls do not ask: they cost one round trip. Denied here, the device hears of it at its next poll;
        and before that, nobody can approve it.
        """
        if record.state is not State.PENDING:
            return False
        burned_at = self._burns.burned_at(network(record.request.address))
        return burned_at is not None and record.issued_at <= burned_at

    def _burn(self, stored: Stored) -> bool:
        record = stored.record
        event = self._audit.drawn_up(
            Event.DENIED,
            token_id=record.request.id,
            client_id=record.request.client_id,
            device_label=record.request.device_label,
            scopes=record.request.scopes,
            address=record.request.address,
            reason="its network was reported",
        )
        if self._store.swap(stored, burn(record), events=(event,)) is None:
            return False
        self._audit.recorded(event)
        return True
