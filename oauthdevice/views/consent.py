"""What people decide: the request as they see it, allow or deny, and what became of it."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pyramid.config import Configurator
from pyramid.httpexceptions import HTTPMethodNotAllowed
from pyramid.request import Request
from pyramid.response import Response

from ..domain.codes import normalise_user_code
from ..domain.errors import (
    ConfirmationFailed,
    ConfirmationRequired,
    DomainError,
    EmailBelongsToAccount,
    InvalidApproval,
    NoApproval,
    NotOpened,
    NoTriesLeft,
    OtherNetworkBlocked,
)
from ..domain.subjects import Account, Approval, Decider
from ..schemas.body import deserialise, read_body
from ..schemas.pages import decision_form
from ..security import had_signed_in
from ..sso_cookies import clear_approval
from .errors import status_of
from .links import came_by_link, forget_link
from .pages import USER_CODE, Answer, go, refuse_method, waiting_code
from .sign_ins_again import confirmation, forget_sign_in_again, read_sign_in

OUTCOMES = ("approved", "denied", "reported")
# What came of a report.
REPORT = "report"
# Which request was decided here, for who then says that it was not theirs.
DECIDED = "decided"
_DECIDED_MAX_BYTES = 800
_OUTCOME = "outcome"
# Beside the outcome and not in it: the former release, beside this one during an upgrade, takes two members there.
_OUTCOME_REASON = "outcome_reason"
_OUTCOME_DEVICE = "outcome_device"
# A cookie holds 4 KiB: a label that is longer, written in ASCII, is not told again at the end.
_DEVICE_MAX_CHARACTERS = 400


def includeme(config: Configurator) -> None:
    template = "oauthdevice:templates/{}.html.jinja2"
    config.add_route("consent", "/device/consent")
    for method, view in (("GET", show_consent), ("POST", post_consent)):
        config.add_view(view, route_name="consent", request_method=method, renderer=template.format("consent"))
    config.add_view(refuse_method, route_name="consent", require_csrf=False)
    for outcome in OUTCOMES:
        config.add_route(outcome, f"/device/{outcome}")
        config.add_view(show_outcome, route_name=outcome, request_method="GET", renderer=template.format(outcome))
        config.add_view(_refuse_all_but_get, route_name=outcome, require_csrf=False)


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
    decided, label = _decided(request, form["user_code"], decider)
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
                request.session[USER_CODE] = form["user_code"]
                return go(request, "/device/consent")
            except NoTriesLeft as error:
                remember_decision(request, decided)
                return tell_outcome(request, "denied", error.client_name, decider, reason=error.error)
            except (ConfirmationRequired, ConfirmationFailed, OtherNetworkBlocked) as error:
                return _consent_page(request, form["user_code"], decider, error, ticked)
        else:
            client = decisions.deny(form["user_code"], decider, address, linked=linked)
    remember_decision(request, decided)
    response = tell_outcome(request, "approved" if approved else "denied", client.name, decider)
    if label and len(json.dumps(label)) <= _DEVICE_MAX_CHARACTERS:
        request.session[_OUTCOME_DEVICE] = label
    return response


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
    request.session.pop(USER_CODE, None)
    forget_sign_in_again(request)
    request.session[_OUTCOME] = [outcome, client_name]
    request.session[_OUTCOME_REASON] = reason
    request.session.pop(_OUTCOME_DEVICE, None)
    response = go(request, f"/device/{outcome}")
    if isinstance(decider, Approval):
        clear_approval(request, response)
    return response


def nobody_decides(request: Request) -> Response:
    """Who pressed a button must hear that it did nothing."""
    if request.options.has_sso and not had_signed_in(request):
        raise NoApproval()
    return go(request, "/login")


def show_outcome(request: Request) -> Answer:
    """What became of it, and what to do next."""
    outcome, client_name = request.session.get(_OUTCOME, (None, None))
    if request.matched_route.name != outcome:
        return go(request, "/device")
    return {
        "account": request.account,
        "client_name": client_name,
        "device_label": request.session.get(_OUTCOME_DEVICE),
        "reason": request.session.get(_OUTCOME_REASON, ""),
        "token_id": request.session.get(DECIDED, {}).get("token_id"),
        "report": request.session.get(REPORT),
    }


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
            request.session.pop(USER_CODE, None)
        if isinstance(error, EmailBelongsToAccount | InvalidApproval):
            # Kept, it would lead to the same refusal again.
            request.add_response_callback(clear_approval)
        raise


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


def _decided(request: Request, user_code: str, decider: Decider) -> tuple[dict[str, Any], str | None]:
    """What the browser session keeps of a decision, for `views.reports`, and what the device calls itself.

    `external` is None for an account.
    """
    facts = request.approvals.facts(user_code)
    decided = {"user_code": user_code, "token_id": facts.get("token_id"), "external": None}
    if isinstance(decider, Approval):
        subject = decider.subject
        decided["token_id"] = decider.authorization_id
        decided["external"] = [subject.issuer, subject.subject_id, subject.email]
    return decided, facts.get("device_label")


def _decisions(request: Request, decider: Decider) -> Any:
    """The branch that a decider belongs to; both take the same calls."""
    return request.sso if isinstance(decider, Approval) else request.approvals


def _refuse_all_but_get(_: Request) -> Answer:
    """Any other method."""
    error = HTTPMethodNotAllowed()
    error.allow = ("GET", "HEAD")
    raise error
