"""Alembic's entry: runs the migrations over the engine of `oauthdevice.stores.sql`."""

from alembic import context

from oauthdevice.stores.models import Base
from oauthdevice.stores.sql import create_database
from oauthdevice.stores.table_locks import PATIENCE_SECONDS, run_patiently

attributes = context.config.attributes
database = create_database(attributes["database_url"], statement_timeout_seconds=0)
try:
    with database.engine.execution_options(sqlite_begin="IMMEDIATE").connect() as connection:
        is_postgresql = connection.dialect.name == "postgresql"

        def migrate() -> None:
            """All that are missing; on PostgreSQL each in a transaction of its own, so that its locks end with it."""
            context.configure(
                connection=connection,
                target_metadata=Base.metadata,
                render_as_batch=True,
                transaction_per_migration=is_postgresql,
            )
            with context.begin_transaction():
                context.run_migrations()
            connection.commit()

        if is_postgresql:
            run_patiently(connection, migrate, attributes.get("patience_seconds", PATIENCE_SECONDS))
        else:
            # The one transaction begins as a writer's: of processes that start at once, the others wait for it.
            migrate()
finally:
    database.engine.dispose()
