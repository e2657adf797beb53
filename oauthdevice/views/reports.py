"""A person says that a request was not theirs: instead of a decision, or after one."""

from pyramid.config import Configurator
from pyramid.httpexceptions import HTTPMethodNotAllowed
from pyramid.request import Request
from pyramid.response import Response

from ..domain.errors import ExpiredOrUnknown, NotOpened
from ..domain.reports import Report
from ..domain.subjects import Approval, Decider, ExternalSubject
from ..schemas.body import deserialise, read_body
from ..schemas.pages import report_form
from .consent import DECIDED, REPORT, decider_of, forgetting_a_dead_code, nobody_decides, tell_outcome
from .links import forget_link
from .pages import go


def includeme(config: Configurator) -> None:
    config.add_route("report", "/device/report")
    config.add_view(post_report, route_name="report", request_method="POST")
    config.add_view(_refuse_method, route_name="report", require_csrf=False)


def post_report(request: Request) -> Response:
    """Undo it, and whatever else came from there: what is being decided about, or was decided in this browser."""
    form = deserialise(report_form, read_body(request))
    user_code = form["user_code"]
    if not user_code:
        return _report_decided(request, form["token_id"])
    decider = decider_of(request, user_code)
    if decider is None:
        return nobody_decides(request)
    token_id = decider.authorization_id if isinstance(decider, Approval) else None
    with forgetting_a_dead_code(request):
        try:
            report = request.reports.report(user_code, decider.subject, request.remote_addr or "", token_id)
        except NotOpened:
            # Whoever has not seen it cannot say that it is strange: nothing is reported unseen either.
            return go(request, "/device")
    forget_link(request, user_code)
    return _told(request, report, decider)


def _report_decided(request: Request, token_id: str) -> Response:
    decided = request.session.get(DECIDED)
    if decided is None:
        return go(request, "/device")
    if decided["token_id"] != token_id:
        # Another was decided since, in another window: never is the wrong one reported.
        raise ExpiredOrUnknown()
    external = decided["external"]
    if external is None and request.account is None:
        return go(request, "/login")
    subject = ExternalSubject(*external) if external is not None else request.account.subject
    report = request.reports.report(decided["user_code"], subject, request.remote_addr or "", token_id)
    return _told(request, report, None)


def _told(request: Request, report: Report, decider: Decider | None) -> Response:
    request.session.pop(DECIDED, None)
    request.session[REPORT] = {"ended": report.ended, "spared": report.spared}
    return tell_outcome(request, "reported", report.client_name, decider)


def _refuse_method(_: Request) -> Response:
    error = HTTPMethodNotAllowed()
    error.allow = ("POST",)
    raise error
