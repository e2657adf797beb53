"""the key that a session is bound to"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    # Nullable: most sessions are bound to none, and the release before this one goes on adding rows without it.
    op.add_column("sessions", sa.Column("jkt", sa.String(length=43), nullable=True))


def downgrade() -> None:
    op.drop_column("sessions", "jkt")
