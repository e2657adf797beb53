"""What people see: enter the code, sign in, decide, outcome. Every page works without script.

The user_code travels in forms and in the browser session, never in an address that we make; a link
that carries one only fills the field. What cannot be mended on the spot is told by `views.errors`.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any, TypeAlias

from pyramid.config import Configurator
from pyramid.httpexceptions import HTTPMethodNotAllowed, HTTPSeeOther
from pyramid.request import Request
from pyramid.response import Response
from pyramid.static import QueryStringConstantCacheBuster

from ..domain.accounts import SignIn
from ..domain.codes import USER_CODE_ALPHABET, format_user_code, normalise_user_code, strip_user_code
from ..domain.errors import (
    SSO_ERRORS,
    AlreadyResolved,
    ConfirmationFailed,
    ConfirmationRequired,
    DomainError,
    EmailBelongsToAccount,
    ExpiredOrUnknown,
    InvalidApproval,
    LoginFailed,
    NoApproval,
    NotOpened,
    NoTriesLeft,
    OtherNetworkBlocked,
    SSOFailed,
)
from ..domain.subjects import Account, Approval, Decider
from ..schemas.body import deserialise, read_body, read_query
from ..schemas.pages import decision_form, enter_code_form, login_form
from ..security import forget_sign_in, remember_sign_in, renew_session
from ..sso_cookies import clear_approval
from .errors import status_of
from .links import came_by_link, forget_link, is_from_another_site, remember_link
from .sign_ins_again import confirmation, forget_sign_in_again, note_sign_in, read_sign_in

# The values of the page's template, or an answer of its own.
Answer: TypeAlias = dict[str, Any] | Response

_USER_CODE = "user_code"
_OUTCOME = "outcome"
# Beside the outcome and not in it: the former release, beside this one during an upgrade, takes two members there.
_OUTCOME_REASON = "outcome_reason"
# Where a person was going before the sign-in: a path of ours, never one that a link has brought.
_GOING_TO = "going_to"
OUTCOMES = ("approved", "denied", "reported")
_DECIDED_MAX_BYTES = 800
# What came of a report.
REPORT = "report"
# Which request was decided here, for who then says that it was not theirs.
DECIDED = "decided"


def includeme(config: Configurator) -> None:
    config.add_static_view("static", "oauthdevice:static", cache_max_age=3600)
    # After an upgrade, no browser shows new pages with an old stylesheet.
    config.add_cache_buster("oauthdevice:static", QueryStringConstantCacheBuster(version("oauthdevice")))
    config.add_route("home", "/")
    config.add_view(lambda request: go(request, "/device"), route_name="home")
    for name, path, get, post in (
        ("enter_code", "/device", show_enter_code, post_enter_code),
        ("login", "/login", show_login, post_login),
        ("consent", "/device/consent", show_consent, post_consent),
        ("logout", "/logout", show_logout, post_logout),
    ):
        config.add_route(name, path)
        template = f"oauthdevice:templates/{name}.html.jinja2"
        config.add_view(get, route_name=name, request_method="GET", renderer=template)
        config.add_view(post, route_name=name, request_method="POST", renderer=template)
        config.add_view(refuse_method, route_name=name, require_csrf=False)
    for outcome in OUTCOMES:
        config.add_route(outcome, f"/device/{outcome}")
        template = f"oauthdevice:templates/{outcome}.html.jinja2"
        config.add_view(show_outcome, route_name=outcome, request_method="GET", renderer=template)
        config.add_view(refuse_method, route_name=outcome, require_csrf=False)


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
        request.session[_USER_CODE] = request.approval.user_code
        return go(request, "/device/consent")
    user_code = query.get("user_code", "")[:64]
    if user_code and is_from_another_site(request):
        remember_link(request, user_code)
    return _enter_code_page(request, user_code)


def post_enter_code(request: Request) -> Answer:
    """A code that still waits leads on to sign-in or consent; any other is told below the field."""
    typed = deserialise(enter_code_form, read_body(request))["user_code"]
    if not typed.strip():
        return _enter_code_page(request, "", problem="empty", status=400)
    try:
        user_code = request.approvals.enter(typed, request.account, request.remote_addr or "")
    except (ExpiredOrUnknown, AlreadyResolved) as error:
        return _enter_code_page(request, typed, problem=_problem(typed, error), status=status_of(error))
    request.session[_USER_CODE] = user_code
    request.session.pop(_GOING_TO, None)
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


def show_consent(request: Request) -> Answer:
    """Who asks for what. From here on the code is this person's to decide."""
    user_code = waiting_code(request)
    if user_code is None:
        return go(request, "/device")
    decider = decider_of(request, user_code)
    if decider is None:
        return go(request, "/login")
    return _consent_page(request, user_code, decider)


