"""Every setting: what it may be, where it may come from, and the one line that stops the start."""

import re
import stat
from dataclasses import MISSING, fields, replace
from pathlib import Path

import pytest
from pyramid.paster import get_appsettings

from oauthdevice.domain.clients import Client, Policy
from oauthdevice.domain.identity_providers import BrokerProvider, OIDCProvider, Provider
from oauthdevice.domain.other_network import OtherNetwork
from oauthdevice.domain.rate_limits import DEFAULT_LIMITS, Limit
from oauthdevice.domain.scopes import DEFAULT_SCOPES
from oauthdevice.settings import Settings, SettingsError, read_settings
from oauthdevice.wiring import build_services

CHECKOUT = Path(__file__).parent.parent
SECRET = "a secret of forty characters, for tests."
ANOTHER = "another secret of more than thirty-two characters"
GIVEN = {
    "public_url": "https://login.example.com",
    "database_url": "postgresql+psycopg://oauthdevice@/oauthdevice",
    "redis_url": "redis://127.0.0.1:6379/0",
    "secret": SECRET,
}
NEEDED_BY_A_CLIENT = "name = Tool\nscopes = full\n"


def read(ini_file: Path | None = None, environ: dict[str, str] | None = None, **options: str) -> Settings:
    """Settings of a server in production with everything it needs, changed by `options`; "" takes one away."""
    given = {**GIVEN, **options}
    return read_settings(
        {f"oauthdevice.{name}": value for name, value in given.items()},
        str(ini_file) if ini_file else None,
        environ or {},
    )


def refusal(ini_file: Path | None = None, environ: dict[str, str] | None = None, **options: str) -> str:
    """The line that stops the start."""
    with pytest.raises(SettingsError) as raised:
        read(ini_file, environ, **options)
    line = str(raised.value)
    assert "\n" not in line
    return line


def write(path: Path, text: str) -> Path:
    path.write_text(text, "utf-8")
    return path


def ini_of(tmp_path: Path, clients: str) -> Path:
    return write(tmp_path / "server.ini", clients)


BAD = [
    ("mode", "staging"),
    ("mode", "Production"),
    ("edition", "Enterprise"),
    ("edition", "cloud"),
    ("public_url", "login.example.com"),
    ("public_url", "ftp://login.example.com"),
    ("public_url", "https://"),
    ("public_url", "https://login.example.com?x=1"),
    ("public_url", "https://login.example.com/#x"),
    ("public_url", "https://user@login.example.com"),
    ("public_url", "https://login.example.com/a b"),
    ("public_url", "https://[::1"),
    ("public_url", "https://login.example.com:port"),
    ("public_url", "https://login.example.com:99999"),
    ("api_prefix", "openapi/v1"),
    ("api_prefix", "/openapi/"),
    ("api_prefix", "/"),
    ("api_prefix", "/{x}"),
    ("database_url", "nonsense"),
    ("database_url", "nonsense://host/database"),
    ("database_url", "mysql://host/database"),
    ("database_pool_size", "0"),
    ("database_pool_size", "1001"),
    ("database_pool_overflow", "-1"),
    ("database_pool_overflow", "1001"),
    ("redis_url", "nonsense"),
    ("redis_url", "http://127.0.0.1"),
    ("redis_prefix", "a b"),
    ("redis_prefix", "{x}"),
    ("redis_prefix", "x" * 65),
    ("device_code_lifetime_seconds", "0"),
    ("device_code_lifetime_seconds", "-1"),
    ("device_code_lifetime_seconds", "86401"),
    ("device_code_lifetime_seconds", "15 minutes"),
    ("device_code_lifetime_seconds", "9.5"),
    ("device_code_lifetime_seconds", "\u0669\u0660"),
    ("interval_seconds", "0"),
    ("interval_seconds", "301"),
    ("access_token_lifetime_seconds", "59"),
    ("access_token_lifetime_seconds", "31536001"),
    ("other_network", "deny"),
    ("other_network", "Warn"),
    ("pkce", "on"),
    ("pkce", "Required"),
    ("dpop", "must"),
    ("dpop_nonce_required", "sometimes"),
    ("resource_url", "api.example.com"),
    ("resource_url", "https://api.example.com/?x=1"),
    ("redelivery_seconds", "301"),
    ("sign_in_lifetime_seconds", "59"),
    ("sign_in_lifetime_seconds", "99999999999"),
    ("cookie_domain", "a b"),
    ("cookie_domain", "example.org"),
    ("cookie_domain", "www.login.example.com"),
    ("cookie_domain", "ogin.example.com"),
    ("cookie_domain", "."),
    ("ignored_scopes", 'a"b'),
    ("ignored_scopes", "a\\b"),
    ("account_token_prefix", "dfoa"),
    ("account_token_prefix", "_"),
    ("account_token_prefix", "DFOA_"),
    ("external_token_prefix", "d-f_"),
    ("external_token_prefix", "dfoa_"),
    ("sso_timeout_seconds", "0"),
    ("sso_timeout_seconds", "61"),
    ("sso_timeout_seconds", "5s"),
    ("argon2_memory_kib", "31"),
    ("argon2_time_cost", "0"),
    ("argon2_time_cost", "101"),
    ("brand_name", "x" * 101),
    ("brand_logo", "/nothing.svg"),
    ("brand_colour", "blue"),
    ("brand_colour", "#ffee00"),
    ("brand_colour_dark", "#000080"),
    ("support_url", "http://help.example.com"),
    ("support_url", "https://"),
    ("support_url", "https://user@help.example.com"),
    ("support_url", "https://help.example.com/a b"),
    ("support_url", "mailto:"),
    ("support_url", "mailto:nobody"),
    ("support_url", "javascript:alert(1)"),
    ("support_url", "help.example.com"),
    ("templates", "/nothing"),
    ("mail_server", "mail.example.com"),
    ("mail_server", "http://mail.example.com"),
    ("mail_server", "smtp://"),
    ("mail_server", "smtp://mail.example.com:0"),
    ("mail_server", "smtp://mail.example.com:99999"),
    ("mail_server", "smtp://mail.example.com/inbox"),
    ("mail_server", "smtp://mail.example.com?tls=off"),
    ("mail_server", "smtp://user@mail.example.com"),
    ("mail_server", "smtp://us er:password@mail.example.com"),
    ("mail_from", "nobody"),
    ("mail_from", "Us <us@example.com>"),
    ("mail_from", "us@example.com\nBcc: you@example.com"),
    ("webhook_urls", "hooks.example.com"),
    ("webhook_urls", "http://hooks.example.com"),
    ("webhook_urls", "http://10.0.0.1/hook"),
    ("webhook_urls", "ftp://localhost/hook"),
    ("webhook_urls", "https://"),
    ("webhook_urls", "https://user:password@hooks.example.com"),
    ("webhook_urls", "https://hooks.example.com/#x"),
    ("webhook_urls", "https://hooks.example.com:0"),
    ("webhook_urls", "https://hooks.example.com:port"),
    ("webhook_urls", "https://[::1"),
    ("webhook_urls", "https://hooks.example.com/\u00e5"),
    ("webhook_urls", "https://hooks.example.com/" + "x" * 2000),
    ("webhook_urls", "https://hooks.example.com http://hooks.example.com"),
    ("webhook_secret", "whsec_"),
    ("webhook_secret", "whsec_" + "A" * 28),
    ("webhook_secret", "whsec_" + "A" * 88),
    ("webhook_secret", "whsec_" + "!" * 32),
    ("webhook_secret", "A" * 32),
    ("webhook_secret", "whsec_" + "A" * 32 + " A"),
    ("webhook_events", "approved nonsense"),
    ("webhook_timeout_seconds", "0"),
    ("webhook_timeout_seconds", "61"),
    ("secret", "x" * 31),
    ("previous_secrets", "x" * 31),
    ("previous_secrets", f"{'x' * 32}\n{'y' * 31}"),
]

