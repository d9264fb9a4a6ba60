"""Devices that wait until an earlier bulk change has ended."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_BEFORE = "'AMOP_FAILED', 'APPLIED', 'PENDING', 'PROCESSED', 'REFUSED', 'SENDING', 'SKIPPED', 'UNCONFIRMED'"


def _allow(statuses: str) -> None:
    op.drop_constraint(op.f("ck_device_change_status"), "device_change", schema="m2m")
    op.create_check_constraint(
        op.f("ck_device_change_status"), "device_change", f"status IN ({statuses})", schema="m2m"
    )


def upgrade() -> None:
    _allow(f"{_BEFORE}, 'WAITING'")
    op.create_index(
        "ix_device_change_waiting",
        "device_change",
        ["bulk_change_id", "iccid"],
        schema="m2m",
        postgresql_where=sa.text("status = 'WAITING'"),
    )


def downgrade() -> None:
    op.execute(
        "UPDATE m2m.device_change SET status = 'REFUSED', reason = 'OPEN_CHANGE', ended_at = clock_timestamp(), "
        "message = 'Not sent: device has an open change.' WHERE status = 'WAITING'"
    )
    op.drop_index("ix_device_change_waiting", table_name="device_change", schema="m2m")
    _allow(_BEFORE)
