"""Which end of a bulk change the catalog shows, so that one which nobody has told there is told later."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TIMESTAMP

revision = "0022"
down_revision = "0016"
branch_labels = None
depends_on = None

UNSHOWN = "ix_bulk_change_unshown"


def upgrade() -> None:
    op.add_column("bulk_change", sa.Column("shown_end", TIMESTAMP(timezone=True), nullable=True), schema="m2m")
    # What ended before is taken for shown: few are not, and the catalog is not told of years in one night.
    op.execute("UPDATE m2m.bulk_change SET shown_end = coalesce(settled_at, finished_at)")
    op.create_index(
        UNSHOWN,
        "bulk_change",
        ["id"],
        schema="m2m",
        postgresql_where=sa.text("shown_end IS DISTINCT FROM coalesce(settled_at, finished_at)"),
    )


def downgrade() -> None:
    op.drop_index(UNSHOWN, "bulk_change", schema="m2m")
    op.drop_column("bulk_change", "shown_end", schema="m2m")
