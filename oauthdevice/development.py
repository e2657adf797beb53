"""The first start of `development.ini`: tables, a demo account, and what to try next.

Not for production: there, `oauthdevice-admin` does each of these on request.
"""

import secrets
import shlex
import sys
from contextlib import suppress
from pathlib import Path

from .domain.errors import AccountExists, WorkspaceExists
from .settings import Settings
from .stores.migrate import upgrade
from .wiring import build_services

_DEMO_WORKSPACE = "Demo"
# No letter or digit of it is mistaken for another, and a double click marks it whole.
_LEGIBLE = "abcdefghjkmnpqrstuvwxyz23456789"


def prepare(settings: Settings, ini_file: str) -> None:
    """Bring the database to the newest migration, make the demo account, print where to go."""
    upgrade(settings.database_url)
    print(f"\n  oauthdevice is at {settings.public_url}/device", file=sys.stderr)
    if settings.demo_email and not settings.accounts:
        _tell_demo_account(settings, ini_file)
    for provider in settings.identity_providers.values() if settings.has_sso else ():
        print(f"  Or with {provider.label} ({provider.issuer})", file=sys.stderr)
    client_id = next(iter(settings.clients))
    endpoint = f"{settings.public_url}{settings.api_prefix}/oauth/device/code"
    print(f"  Try:  curl -d client_id={client_id} {endpoint}\n", file=sys.stderr, flush=True)


def _tell_demo_account(settings: Settings, ini_file: str) -> None:
    accounts = build_services(settings).accounts
    password = "".join(secrets.choice(_LEGIBLE) for _ in range(14))
    try:
        account = accounts.add(settings.demo_email, "Demo Person", password)
    except AccountExists:
        # Beside the program that was started, which need not be on the path.
        program = str(Path(sys.argv[0]).with_name("oauthdevice-admin"))
        forgotten = shlex.join([program, "-c", ini_file, "account", "set-password", settings.demo_email])
        print(f"  Sign in as {settings.demo_email}; password forgotten? {forgotten}", file=sys.stderr)
        return
    print(f"  Sign in as {account.email} with the password {password} (shown this once)", file=sys.stderr)
    with suppress(WorkspaceExists):
        # Of another demo account, before this one.
        accounts.add_workspace(_DEMO_WORKSPACE)
    accounts.join_workspace(_DEMO_WORKSPACE, account.email, "owner")
