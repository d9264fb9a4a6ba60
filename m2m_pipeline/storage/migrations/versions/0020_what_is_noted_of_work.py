"""Which end of a bulk change the catalog shows, so that one which nobody has told there is told later.

And at which rate bulk changes and passes were allowed to call: the account's may be another by now.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TIMESTAMP

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

WORK = ("bulk_change", "reconciliation_pass")
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
    for table in WORK:
        rate = sa.Column("calls_per_second", sa.Numeric(), server_default=sa.text("0"), nullable=False)
        op.add_column(table, rate, schema="m2m")
        op.execute(
            f"UPDATE m2m.{table} SET calls_per_second = p.calls_per_second FROM m2m.service_provider p "
            "WHERE p.id = service_provider_id"
        )


def downgrade() -> None:
    for table in WORK:
        op.drop_column(table, "calls_per_second", schema="m2m")
    op.drop_index(UNSHOWN, "bulk_change", schema="m2m")
    op.drop_column("bulk_change", "shown_end", schema="m2m")
