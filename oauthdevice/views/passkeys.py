"""Passkeys: the page of an account, and what the script `static/passkeys.js` asks while a passkey is made or used.

A browser signs only by script, so these few answers are JSON. They ask for the CSRF token of the page as every
form does, and no other origin may call them.
"""

from typing import Any

from pyramid.config import Configurator
from pyramid.httpexceptions import HTTPMethodNotAllowed
from pyramid.request import Request

from ..domain.errors import LoginRequired
from ..domain.passkeys import PASSKEYS_MAX
from ..domain.subjects import Account
from ..schemas.body import deserialise, read_body
from ..schemas.passkeys import credential_answer, new_passkey, password_answer, remove_form
from .pages import Answer, go, go_on_as, refuse_method, sign_in_first

# What has just been done, for the next page to tell.
_DONE = "passkeys"


def includeme(config: Configurator) -> None:
    config.add_route("passkeys", "/passkeys")
    template = "oauthdevice:templates/passkeys.html.jinja2"
    config.add_view(show_passkeys, route_name="passkeys", request_method="GET", renderer=template)
    config.add_view(post_passkeys, route_name="passkeys", request_method="POST", renderer=template)
    config.add_view(refuse_method, route_name="passkeys", require_csrf=False)
    for name, path, post in (
        ("passkey_sign_in_options", "/webauthn/sign-in/options", post_sign_in_options),
        ("passkey_sign_in", "/webauthn/sign-in", post_sign_in),
        ("passkey_creation_options", "/webauthn/passkeys/options", post_creation_options),
        ("passkey_creation", "/webauthn/passkeys", post_creation),
    ):
        config.add_route(name, path)
        config.add_view(post, route_name=name, request_method="POST", renderer="json")
        config.add_view(refuse_all_but_post, route_name=name, require_csrf=False)


def show_passkeys(request: Request) -> Answer:
    """Those of the account, and the form for one more."""
    account: Account | None = request.account
    if account is None:
        return sign_in_first(request)
    passkeys = request.passkeys.of(account)
    return {
        "account": account,
        "passkeys": passkeys,
        "full": len(passkeys) >= PASSKEYS_MAX,
        "most": PASSKEYS_MAX,
        "done": _just_done(request),
    }


def post_passkeys(request: Request) -> Answer:
    """Remove one."""
    passkey_id = deserialise(remove_form, read_body(request))["passkey"]
    removed = request.passkeys.remove(_account(request), passkey_id, request.remote_addr or "")
    request.session.flash({"did": "remove", "name": removed.name}, _DONE)
    return go(request, "/passkeys")


def post_sign_in_options(request: Request) -> dict[str, Any]:
    """What the browser is to sign."""
    options: dict[str, Any] = request.passkeys.begin_sign_in(_browser(request))
    return options


def post_sign_in(request: Request) -> dict[str, Any]:
    """Sign in with what it signed. The script is told where the person was going."""
    answer = deserialise(credential_answer, read_body(request))["credential"]
    sign_in = request.passkeys.sign_in(answer, _browser(request), request.remote_addr or "")
    return {"location": go_on_as(request, sign_in).location}


def post_creation_options(request: Request) -> dict[str, Any]:
    """What the browser is to make a passkey from, for who gives the password again."""
    password = deserialise(password_answer, read_body(request))["password"]
    account, address = _account(request), request.remote_addr or ""
    options: dict[str, Any] = request.passkeys.begin_adding(account, password, _browser(request), address)
    return options


def post_creation(request: Request) -> dict[str, Any]:
    """Keep what it made."""
    form = deserialise(new_passkey, read_body(request))
    account, address = _account(request), request.remote_addr or ""
    request.passkeys.add(account, form["name"], form["credential"], _browser(request), address)
    request.session.flash({"did": "add", "name": form["name"]}, _DONE)
    return {"location": go(request, "/passkeys").location}


def refuse_all_but_post(_: Request) -> Answer:
    """Any other method."""
    error = HTTPMethodNotAllowed()
    error.allow = ("POST",)
    raise error


def _account(request: Request) -> Account:
    account: Account | None = request.account
    if account is None:
        # Who pressed a button must hear that it did nothing.
        raise LoginRequired()
    return account


def _browser(request: Request) -> str:
    """The secret of this browser session; it changes with every sign-in."""
    token: str = request.session.get_csrf_token()
    return token


def _just_done(request: Request) -> dict[str, Any] | None:
    """What the form before this page did, told once."""
    done: list[dict[str, Any]] = request.session.pop_flash(_DONE) if request.session.peek_flash(_DONE) else []
    return done[-1] if done else None
