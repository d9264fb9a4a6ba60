"""Reconciliation passes, the carrier's list that they read, drift, and what each provider does about it."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

MOMENT = postgresql.TIMESTAMP(timezone=True)
NOW = sa.text("clock_timestamp()")
OPEN_PASS = sa.text("phase IN ('CHECKING', 'LISTING', 'TAIL')")
OPEN_DRIFT = sa.text("resolved_at IS NULL")
KINDS_BEFORE = (
    "AMOP_UPDATE",
    "ATTEMPT_ABANDONED",
    "ATTEMPT_STARTED",
    "BULK_CHANGE_ENDED",
    "CARRIER_CALL",
    "CARRIER_READ",
    "CARRIER_SIGN_IN_FAILED",
    "CREDENTIAL_CHANGED",
    "DEVICE_ENDED",
    "PROVIDER_CONFIGURED",
    "REQUEST_RECORDED",
    "RETRY_REQUESTED",
)


def allow_kinds(kinds: tuple[str, ...]) -> None:
    op.drop_constraint(op.f("ck_audit_entry_kind"), "audit_entry", schema="m2m")
    named = ", ".join(f"'{kind}'" for kind in kinds)
    op.create_check_constraint(op.f("ck_audit_entry_kind"), "audit_entry", f"kind IN ({named})", schema="m2m")


def upgrade() -> None:
    op.add_column(
        "service_provider",
        sa.Column("drift", sa.Text(), server_default=sa.text("'report'"), nullable=False),
        schema="m2m",
    )
    op.create_check_constraint(
        op.f("ck_service_provider_drift"),
        "service_provider",
        "drift IN ('follow', 'propose', 'report')",
        schema="m2m",
    )
    allow_kinds((*KINDS_BEFORE, "DRIFT_REPAIRED"))
    op.create_table(
        "reconciliation_pass",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("service_provider_id", sa.BigInteger(), nullable=False),
        sa.Column("is_full", sa.Boolean(), nullable=False),
        sa.Column("phase", sa.Text(), server_default=sa.text("'LISTING'"), nullable=False),
        sa.Column("since", MOMENT, nullable=True),
        sa.Column("begun_at", MOMENT, nullable=True),
        sa.Column("page", sa.BigInteger(), nullable=True),
        *(
            sa.Column(name, sa.BigInteger(), server_default=sa.text("0"), nullable=False)
            for name in ("sweeps", "listed", "checked", "unchecked", "carrier_calls")
        ),
        sa.Column("counts", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("lease_owner", sa.Text(), nullable=True),
        sa.Column("lease_expires_at", MOMENT, nullable=True),
        sa.Column("started_at", MOMENT, server_default=NOW, nullable=False),
        sa.Column("finished_at", MOMENT, nullable=True),
        sa.CheckConstraint(
            "phase IN ('ABANDONED', 'CHECKING', 'DONE', 'LISTING', 'TAIL')", name=op.f("ck_reconciliation_pass_phase")
        ),
        sa.ForeignKeyConstraint(
            ["service_provider_id", "tenant_id"],
            ["m2m.service_provider.id", "m2m.service_provider.tenant_id"],
            name=op.f("fk_reconciliation_pass_service_provider_id"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reconciliation_pass")),
        sa.UniqueConstraint("id", "tenant_id", name=op.f("uq_reconciliation_pass_id_tenant_id")),
        schema="m2m",
    )
    op.create_index(
        "uq_reconciliation_pass_open",
        "reconciliation_pass",
        ["service_provider_id"],
        unique=True,
        schema="m2m",
        postgresql_where=OPEN_PASS,
    )
    op.create_index(
        "ix_reconciliation_pass_finished", "reconciliation_pass", ["service_provider_id", "finished_at"], schema="m2m"
    )
    op.create_table(
        "carrier_listing",
        sa.Column("pass_id", sa.BigInteger(), nullable=False),
        sa.Column("iccid", sa.Text(), nullable=False),
        sa.Column("rate_plan", sa.Text(), nullable=True),
        sa.Column("communication_plan", sa.Text(), nullable=True),
        sa.Column("is_gone", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("checked_at", MOMENT, nullable=True),
        sa.ForeignKeyConstraint(["pass_id"], ["m2m.reconciliation_pass.id"], name=op.f("fk_carrier_listing_pass_id")),
        sa.PrimaryKeyConstraint("pass_id", "iccid", name=op.f("pk_carrier_listing")),
        schema="m2m",
    )
    op.create_table(
        "drift",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("service_provider_id", sa.BigInteger(), nullable=False),
        sa.Column("pass_id", sa.BigInteger(), nullable=False),
        sa.Column("iccid", sa.Text(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("amop_rate_plan", sa.Text(), nullable=True),
        sa.Column("amop_communication_plan", sa.Text(), nullable=True),
        sa.Column("carrier_rate_plan", sa.Text(), nullable=True),
        sa.Column("carrier_communication_plan", sa.Text(), nullable=True),
        sa.Column("first_seen_at", MOMENT, server_default=NOW, nullable=False),
        sa.Column("last_seen_at", MOMENT, server_default=NOW, nullable=False),
        sa.Column("resolved_at", MOMENT, nullable=True),
        sa.Column("resolution", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "cause IN ('CHANGE_IN_PROGRESS', 'DEVICE_GONE', 'DEVICE_NEW', 'MADE_OUTSIDE', 'PLAN_UNKNOWN', 'SCHEDULED')",
            name=op.f("ck_drift_cause"),
        ),
        sa.CheckConstraint(
            "resolution IN ('AMOP_FOLLOWED', 'CARRIER_RETURNED', 'GONE_FROM_BOTH')", name=op.f("ck_drift_resolution")
        ),
        sa.CheckConstraint("(resolution IS NULL) = (resolved_at IS NULL)", name=op.f("ck_drift_resolved_somehow")),
        sa.ForeignKeyConstraint(
            ["service_provider_id", "tenant_id"],
            ["m2m.service_provider.id", "m2m.service_provider.tenant_id"],
            name=op.f("fk_drift_service_provider_id"),
        ),
        sa.ForeignKeyConstraint(
            ["pass_id", "tenant_id"],
            ["m2m.reconciliation_pass.id", "m2m.reconciliation_pass.tenant_id"],
            name=op.f("fk_drift_pass_id"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_drift")),
        schema="m2m",
    )
    op.create_index(
        "uq_drift_open",
        "drift",
        ["service_provider_id", "iccid"],
        unique=True,
        schema="m2m",
        postgresql_where=OPEN_DRIFT,
    )
    op.create_index("ix_drift_seen", "drift", ["service_provider_id", "first_seen_at"], schema="m2m")


def downgrade() -> None:
    op.drop_table("drift", schema="m2m")
    op.drop_table("carrier_listing", schema="m2m")
    op.drop_table("reconciliation_pass", schema="m2m")
    op.drop_constraint(op.f("ck_service_provider_drift"), "service_provider", schema="m2m")
    op.drop_column("service_provider", "drift", schema="m2m")
    # Entries of the new kind stay: the log is append-only. NOT VALID leaves them alone.
    op.drop_constraint(op.f("ck_audit_entry_kind"), "audit_entry", schema="m2m")
    named = ", ".join(f"'{kind}'" for kind in KINDS_BEFORE)
    op.execute(f"ALTER TABLE m2m.audit_entry ADD CONSTRAINT ck_audit_entry_kind CHECK (kind IN ({named})) NOT VALID")
