"""Alembic's entry: runs the migrations over the engine of `oauthdevice.stores.sql`."""

from alembic import context

from oauthdevice.stores.models import Base
from oauthdevice.stores.sql import create_database

database = create_database(context.config.attributes["database_url"], statement_timeout_seconds=0)
with database.engine.execution_options(sqlite_begin="IMMEDIATE").connect() as connection:
    context.configure(connection=connection, target_metadata=Base.metadata, render_as_batch=True)
    with context.begin_transaction():
        context.run_migrations()
    connection.commit()
database.engine.dispose()
