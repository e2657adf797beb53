"""The Cornice service that every JSON route of ours is an instance of."""

from typing import Any, ClassVar

from cornice import Service


class OAuthService(Service):
    """A Service for programs: no cookie is consulted, so no CSRF token is asked for by default.

    Errors are raised as domain errors and told by `oauthdevice.views.errors`; Cornice's own error
    list stays empty, and its filters and negotiating renderer are not needed.
    """

    default_filters: ClassVar[list[Any]] = []
    default_validators: ClassVar[list[Any]] = []
    renderer = "json"

    def __init__(self, name: str, path: str, **arguments: Any) -> None:
        super().__init__(name, path, **{"require_csrf": False, **arguments}, depth=2)

    def at(self, name: str, path: str) -> "OAuthService":
        """The same handlers at another path."""
        mounted = OAuthService(name, path)
        for method, view, arguments in self.definitions:
            # Cornice defines HEAD with every GET by itself.
            if method != "HEAD":
                mounted.add_view(method, view, **arguments)
        return mounted
