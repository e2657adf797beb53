"""Alembic's entry: runs the migrations over the engine of `oauthdevice.stores.sql`."""

from alembic import context
from sqlalchemy import text

from oauthdevice.stores.models import Base
from oauthdevice.stores.sql import create_database

# Any number that no other program locks in our database.
LOCK = 86_28_2019

database = create_database(context.config.attributes["database_url"], statement_timeout_seconds=0)
try:
    with database.engine.execution_options(sqlite_begin="IMMEDIATE").connect() as connection:
        context.configure(connection=connection, target_metadata=Base.metadata, render_as_batch=True)
        with context.begin_transaction():
            # Of processes that start at once one migrates; the others wait here and find it done. On SQLite
            # the transaction itself, which begins as a writer's, makes them wait.
            if connection.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
            context.run_migrations()
        connection.commit()
finally:
    database.engine.dispose()