BAD_LIMITS = [
    "",
    "60",
    "60/",
    "/hour",
    "0/hour",
    "-1/hour",
    "60/0 hours",
    "60/fortnight",
    "60 per hour",
    "60/hour/minute",
    "Off",
    "none",
    "6e1/hour",
    "\u0666/hour",
    "9999999999/hour",
    "60/999999 days",
]


class TestBadValues:
    @pytest.mark.parametrize(("name", "value"), BAD)
    def test_each_stops_the_start_and_is_named(self, name: str, value: str) -> None:
        line = refusal(**{name: value})
        assert line.startswith(f"oauthdevice: oauthdevice.{name}: ")
        assert len(line) > len(f"oauthdevice: oauthdevice.{name}: ")

    @pytest.mark.parametrize("name", ["no_such", "Mode", "limits", "clients", "secret_file_", "limit"])
    def test_an_unknown_one_stops_the_start(self, name: str) -> None:
        assert refusal(**{name: "x"}) == f"oauthdevice: oauthdevice.{name}: there is no such setting"

    @pytest.mark.parametrize("name", ["public_url", "database_url", "redis_url"])
    def test_one_that_is_missing_stops_the_start(self, name: str) -> None:
        assert refusal(**{name: ""}) == f"oauthdevice: oauthdevice.{name}: must be set"
        assert refusal(**{name: "   "}) == f"oauthdevice: oauthdevice.{name}: must be set"

    def test_a_missing_secret_says_where_to_put_it(self) -> None:
        line = refusal(secret="")
        assert line.startswith("oauthdevice: oauthdevice.secret: ")
        assert "OAUTHDEVICE_SECRET" in line

    @pytest.mark.parametrize("secret", ["short", "x" * 31])
    @pytest.mark.parametrize("name", ["secret", "previous_secrets"])
    def test_a_short_secret_is_not_told(self, name: str, secret: str) -> None:
        assert secret not in refusal(**{name: secret})
        assert secret not in refusal(environ={f"OAUTHDEVICE_{name.upper()}": secret})

    def test_a_mail_server_needs_somebody_whom_mails_come_from(self) -> None:
        line = refusal(mail_server="smtp://mail.example.com")
        assert line == "oauthdevice: oauthdevice.mail_from: must be set where there is a mail_server"

    @pytest.mark.parametrize("address", ["smtp://me:the-password@", "smtps://me:the-password@host:x", "the-password"])
    def test_the_password_of_a_mail_server_is_not_told(self, address: str) -> None:
        assert "the-password" not in refusal(mail_server=address)

    def test_webhooks_go_by_https_or_stay_on_this_machine(self) -> None:
        urls = "https://hooks.example.com/a?token=b http://127.0.0.1:8080/c http://[::1]/ http://localhost/d"
        assert read(webhook_urls=urls).webhook_urls == set(urls.split())

    @pytest.mark.parametrize("name", ["webhook_urls", "webhook_secret"])
    def test_what_may_be_a_secret_of_a_webhook_is_not_told(self, name: str) -> None:
        for line in (
            refusal(**{name: "http://the-secret"}),
            refusal(environ={f"OAUTHDEVICE_{name.upper()}": "the-secret"}),
        ):
            assert line.startswith(f"oauthdevice: oauthdevice.{name}: ")
            assert "the-secret" not in line

    def test_several_secrets_sign_webhooks_while_one_replaces_another(self) -> None:
        secrets = ("whsec_" + "A" * 32, "whsec_" + "B" * 43 + "=")
        assert read(environ={"OAUTHDEVICE_WEBHOOK_SECRET": " ".join(secrets)}).webhook_secret == secrets

    def test_the_embedded_redis_is_for_development(self) -> None:
        assert "oauthdevice.redis_url" in refusal(redis_url="embedded://")
        assert read(redis_url="embedded://", mode="development").redis_url == "embedded://"

    def test_it_is_the_end_of_the_process_and_no_traceback(self) -> None:
        assert issubclass(SettingsError, SystemExit)

    def test_options_of_others_are_none_of_ours(self) -> None:
        others = {"pyramid.reload_templates": "true", "debug": "x", "oauthdevices.mode": "x"}
        given = {f"oauthdevice.{name}": value for name, value in GIVEN.items()}
        assert read_settings({**given, **others}, None, {}) == read()


