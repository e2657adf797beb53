"""A world to tell stories in: one server, its clock, devices that ask and people with browsers.

Every default is valid; a test states only what matters to it.
"""

import re
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import redis
from redis.cluster import RedisCluster
from webtest import TestApp, TestResponse

from oauthdevice import make_app
from oauthdevice.domain.audit_chain import Chain
from oauthdevice.domain.subjects import Account
from oauthdevice.domain.token_endpoint import DEVICE_GRANT
from oauthdevice.domain.webhooks import Subscription
from oauthdevice.settings import Settings, read_settings
from oauthdevice.stores.audit_chain import AuditRows
from oauthdevice.stores.sql import Database
from oauthdevice.wiring import Services, build_services

API = "/openapi/v1"
SSO_INITIATE, SSO_COMPLETE = f"{API}/oauth/device/sso-initiate", f"{API}/oauth/device/sso-complete"
APPROVAL_CONTEXT = f"{API}/oauth/device/approval-context"
APPROVE_EXTERNAL, DENY_EXTERNAL = f"{API}/oauth/device/approve-external", f"{API}/oauth/device/deny-external"
CODE, TOKEN, LOOKUP = f"{API}/oauth/device/code", f"{API}/oauth/device/token", f"{API}/oauth/device/lookup"
APPROVE, DENY = f"{API}/oauth/device/approve", f"{API}/oauth/device/deny"
PASSWORD = "correct horse battery staple"
SECRET = "a secret for tests alone, long enough"


class Clock:
    """The time of our processes and of the store; moves only forward, and only when told to."""

    def __init__(self) -> None:
        self.offset = timedelta(0)
        self.stores: list[redis.Redis] = []

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.offset

    def store_offset(self) -> timedelta:
        return self.offset

    def pass_seconds(self, seconds: float) -> None:
        """Time goes by: for us, and for every key in Redis that is to expire."""
        self.offset += timedelta(seconds=seconds)
        for store in self.stores:
            for key in keys_in(store):
                left = store.pttl(key) - int(seconds * 1000)
                if store.pttl(key) >= 0:
                    store.pexpire(key, left) if left > 0 else store.delete(key)


def audit_rows(database: Database) -> AuditRows:
    """The chain of the audit in `database`."""
    return AuditRows(database, Chain([SECRET]), Subscription())


def keys_in(store: redis.Redis, pattern: str = "*") -> list[str]:
    """The names of all keys that are like `pattern`, on every master of a Cluster."""
    everywhere = {"target_nodes": RedisCluster.PRIMARIES} if isinstance(store, RedisCluster) else {}
    return sorted(store.scan_iter(pattern, **everywhere))


@dataclass
class World:
    """One server under test."""

    settings: Settings
    services: Services
    clock: Clock
    app: Any
    emails: list[str] = field(default_factory=list)

    def device(self, client_id: str = "difyctl", address: str = "192.0.2.7") -> "Device":
        return Device(self, client_id, address)

    def person(self, email: str | None = None, address: str = "192.0.2.7") -> "Person":
        """Somebody with an account, not signed in yet."""
        email = email or f"person-{len(self.emails)}@example.com"
        if email not in self.emails:
            self.emails.append(email)
            account = self.services.accounts.add(email, "Ada Person", PASSWORD)
        else:
            account = next(one for one in self.services.accounts.all() if one.email == email)
        return Person(self, account, address)

    def browser(self, address: str = "192.0.2.7") -> TestApp:
        """A browser of its own: cookies are not shared."""
        host = self.settings.public_url.partition("://")
        environ = {"REMOTE_ADDR": address, "wsgi.url_scheme": host[0], "HTTP_HOST": host[2].partition("/")[0]}
        return TestApp(self.app, extra_environ=environ)

    @property
    def redis(self) -> redis.Redis:
        return self.services.redis


def make_world(database_url: str, redis_url: str, clock: Clock | None = None, **options: str) -> World:
    """A server over a migrated database; `options` are settings without their `oauthdevice.`."""
    given = {
        "public_url": "http://localhost",
        "mode": "development",
        "database_url": database_url,
        "redis_url": redis_url,
        "secret": SECRET,
        "argon2_memory_kib": "32",
        "argon2_time_cost": "1",
        **options,
    }
    ini = given.pop("ini_file", None)
    settings = read_settings({f"oauthdevice.{name}": value for name, value in given.items()}, ini, environ={})
    clock = clock or Clock()
    services = build_services(settings, clock=clock, clock_offset=clock.store_offset)
    clock.stores.append(services.redis)
    return World(settings, services, clock, make_app(settings, services))


