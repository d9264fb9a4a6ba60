"""How many changes of an account were lost in a row, so that a carrier that answers reads alone is taken for silent."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column."""
    lost = sa.Column("lost", sa.BigInteger(), server_default=sa.text("0"), nullable=False)
    op.add_column("carrier_gate", lost, schema="m2m")


def downgrade() -> None:
    """Remove the column."""
    op.drop_column("carrier_gate", "lost", schema="m2m")