class TestLimits:
    @pytest.mark.parametrize("text", BAD_LIMITS)
    def test_a_bad_one_stops_the_start_and_is_named(self, text: str) -> None:
        assert refusal(**{"limit.lookup": text}).startswith("oauthdevice: oauthdevice.limit.lookup: must be ")

    def test_an_unknown_one_stops_the_start_and_tells_those_there_are(self) -> None:
        line = refusal(**{"limit.no_such": "60/hour"})
        assert line.startswith("oauthdevice: oauthdevice.limit.no_such: ")
        assert all(name in line for name in DEFAULT_LIMITS)

    @pytest.mark.parametrize(
        ("text", "count", "period_seconds"),
        [
            ("60/hour", 60, 3600),
            ("60/h", 60, 3600),
            ("60/1 hour", 60, 3600),
            ("60/2 hours", 60, 7200),
            ("60 / hour", 60, 3600),
            ("5/15 minutes", 5, 900),
            ("5/15minutes", 5, 900),
            ("60/5 min", 60, 300),
            ("60/5 mins", 60, 300),
            ("60/m", 60, 60),
            ("1/second", 1, 1),
            ("1/s", 1, 1),
            ("10/30 sec", 10, 30),
            ("10/30 seconds", 10, 30),
            ("100/day", 100, 86_400),
            ("100/7 d", 100, 7 * 86_400),
            ("  100/7 days  ", 100, 7 * 86_400),
        ],
    )
    def test_count_and_period(self, text: str, count: int, period_seconds: int) -> None:
        assert read(**{"limit.lookup": text}).limits["lookup"] == Limit("lookup", count, period_seconds)

    def test_off_is_none(self) -> None:
        assert read(**{"limit.lookup": "off"}).limits["lookup"] is None

    @pytest.mark.parametrize("name", list(DEFAULT_LIMITS))
    def test_each_has_a_setting_of_its_own(self, name: str) -> None:
        limits = read(**{f"limit.{name}": "7/minute"}).limits
        assert limits == {**DEFAULT_LIMITS, name: Limit(name, 7, 60)}


class TestDefaults:
    def test_of_a_server_in_production(self) -> None:
        settings = read()
        told = {one.name: getattr(settings, one.name) for one in fields(Settings) if one.name not in GIVEN}
        clients = told.pop("clients")
        assert told == {
            "mode": "production",
            "edition": "community",
            "previous_secrets": (),
            "sso_timeout_seconds": 5,
            "identity_providers": {},
            "accounts": "",
            "metrics": True,
            "passkeys": True,
            "place_database": "",
            "api_prefix": "/openapi/v1",
            "database_pool_size": 5,
            "database_pool_overflow": 10,
            "redis_prefix": "oauthdevice",
            "secret_file": "",
            "device_code_lifetime_seconds": 900,
            "interval_seconds": 5,
            "access_token_lifetime_seconds": 14 * 86_400,
            "refresh_token_lifetime_seconds": 90 * 86_400,
            "other_network": OtherNetwork.WARN,
            "pkce": Policy.ALLOWED,
            "dpop": Policy.ALLOWED,
            "dpop_nonce_required": False,
            "resource_url": "",
            "redelivery_seconds": 30,
            "held_poll_seconds": 0,
            "held_polls": 5000,
            "sign_in_lifetime_seconds": 43_200,
            "cookie_domain": "",
            "ignored_scopes": {"openid", "profile", "email", "offline_access"},
            "account_token_prefix": "dfoa_",
            "external_token_prefix": "dfoe_",
            "refresh_token_prefix": "dfor_",
            "cors_allow_origins": frozenset(),
            "legacy_mounts": False,
            "argon2_memory_kib": 65_536,
            "argon2_time_cost": 3,
            "brand_name": "oauthdevice",
            "brand_logo": None,
            "brand_colour": "",
            "brand_colour_dark": "",
            "support_url": "",
            "templates": "",
            "mail_server": "",
            "mail_from": "",
            "webhook_urls": frozenset(),
            "webhook_secret": (),
            "webhook_events": frozenset(),
            "webhook_timeout_seconds": 15,
            "demo_email": "",
            "limits": DEFAULT_LIMITS,
            "scopes": DEFAULT_SCOPES,
        }
        assert list(clients) == ["difyctl"]

    @pytest.mark.parametrize(("name", "value"), GIVEN.items())
    def test_what_is_given_is_taken(self, name: str, value: str) -> None:
        assert getattr(read(), name) == value

    @pytest.mark.parametrize(
        ("public_url", "is_https"),
        [
            ("https://login.example.com/", True),
            ("https://login.example.com/path/", True),
            ("http://localhost:6543", False),
            ("http://[::1]:6543", False),
        ],
    )
    def test_the_public_url_ends_without_a_slash(self, public_url: str, is_https: bool) -> None:
        settings = read(public_url=public_url)
        assert settings.public_url == public_url.rstrip("/")
        assert settings.is_https is is_https

    @pytest.mark.parametrize("domain", ["login.example.com", "example.com", ".example.com"])
    def test_a_cookie_may_be_shared_with_a_domain_above(self, domain: str) -> None:
        assert read(cookie_domain=domain).cookie_domain == domain

    def test_a_bound_itself_is_allowed(self) -> None:
        settings = read(
            interval_seconds="300", device_code_lifetime_seconds="1", access_token_lifetime_seconds="31536000"
        )
        assert (settings.interval_seconds, settings.device_code_lifetime_seconds) == (300, 1)
        assert settings.access_token_lifetime_seconds == 365 * 86_400