def post_consent(request: Request) -> Answer:
    """The decision: exactly one of any number counts."""
    parameters = read_body(request)
    form = deserialise(decision_form, parameters)
    decider = decider_of(request, form["user_code"])
    if decider is None:
        return nobody_decides(request)
    decisions = _decisions(request, decider)
    approved, address = form["decision"] == "approve", request.remote_addr or ""
    # One box a scope: the only parameter of ours that comes more than once.
    ticked = frozenset(value for name, value in parameters if name == "scope")
    decided = _decided(request, form["user_code"], decider)
    linked = _is_linked(request, form["user_code"], decider)
    with forgetting_a_dead_code(request):
        if approved:
            brought = confirmation(request, form["confirmation_number"])
            try:
                client = decisions.approve(
                    form["user_code"],
                    decider,
                    address,
                    ticked,
                    confirmation=brought,
                    on_page=True,
                    language=request.locale_name,
                    linked=linked,
                )
            except NotOpened:
                request.session[_USER_CODE] = form["user_code"]
                return go(request, "/device/consent")
            except NoTriesLeft as error:
                remember_decision(request, decided)
                return tell_outcome(request, "denied", error.client_name, decider, reason=error.error)
            except (ConfirmationRequired, ConfirmationFailed, OtherNetworkBlocked) as error:
                return _consent_page(request, form["user_code"], decider, error, ticked)
        else:
            client = decisions.deny(form["user_code"], decider, address, linked=linked)
    remember_decision(request, decided)
    return tell_outcome(request, "approved" if approved else "denied", client.name, decider)


def remember_decision(request: Request, decided: dict[str, Any]) -> None:
    """What this browser has just decided about, so that its person can still say that it was not theirs."""
    forget_link(request, decided["user_code"])
    request.session[DECIDED] = decided
    # A cookie holds 4 KiB. Whoever has a name that long cannot report afterwards.
    if len(json.dumps(decided)) > _DECIDED_MAX_BYTES:
        del request.session[DECIDED]


def tell_outcome(
    request: Request, outcome: str, client_name: str, decider: Decider | None, reason: str = ""
) -> Response:
    """The way to the page of an outcome; code and approval have served.

    `reason` is why, where the person did not press that button.
    """
    request.session.pop(_USER_CODE, None)
    forget_sign_in_again(request)
    request.session[_OUTCOME] = [outcome, client_name]
    request.session[_OUTCOME_REASON] = reason
    response = go(request, f"/device/{outcome}")
    if isinstance(decider, Approval):
        clear_approval(request, response)
    return response


def nobody_decides(request: Request) -> Response:
    """Who pressed a button must hear that it did nothing."""
    if request.options.has_sso:
        raise NoApproval()
    return go(request, "/login")


def refuse_method(request: Request) -> Answer:
    """Any method that the page does not take."""
    error = HTTPMethodNotAllowed()
    error.allow = ("GET", "HEAD") if request.matched_route.name in OUTCOMES else ("GET", "HEAD", "POST")
    raise error


def show_outcome(request: Request) -> Answer:
    """What became of it, and what to do next."""
    outcome, client_name = request.session.get(_OUTCOME, (None, None))
    if request.matched_route.name != outcome:
        return go(request, "/device")
    return {
        "account": request.account,
        "client_name": client_name,
        "reason": request.session.get(_OUTCOME_REASON, ""),
        "token_id": request.session.get(DECIDED, {}).get("token_id"),
        "report": request.session.get(REPORT),
    }


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


