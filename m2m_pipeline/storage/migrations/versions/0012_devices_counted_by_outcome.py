"""Devices are counted from indexes alone, and the wall asks whose transaction it is once a statement.

An index alone tells of rows only where a vacuum has been: it comes after 2 % of changes instead of 20 %, and so do
statistics. A policy is computed for each row, but for what stands in a query of its own there.
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

OPEN, OUTCOMES, REASONS = "uq_device_change_open", "ix_device_change_outcome", "ix_device_change_reason"
UPKEEP = ("autovacuum_vacuum_scale_factor", "autovacuum_vacuum_insert_scale_factor", "autovacuum_analyze_scale_factor")
MY_TENANT = "nullif(current_setting('m2m.tenant_id', true), '')::bigint"
IS_SERVICE = "current_user <> 'm2m_web'"
OWNED = (
    "service_provider",
    "carrier_credential",
    "carrier_rate_plan",
    "communication_plan",
    "device",
    "bulk_change",
    "device_change",
    "inbox_message",
    "audit_entry",
    "api_key",
)


def upgrade() -> None:
    _index_open(["status"])
    outcome = ["bulk_change_id", "status", "reason", "carrier_code"]
    op.create_index(OUTCOMES, "device_change", [*outcome, "tenant_id"], schema="m2m")
    op.create_index(
        REASONS,
        "device_change",
        [*outcome, "row_number"],
        schema="m2m",
        postgresql_where=sa.text("reason IS NOT NULL"),
    )
    op.execute(f"ALTER TABLE m2m.device_change SET ({', '.join(f'{name} = 0.02' for name in UPKEEP)})")
    _ask(f"(SELECT {MY_TENANT})", f"(SELECT {IS_SERVICE})")


def downgrade() -> None:
    _ask(MY_TENANT, IS_SERVICE)
    op.execute(f"ALTER TABLE m2m.device_change RESET ({', '.join(UPKEEP)})")
    op.drop_index(REASONS, "device_change", schema="m2m")
    op.drop_index(OUTCOMES, "device_change", schema="m2m")
    _index_open([])


def _index_open(included: list[str]) -> None:
    op.drop_index(OPEN, "device_change", schema="m2m")
    op.create_index(
        OPEN,
        "device_change",
        ["service_provider_id", "iccid"],
        unique=True,
        schema="m2m",
        postgresql_include=included,
        postgresql_where=sa.text("status IN ('AMOP_FAILED', 'APPLIED', 'PENDING', 'SENDING', 'UNCONFIRMED')"),
    )


def _ask(tenant: str, service: str) -> None:
    for table in OWNED:
        op.execute(f"ALTER POLICY own_tenant ON m2m.{table} USING (tenant_id = {tenant})")
        op.execute(f"ALTER POLICY services ON m2m.{table} USING ({service})")