class TestEnvironment:
    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("secret", ANOTHER),
            ("database_url", "sqlite:///other.sqlite"),
            ("redis_url", "redis://elsewhere"),
            ("mail_server", "smtp://user:password@mail.example.com"),
        ],
    )
    def test_it_wins_over_the_file(self, name: str, value: str) -> None:
        environ, options = {f"OAUTHDEVICE_{name.upper()}": value}, {"mail_from": "us@example.com"}
        assert getattr(read(environ=environ, **options), name) == value
        assert getattr(read(environ=environ, **options, **{name: ""}), name) == value

    def test_an_empty_variable_counts_as_absent(self) -> None:
        assert read(environ={"OAUTHDEVICE_SECRET": ""}).secret == SECRET

    def test_other_options_are_the_files_alone(self) -> None:
        assert read(environ={"OAUTHDEVICE_MODE": "development", "OAUTHDEVICE_PUBLIC_URL": "http://x"}) == read()

    def test_a_bad_value_from_there_stops_the_start_too(self) -> None:
        assert "oauthdevice.redis_url" in refusal(environ={"OAUTHDEVICE_REDIS_URL": "embedded://"})


class TestFilesThatTheEnvironmentNames:
    @pytest.mark.parametrize(
        ("name", "value"),
        [("secret", ANOTHER), ("database_url", "sqlite:///other.sqlite"), ("redis_url", "redis://elsewhere")],
    )
    def test_each_variable_may_be_one(self, tmp_path: Path, name: str, value: str) -> None:
        path = write(tmp_path / "mounted", f"{value}\n")
        assert getattr(read(environ={f"OAUTHDEVICE_{name.upper()}_FILE": str(path)}), name) == value

    def test_earlier_secrets_are_one_a_line(self, tmp_path: Path) -> None:
        path = write(tmp_path / "mounted", f"{ANOTHER}\n{SECRET}\n")
        assert read(environ={"OAUTHDEVICE_PREVIOUS_SECRETS_FILE": str(path)}).previous_secrets == (ANOTHER, SECRET)

    def test_an_empty_variable_counts_as_absent(self) -> None:
        assert read(environ={"OAUTHDEVICE_SECRET_FILE": ""}).secret == SECRET

    def test_the_variable_and_its_file_together_stop_the_start(self, tmp_path: Path) -> None:
        environ = {"OAUTHDEVICE_SECRET": ANOTHER, "OAUTHDEVICE_SECRET_FILE": str(write(tmp_path / "mounted", ANOTHER))}
        line = refusal(environ=environ)
        assert line == "oauthdevice: OAUTHDEVICE_SECRET_FILE: cannot be given together with OAUTHDEVICE_SECRET"

    @pytest.mark.parametrize("content", [None, b"", b" \n", b"\xff" * 40], ids=["missing", "empty", "blank", "no text"])
    def test_one_without_a_text_stops_the_start(self, tmp_path: Path, content: bytes | None) -> None:
        path = tmp_path / "mounted"
        if content is not None:
            path.write_bytes(content)
        line = refusal(environ={"OAUTHDEVICE_REDIS_URL_FILE": str(path)})
        assert line.startswith("oauthdevice: OAUTHDEVICE_REDIS_URL_FILE: ")

    def test_a_bad_value_from_there_is_named_and_not_told(self, tmp_path: Path) -> None:
        path = write(tmp_path / "mounted", "http://user:password@host")
        line = refusal(environ={"OAUTHDEVICE_REDIS_URL_FILE": str(path)})
        assert line.startswith("oauthdevice: oauthdevice.redis_url: ")
        assert "password" not in line


