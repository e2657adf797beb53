"""What people see: enter the code, sign in, decide, outcome. Every page works without script.

The user_code travels in forms and in the browser session, never in an address that we make; a link
that carries one only fills the field. What cannot be mended on the spot is told by `views.errors`.
"""

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any, TypeAlias

from pyramid.config import Configurator
from pyramid.httpexceptions import HTTPMethodNotAllowed, HTTPSeeOther
from pyramid.request import Request
from pyramid.response import Response
from pyramid.static import QueryStringConstantCacheBuster

from ..domain.accounts import SignIn
from ..domain.codes import USER_CODE_ALPHABET, format_user_code, normalise_user_code, strip_user_code, user_code_of_link
from ..domain.errors import (
    SSO_ERRORS,
    AlreadyResolved,
    DomainError,
    ExpiredOrUnknown,
    LoginFailed,
    NoApproval,
    SSOFailed,
)
from ..schemas.body import deserialise, read_body, read_query
from ..schemas.pages import enter_code_form, login_form
from ..security import forget_sign_in, remember_sign_in, renew_session
from ..sso_cookies import clear_approval
from .errors import status_of
from .links import came_by_link, is_from_another_site, remember_link
from .sign_ins_again import note_sign_in

# The values of the page's template, or an answer of its own.
Answer: TypeAlias = dict[str, Any] | Response

# The code that was entered in this browser and not decided here.
USER_CODE = "user_code"
# The code, normalised, that a link has filled the field with.
_LINK = "link"
# Where a person was going before the sign-in: a path of ours, never one that a link has brought.
_GOING_TO = "going_to"


def includeme(config: Configurator) -> None:
    config.add_static_view("static", "oauthdevice:static", cache_max_age=3600)
    # After an upgrade, no browser shows new pages with an old stylesheet.
    config.add_cache_buster("oauthdevice:static", QueryStringConstantCacheBuster(version("oauthdevice")))
    config.add_route("home", "/")
    config.add_view(lambda request: go(request, "/device"), route_name="home")
    for name, path, get, post in (
        ("enter_code", "/device", show_enter_code, post_enter_code),
        ("login", "/login", show_login, post_login),
        ("logout", "/logout", show_logout, post_logout),
    ):
        config.add_route(name, path)
        template = f"oauthdevice:templates/{name}.html.jinja2"
        config.add_view(get, route_name=name, request_method="GET", renderer=template)
        config.add_view(post, route_name=name, request_method="POST", renderer=template)
        config.add_view(refuse_method, route_name=name, require_csrf=False)


def show_enter_code(request: Request) -> Answer:
    """The field for the code, filled from a link if there is one. A link does no more than that.

    Where SSO is on, the way back from the provider leads here too.
    """
    query = dict(read_query(request))
    if request.options.has_sso and "sso_error" in query:
        raise next((one for one in SSO_ERRORS if one.error == query["sso_error"]), SSOFailed)()
    if request.options.has_sso and "sso_verified" in query:
        if request.approval is None:
            raise NoApproval()
        renew_session(request)
        request.session[USER_CODE] = request.approval.user_code
        return go(request, "/device/consent")
    user_code = _of_link(request, query)
    if user_code and is_from_another_site(request):
        remember_link(request, user_code)
    return _enter_code_page(request, user_code)


def post_enter_code(request: Request) -> Answer:
    """A code that still waits leads on to sign-in or consent; any other is told below the field."""
    typed = deserialise(enter_code_form, read_body(request))["user_code"]
    # With a script, the field does so itself.
    typed = user_code_of_link(typed) or typed
    if not typed.strip():
        return _enter_code_page(request, "", problem="empty", status=400)
    try:
        user_code = request.approvals.enter(typed, request.account, request.remote_addr or "")
    except (ExpiredOrUnknown, AlreadyResolved) as error:
        return _enter_code_page(request, typed, problem=_problem(typed, error), status=status_of(error))
    request.session[USER_CODE] = user_code
    for served in (_GOING_TO, _LINK):
        request.session.pop(served, None)
    return go(request, "/device/consent" if request.account else "/login")


def show_login(request: Request) -> Answer:
    """The sign-in form; who is signed in already goes on, but for who is to sign in again to confirm a code."""
    if request.account is None:
        return login_page(request)
    if not waiting_code(request) or ("again", "1") not in read_query(request):
        return _go_on(request)
    return login_page(request, email=request.account.email, again=True)


