"""A device change points at its bulk change with one key, and has no batch before it is planned.

Recording 100,000 rows is mostly looking up keys and writing indexes.
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

KEY = "uq_bulk_change_id_tenant_id_service_provider_id"
TO_BULK_CHANGE = "fk_device_change_bulk_change_id"
TO_PROVIDER = "fk_device_change_service_provider_id"
BATCHES = "ix_device_change_batch"


def upgrade() -> None:
    op.create_unique_constraint(op.f(KEY), "bulk_change", ["id", "tenant_id", "service_provider_id"], schema="m2m")
    op.drop_constraint(op.f(TO_BULK_CHANGE), "device_change", schema="m2m")
    op.drop_constraint(op.f(TO_PROVIDER), "device_change", schema="m2m")
    _refer(op.f(TO_BULK_CHANGE), "bulk_change", ["bulk_change_id", "tenant_id", "service_provider_id"])
    op.drop_index(BATCHES, table_name="device_change", schema="m2m")
    op.create_index(
        BATCHES,
        "device_change",
        ["bulk_change_id", "batch"],
        unique=False,
        schema="m2m",
        postgresql_where=sa.text("batch IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_index(BATCHES, table_name="device_change", schema="m2m")
    op.create_index(BATCHES, "device_change", ["bulk_change_id", "batch"], unique=False, schema="m2m")
    op.drop_constraint(op.f(TO_BULK_CHANGE), "device_change", schema="m2m")
    _refer(op.f(TO_PROVIDER), "service_provider", ["service_provider_id", "tenant_id"])
    _refer(op.f(TO_BULK_CHANGE), "bulk_change", ["bulk_change_id", "tenant_id"])
    op.drop_constraint(op.f(KEY), "bulk_change", schema="m2m")


def _refer(name: str, table: str, columns: list[str]) -> None:
    first, *further = columns
    op.create_foreign_key(
        name,
        "device_change",
        table,
        [first, *further],
        ["id", *further],
        source_schema="m2m",
        referent_schema="m2m",
    )