class TestSecretFile:
    def test_development_makes_one_that_only_its_owner_can_read(self, tmp_path: Path) -> None:
        path = tmp_path / "not" / "yet" / "secret"
        first = read(mode="development", secret="", secret_file=str(path))
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert len(first.secret) >= 32
        assert read(mode="development", secret="", secret_file=str(path)).secret == first.secret

    def test_each_is_another(self, tmp_path: Path) -> None:
        made = {read(mode="development", secret="", secret_file=str(tmp_path / name)).secret for name in "ab"}
        assert len(made) == 2

    def test_production_makes_none(self, tmp_path: Path) -> None:
        path = tmp_path / "secret"
        assert refusal(secret="", secret_file=str(path)).startswith("oauthdevice: oauthdevice.secret_file: ")
        assert not path.exists()

    def test_production_reads_one(self, tmp_path: Path) -> None:
        path = write(tmp_path / "secret", f"{ANOTHER}\n")
        assert read(secret="", secret_file=str(path)).secret == ANOTHER

    def test_a_secret_wins_over_the_file(self, tmp_path: Path) -> None:
        path = tmp_path / "secret"
        assert read(mode="development", secret_file=str(path)).secret == SECRET
        assert not path.exists()

    @pytest.mark.parametrize("content", [b"", b"short\n", b"\xff" * 40], ids=["empty", "short", "no text"])
    def test_one_that_holds_no_secret_stops_the_start(self, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "secret"
        path.write_bytes(content)
        assert "oauthdevice.secret" in refusal(secret="", secret_file=str(path))

    @pytest.mark.parametrize("mode", ["development", "production"])
    @pytest.mark.parametrize("place", ["folder", "file/secret"])
    def test_one_that_can_be_neither_read_nor_made_stops_the_start(self, tmp_path: Path, mode: str, place: str) -> None:
        (tmp_path / "folder").mkdir()
        (tmp_path / "file").write_text("")
        line = refusal(mode=mode, secret="", secret_file=str(tmp_path / place))
        assert line.startswith("oauthdevice: oauthdevice.secret_file: ")


class TestSecrets:
    """The one in force, and earlier ones."""

    OLD = ("an earlier secret of 32 letters!", "the secret before it, which was longer")

    def test_the_first_is_the_one_in_force(self) -> None:
        assert read().secrets == (SECRET,)
        assert read(previous_secrets=f"\n{self.OLD[0]}\n\n  {self.OLD[1]}\n").secrets == (SECRET, *self.OLD)

    def test_earlier_ones_come_from_the_environment_too(self) -> None:
        environ = {"OAUTHDEVICE_PREVIOUS_SECRETS": "\n".join(self.OLD)}
        assert read(environ=environ).previous_secrets == self.OLD
        assert read(environ=environ, previous_secrets=ANOTHER).previous_secrets == self.OLD


class TestEdition:
    def test_only_the_enterprise_edition_has_sso(self) -> None:
        assert [read(edition=edition).has_sso for edition in ("", "community", "enterprise")] == [False, False, True]

    def test_a_provider_may_take_as_long_as_is_set(self) -> None:
        assert read(sso_timeout_seconds="60").sso_timeout_seconds == 60


TWO_CLIENTS = f"""
[client:tool]
name = Tool
scopes = full

[client:Printer-2]
name = The \u00dcber-Printer
scopes = full printer:use
device_code_lifetime_seconds = 60
interval_seconds = 61
access_token_lifetime_seconds = 62
other_network = confirm
pkce = required
dpop = required
secret_sha256 = {"a" * 64}
"""


class TestClients:
    def test_where_no_file_declares_one_there_is_difyctl(self) -> None:
        [client] = read(interval_seconds="7").clients.values()
        assert client == Client(
            client_id="difyctl",
            name="difyctl",
            scopes=frozenset({"full", "apps:run", "apps:read:permitted-external"}),
            device_code_lifetime_seconds=900,
            interval_seconds=7,
            access_token_lifetime_seconds=14 * 86_400,
            refresh_token_lifetime_seconds=90 * 86_400,
        )

    def test_each_section_is_one(self, tmp_path: Path) -> None:
        path = ini_of(tmp_path, TWO_CLIENTS)
        clients = read(path, interval_seconds="7", other_network="block").clients
        assert list(clients) == ["tool", "Printer-2"]
        assert clients["tool"].interval_seconds == 7
        assert clients["tool"].other_network is OtherNetwork.BLOCK
        assert clients["Printer-2"] == Client(
            client_id="Printer-2",
            name="The \u00dcber-Printer",
            scopes=frozenset({"full", "printer:use"}),
            device_code_lifetime_seconds=60,
            interval_seconds=61,
            access_token_lifetime_seconds=62,
            refresh_token_lifetime_seconds=90 * 86_400,
            other_network=OtherNetwork.CONFIRM,
            pkce=Policy.REQUIRED,
            dpop=Policy.REQUIRED,
            secret_sha256="a" * 64,
        )

    @pytest.mark.parametrize(
        ("option", "value"),
        [
            ("name", ""),
            ("name", "x" * 101),
            ("name", "a\x07b"),
            ("scopes", ""),
            ("scopes", 'full a"b'),
            ("interval_seconds", "0"),
            ("interval_seconds", "301"),
            ("interval_seconds", "soon"),
            ("other_network", "ask"),
            ("pkce", "on"),
            ("dpop", "no"),
            ("device_code_lifetime_seconds", "86401"),
            ("access_token_lifetime_seconds", "1"),
            ("secret_sha256", "secret"),
            ("secret_sha256", "A" * 64),
            ("secret_sha256", "a" * 63),
            ("no_such", "x"),
            ("secret", "x"),
            ("Name", "x"),
            ("name", "100 % sure"),
        ],
    )
    def test_a_bad_value_stops_the_start_and_is_named(self, tmp_path: Path, option: str, value: str) -> None:
        options = {"name": "Tool", "scopes": "full", option: value}
        lines = "".join(f"{name} = {text}\n" for name, text in options.items())
        line = refusal(ini_of(tmp_path, f"[client:tool]\n{lines}"))
        assert line.startswith(f"oauthdevice: [client:tool] {option}: ")

    @pytest.mark.parametrize("option", ["name", "scopes"])
    def test_a_missing_one_stops_the_start_and_is_named(self, tmp_path: Path, option: str) -> None:
        options = {name: text for name, text in (("name", "Tool"), ("scopes", "full")) if name != option}
        lines = "".join(f"{name} = {text}\n" for name, text in options.items())
        line = refusal(ini_of(tmp_path, f"[client:tool]\n{lines}"))
        assert line == f"oauthdevice: [client:tool] {option}: must be set"

    @pytest.mark.parametrize("client_id", ["", "a b", "\u00e5", "x" * 65])
    def test_a_bad_client_id_stops_the_start(self, tmp_path: Path, client_id: str) -> None:
        line = refusal(ini_of(tmp_path, f"[client:{client_id}]\n{NEEDED_BY_A_CLIENT}"))
        assert line.startswith(f"oauthdevice: [client:{client_id}]: ")

    def test_defaults_of_the_file_are_no_options_of_a_client(self, tmp_path: Path) -> None:
        path = ini_of(tmp_path, f"[DEFAULT]\ndebug = true\n[client:tool]\n{NEEDED_BY_A_CLIENT}")
        assert list(read(path).clients) == ["tool"]


NEEDED_BY = {
    "oidc": {"issuer": "https://id.example.com", "client_id": "oauthdevice"},
    "broker": {
        "mode": "broker",
        "issuer": "https://broker.example.com",
        "subject_issuers": "https://id.example.com",
        "initiate_url": "https://broker.example.com/start",
        "state_keys_file": "/keys/state.json",
        "assertion_keys": "https://broker.example.com/jwks",
    },
}


def sso_ini(tmp_path: Path, kind: str = "oidc", name: str = "corp", **options: str) -> Path:
    """A provider with what it needs, changed by `options`; "" takes one away."""
    given = {**NEEDED_BY[kind], **options}
    lines = "".join(f"{option} = {value}\n" for option, value in given.items())
    return write(tmp_path / "sso.ini", f"[sso:{name}]\n{lines}")


class TestIdentityProviders:
    def test_without_a_section_there_is_none(self) -> None:
        assert read(edition="enterprise").identity_providers == {}

    def test_an_openid_connect_provider_with_its_defaults(self, tmp_path: Path) -> None:
        assert read(sso_ini(tmp_path)).identity_providers == {
            "corp": OIDCProvider(
                name="corp",
                label="Corp",
                issuer="https://id.example.com",
                client_id="oauthdevice",
                client_secret=None,
                scope="openid email",
                email_domains=frozenset(),
                email_verified_claim="email_verified",
                prompt=None,
                own_callback=False,
            )
        }

    def test_an_openid_connect_provider_with_all_options(self, tmp_path: Path) -> None:
        ini = sso_ini(
            tmp_path,
            mode="oidc",
            label="The \u00dcber-Corp",
            issuer="https://id.example.com/realms/corp/",
            client_secret="a secret",
            scope="openid email profile",
            email_domains="Example.com corp.example",
            email_verified_claim="xms_edov",
            prompt="login select_account",
            own_callback="on",
        )
        assert read(ini).identity_providers["corp"] == OIDCProvider(
            name="corp",
            label="The \u00dcber-Corp",
            issuer="https://id.example.com/realms/corp/",
            client_id="oauthdevice",
            client_secret="a secret",
            scope="openid email profile",
            email_domains=frozenset({"example.com", "corp.example"}),
            email_verified_claim="xms_edov",
            prompt="login select_account",
            own_callback=True,
        )

    def test_a_broker_with_its_defaults(self, tmp_path: Path) -> None:
        assert read(sso_ini(tmp_path, "broker")).identity_providers["corp"] == BrokerProvider(
            name="corp",
            label="Corp",
            issuer="https://broker.example.com",
            subject_issuers=frozenset({"https://id.example.com"}),
            initiate_url="https://broker.example.com/start",
            state_keys_file="/keys/state.json",
            assertion_keys="https://broker.example.com/jwks",
            audience="api.device_flow.external_subject_assertion",
            email_domains=frozenset(),
        )

    def test_a_broker_with_all_options(self, tmp_path: Path) -> None:
        options = {
            "label": "Broker",
            "subject_issuers": "idp-1 idp-2",
            "audience": "us",
            "email_domains": "example.com",
        }
        [provider] = read(sso_ini(tmp_path, "broker", **options)).identity_providers.values()
        assert isinstance(provider, BrokerProvider)
        assert provider.subject_issuers == {"idp-1", "idp-2"}
        assert (provider.label, provider.audience, provider.email_domains) == ("Broker", "us", {"example.com"})

    def test_they_keep_the_order_of_the_file(self, tmp_path: Path) -> None:
        ini = write(
            tmp_path / "sso.ini",
            "".join(
                f"[sso:{name}]\nissuer = https://{name}.example\nclient_id = x\n" for name in ("zeta", "alpha", "0")
            ),
        )
        assert list(read(ini).identity_providers) == ["zeta", "alpha", "0"]

    @pytest.mark.parametrize(
        ("mode", "option", "value"),
        [
            ("oidc", "mode", "saml"),
            ("oidc", "mode", "OIDC"),
            ("oidc", "label", "x" * 101),
            ("oidc", "label", "a\x07b"),
            ("oidc", "issuer", "id.example.com"),
            ("oidc", "issuer", "https://id.example.com?x=1"),
            ("oidc", "issuer", "https://id.example.com/#x"),
            ("oidc", "issuer", "ftp://id.example.com"),
            ("oidc", "client_id", "\u00e5"),
            ("oidc", "client_id", "x" * 256),
            ("oidc", "client_secret", "\u00e5"),
            ("oidc", "client_secret", "x" * 256),
            ("oidc", "scope", "email"),
            ("oidc", "scope", 'openid "email"'),
            ("oidc", "email_domains", "example"),
            ("oidc", "email_domains", "ada@example.com"),
            ("oidc", "email_domains", "example.com."),
            ("oidc", "email_verified_claim", "email verified"),
            ("oidc", "email_verified_claim", "x" * 129),
            ("oidc", "prompt", "Login"),
            ("oidc", "own_callback", "perhaps"),
            ("oidc", "no_such", "x"),
            ("oidc", "Issuer", "https://id.example.com"),
            ("oidc", "client_id", "100 % sure"),
            ("oidc", "initiate_url", "https://broker.example.com"),
            ("broker", "issuer", "broker"),
            ("broker", "subject_issuers", "a\x07b"),
            ("broker", "subject_issuers", "x" * 256),
            ("broker", "initiate_url", "/start"),
            ("broker", "audience", "a b"),
            ("broker", "audience", "x" * 256),
            ("broker", "email_domains", "example"),
            ("broker", "client_id", "x"),
            ("broker", "own_callback", "on"),
        ],
    )
    def test_a_bad_value_stops_the_start_and_is_named(self, tmp_path: Path, mode: str, option: str, value: str) -> None:
        for edition in ("community", "enterprise"):
            line = refusal(sso_ini(tmp_path, mode, **{option: value}), edition=edition)
            assert line.startswith(f"oauthdevice: [sso:corp] {option}: ")
            assert len(line) > len(f"oauthdevice: [sso:corp] {option}: ")

    @pytest.mark.parametrize(
        ("mode", "option"), [(mode, option) for mode in NEEDED_BY for option in NEEDED_BY[mode] if option != "mode"]
    )
    def test_a_missing_one_stops_the_start_and_is_named(self, tmp_path: Path, mode: str, option: str) -> None:
        line = refusal(sso_ini(tmp_path, mode, **{option: ""}))
        assert line == f"oauthdevice: [sso:corp] {option}: must be set"

    @pytest.mark.parametrize("name", ["", "Corp", "-corp", "a b", "a_b", "\u00e5", "x" * 33])
    def test_a_bad_name_stops_the_start(self, tmp_path: Path, name: str) -> None:
        line = refusal(sso_ini(tmp_path, name=name))
        assert line.startswith(f"oauthdevice: [sso:{name}]: ")

    @pytest.mark.parametrize(
        ("mode", "option"), [("oidc", "issuer"), ("broker", "initiate_url"), ("broker", "assertion_keys")]
    )
    def test_only_https_in_production(self, tmp_path: Path, mode: str, option: str) -> None:
        ini = sso_ini(tmp_path, mode, **{option: "http://id.example.com"})
        assert refusal(ini) == f"oauthdevice: [sso:corp] {option}: must be an https address in production"
        assert getattr(read(ini, mode="development").identity_providers["corp"], option) == "http://id.example.com"

    def test_a_file_of_keys_needs_no_https(self, tmp_path: Path) -> None:
        ini = sso_ini(tmp_path, "broker", assertion_keys="/keys/assertion.json")
        assert read(ini).identity_providers["corp"].assertion_keys == "/keys/assertion.json"  # type: ignore[union-attr]  # of a broker

    def test_here_is_the_folder_of_the_file(self, tmp_path: Path) -> None:
        ini = sso_ini(tmp_path, "broker", state_keys_file="%(here)s/state.json")
        [provider] = read(ini).identity_providers.values()
        assert isinstance(provider, BrokerProvider)
        assert provider.state_keys_file == f"{tmp_path}/state.json"

    def test_the_secret_of_the_environment_wins(self, tmp_path: Path) -> None:
        environ = {"OAUTHDEVICE_SSO_MY_CORP_CLIENT_SECRET": "of the environment"}
        for own in ("", "of the file"):
            ini = sso_ini(tmp_path, name="my-corp", client_secret=own)
            [provider] = read(ini, environ).identity_providers.values()
            assert isinstance(provider, OIDCProvider)
            assert provider.client_secret == "of the environment"
            [provider] = read(ini, {"OAUTHDEVICE_SSO_MY_CORP_CLIENT_SECRET": ""}).identity_providers.values()
            assert isinstance(provider, OIDCProvider)
            assert provider.client_secret == (own or None)

    def test_a_bad_secret_is_not_told(self, tmp_path: Path) -> None:
        secret = "pass\u00e5word"
        for line in (
            refusal(sso_ini(tmp_path, client_secret=secret)),
            refusal(sso_ini(tmp_path), {"OAUTHDEVICE_SSO_CORP_CLIENT_SECRET": secret}),
        ):
            assert line.startswith("oauthdevice: [sso:corp] client_secret: ")
            assert secret not in line

    def test_the_community_edition_reads_them_and_uses_none(self, tmp_path: Path, sqlite_url: str) -> None:
        ini = sso_ini(tmp_path)
        settings = read(ini, database_url=sqlite_url)
        assert list(settings.identity_providers) == ["corp"]
        assert build_services(settings).sso.choices == ()
        assert [one.name for one in build_services(replace(settings, edition="enterprise")).sso.choices] == ["corp"]

    def test_keys_that_cannot_be_used_stop_the_start(self, tmp_path: Path, sqlite_url: str) -> None:
        ini = sso_ini(tmp_path, "broker", state_keys_file=str(tmp_path / "not-there.json"))
        with pytest.raises(SettingsError, match=r"^oauthdevice: \[sso:corp\]: .+not-there\.json"):
            build_services(read(ini, edition="enterprise", database_url=sqlite_url))


BASE = f"""
[app:main]
use = egg:oauthdevice
oauthdevice.mode = development
oauthdevice.public_url = http://base.example.com
oauthdevice.database_url = sqlite:///%(here)s/base.sqlite
oauthdevice.redis_url = embedded://
oauthdevice.secret = {SECRET}
oauthdevice.limit.lookup = 7/minute
oauthdevice.interval_seconds = 9

[client:base]
name = Of the base
scopes = full

[client:both]
name = Of the base
scopes = full
interval_seconds = 60
"""
OUTER = """
[app:main]
use = config:base/base.ini
oauthdevice.public_url = http://outer.example.com
oauthdevice.limit.code = 8/minute

[client:both]
name = Of the outer file
scopes = apps:run
"""


class TestOneFileOverAnother:
    def read(self, tmp_path: Path, outer: str = OUTER, base: str = BASE) -> Settings:
        (tmp_path / "base").mkdir()
        write(tmp_path / "base" / "base.ini", base)
        path = write(tmp_path / "outer.ini", outer)
        return read_settings(get_appsettings(str(path)), str(path), {})

    def test_options_of_the_base_are_taken_over(self, tmp_path: Path) -> None:
        settings = self.read(tmp_path)
        assert (settings.mode, settings.interval_seconds) == ("development", 9)
        assert settings.limits["lookup"] == Limit("lookup", 7, 60)

    def test_the_outer_file_wins(self, tmp_path: Path) -> None:
        settings = self.read(tmp_path)
        assert settings.public_url == "http://outer.example.com"
        assert settings.limits["code"] == Limit("code", 8, 60)

    def test_clients_of_the_base_are_taken_over_and_the_outer_file_wins(self, tmp_path: Path) -> None:
        clients = self.read(tmp_path).clients
        assert set(clients) == {"base", "both"}
        assert (clients["base"].name, clients["base"].interval_seconds) == ("Of the base", 9)
        assert (clients["both"].name, clients["both"].scopes) == ("Of the outer file", {"apps:run"})

    def test_here_is_the_folder_of_the_file_that_says_it(self, tmp_path: Path) -> None:
        assert self.read(tmp_path).database_url == f"sqlite:///{tmp_path / 'base'}/base.sqlite"

    def test_a_base_may_have_a_base(self, tmp_path: Path) -> None:
        write(tmp_path / "lowest.ini", BASE.replace("client:base", "client:lowest"))
        clients = self.read(tmp_path, base="[app:main]\nuse = config:../lowest.ini\n").clients
        assert set(clients) == {"lowest", "both"}

    def test_development_ini_is_usable_as_a_base(self, tmp_path: Path) -> None:
        outer = f"""
[app:main]
use = config:{CHECKOUT / "development.ini"}
oauthdevice.public_url = http://localhost:1
oauthdevice.secret = {SECRET}
"""
        settings = self.read(tmp_path, outer)
        assert settings.public_url == "http://localhost:1"
        assert list(settings.clients) == ["difyctl"]

    def test_a_bad_client_of_the_base_stops_the_start(self, tmp_path: Path) -> None:
        with pytest.raises(SettingsError, match=r"\[client:base\] scopes"):
            self.read(tmp_path, base=BASE.replace("Of the base\nscopes = full\n\n", "x\nscopes = \\\n\n"))


def documented(path: Path, section: str) -> dict[str, str]:
    """The options of one section, those that are commented out too; it may itself be."""
    lines = iter(path.read_text().splitlines())
    assert any(line in (f"[{section}]", f"#[{section}]") for line in lines)
    found = {}
    for line in lines:
        if line.startswith(("[", "#[")):
            break
        option = re.fullmatch(r"#?([a-z][\w.]*) ?=(.*)", line)
        if option:
            assert option[1] not in found
            found[option[1]] = option[2].strip()
    return found


def commented_out(path: Path, section: str) -> dict[str, str]:
    text = path.read_text()
    return {name: value for name, value in documented(path, section).items() if f"\n#{name} =" in text}


class TestDevelopmentIni:
    INI = CHECKOUT / "development.ini"

    def test_it_shows_every_setting_and_every_limit(self) -> None:
        options = {f"oauthdevice.{one.name}" for one in fields(Settings) if "parse" in one.metadata}
        limits = {f"oauthdevice.limit.{name}" for name in DEFAULT_LIMITS}
        shown = {name for name in documented(self.INI, "app:main") if name.startswith("oauthdevice.")}
        assert shown == options | limits

    def test_what_is_commented_out_shows_its_default(self) -> None:
        shown = commented_out(self.INI, "app:main")
        assert len(shown) > 20
        assert all(f"oauthdevice.limit.{name}" in shown for name in DEFAULT_LIMITS)
        given = {f"oauthdevice.{name}": value for name, value in GIVEN.items()}
        assert read_settings({**given, **{name: text for name, text in shown.items() if text}}, None, {}) == read()
        for name, text in shown.items():
            if not text:
                assert not getattr(Settings(), name.removeprefix("oauthdevice."))

    def test_what_is_not_commented_out_differs_from_its_default(self) -> None:
        settings = read_settings(get_appsettings(str(self.INI)), None, {"OAUTHDEVICE_SECRET": SECRET})
        for name in documented(self.INI, "app:main").keys() - commented_out(self.INI, "app:main").keys():
            if name.startswith("oauthdevice."):
                field = name.removeprefix("oauthdevice.")
                assert getattr(settings, field) != getattr(Settings(), field)

    def test_its_scopes_are_those_that_are_there_without_a_file(self) -> None:
        assert read(self.INI).scopes == read().scopes
        assert list(read(self.INI).scopes) == list(read().scopes)

    def test_its_client_is_the_one_that_is_there_without_a_file(self, tmp_path: Path) -> None:
        assert read(self.INI).clients == read().clients
        shown = commented_out(self.INI, "client:difyctl")
        assert set(documented(self.INI, "client:difyctl")) == {
            "name",
            "scopes",
            "device_code_lifetime_seconds",
            "interval_seconds",
            "access_token_lifetime_seconds",
            "refresh",
            "refresh_token_lifetime_seconds",
            "secret_sha256",
            "secret_argon2",
            "device_flow",
            "other_network",
            "pkce",
            "dpop",
        }
        lines = "".join(f"{name} = {text}\n" for name, text in shown.items() if text)
        path = ini_of(tmp_path, f"[client:difyctl]\nname = difyctl\nscopes = full\n{lines}")
        assert read(path).clients["difyctl"].interval_seconds == read().clients["difyctl"].interval_seconds
        assert shown["interval_seconds"] == str(Settings().interval_seconds)
        assert shown["device_code_lifetime_seconds"] == str(Settings().device_code_lifetime_seconds)
        assert shown["access_token_lifetime_seconds"] == str(Settings().access_token_lifetime_seconds)

    @pytest.mark.parametrize(("name", "kind"), [("corp", OIDCProvider), ("broker", BrokerProvider)])
    def test_it_shows_every_option_of_an_identity_provider_at_its_default(
        self, tmp_path: Path, name: str, kind: type[Provider]
    ) -> None:
        assert read(self.INI).identity_providers == {}
        shown = documented(self.INI, f"sso:{name}")
        assert set(shown) == {one.name for one in fields(kind)} - {"name"} | {"mode"}
        needed = {one.name for one in fields(kind) if one.default is MISSING} - {"name", "label"} | {"mode"}
        providers = []
        for options in (shown, {option: shown[option] for option in needed}):
            lines = "".join(f"{option} = {text}\n" for option, text in options.items())
            providers.append(read(write(tmp_path / "sso.ini", f"[sso:{name}]\n{lines}")).identity_providers)
        assert providers[0] == providers[1]
        assert isinstance(providers[0][name], kind)


class TestProductionIni:
    INI = CHECKOUT / "production.ini"
    ENVIRON = {  # noqa: RUF012
        "OAUTHDEVICE_SECRET": SECRET,
        "OAUTHDEVICE_DATABASE_URL": GIVEN["database_url"],
        "OAUTHDEVICE_REDIS_URL": GIVEN["redis_url"],
    }

    def test_it_does_not_start_as_it_is(self) -> None:
        with pytest.raises(SettingsError, match=r"oauthdevice\.public_url: must be set"):
            read_settings(get_appsettings(str(self.INI)), str(self.INI), self.ENVIRON)

    @pytest.mark.parametrize("name", ["secret", "database_url", "redis_url"])
    def test_it_does_not_start_without_one_of_its_variables(self, name: str) -> None:
        environ = {key: value for key, value in self.ENVIRON.items() if key != f"OAUTHDEVICE_{name.upper()}"}
        options = {**get_appsettings(str(self.INI)), "oauthdevice.public_url": GIVEN["public_url"]}
        with pytest.raises(SettingsError, match=rf"oauthdevice\.{name}: must be set"):
            read_settings(options, str(self.INI), environ)

    def test_it_starts_with_them_and_an_address_and_is_at_the_defaults(self) -> None:
        options = {**get_appsettings(str(self.INI)), "oauthdevice.public_url": GIVEN["public_url"]}
        assert read_settings(options, str(self.INI), self.ENVIRON) == read()

    def test_it_holds_no_secret(self) -> None:
        shown = documented(self.INI, "app:main")
        assert not {"oauthdevice.secret", "oauthdevice.database_url", "oauthdevice.redis_url"} & shown.keys()
