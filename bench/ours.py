"""Our server as a contender: `production.ini` with a few settings of the bench, on granian."""

import hashlib
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from urllib.parse import urlencode

from oauthdevice.domain import codes
from oauthdevice.domain.clients import ClientCredentials
from oauthdevice.domain.device_authorization import AuthorizationRequest, spacing_seconds
from oauthdevice.domain.device_flow import StartRequest
from oauthdevice.domain.keys import derive_key
from oauthdevice.domain.ports import Handle
from oauthdevice.domain.subjects import Account
from oauthdevice.domain.token_endpoint import DEVICE_GRANT, TokenRequest
from oauthdevice.settings import read_settings
from oauthdevice.stores.migrate import upgrade
from oauthdevice.stores.redis import RedisAuthorizationStore
from oauthdevice.wiring import Services, build_services

from .contenders import FORM, Command, Place, Request, Work
from .wsgi_servers import Server, granian

API = "/openapi/v1"
SECRET, EMAIL = "a secret of the bench alone, and long enough", "bench@example.com"
TOKENS = 100
ADDRESS = "127.0.0.1"
# As they are where nothing is set.
PREFIX, INTERVAL_SECONDS = "oauthdevice", 5
# Nothing that is made before the measure is to end while it lasts.
LIFETIME_SECONDS = 86400
SCOPES = frozenset({"full", "apps:run"})
# How many codes go to Redis in one round trip.
BATCH = 1000
# A peer counts nothing. Here everything is counted as in production, and nothing refused.
LIMITS = ("code", "token_unknown", "bearer", "decide")


class Ours:
    """oauthdevice, with all that it does in production: limits, audit, metrics, headers, request ids."""

    work = frozenset(Work)
    ready_path = "/readyz"

    def __init__(self, server: Server = granian, threads: int = 1, told: str = "") -> None:
        """`told` tells it from others that are ours, with another server or other threads."""
        self.name = f"oauthdevice ({told})" if told else "oauthdevice"
        self._server = server
        self._threads = threads

    def versions(self) -> Mapping[str, str]:
        return {name: version(name) for name in ("oauthdevice", "pyramid", "cornice", "redis", self._server.__name__)}

    def settle(self, place: Place) -> None:
        """The files that a start at `place` reads; its database may be that of another place."""
        (place.folder / "bench.ini").write_text(ini(place), "utf-8")
        (place.folder / "metrics").mkdir(exist_ok=True)

    def prepare(self, place: Place) -> None:
        self.settle(place)
        upgrade(place.database_url)
        with services_at(place) as services:
            services.accounts.add(EMAIL, "Bench", "correct horse battery staple")

    def command(self, place: Place) -> Command:
        environment = {
            "OAUTHDEVICE_INI": str(place.folder / "bench.ini"),
            "OAUTHDEVICE_SECRET": SECRET,
            "PROMETHEUS_MULTIPROC_DIR": str(place.folder / "metrics"),
            "PYTHONWARNINGS": "ignore",
        }
        return self._server("oauthdevice.wsgi:application", place, environment, self._threads)

    def requests(self, work: Work, place: Place, count: int) -> Sequence[Request]:
        if work is Work.CODE:
            body = urlencode({"client_id": "bench", "scope": "apps:run"})
            return [Request(f"{API}/oauth/device/code", 200, body=body, headers=FORM)]
        with services_at(place) as services:
            if work is Work.POLL:
                return [poll(code) for code in device_codes(services, count)]
            tokens = list(access_tokens(services, min(count, TOKENS)))
        if work is Work.ACCOUNT:
            return [
                Request(f"{API}/account", 200, "GET", headers={"Authorization": f"Bearer {token}"}) for token in tokens
            ]
        return [
            Request(
                f"{API}/oauth/introspect",
                200,
                body=urlencode({"token": token, "client_id": "bench-api", "client_secret": SECRET}),
                headers=FORM,
            )
            for token in tokens
        ]


def poll(device_code: str) -> Request:
    """One poll of a code that nobody has decided."""
    body = urlencode({"grant_type": DEVICE_GRANT, "device_code": device_code, "client_id": "bench"})
    return Request(f"{API}/oauth/device/token", 400, body=body, headers=FORM)


