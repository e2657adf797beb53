"""The Cornice service that every JSON route of ours is an instance of."""

import functools
from collections.abc import Callable
from typing import Any, ClassVar

from cornice import Service
from pyramid.request import Request

from ..domain.errors import DomainError
from .errors import tell
from .json_answers import json_answer


class OAuthService(Service):
    """A Service for programs: no cookie is consulted, so no CSRF token is asked for by default.

    Errors are raised as domain errors and told by `oauthdevice.views.errors`; Cornice's own error
    list stays empty, and its filters and negotiating renderer are not needed.

    `busy`: see `oauthdevice.views.shortcuts`. Its path has no variables, and its views answer with members alone.
    """

    default_filters: ClassVar[list[Any]] = []
    default_validators: ClassVar[list[Any]] = []
    renderer = "json"

    def __init__(self, name: str, path: str, *, busy: bool = False, **arguments: Any) -> None:
        super().__init__(name, path, **{"require_csrf": False, **arguments}, depth=2)
        self.busy = busy

    def add_view(self, method: str, view: Callable[[Request], Any], **arguments: Any) -> None:
        super().add_view(method, _answering(view), **arguments)

    def at(self, name: str, path: str) -> "OAuthService":
        """The same handlers at another path."""
        mounted = OAuthService(name, path, busy=self.busy)
        for method, view, arguments in self.definitions:
            # Cornice defines HEAD with every GET by itself.
            if method != "HEAD":
                mounted.add_view(method, view, **arguments)
        return mounted


def _answering(view: Callable[[Request], Any]) -> Callable[[Request], Any]:
    """The view, its answer or its error as JSON at once.

    A pending poll is an error: by way of Pyramid's exception views, and of WebOb's JSON, it took a sixth more.
    """

    @functools.wraps(view)
    def answer(request: Request) -> Any:
        try:
            told = view(request)
        except DomainError as error:
            return tell(error, request)
        # Where the view has put something into request.response, that is to be used.
        return json_answer(200, told) if isinstance(told, dict) and "response" not in request.__dict__ else told

    return answer
