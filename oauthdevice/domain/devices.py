"""The devices that a person let in, as that person looks after them: a session each, in words."""

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from .clients import Clients
from .places import Place
from .rate_limits import is_same_network
from .scopes import Scope, Scopes
from .sessions import Session, Sessions
from .subjects import Account

if TYPE_CHECKING:
    from .places import Places
    from .ports import Clock

PAGE_DEVICES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A live session as its owner reads of it.

    `client_name` is the client_id of a client that is no longer declared. `idle` is None for a device that was
    never used. `same_network` is True where it asked from the network of whoever is looking; `place` is None
    where no database knows it.
    """

    session: Session
    client_name: str
    scopes: tuple[Scope, ...]
    age: timedelta
    idle: timedelta | None
    same_network: bool
    place: Place | None


@dataclass(frozen=True, slots=True)
class DevicePage:
    """Page `page` of `pages`, both from 1, newest first; `total` counts the devices of all pages."""

    page: int
    pages: int
    total: int
    devices: tuple[Device, ...]


class Devices:
    """What an account may see of its devices and do about them. `address` is that of the browser."""

    def __init__(
        self, *, sessions: Sessions, clients: Clients, scopes: Scopes, places: "Places", clock: "Clock"
    ) -> None:
        self._sessions = sessions
        self._clients = clients
        self._scopes = scopes
        self._places = places
        self._clock = clock

    def page(self, account: Account, page: int, address: str) -> DevicePage:
        """Some devices of the account; none on a page beyond the last."""
        found = self._sessions.page(account.subject, page, PAGE_DEVICES)
        pages = max(1, -(-found.total // PAGE_DEVICES))
        return DevicePage(page, pages, found.total, tuple(self.told(one, address) for one in found.sessions))

    def one(self, device_id: str, account: Account, address: str) -> Device:
        """Raises NoSuchSession, whatever the reason."""
        return self.told(self._sessions.one(device_id, account.subject), address)

    def others(self, account: Account) -> int:
        """How many devices an account has besides one of them."""
        return max(0, self._sessions.page(account.subject, 1, 1).total - 1)

    def rename(self, device_id: str, account: Account, name: str) -> None:
        """Raises as `one` does. Spaces around the name do not count; without one, its label is shown again."""
        self._sessions.rename(device_id, account.subject, name.strip())

    def end(self, device_id: str, account: Account, address: str) -> None:
        """Raises as `one` does."""
        self._sessions.end(device_id, account.subject, address)

    def end_others(self, device_id: str, account: Account, address: str) -> int:
        """End all devices of the account but this one; how many. Raises as `one` does."""
        return self._sessions.end_others(device_id, account.subject, address)

    def told(self, session: Session, address: str) -> Device:
        """A session in the words of people."""
        client, now = self._clients.get(session.client_id), self._clock()
        return Device(
            session=session,
            client_name=client.name if client else session.client_id,
            scopes=tuple(self._scopes.described(session.scopes)),
            age=now - session.created_at,
            idle=now - session.last_used_at if session.last_used_at else None,
            same_network=is_same_network(session.address or "", address),
            place=self._places.find(session.address) if session.address else None,
        )
