"""names of devices, and where they asked from"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    # Nullable both: the release before this one goes on adding rows without them.
    op.add_column("sessions", sa.Column("name", sa.String(length=128), nullable=True))
    op.add_column("sessions", sa.Column("address", sa.String(length=64), nullable=True))


def downgrade() -> None:
    op.drop_column("sessions", "address")
    op.drop_column("sessions", "name")
