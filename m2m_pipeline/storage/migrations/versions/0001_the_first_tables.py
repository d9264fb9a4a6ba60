"""The first tables."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

REFUSE_CHANGE = """
CREATE FUNCTION m2m.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'm2m.audit_entry is append-only: % refused', TG_OP USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON m2m.audit_entry
    FOR EACH STATEMENT EXECUTE FUNCTION m2m.refuse_change();
"""


def upgrade() -> None:
    op.create_table(
        "carrier_call",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("ends_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_carrier_call")),
        schema="m2m",
    )
    op.create_index("ix_carrier_call_account", "carrier_call", ["account"], unique=False, schema="m2m")
    op.create_table(
        "carrier_gate",
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("next_call_at", sa.Double(), server_default=sa.text("0"), nullable=False),
        sa.Column("pace", sa.Double(), nullable=True),
        sa.Column("paced_at", sa.Double(), server_default=sa.text("0"), nullable=False),
        sa.Column("recent", postgresql.ARRAY(sa.Boolean()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("probe_at", sa.Double(), nullable=True),
        sa.Column("waiting", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'[]'"), nullable=False),
        sa.PrimaryKeyConstraint("account", name=op.f("pk_carrier_gate")),
        schema="m2m",
    )
    op.create_table(
        "tenant",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("max_devices", sa.BigInteger(), server_default=sa.text("100000"), nullable=False),
        sa.Column(
            "created_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tenant")),
        sa.UniqueConstraint("name", name=op.f("uq_tenant_name")),
        schema="m2m",
    )
    op.create_table(
        "audit_entry",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column(
            "at", postgresql.TIMESTAMP(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("service_provider_id", sa.BigInteger(), nullable=True),
        sa.Column("bulk_change_id", sa.BigInteger(), nullable=True),
        sa.Column("device_change_id", sa.BigInteger(), nullable=True),
        sa.Column("retry", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("iccid", sa.Text(), nullable=True),
        sa.Column("old_rate_plan", sa.Text(), nullable=True),
        sa.Column("new_rate_plan", sa.Text(), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("message", sa.Text(), nullable=True),
        sa.Column("request", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("response", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.CheckConstraint(
            "kind IN ('AMOP_UPDATE', 'ATTEMPT_ABANDONED', 'ATTEMPT_STARTED', 'BULK_CHANGE_ENDED', 'CARRIER_CALL', 'CARRIER_READ', 'CARRIER_SIGN_IN_FAILED', 'CREDENTIAL_CHANGED', 'DEVICE_ENDED', 'PROVIDER_CONFIGURED', 'REQUEST_RECORDED', 'RETRY_REQUESTED')",
            name=op.f("ck_audit_entry_kind"),
        ),
        sa.ForeignKeyConstraint(["tenant_id"], ["m2m.tenant.id"], name=op.f("fk_audit_entry_tenant_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_entry")),
        schema="m2m",
    )
    op.create_index(
        "ix_audit_entry_bulk_change", "audit_entry", ["bulk_change_id", "device_change_id"], unique=False, schema="m2m"
    )
    op.create_index(
        "uq_audit_entry_once",
        "audit_entry",
        ["device_change_id", "kind", "outcome", "retry"],
        unique=True,
        schema="m2m",
        postgresql_where=sa.text("kind IN ('AMOP_UPDATE', 'DEVICE_ENDED')"),
    )
    op.create_table(
        "service_provider",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("integration_type", sa.Text(), nullable=False),
        sa.Column("base_url", sa.Text(), nullable=False),
        sa.Column("calls_per_second", sa.Numeric(), server_default=sa.text("5"), nullable=False),
        sa.Column("in_flight", sa.BigInteger(), server_default=sa.text("1"), nullable=False),
        sa.Column("verify", sa.Text(), server_default=sa.text("'pages'"), nullable=False),
        sa.Column("writes_enabled", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column(
            "created_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.Column(
            "updated_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.CheckConstraint("verify IN ('each', 'none', 'pages')", name=op.f("ck_service_provider_verify")),
        sa.CheckConstraint("calls_per_second > 0", name=op.f("ck_service_provider_calls_per_second")),
        sa.CheckConstraint("in_flight > 0", name=op.f("ck_service_provider_in_flight")),
        sa.ForeignKeyConstraint(["tenant_id"], ["m2m.tenant.id"], name=op.f("fk_service_provider_tenant_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_service_provider")),
        sa.UniqueConstraint("id", "tenant_id", name=op.f("uq_service_provider_id_tenant_id")),
        sa.UniqueConstraint("tenant_id", "name", name=op.f("uq_service_provider_tenant_id_name")),
        schema="m2m",
    )
    op.create_table(
        "bulk_change",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("service_provider_id", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("rate_plan", sa.Text(), nullable=False),
        sa.Column("communication_plan", sa.Text(), nullable=True),
        sa.Column("effective_date", sa.Date(), nullable=True),
        sa.Column("batch_size", sa.BigInteger(), nullable=False),
        sa.Column("priority", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("requested_by", sa.Text(), nullable=False),
        sa.Column("request", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("request_digest", sa.Text(), nullable=False),
        sa.Column("idempotency_key", sa.Text(), nullable=True),
        sa.Column("attempt", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("attempt_queued_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("fruitless_attempts", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("lease_token", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("lease_owner", sa.Text(), nullable=True),
        sa.Column("lease_expires_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("message", sa.Text(), nullable=True),
        sa.Column("carrier_calls", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("result", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column(
            "created_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.Column("queued_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("started_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("finished_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.CheckConstraint(
            "status IN ('FAILED', 'NEW', 'PARTIAL', 'PROCESSED', 'PROCESSING', 'QUEUED', 'REJECTED')",
            name=op.f("ck_bulk_change_status"),
        ),
        sa.CheckConstraint("batch_size BETWEEN 1 AND 2000", name=op.f("ck_bulk_change_batch_size")),
        sa.ForeignKeyConstraint(
            ["service_provider_id", "tenant_id"],
            ["m2m.service_provider.id", "m2m.service_provider.tenant_id"],
            name=op.f("fk_bulk_change_service_provider_id"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bulk_change")),
        sa.UniqueConstraint("id", "tenant_id", name=op.f("uq_bulk_change_id_tenant_id")),
        sa.UniqueConstraint("tenant_id", "idempotency_key", name=op.f("uq_bulk_change_tenant_id_idempotency_key")),
        schema="m2m",
    )
    op.create_index(
        "ix_bulk_change_queue",
        "bulk_change",
        [sa.literal_column("priority DESC"), "queued_at"],
        unique=False,
        schema="m2m",
        postgresql_where=sa.text("status = 'QUEUED'"),
    )
    op.create_table(
        "carrier_credential",
        sa.Column("service_provider_id", sa.BigInteger(), nullable=False),
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("username", sa.Text(), nullable=False),
        sa.Column("ciphertext", sa.LargeBinary(), nullable=False),
        sa.Column(
            "updated_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["service_provider_id", "tenant_id"],
            ["m2m.service_provider.id", "m2m.service_provider.tenant_id"],
            name=op.f("fk_carrier_credential_service_provider_id"),
        ),
        sa.PrimaryKeyConstraint("service_provider_id", name=op.f("pk_carrier_credential")),
        schema="m2m",
    )
    op.create_table(
        "carrier_rate_plan",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("service_provider_id", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("retired_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["service_provider_id", "tenant_id"],
            ["m2m.service_provider.id", "m2m.service_provider.tenant_id"],
            name=op.f("fk_carrier_rate_plan_service_provider_id"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_carrier_rate_plan")),
        sa.UniqueConstraint("service_provider_id", "name", name=op.f("uq_carrier_rate_plan_service_provider_id_name")),
        schema="m2m",
    )
    op.create_table(
        "communication_plan",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("service_provider_id", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("retired_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["service_provider_id", "tenant_id"],
            ["m2m.service_provider.id", "m2m.service_provider.tenant_id"],
            name=op.f("fk_communication_plan_service_provider_id"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_communication_plan")),
        sa.UniqueConstraint("service_provider_id", "name", name=op.f("uq_communication_plan_service_provider_id_name")),
        schema="m2m",
    )
    op.create_table(
        "device",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("service_provider_id", sa.BigInteger(), nullable=False),
        sa.Column("iccid", sa.Text(), nullable=False),
        sa.Column("msisdn", sa.Text(), nullable=True),
        sa.Column("imsi", sa.Text(), nullable=True),
        sa.Column("sim_status", sa.Text(), nullable=True),
        sa.Column("rate_plan", sa.Text(), nullable=True),
        sa.Column("communication_plan", sa.Text(), nullable=True),
        sa.Column(
            "updated_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["service_provider_id", "tenant_id"],
            ["m2m.service_provider.id", "m2m.service_provider.tenant_id"],
            name=op.f("fk_device_service_provider_id"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_device")),
        sa.UniqueConstraint("service_provider_id", "iccid", name=op.f("uq_device_service_provider_id_iccid")),
        schema="m2m",
    )
    op.create_table(
        "device_change",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("service_provider_id", sa.BigInteger(), nullable=False),
        sa.Column("bulk_change_id", sa.BigInteger(), nullable=False),
        sa.Column("row_number", sa.BigInteger(), nullable=False),
        sa.Column("iccid", sa.Text(), nullable=False),
        sa.Column("device_id", sa.BigInteger(), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("old_rate_plan", sa.Text(), nullable=True),
        sa.Column("old_communication_plan", sa.Text(), nullable=True),
        sa.Column("rate_plan", sa.Text(), nullable=False),
        sa.Column("communication_plan", sa.Text(), nullable=True),
        sa.Column("batch", sa.BigInteger(), nullable=True),
        sa.Column("attempts", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("retry", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("message", sa.Text(), nullable=True),
        sa.Column("http_status", sa.BigInteger(), nullable=True),
        sa.Column("carrier_code", sa.Text(), nullable=True),
        sa.Column("sent_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("verified_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("ended_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column(
            "created_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "status IN ('AMOP_FAILED', 'APPLIED', 'PENDING', 'PROCESSED', 'REFUSED', 'SENDING', 'SKIPPED', 'UNCONFIRMED')",
            name=op.f("ck_device_change_status"),
        ),
        sa.CheckConstraint(
            "status NOT IN ('REFUSED', 'SKIPPED') OR reason IS NOT NULL",
            name=op.f("ck_device_change_no_end_without_reason"),
        ),
        sa.ForeignKeyConstraint(
            ["bulk_change_id", "tenant_id"],
            ["m2m.bulk_change.id", "m2m.bulk_change.tenant_id"],
            name=op.f("fk_device_change_bulk_change_id"),
        ),
        sa.ForeignKeyConstraint(["device_id"], ["m2m.device.id"], name=op.f("fk_device_change_device_id")),
        sa.ForeignKeyConstraint(
            ["service_provider_id", "tenant_id"],
            ["m2m.service_provider.id", "m2m.service_provider.tenant_id"],
            name=op.f("fk_device_change_service_provider_id"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_device_change")),
        sa.UniqueConstraint("bulk_change_id", "row_number", name=op.f("uq_device_change_bulk_change_id_row_number")),
        schema="m2m",
    )
    op.create_index("ix_device_change_batch", "device_change", ["bulk_change_id", "batch"], unique=False, schema="m2m")
    op.create_index(
        "ix_device_change_iccid", "device_change", ["service_provider_id", "iccid"], unique=False, schema="m2m"
    )
    op.create_index(
        "uq_device_change_open",
        "device_change",
        ["service_provider_id", "iccid"],
        unique=True,
        schema="m2m",
        postgresql_where=sa.text("status IN ('AMOP_FAILED', 'APPLIED', 'PENDING', 'SENDING', 'UNCONFIRMED')"),
    )
    op.execute(REFUSE_CHANGE)


def downgrade() -> None:
    op.drop_index(
        "uq_device_change_open",
        table_name="device_change",
        schema="m2m",
        postgresql_where=sa.text("status IN ('AMOP_FAILED', 'APPLIED', 'PENDING', 'SENDING', 'UNCONFIRMED')"),
    )
    op.drop_index("ix_device_change_iccid", table_name="device_change", schema="m2m")
    op.drop_index("ix_device_change_batch", table_name="device_change", schema="m2m")
    op.drop_table("device_change", schema="m2m")
    op.drop_table("device", schema="m2m")
    op.drop_table("communication_plan", schema="m2m")
    op.drop_table("carrier_rate_plan", schema="m2m")
    op.drop_table("carrier_credential", schema="m2m")
    op.drop_index(
        "ix_bulk_change_queue", table_name="bulk_change", schema="m2m", postgresql_where=sa.text("status = 'QUEUED'")
    )
    op.drop_table("bulk_change", schema="m2m")
    op.drop_table("service_provider", schema="m2m")
    op.drop_index(
        "uq_audit_entry_once",
        table_name="audit_entry",
        schema="m2m",
        postgresql_where=sa.text("kind IN ('AMOP_UPDATE', 'DEVICE_ENDED')"),
    )
    op.drop_index("ix_audit_entry_bulk_change", table_name="audit_entry", schema="m2m")
    op.drop_table("audit_entry", schema="m2m")
    op.drop_table("tenant", schema="m2m")
    op.drop_table("carrier_gate", schema="m2m")
    op.drop_index("ix_carrier_call_account", table_name="carrier_call", schema="m2m")
    op.drop_table("carrier_call", schema="m2m")
    op.execute("DROP FUNCTION m2m.refuse_change")
