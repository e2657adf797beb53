"""Django as an operator would set it up for django-oauth-toolkit behind a proxy that speaks TLS.

In the environment: DATABASE_URL (as SQLAlchemy writes it), SECRET_KEY, PUBLIC_URL.
"""

import os
from urllib.parse import parse_qs, urlsplit

DEBUG = False
SECRET_KEY = os.environ["SECRET_KEY"]
PUBLIC_URL = os.environ["PUBLIC_URL"]
ALLOWED_HOSTS = ["127.0.0.1"]
ROOT_URLCONF = "urls"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "oauth2_provider",
]

# Of `startproject`, all that the toolkit's own pages need: who approves a device is signed in there.
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
            ],
        },
    },
]

_database = urlsplit(os.environ["DATABASE_URL"])
_options = parse_qs(_database.query)

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": _database.path.lstrip("/"),
        "USER": _database.username or "",
        "PASSWORD": _database.password or "",
        "HOST": _options.get("host", [_database.hostname or ""])[0],
        "PORT": _options.get("port", [str(_database.port or "")])[0],
        # A connection for each thread, for as long as it runs: the default is one for each request.
        "CONN_MAX_AGE": None,
    },
}

SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SESSION_COOKIE_SECURE = True
CSRF_COOKIE_SECURE = True

# A pending poll is a 400, and Django warns of each of them.
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "loggers": {"django": {"level": "ERROR"}, "oauth2_provider": {"level": "ERROR"}, "oauthlib": {"level": "ERROR"}},
}

OAUTH2_PROVIDER = {
    "SCOPES": {"account": "Read your name and e-mail", "introspection": "Ask about the tokens of others"},
    "DEFAULT_SCOPES": ["account"],
    "OAUTH_DEVICE_VERIFICATION_URI": f"{PUBLIC_URL}/o/device/",
    "OAUTH_DEVICE_VERIFICATION_URI_COMPLETE": f"{PUBLIC_URL}/o/device/?user_code={{user_code}}",
    # What its next major version takes for granted: of a token, the digest is stored, and no more.
    "COMPLIANT_BCP_RFC9700_TOKEN_STORAGE": True,
    "COMPLIANT_BCP_RFC9700_ACCESS_TOKEN_TRANSPORT": True,
}
