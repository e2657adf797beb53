"""An approval as text for a cookie: nobody but us can read it, make one or lengthen its life."""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING

from cryptography.fernet import InvalidToken

from .keys import key_ring
from .subjects import Approval, ExternalSubject

if TYPE_CHECKING:
    from .ports import Clock


class ApprovalSeal:
    """Seals with the first of `secrets`, opens what any of them sealed."""

    def __init__(self, secrets: Sequence[str], clock: "Clock") -> None:
        self._ring = key_ring(secrets, "approval")
        self._clock = clock

    def seal(self, approval: Approval) -> str:
        """Text that `unseal` takes until the approval expires."""
        # The former release, beside this one during an upgrade, takes no member that it does not know: what is
        # not so is left out.
        members = {name: value for name, value in asdict(approval).items() if value is not False}
        members["expires_at"] = approval.expires_at.isoformat()
        return self._ring.encrypt(json.dumps(members, ensure_ascii=False).encode()).decode("ascii")

    def unseal(self, text: str) -> Approval | None:
        """The approval, or None where the text is not ours or the approval has expired."""
        try:
            # Whatever follows the padding, decoding would overlook it.
            if urlsafe_b64encode(urlsafe_b64decode(text)).decode("ascii") != text:
                return None
            members = json.loads(self._ring.decrypt(text.encode()))
            members["subject"] = ExternalSubject(**members["subject"])
            members["expires_at"] = datetime.fromisoformat(members["expires_at"])
            approval = Approval(**members)
        except (InvalidToken, ValueError, TypeError, KeyError):
            # Of a stranger, or of another release beside this one during an upgrade.
            return None
        return approval if self._clock() < approval.expires_at else None