def post_login(request: Request) -> Answer:
    """Sign in and go on to where the person was going."""
    form = deserialise(login_form, read_body(request))
    try:
        sign_in = request.accounts.sign_in(form["email"], form["password"], request.remote_addr or "")
    except LoginFailed as error:
        again = bool(form["again"] and waiting_code(request))
        return login_page(request, email=form["email"], problem="failed", status=status_of(error), again=again)
    return go_on_as(request, sign_in)


def refuse_method(_: Request) -> Answer:
    """Any method that the page does not take."""
    error = HTTPMethodNotAllowed()
    error.allow = ("GET", "HEAD", "POST")
    raise error


def show_logout(request: Request) -> Answer:
    """A button: a link must not sign anybody out."""
    return {"account": request.account, "approval": request.approval}


def post_logout(request: Request) -> Answer:
    """End this browser's sign-in, and forget what its provider vouched for."""
    forget_sign_in(request)
    response = go(request, "/login")
    if request.options.has_sso:
        clear_approval(request, response)
    return response


def waiting_code(request: Request) -> str | None:
    """The normalised user_code that was entered in this browser and not decided here."""
    user_code: str | None = request.session.get(USER_CODE)
    return user_code


def sign_in_first(request: Request) -> HTTPSeeOther:
    """To the sign-in, and from there back to this page."""
    request.session[_GOING_TO] = request.path_info
    return go(request, "/login")


def go_on_as(request: Request, sign_in: SignIn) -> HTTPSeeOther:
    """This browser is signed in from now on, and goes on to where the person was going."""
    remember_sign_in(request, sign_in.key, kept=(USER_CODE, _GOING_TO))
    note_sign_in(request, waiting_code(request), sign_in.account)
    return _go_on(request)


def _of_link(request: Request, query: Mapping[str, str]) -> str:
    """What a link fills the field with; a code stays when the page is read in another language, in no address then."""
    if "ui_locales" in query and "user_code" not in query:
        return format_user_code(request.session.get(_LINK, ""))
    given = query.get("user_code", "")[:64]
    # Nothing else, which may be long, is kept: a cookie holds 4 KiB.
    if (user_code := normalise_user_code(given)) is not None:
        request.session[_LINK] = user_code
    else:
        request.session.pop(_LINK, None)
    return given


def _enter_code_page(request: Request, typed: str, problem: str = "", status: int = 200) -> dict[str, Any]:
    request.response.status_int = status
    linked = bool(typed) and came_by_link(request, typed)
    return {"account": request.account, "typed": typed, "problem": problem, "linked": linked}


def login_page(
    request: Request,
    *,
    email: str = "",
    sso_email: str = "",
    problem: str = "",
    status: int = 200,
    again: bool = False,
) -> dict[str, Any]:
    """The values of the sign-in page, for an account and for a person known to an identity provider.

    `again`: for the account that has opened a code, to confirm it.
    """
    request.response.status_int = status
    waiting = waiting_code(request) if _GOING_TO not in request.session else None
    providers = () if again else request.sso.choices
    return {
        "account": None,
        "email": email,
        "sso_email": sso_email,
        "problem": problem,
        "again": again,
        "user_code": format_user_code(waiting) if waiting else "",
        "providers": providers,
        "by_email": any(provider.email_domains for provider in providers),
    }


def _problem(typed: str, error: DomainError) -> str:
    if isinstance(error, AlreadyResolved):
        return "used"
    # A letter that no code has is worth a hint: it was misread.
    misread = any(symbol not in USER_CODE_ALPHABET for symbol in strip_user_code(typed))
    return "misread" if misread else "unknown"


def _go_on(request: Request) -> HTTPSeeOther:
    """To the page that asked for the sign-in, or to the code that waits, whichever came last."""
    going_to = request.session.pop(_GOING_TO, None)
    return go(request, going_to or ("/device/consent" if USER_CODE in request.session else "/device"))


def go(request: Request, path: str) -> HTTPSeeOther:
    """A redirect inside this server, built from `public_url`: the Host header has no say."""
    # The response callbacks that set the session cookie run on it as on any other answer.
    return HTTPSeeOther(request.options.public_url + path)
