"""A sign-in that a person makes again to confirm one code, as the signed session of its browser keeps it.

It is for that one code, its person and five minutes; the decision, which is made once, uses it up.
"""

from datetime import datetime

from pyramid.request import Request

from ..domain.other_network import Confirmation, SignInAgain
from ..domain.subjects import Account

_SIGN_IN_AGAIN = "sign_in_again"


def note_sign_in(request: Request, user_code: str | None, account: Account) -> None:
    """Keep what a sign-in, just made in this browser, is worth for the code that waits here.

    To be called after `remember_sign_in`, however the person signed in.
    """
    again = request.approvals.sign_in_again(user_code, account.subject) if user_code else None
    if again is not None:
        request.session[_SIGN_IN_AGAIN] = [again.authorization_id, again.subject_key, again.at.isoformat()]


def read_sign_in(request: Request) -> SignInAgain | None:
    """The last one of this browser, or None. What it still counts for is for the decision to find out."""
    kept = request.session.get(_SIGN_IN_AGAIN)
    return SignInAgain(kept[0], kept[1], datetime.fromisoformat(kept[2])) if kept else None


def forget_sign_in_again(request: Request) -> None:
    """The code is decided."""
    request.session.pop(_SIGN_IN_AGAIN, None)


def confirmation(request: Request, number: str) -> Confirmation:
    """What this browser brings beside the number that was typed."""
    return Confirmation(number, read_sign_in(request))
