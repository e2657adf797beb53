"""Mail to the owner of a device that is new. What is to be sent lies in the database until it is.

The row is written with the token, in one transaction; sending is for whichever process claims it. To claim is to
put off: a process that dies leaves the row due again a little later. So no mail is lost, and where a process
dies after the mail server took it and before the row is gone, a mail comes twice.
"""

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from .devices import Device, Devices
from .errors import MailRefused, Unavailable
from .sessions import Session
from .undo import UndoSeal

if TYPE_CHECKING:
    from .ports import AccountStore, Clock, NoticeStore, Post, SessionStore

log = logging.getLogger(__name__)

# How long a process may take for one mail before another tries: longer than a mail server that answers each
# command just in time.
CLAIM = timedelta(minutes=5)
# The wait after the first failure, which doubles, and its bound. Given up after a day.
FIRST_WAIT, LONGEST_WAIT, GIVEN_UP_AFTER = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Notice:
    """A mail that is due. `tries` counts this one too; `language` is None where the approver's is unknown."""

    session_id: str
    language: str | None
    made_at: datetime
    tries: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NewDeviceMail:
    """What the owner of a device is told, and where. `undo` is the token of the link that ends it."""

    to: str
    device: Device
    undo: str
    language: str | None


class Notices:
    """Sends what is due."""

    def __init__(
        self,
        *,
        store: "NoticeStore",
        post: "Post",
        sessions: "SessionStore",
        accounts: "AccountStore",
        devices: Devices,
        seal: UndoSeal,
        clock: "Clock",
    ) -> None:
        self._store = store
        self._post = post
        self._sessions = sessions
        self._accounts = accounts
        self._devices = devices
        self._seal = seal
        self._clock = clock

    def send_due(self) -> int:
        """Send whatever is due, until the mail server fails; how many were sent. Raises StoreUnavailable."""
        sent = 0
        while True:
            now = self._clock()
            notice = self._store.claim(now, now + CLAIM)
            if notice is None:
                return sent
            try:
                sent += self._send(notice)
            except MailRefused as error:
                log.error("the mail about %s was refused: %s", notice.session_id, error.detail)
            except Unavailable as error:
                self._put_off(notice, error)
                return sent
            self._store.forget(notice.session_id)

    def _send(self, notice: Notice) -> bool:
        session = self._sessions.get(notice.session_id)
        to = self._recipient(session) if session is not None else None
        if session is None or to is None:
            # It was ended meanwhile, or its owner may no longer sign in.
            return False
        mail = NewDeviceMail(
            to=to, device=self._devices.told(session, ""), undo=self._seal.seal(session), language=notice.language
        )
        self._post.send(mail)
        return True

    def _recipient(self, session: Session) -> str | None:
        if session.account is None:
            return getattr(session.subject, "email", None)
        # Asked again: its e-mail may be kept elsewhere, and have changed.
        account = self._accounts.get(session.account.id)
        return account.email if account is not None and account.active else None

    def _put_off(self, notice: Notice, error: Unavailable) -> None:
        now = self._clock()
        if now - notice.made_at >= GIVEN_UP_AFTER:
            log.error("the mail about %s is given up: %s", notice.session_id, error.detail)
            self._store.forget(notice.session_id)
            return
        log.warning("the mail about %s waits: %s", notice.session_id, error.detail)
        wait = min(FIRST_WAIT * 2 ** (notice.tries - 1), LONGEST_WAIT)
        self._store.put_off(notice.session_id, now + wait)