class Device:
    """A client program; remembers the codes it was given."""

    def __init__(self, world: World, client_id: str, address: str) -> None:
        self.http = world.browser(address)
        self.client_id = client_id
        self.answer: dict[str, Any] = {}

    def ask(self, **parameters: str) -> "Device":
        """Start a device authorization, which must succeed."""
        self.answer = self.http.post(CODE, {"client_id": self.client_id, **parameters}, status=200).json
        return self

    @property
    def user_code(self) -> str:
        return str(self.answer["user_code"])

    @property
    def device_code(self) -> str:
        return str(self.answer["device_code"])

    def poll(self, **parameters: str) -> TestResponse:
        """Poll as RFC 8628 §3.4 says; any status."""
        form = {"grant_type": DEVICE_GRANT, "client_id": self.client_id, "device_code": self.device_code}
        return self.http.post(TOKEN, {**form, **parameters}, status="*")

    @property
    def number(self) -> str:
        """What the tool shows for the person to type, as a poll that finds the code pending is told it."""
        return str(self.poll().json["confirmation_number"])

    def poll_original(self, **members: Any) -> TestResponse:
        """Poll in the original's JSON dialect; any status."""
        body = {"client_id": self.client_id, "device_code": self.device_code, **members}
        return self.http.post_json(TOKEN, body, status="*")

    def account(self, token: str) -> TestResponse:
        """GET /account with a token; any status."""
        return self.http.get(f"{API}/account", headers={"Authorization": f"Bearer {token}"}, status="*")


class Person:
    """Somebody with an account and a browser, who goes through real pages and forms."""

    def __init__(self, world: World, account: Account, address: str) -> None:
        self.account = account
        self.browser = world.browser(address)

    def sign_in(self, password: str = PASSWORD) -> "Person":
        page = self.browser.get("/login")
        self._sign_in_on(page, password)
        return self

    def _sign_in_on(self, page: TestResponse, password: str = PASSWORD) -> TestResponse:
        form = page.form
        form["email"], form["password"] = self.account.email, password
        return form.submit(status=303).follow()

    def open(self, user_code: str) -> TestResponse:
        """From /device to the consent page (or to what is shown instead), signing in on the way."""
        page = self.browser.get("/device").form
        page["user_code"] = user_code
        answer = page.submit(status="*")
        if answer.status_int != 303:
            return answer
        answer = answer.follow(status="*")
        if answer.request.path == "/login":
            form = answer.form
            form["email"], form["password"] = self.account.email, PASSWORD
            answer = form.submit(status=303).follow(status="*")
        return answer

    def allow(self, user_code: str) -> TestResponse:
        return self.decide(user_code, "approve")

    def deny(self, user_code: str) -> TestResponse:
        return self.decide(user_code, "deny")

    def decide(self, user_code: str, decision: str) -> TestResponse:
        """Through the page, to the outcome."""
        answer = self.open(user_code).form.submit("decision", value=decision, status="*")
        return answer.follow() if answer.status_int == 303 else answer

    def csrf_token(self) -> str:
        found = re.search(r'name="csrf_token" value="([^"]+)"', self.browser.get("/logout").text)
        assert found is not None
        return found[1]

    def post(self, path: str, user_code: str, **members: Any) -> TestResponse:
        """The JSON services of the account branch, with this browser's cookie and CSRF token."""
        headers = {"X-CSRF-Token": self.csrf_token()}
        return self.browser.post_json(path, {"user_code": user_code, **members}, headers=headers, status="*")


class Stranger:
    """Somebody whom only an identity provider knows, with a browser."""

    def __init__(self, world: World, address: str = "192.0.2.7") -> None:
        self.browser = world.browser(address)

    def leave(self, user_code: str, **parameters: str) -> str:
        """To the provider: the address that the browser is sent to."""
        answer = self.browser.get(SSO_INITIATE, {"user_code": user_code, **parameters}, status=302)
        return str(answer.headers["Location"])

    def come_back(self, callback: str) -> TestResponse:
        """From the provider, with what it answered; the redirect to the page."""
        return self.browser.get(callback, status=302)

    def sign_in(self, provider: Any, user_code: str) -> "Stranger":
        """There and back, with success."""
        answer = self.come_back(provider.sign_in(self.leave(user_code)))
        assert answer.headers["Location"].endswith("/device?sso_verified=1")
        return self

    @property
    def approval(self) -> str:
        """The cookie that lets this browser decide, as its value; "" where it holds none."""
        held = (one for one in self.browser.cookiejar if one.name.endswith("oauthdevice_approval"))
        return next((one.value or "" for one in held), "")

    def context(self) -> Any:
        """What a consent page shows."""
        return self.browser.get(APPROVAL_CONTEXT, status=200).json

    def decide(self, path: str, user_code: str, csrf_token: str | None = None, **members: Any) -> TestResponse:
        """APPROVE_EXTERNAL or DENY_EXTERNAL; any status."""
        headers = {"X-CSRF-Token": csrf_token if csrf_token is not None else self.context()["csrf_token"]}
        return self.browser.post_json(path, {"user_code": user_code, **members}, headers=headers, status="*")


def unique_name(prefix: str) -> str:
    return f"{prefix}_{uuid.uuid4().hex[:12]}"
