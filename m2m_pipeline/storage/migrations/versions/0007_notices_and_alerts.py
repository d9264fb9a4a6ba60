"""Destinations of notices, the outbox, alerts and heartbeats."""

import re
from collections.abc import Iterable
from datetime import datetime

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_INSTANT = postgresql.TIMESTAMP(timezone=True)
_NOW = sa.text("clock_timestamp()")


def _id() -> sa.Column[int]:
    return sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False)


def _now(name: str) -> sa.Column[datetime]:
    return sa.Column(name, _INSTANT, server_default=_NOW, nullable=False)


_ADDED_KIND = "DESTINATION_CHANGED"


def _audit_kinds() -> list[str]:
    """The kinds that the audit log takes now: other migrations add theirs."""
    definition: str = (
        op.get_bind()
        .execute(sa.text("SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'ck_audit_entry_kind'"))
        .scalar_one()
    )
    return re.findall(r"'([A-Z_]+)'", definition)


def _take_audit_kinds(kinds: Iterable[str], *, examined: bool = True) -> None:
    listed = ", ".join(f"'{kind}'" for kind in sorted(kinds))
    op.drop_constraint(op.f("ck_audit_entry_kind"), "audit_entry", schema="m2m", type_="check")
    # Entries of a kind that is taken no more stay: nothing is ever taken out of the audit log.
    not_examined = "" if examined else " NOT VALID"
    check = f"CHECK (kind IN ({listed})){not_examined}"
    op.execute(f"ALTER TABLE m2m.audit_entry ADD CONSTRAINT ck_audit_entry_kind {check}")


def upgrade() -> None:
    _take_audit_kinds({*_audit_kinds(), _ADDED_KIND})
    op.create_table(
        "notice_destination",
        _id(),
        sa.Column("tenant_id", sa.BigInteger(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("secret", sa.LargeBinary(), nullable=True),
        sa.Column("previous_secret", sa.LargeBinary(), nullable=True),
        _now("created_at"),
        sa.Column("removed_at", _INSTANT, nullable=True),
        sa.CheckConstraint("kind IN ('EMAIL', 'SQS', 'WEBHOOK')", name=op.f("ck_notice_destination_kind")),
        sa.CheckConstraint(
            "(kind = 'WEBHOOK') = (secret IS NOT NULL)", name=op.f("ck_notice_destination_webhook_is_signed")
        ),
        sa.CheckConstraint(
            "previous_secret IS NULL OR secret IS NOT NULL", name=op.f("ck_notice_destination_previous_after_newest")
        ),
        sa.ForeignKeyConstraint(["tenant_id"], ["m2m.tenant.id"], name=op.f("fk_notice_destination_tenant_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notice_destination")),
        schema="m2m",
    )
    op.create_index(
        "uq_notice_destination_tenants",
        "notice_destination",
        ["tenant_id", "kind", "address"],
        unique=True,
        schema="m2m",
        postgresql_where=sa.text("removed_at IS NULL"),
    )
    op.create_index(
        "uq_notice_destination_operators",
        "notice_destination",
        ["kind", "address"],
        unique=True,
        schema="m2m",
        postgresql_where=sa.text("removed_at IS NULL AND tenant_id IS NULL"),
    )
    op.create_table(
        "notice",
        _id(),
        sa.Column("tenant_id", sa.BigInteger(), nullable=True),
        sa.Column("destination_id", sa.BigInteger(), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("event_type", sa.Text(), nullable=False),
        sa.Column("bulk_change_id", sa.BigInteger(), nullable=True),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), server_default=sa.text("'PENDING'"), nullable=False),
        sa.Column("attempts", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        _now("next_attempt_at"),
        _now("trying_since"),
        sa.Column("last_failure", sa.Text(), nullable=True),
        _now("created_at"),
        sa.Column("ended_at", _INSTANT, nullable=True),
        sa.CheckConstraint("status IN ('DEAD', 'DELIVERED', 'PENDING')", name=op.f("ck_notice_status")),
        sa.CheckConstraint("(status = 'PENDING') = (ended_at IS NULL)", name=op.f("ck_notice_ended_when_it_has_ended")),
        sa.CheckConstraint(
            "status <> 'DEAD' OR last_failure IS NOT NULL", name=op.f("ck_notice_no_death_without_reason")
        ),
        sa.ForeignKeyConstraint(
            ["bulk_change_id", "tenant_id"],
            ["m2m.bulk_change.id", "m2m.bulk_change.tenant_id"],
            name=op.f("fk_notice_bulk_change_id"),
        ),
        sa.ForeignKeyConstraint(["tenant_id"], ["m2m.tenant.id"], name=op.f("fk_notice_tenant_id")),
        sa.ForeignKeyConstraint(
            ["destination_id"], ["m2m.notice_destination.id"], name=op.f("fk_notice_destination_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notice")),
        sa.UniqueConstraint("destination_id", "event_id", name=op.f("uq_notice_destination_id_event_id")),
        schema="m2m",
    )
    op.create_index(
        "ix_notice_due",
        "notice",
        ["next_attempt_at"],
        unique=False,
        schema="m2m",
        postgresql_where=sa.text("status = 'PENDING'"),
    )
    op.create_table(
        "alert",
        _id(),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        _now("since"),
        _now("last_seen"),
        sa.Column("resolved_at", _INSTANT, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alert")),
        schema="m2m",
    )
    op.create_index(
        "uq_alert_open",
        "alert",
        ["name", "subject"],
        unique=True,
        schema="m2m",
        postgresql_where=sa.text("resolved_at IS NULL"),
    )
    op.create_table(
        "heartbeat",
        sa.Column("name", sa.Text(), nullable=False),
        _now("at"),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_heartbeat")),
        schema="m2m",
    )


def downgrade() -> None:
    _take_audit_kinds({*_audit_kinds()} - {_ADDED_KIND}, examined=False)
    for table in ("heartbeat", "alert", "notice", "notice_destination"):
        op.drop_table(table, schema="m2m")
