"""What a device's last change call was answered outlasts the attempt that made it, a claim as well as a closed gate."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column. What stands beside another 2xx than these was no claim, or is not known for one any more."""
    op.add_column("device_change", sa.Column("last_answer", sa.Text(), nullable=True), schema="m2m")
    op.execute("""
        UPDATE m2m.device_change
        SET last_answer = CASE WHEN http_status = 202 THEN 'ACCEPTED'
            WHEN status = 'APPLIED' OR reason = 'SCHEDULED' THEN 'CLAIMED'
            WHEN http_status IN (429, 503) THEN 'TURNED_AWAY' END
        WHERE status IN ('APPLIED', 'UNCONFIRMED')
    """)
    op.create_check_constraint(
        op.f("ck_device_change_last_answer"),
        "device_change",
        "last_answer IN ('ACCEPTED', 'CLAIMED', 'TURNED_AWAY')",
        schema="m2m",
    )


def downgrade() -> None:
    """Remove the column."""
    op.drop_column("device_change", "last_answer", schema="m2m")
