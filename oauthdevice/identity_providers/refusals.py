"""What a provider says where it does not vouch for anybody (RFC 6749 §4.1.2.1)."""

import re

from ..domain.errors import SSOCancelled, SSOFailed
from ..domain.identity_providers import ProviderAnswer


def check_error(name: str, answer: ProviderAnswer) -> None:
    """Return if the answer is no error. Raises SSOCancelled where the person went back, else SSOFailed."""
    if answer.error == "access_denied":
        raise SSOCancelled(detail=f"{name}: access_denied")
    if answer.error is not None:
        told = answer.error if re.fullmatch(r"[a-z_]{1,40}", answer.error) else "an error without a name"
        raise SSOFailed(detail=f"{name}: {told}")
