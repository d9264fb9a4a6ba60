"""What a run's list pages show of devices in work, and whose turn it is to read such pages."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TIMESTAMP

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "sighting",
        sa.Column("device_change_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("asked_at", TIMESTAMP(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["device_change_id"], ["m2m.device_change.id"], name=op.f("fk_sighting_device_change_id")
        ),
        sa.PrimaryKeyConstraint("device_change_id", name=op.f("pk_sighting")),
        schema="m2m",
        prefixes=["UNLOGGED"],
    )
    op.create_table(
        "list_turn",
        sa.Column("service_provider_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("bulk_change_id", sa.BigInteger(), nullable=False),
        sa.Column("lease_token", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["service_provider_id"], ["m2m.service_provider.id"], name=op.f("fk_list_turn_service_provider_id")
        ),
        sa.ForeignKeyConstraint(["bulk_change_id"], ["m2m.bulk_change.id"], name=op.f("fk_list_turn_bulk_change_id")),
        sa.PrimaryKeyConstraint("service_provider_id", name=op.f("pk_list_turn")),
        schema="m2m",
        prefixes=["UNLOGGED"],
    )
    op.create_index(
        "ix_bulk_change_processing",
        "bulk_change",
        ["service_provider_id"],
        schema="m2m",
        postgresql_where=sa.text("status = 'PROCESSING'"),
    )


def downgrade() -> None:
    op.drop_index("ix_bulk_change_processing", "bulk_change", schema="m2m")
    op.drop_table("list_turn", schema="m2m")
    op.drop_table("sighting", schema="m2m")
