"""Since when the breaker of an account is open, so that an operator can see it."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column."""
    op.add_column("carrier_gate", sa.Column("open_since", sa.Double(), nullable=True), schema="m2m")


def downgrade() -> None:
    """Remove the column."""
    op.drop_column("carrier_gate", "open_since", schema="m2m")
