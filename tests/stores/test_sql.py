"""How long a machine that is cut off from PostgreSQL keeps others, and itself, waiting."""

import pytest
from sqlalchemy import text

from oauthdevice.domain.errors import StoreUnavailable
from oauthdevice.stores.sql import create_database

LOCK = text("LOCK TABLE accounts")


def test_a_transaction_that_says_nothing_more_is_ended(postgresql_url: str) -> None:
    silent, waiting = create_database(postgresql_url, statement_timeout_seconds=2), create_database(postgresql_url)

    def fall_silent() -> None:
        with silent.write() as sql:
            sql.execute(LOCK)
            with waiting.write() as other:
                other.execute(LOCK)
            sql.execute(text("SELECT 1"))

    with pytest.raises(StoreUnavailable):
        fall_silent()
    with silent.write() as sql:
        sql.execute(LOCK)
    for database in (silent, waiting):
        database.engine.dispose()


def test_who_waits_for_an_answer_looks_whether_the_other_end_is_there(postgresql_url: str) -> None:
    """`tests/deploy/test_three_hosts.py` pulls the cable."""
    database = create_database(postgresql_url)
    with database.engine.connect() as connection:
        driver = connection.connection.driver_connection
        assert driver is not None
        options = driver.info.get_parameters()
    database.engine.dispose()
    assert options.items() >= {"tcp_user_timeout": "5000", "keepalives_idle": "5", "keepalives_interval": "1"}.items()
