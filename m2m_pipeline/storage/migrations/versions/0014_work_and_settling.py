"""The time of work is counted as the calls are, and an end that is told anew leaves the first one where it was."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TIMESTAMP

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "bulk_change",
        sa.Column("work_seconds", sa.Double(), server_default=sa.text("0"), nullable=False),
        schema="m2m",
    )
    for name in ("work_counted_at", "settled_at"):
        op.add_column("bulk_change", sa.Column(name, TIMESTAMP(timezone=True), nullable=True), schema="m2m")
    # Of what was tried again only the last attempt's start is known: all of its calls were made since it was recorded.
    op.execute("""
        UPDATE m2m.bulk_change SET work_counted_at = clock_timestamp(),
            work_seconds = coalesce(extract(epoch FROM coalesce(finished_at, clock_timestamp())
                - CASE WHEN attempt > 1 THEN created_at ELSE started_at END), 0)
    """)


def downgrade() -> None:
    for name in ("settled_at", "work_counted_at", "work_seconds"):
        op.drop_column("bulk_change", name, schema="m2m")
