"""The link of a mail that ends one device: with it, and no sign-in, whoever reads the mail ends that one."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from cryptography.fernet import InvalidToken

from .devices import Device, Devices
from .errors import DomainError, NoSuchSession
from .keys import key_ring
from .sessions import Session, Sessions, subject_digest

if TYPE_CHECKING:
    from .ports import Clock

UNDO_DAYS = 7


class UndoMalformed(DomainError):
    """The link of a mail is not one of ours, or not all of it arrived."""

    error = "undo_malformed"
    description = "This is not a link of a mail of this server."


class UndoExpired(DomainError):
    """The link of a mail is too old."""

    error = "undo_expired"
    description = "The link has expired."


class DeviceEnded(DomainError):
    """The device that the link of a mail would end has ended already."""

    error = "device_ended"
    description = "The device was ended already."


@dataclass(frozen=True, slots=True, kw_only=True)
class _Right:
    """What a token says. `owner` is the digest of the subject; `expires_at` is aware UTC."""

    session_id: str
    owner: str
    expires_at: datetime


class UndoSeal:
    """Makes the tokens of such links with the first of `secrets`, and opens what any of them made."""

    def __init__(self, secrets: Sequence[str], clock: "Clock") -> None:
        self._ring = key_ring(secrets, "undo")
        self._clock = clock

    def seal(self, session: Session) -> str:
        """A token to end this session, for seven days from now. Good in an address as it is."""
        right = _Right(
            session_id=session.id,
            owner=subject_digest(session.subject.key),
            expires_at=self._clock() + timedelta(days=UNDO_DAYS),
        )
        members = {**asdict(right), "expires_at": right.expires_at.isoformat(timespec="seconds")}
        return self._ring.encrypt(json.dumps(members).encode()).decode("ascii").rstrip("=")

    def unseal(self, token: str) -> _Right:
        """Raises UndoMalformed, UndoExpired."""
        try:
            members = json.loads(self._ring.decrypt((token + "=" * (-len(token) % 4)).encode()))
            right = _Right(**{**members, "expires_at": datetime.fromisoformat(members["expires_at"])})
        except (InvalidToken, ValueError, TypeError, KeyError) as error:
            raise UndoMalformed() from error
        if self._clock() >= right.expires_at:
            raise UndoExpired()
        return right


class Undo:
    """What the holder of such a token may do: look at the device, and end it."""

    def __init__(self, *, seal: UndoSeal, sessions: Sessions, devices: Devices) -> None:
        self._seal = seal
        self._sessions = sessions
        self._devices = devices

    def device(self, token: str, address: str) -> Device:
        """Raises UndoMalformed, UndoExpired, DeviceEnded."""
        return self._devices.told(self._session(token), address)

    def end(self, token: str, address: str) -> Device:
        """End the device, which is returned. Raises as `device` does."""
        session = self._session(token)
        told = self._devices.told(session, address)
        try:
            self._sessions.end(session.id, session.subject, address, reason="by mail")
        except NoSuchSession as error:
            raise DeviceEnded() from error
        return told

    def _session(self, token: str) -> Session:
        right = self._seal.unseal(token)
        try:
            return self._sessions.owned_by(right.owner, right.session_id)
        except NoSuchSession as error:
            raise DeviceEnded() from error
