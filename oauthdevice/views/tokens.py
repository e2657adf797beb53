"""What the tokens are for: `GET /account` (DESIGN.md §2.3)."""

from typing import Any

from pyramid.config import Configurator
from pyramid.request import Request

from ..domain.redemption import identity_answer
from ..security import require_bearer
from .service import OAuthService

account = OAuthService("account", "/account")


def includeme(config: Configurator) -> None:
    config.add_cornice_service(account)


@account.get(validators=(require_bearer,))
def get_account(request: Request) -> dict[str, Any]:
    """Whom the token speaks for."""
    session = request.validated["session"]
    answer: dict[str, Any] = {"subject_email": None, "subject_issuer": None}
    return answer | identity_answer(session.subject, session.account)