def ini(place: Place) -> str:
    """The ini file of the bench."""
    limits = "\n".join(f"oauthdevice.limit.{name} = 10000000/hour" for name in LIMITS)
    return f"""[app:main]
use = egg:oauthdevice
oauthdevice.public_url = https://login.example.com
oauthdevice.database_url = {place.database_url}
oauthdevice.redis_url = {place.redis_url}
oauthdevice.redis_prefix = {PREFIX}
oauthdevice.device_code_lifetime_seconds = {LIFETIME_SECONDS}
{limits}

[client:bench]
name = Bench
scopes = {" ".join(sorted(SCOPES))}

[client:bench-api]
name = API of the bench
scopes = full
device_flow = off
secret_sha256 = {hashlib.sha256(SECRET.encode()).hexdigest()}

[loggers]
keys = root
[handlers]
keys = console
[formatters]
keys = json
[logger_root]
level = WARNING
handlers = console
[handler_console]
class = StreamHandler
args = (sys.stderr,)
formatter = json
[formatter_json]
class = oauthdevice.logs.JSONFormatter
"""


@contextmanager
def services_at(place: Place) -> Iterator[Services]:
    """The services over the stores of `place`, without HTTP: they make what is asked for later."""
    lines = [line.partition(" = ") for line in ini(place).splitlines() if line.startswith("oauthdevice.")]
    settings = read_settings(
        {name: value for name, _, value in lines}, str(place.folder / "bench.ini"), {"OAUTHDEVICE_SECRET": SECRET}
    )
    services = build_services(settings)
    try:
        yield services
    finally:
        services.redis.close()
        services.database.engine.dispose()


def device_codes(
    services: Services, count: int, spacing_seconds: float = spacing_seconds(INTERVAL_SECONDS)
) -> Sequence[str]:
    """So many pending device codes, as DeviceFlow makes them, without its limits and its audit.

    `spacing_seconds`: the least time between two polls of one that are on time.
    """
    key = derive_key(SECRET.encode(), "user_code")
    scopes = services.scopes.requested("", SCOPES)
    made: list[str] = []
    with services.redis.pipeline(transaction=False) as pipeline:
        # In a pipeline, a script answers the pipeline: what the store takes for "made" is known after `execute`.
        store = RedisAuthorizationStore(pipeline, PREFIX)
        while len(made) < count:
            drawn = [_queue(store, key, scopes, spacing_seconds) for _ in range(min(BATCH, count - len(made)))]
            # Of a million user codes, some are drawn twice; the second is not made.
            made += [code for code, found in zip(drawn, pipeline.execute(), strict=True) if found is not None]
    return made


def _queue(store: RedisAuthorizationStore, key: bytes, scopes: frozenset[str], spacing_seconds: float) -> str:
    digest = codes.user_code_digest(key, codes.new_user_code())
    shard = codes.shard_of_user_code(digest)
    device_code = codes.new_device_code(shard)
    wanted = AuthorizationRequest(
        id=str(uuid.uuid4()),
        client_id="bench",
        scopes=scopes,
        device_label=None,
        address=ADDRESS,
        lifetime_seconds=LIFETIME_SECONDS,
        confirmation_number=None,
    )
    handle = Handle(shard, codes.device_code_digest(device_code))
    store.create(handle, digest, wanted, INTERVAL_SECONDS, spacing_seconds)
    return device_code


def access_tokens(services: Services, count: int) -> Iterator[str]:
    """So many access tokens, each by a sign-in of its own."""
    account: Account = next(one for one in services.accounts.all() if one.email == EMAIL)
    for _ in range(count):
        asked = StartRequest(credentials=ClientCredentials("bench"), scope="", device_label=None, address=ADDRESS)
        started = services.device_flow.start(asked)
        services.approvals.approve(started.user_code, account, ADDRESS)
        answer = services.token_endpoint.exchange(
            TokenRequest(
                credentials=ClientCredentials("bench"),
                grant_type=DEVICE_GRANT,
                device_code=started.device_code,
                address=ADDRESS,
            )
        )
        yield answer["access_token"]
