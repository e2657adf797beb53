"""A Pyramid application of a company: its own page and API, and oauthdevice beneath `/sign-in`.

    PYTHONPATH=examples/notes .venv/bin/pserve examples/notes/notes.ini

A tool signs in at /sign-in with an account of the company; its token then opens /api/notes.
"""

import hmac
from typing import Any

from pyramid.config import Configurator
from pyramid.request import Request
from pyramid.response import Response
from pyramid.router import Router

from oauthdevice.domain.subjects import Account, Workspace

NOTES = ["Water the plants"]


class People:
    """The accounts of the company, which oauthdevice asks (`oauthdevice.domain.ports.AccountDirectory`).

    A real one asks the company's user table and compares hashes.
    """

    def __init__(self) -> None:
        self.passwords = {"7": "tulips and daffodils"}
        self.accounts = {"7": Account("7", "grace@example.com", "Grace", True, (Workspace("w1", "Garden", "owner"),))}

    def authenticate(self, email: str, password: str) -> Account | None:
        """The account of this e-mail if the password is its own."""
        account = self.by_email(email)
        if account is None or not hmac.compare_digest(self.passwords[account.id].encode(), password.encode()):
            return None
        return account

    def get(self, account_id: str) -> Account | None:
        """The account as it is now."""
        return self.accounts.get(account_id)

    def by_email(self, email: str) -> Account | None:
        """As `get`; case does not count."""
        return next((one for one in self.accounts.values() if one.email.casefold() == email.casefold()), None)


def home(_: Request) -> Response:
    """The page of the company, which knows nothing of us."""
    return Response("<h1>Notes</h1><p>Use the tool.</p>")


def list_notes(request: Request) -> dict[str, Any]:
    """The notes, and who reads them; only with a token that may run apps."""
    account = request.identity.session.account
    return {"notes": NOTES, "of": account.email if account else request.identity.session.subject.email}


def main(_: dict[str, str], **settings: str) -> Router:
    """The WSGI application."""
    config = Configurator(settings=settings)
    config.include("oauthdevice.bearer")
    config.add_route("home", "/")
    config.add_view(home, route_name="home")
    config.add_route("notes", "/api/notes")
    config.add_view(list_notes, route_name="notes", permission="apps:run", renderer="json", request_method="GET")
    config.include("oauthdevice", route_prefix="/sign-in")
    return config.make_wsgi_app()
