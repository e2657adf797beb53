"""What has to be there before the bench can ask, made with Django's and the toolkit's own models.

python seed.py tables          migrate; the clients `bench` and `bench-api`; one account
python seed.py codes COUNT     device codes that nobody has decided, as the endpoint makes them
python seed.py tokens COUNT    access tokens of that account, made for `bench`
python seed.py api-token       one with which `bench-api` may introspect

Each prints a JSON array of what it made. The environment is that of `settings`, and API_SECRET, of `bench-api`.
"""

import json
import os
import sys
from datetime import timedelta

import django
from django.core.management import call_command

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")
django.setup()

from django.contrib.auth import get_user_model  # noqa: E402
from django.db import connection  # noqa: E402
from django.utils import timezone  # noqa: E402
from oauth2_provider.models import (  # noqa: E402
    get_access_token_model,
    get_application_model,
    get_device_grant_model,
    set_token_value,
)
from oauth2_provider.utils import user_code_generator  # noqa: E402
from oauthlib.common import generate_token  # noqa: E402

CLIENT = "bench"
API_CLIENT = "bench-api"
ACCOUNT = "ada@corp.example"
# Nothing that is made here is to end while the bench runs.
LIFETIME = timedelta(days=1)
BATCH = 1000

User = get_user_model()
Application = get_application_model()
DeviceGrant = get_device_grant_model()
AccessToken = get_access_token_model()


def make_tables() -> None:
    call_command("migrate", verbosity=0)
    Application.objects.create(
        client_id=CLIENT,
        name="Bench",
        client_type=Application.CLIENT_PUBLIC,
        authorization_grant_type=Application.GRANT_DEVICE_CODE,
    )
    # Its secret is stored as Django stores passwords.
    Application.objects.create(
        client_id=API_CLIENT,
        client_secret=os.environ["API_SECRET"],
        name="Bench API",
        client_type=Application.CLIENT_CONFIDENTIAL,
        authorization_grant_type=Application.GRANT_CLIENT_CREDENTIALS,
    )
    User.objects.create_user(ACCOUNT, email=ACCOUNT, first_name="Ada", last_name="Lovelace")


def make_codes(count: int) -> list[str]:
    expires = timezone.now() + LIFETIME
    codes = [generate_token() for _ in range(count)]
    DeviceGrant.objects.bulk_create(
        (
            DeviceGrant(
                client_id=CLIENT,
                device_code=code,
                user_code=user_code_generator(),
                scope="account",
                expires=expires,
            )
            for code in codes
        ),
        batch_size=BATCH,
    )
    return codes


def make_tokens(count: int, client_id: str, scope: str, account: str | None) -> list[str]:
    """Access tokens, which outlive the bench; `account` is None where a client has one for itself."""
    application = Application.objects.get(client_id=client_id)
    user = User.objects.get(username=account) if account else None
    expires = timezone.now() + LIFETIME
    tokens = [generate_token() for _ in range(count)]
    for token in tokens:
        made = AccessToken(user=user, application=application, scope=scope, expires=expires)
        set_token_value(made, token)
        made.save()
    return tokens


def make(what: str, *counts: int) -> list[str]:
    """What is asked for, by name. Raises KeyError, TypeError where that is not what the docstring above names."""
    if what == "tables":
        make_tables()
        return []
    makers = {
        "codes": make_codes,
        "tokens": lambda count: make_tokens(count, CLIENT, "account", ACCOUNT),
        "api-token": lambda: make_tokens(1, API_CLIENT, "introspection", None),
    }
    return makers[what](*counts)


print(json.dumps(make(sys.argv[1], *map(int, sys.argv[2:]))))
# PostgreSQL would do it by itself, but in the middle of a measurement.
with connection.cursor() as cursor:
    cursor.execute("VACUUM ANALYZE")
