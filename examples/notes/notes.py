"""A Pyramid application of a company: its own page and API, and oauthdevice beneath `/sign-in`.

    PYTHONPATH=examples/notes .venv/bin/pserve examples/notes/notes.ini

A tool signs in at /sign-in; its token then opens /api/notes.
"""

from typing import Any

from pyramid.config import Configurator
from pyramid.request import Request
from pyramid.response import Response
from pyramid.router import Router

NOTES = ["Water the plants"]


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