def _consent_page(
    request: Request,
    user_code: str,
    decider: Decider,
    error: DomainError | None = None,
    ticked: frozenset[str] | None = None,
) -> dict[str, Any]:
    """The values of the consent page. `error` is what an approval lacked; `ticked`, what was left ticked then."""
    with forgetting_a_dead_code(request):
        opened = _decisions(request, decider).open(user_code, decider, request.remote_addr or "", read_sign_in(request))
    if error is not None:
        request.response.status_int = status_of(error)
    return {
        "account": request.account,
        "decider": decider,
        "opened": opened,
        "problem": error,
        "ticked": ticked,
        "again": _way_to_sign_in_again(request, decider),
        "linked": _is_linked(request, user_code, decider),
    }


def _way_to_sign_in_again(request: Request, decider: Decider) -> str:
    """Where a person confirms a code by signing in again; "" where there is no such way."""
    if not isinstance(decider, Approval):
        return "/login?again=1"
    provider = request.sso.asking_again(decider.subject)
    return f"/login/sso?provider={provider}&again=1" if provider else ""


@contextmanager
def forgetting_a_dead_code(request: Request) -> Iterator[None]:
    """A code that can no longer be decided leaves the session; after any other error it stays."""
    try:
        yield
    except DomainError as error:
        if status_of(error) in (404, 409):
            request.session.pop(_USER_CODE, None)
        if isinstance(error, EmailBelongsToAccount | InvalidApproval):
            # Kept, it would lead to the same refusal again.
            request.add_response_callback(clear_approval)
        raise


def waiting_code(request: Request) -> str | None:
    """The normalised user_code that was entered in this browser and not decided here."""
    user_code: str | None = request.session.get(_USER_CODE)
    return user_code


def sign_in_first(request: Request) -> HTTPSeeOther:
    """To the sign-in, and from there back to this page."""
    request.session[_GOING_TO] = request.path_info
    return go(request, "/login")


def go_on_as(request: Request, sign_in: SignIn) -> HTTPSeeOther:
    """This browser is signed in from now on, and goes on to where the person was going."""
    remember_sign_in(request, sign_in.key, kept=(_USER_CODE, _GOING_TO))
    note_sign_in(request, waiting_code(request), sign_in.account)
    return _go_on(request)


def decider_of(request: Request, user_code: str) -> Decider | None:
    """Who decides about this code: whom a provider has just vouched for, for this code, or the account."""
    approval: Approval | None = request.approval
    if approval is not None and approval.user_code == normalise_user_code(user_code):
        return approval
    account: Account | None = request.account
    return account


def _is_linked(request: Request, user_code: str, decider: Decider) -> bool:
    """Whether a page of another site sent this browser here with the code, or to the identity provider."""
    return came_by_link(request, user_code) or (isinstance(decider, Approval) and decider.linked)


def _decided(request: Request, user_code: str, decider: Decider) -> dict[str, Any]:
    """What the browser session keeps of a decision, for `views.reports`. `external` is None for an account."""
    if isinstance(decider, Approval):
        subject = decider.subject
        external = [subject.issuer, subject.subject_id, subject.email]
        return {"user_code": user_code, "token_id": decider.authorization_id, "external": external}
    return {"user_code": user_code, "token_id": request.approvals.facts(user_code).get("token_id"), "external": None}


def _decisions(request: Request, decider: Decider) -> Any:
    """The branch that a decider belongs to; both take the same calls."""
    return request.sso if isinstance(decider, Approval) else request.approvals


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
    return go(request, going_to or ("/device/consent" if _USER_CODE in request.session else "/device"))


def go(request: Request, path: str) -> HTTPSeeOther:
    """A redirect inside this server, built from `public_url`: the Host header has no say."""
    # The response callbacks that set the session cookie run on it as on any other answer.
    return HTTPSeeOther(request.options.public_url + path)
