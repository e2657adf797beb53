"""`oauthdevice-admin check`: what is right and what is missing, line by line."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import text

from oauthdevice.admin import main
from oauthdevice.domain.audit import AuditEvent
from oauthdevice.domain.audit_chain import Chain
from oauthdevice.domain.webhooks import Subscription
from oauthdevice.stores.audit_chain import AuditRows
from oauthdevice.stores.migrate import upgrade
from oauthdevice.stores.sql import create_database
from oauthdevice.stores.webhooks import SQLDeliveryStore

from .factories import SECRET, unique_name
from .mail_servers import running_mail_server
from .redis_servers import RedisCluster
from .scripted_providers import ScriptedProvider
from .servers import PostgreSQLServer, RedisServer
from .webhook_receivers import WEBHOOK_SECRET

INI = """
[app:main]
use = egg:oauthdevice
oauthdevice.mode = {mode}
oauthdevice.edition = {edition}
oauthdevice.public_url = {public_url}
oauthdevice.database_url = {database_url}
oauthdevice.redis_url = {redis_url}
oauthdevice.secret = {secret}
{more}
"""


class Operator:
    """Somebody who wrote an ini file and runs the check."""

    def __init__(self, ini: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._ini, self._capsys = ini, capsys

    def check(self, **changed: str) -> tuple[int, dict[str, str]]:
        """The exit status, and the lines by what they are about."""
        given = {
            "mode": "production",
            "edition": "community",
            "public_url": "https://login.example.com",
            "database_url": "sqlite:////nowhere/at/all.sqlite",
            "redis_url": "redis://127.0.0.1:1",
            "secret": SECRET,
            "more": "",
            **changed,
        }
        self._ini.write_text(INI.format(**given), "utf-8")
        try:
            status = main(["-c", str(self._ini), "check"])
        except SystemExit as ended:
            status = int(str(ended.code))
        printed = self._capsys.readouterr().out
        assert SECRET not in printed
        lines = [line.split(": ", 1) for line in printed.splitlines()]
        return status, {about[5:]: f"{about[:5].strip()} {text}" for about, text in lines}


@pytest.fixture
def operator(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Operator:
    for name in ("SECRET", "DATABASE_URL", "REDIS_URL", "MAIL_SERVER"):
        monkeypatch.delenv(f"OAUTHDEVICE_{name}", raising=False)
    return Operator(tmp_path / "server.ini", capsys)


def at_migration(database_url: str, migration: str) -> None:
    """The database says that it is at another migration."""
    database = create_database(database_url)
    with database.write() as sql:
        sql.execute(text("UPDATE alembic_version SET version_num = :at"), {"at": migration})
    database.engine.dispose()


class TestCheck:
    def test_a_server_that_is_ready_is_told_so(
        self, operator: Operator, postgresql_url: str, redis_server: RedisServer
    ) -> None:
        status, told = operator.check(database_url=postgresql_url, redis_url=redis_server.url)
        assert status == 0
        assert told["public_url"] == "ok https://login.example.com"
        assert told["database"] == "ok postgresql answers"
        assert told["migrations"].startswith("ok at the newest, ")
        assert told["redis"].startswith("ok Redis ")
        assert told["clock"].startswith("ok +") or told["clock"].startswith("ok -")
        assert told["eviction"] == "ok noeviction"
        assert told["clients"] == "ok difyctl"
        assert told["passkeys"] == "ok on, for login.example.com"
        assert "sso" not in told

    def test_everything_that_is_away_is_told_at_once(self, operator: Operator) -> None:
        status, told = operator.check()
        assert status == 1
        assert told["database"].startswith("BAD sqlite, database: ")
        assert told["redis"].startswith("BAD redis: ")
        assert told["public_url"].startswith("ok ")

    def test_a_database_that_was_not_migrated(
        self, operator: Operator, tmp_path: Path, redis_server: RedisServer
    ) -> None:
        url = f"sqlite:///{tmp_path / 'empty.sqlite'}"
        status, told = operator.check(database_url=url, redis_url=redis_server.url)
        assert (status, told["migrations"].split(",")[0]) == (1, "BAD at none")
        assert told["migrations"].endswith("run `upgrade`")
        upgrade(url)
        assert operator.check(database_url=url, redis_url=redis_server.url)[0] == 0

    def test_a_database_that_a_newer_release_migrated_is_worth_a_look(
        self, operator: Operator, sqlite_url: str, redis_server: RedisServer
    ) -> None:
        """In mid-upgrade, or after a step back: this release works on its tables."""
        at_migration(sqlite_url, "9999")
        status, told = operator.check(database_url=sqlite_url, redis_url=redis_server.url)
        assert (status, told["migrations"].split(";")[0]) == (0, "look at 9999, of a newer release")

    def test_a_database_of_another_program(
        self, operator: Operator, sqlite_url: str, redis_server: RedisServer
    ) -> None:
        at_migration(sqlite_url, "1975ea83b712")
        status, told = operator.check(database_url=sqlite_url, redis_url=redis_server.url)
        assert (status, told["migrations"].split(",")[0]) == (1, "BAD at 1975ea83b712")

    def test_why_there_are_no_passkeys(self, operator: Operator) -> None:
        assert operator.check(more="oauthdevice.passkeys = off")[1]["passkeys"] == "ok off: switched off"
        told = operator.check(public_url="http://login.example.com")[1]
        assert told["passkeys"] == "ok off: public_url is neither https nor localhost"

    def test_an_address_without_tls(self, operator: Operator, sqlite_url: str, redis_server: RedisServer) -> None:
        given = {"database_url": sqlite_url, "redis_url": redis_server.url, "public_url": "http://login.example.com"}
        status, told = operator.check(**given)
        assert (status, told["public_url"][:4]) == (1, "BAD ")
        status, told = operator.check(**given, mode="development")
        assert (status, told["public_url"][:5]) == (0, "look ")

    def test_an_embedded_redis_is_worth_a_look(self, operator: Operator, sqlite_url: str) -> None:
        status, told = operator.check(database_url=sqlite_url, redis_url="embedded://", mode="development")
        assert (status, told["redis"]) == (0, "look embedded: one process, lost at exit")

    def test_a_redis_that_forgets_is_worth_a_look(
        self, operator: Operator, sqlite_url: str, own_redis_server: RedisServer
    ) -> None:
        import redis  # noqa: PLC0415

        with redis.Redis.from_url(own_redis_server.url) as client:
            client.config_set("maxmemory-policy", "allkeys-lru")
        status, told = operator.check(database_url=sqlite_url, redis_url=own_redis_server.url)
        assert status == 0
        assert told["eviction"] == "look allkeys-lru forgets pending logins when memory is short"

    def test_each_node_of_a_cluster_is_asked(
        self, operator: Operator, sqlite_url: str, redis_cluster: RedisCluster
    ) -> None:
        given = {"database_url": sqlite_url, "redis_url": redis_cluster.url}
        status, told = operator.check(**given)
        assert (status, told["eviction"]) == (0, "ok noeviction")
        assert told["redis"].endswith(" answers")
        for node in redis_cluster.nodes:
            node.client.config_set("maxmemory-policy", "allkeys-lru")
            status, told = operator.check(**given)
            node.client.config_set("maxmemory-policy", "noeviction")
            forgets = f"look allkeys-lru forgets pending logins when memory is short, at {node.address}"
            assert (status, told["eviction"]) == (0, forgets)

    def test_no_client_that_may_start(self, operator: Operator, sqlite_url: str, redis_server: RedisServer) -> None:
        status, told = operator.check(
            database_url=sqlite_url,
            redis_url=redis_server.url,
            more="[client:api]\nname = API\nscopes = full\ndevice_flow = off",
        )
        assert (status, told["clients"]) == (1, "BAD none may start a device authorization")


class TestTheMailServer:
    def test_one_that_answers_or_does_not(self, operator: Operator) -> None:
        with running_mail_server() as server:
            more = f"oauthdevice.mail_server = {server.url}\noauthdevice.mail_from = us@example.com"
            _, told = operator.check(more=more)
            assert told["mail"] == f"ok {server.url} answers, in clear"
        status, told = operator.check(more=more)
        assert (status, told["mail"]) == (1, "BAD the mail server cannot be reached: Connection refused")

    def test_where_none_is_named_there_is_nothing_to_tell(self, operator: Operator) -> None:
        assert "mail" not in operator.check()[1]


class TestWebhooks:
    URL = "https://hooks.example.com/"
    MORE = f"oauthdevice.webhook_urls = {URL}\noauthdevice.webhook_secret = {WEBHOOK_SECRET}"

    def test_how_many_wait_and_were_given_up(
        self, operator: Operator, sqlite_url: str, redis_server: RedisServer
    ) -> None:
        given = {"database_url": sqlite_url, "redis_url": redis_server.url, "more": self.MORE}
        status, told = operator.check(**given)
        assert (status, told["webhooks"]) == (0, "ok 0 wait to be delivered, 0 were given up")
        database = create_database(sqlite_url)
        rows = AuditRows(database, Chain([SECRET]), Subscription(frozenset([self.URL])))
        now = datetime.now(UTC)
        rows.add([AuditEvent(id=name, at=now, event="login") for name in ("a", "b", "c")])
        store = SQLDeliveryStore(database)
        claimed = store.claim(self.URL, now, now)
        assert claimed is not None
        store.put_off(claimed, None, "status 410")
        database.engine.dispose()
        status, told = operator.check(**given)
        assert (status, told["webhooks"]) == (0, "look 2 wait to be delivered, 1 were given up")

    def test_without_a_secret_it_is_told_who_needs_one(self, operator: Operator) -> None:
        told = operator.check(more=f"oauthdevice.webhook_urls = {self.URL}")[1]
        assert told["webhook_secret"] == "look is not set here, and `webhooks deliver` needs it"
        assert told["webhooks"].startswith("BAD database: ")

    def test_where_the_tables_are_not_there_yet_that_alone_is_told(
        self, operator: Operator, postgresql_server: PostgreSQLServer
    ) -> None:
        _, told = operator.check(database_url=postgresql_server.create_database(unique_name("empty")), more=self.MORE)
        assert told["migrations"].startswith("BAD at none")
        assert "webhooks" not in told

    def test_where_nobody_is_to_be_told_there_is_nothing_to_tell(self, operator: Operator) -> None:
        assert not {"webhooks", "webhook_secret"} & operator.check()[1].keys()


class TestIdentityProviders:
    @pytest.fixture
    def given(self, sqlite_url: str, redis_server: RedisServer, provider: ScriptedProvider) -> dict[str, str]:
        section = f"[sso:corp]\nissuer = {provider.url}\nclient_id = oauthdevice"
        return {
            "mode": "development",
            "edition": "enterprise",
            "database_url": sqlite_url,
            "redis_url": redis_server.url,
            "more": section,
        }

    def test_one_that_answers(self, operator: Operator, given: dict[str, str], provider: ScriptedProvider) -> None:
        status, told = operator.check(**given)
        assert (status, told["sso:corp"]) == (0, f"ok {provider.url} answers")

    def test_one_that_does_not(self, operator: Operator, given: dict[str, str], provider: ScriptedProvider) -> None:
        provider.down = True
        status, told = operator.check(**given)
        assert status == 1
        assert told["sso:corp"].startswith("BAD GET ")

    def test_one_whose_keys_make_no_sense(
        self, operator: Operator, given: dict[str, str], provider: ScriptedProvider
    ) -> None:
        provider.published = []
        status, told = operator.check(**given)
        assert (status, told["sso:corp"][:4]) == (1, "BAD ")

    def test_none_at_all_is_worth_a_look(self, operator: Operator, given: dict[str, str]) -> None:
        status, told = operator.check(**{**given, "more": ""})
        assert (status, told["sso"]) == (0, "look the enterprise edition without an [sso:NAME] section")

    def test_none_is_asked_in_the_community_edition(
        self, operator: Operator, given: dict[str, str], provider: ScriptedProvider
    ) -> None:
        status, told = operator.check(**{**given, "edition": "community"})
        assert (status, "sso:corp" in told, provider.paths) == (0, False, [])
