"""The front door: API keys, what a tenant may have open, and the wall between tenants."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy import exc
from sqlalchemy.dialects import postgresql

from m2m_pipeline.storage.migrate import FrontDoorRoleError

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

ROLE = "m2m_web"
SETTING = "m2m.tenant_id"
MY_TENANT = f"nullif(current_setting('{SETTING}', true), '')::bigint"

OF_TENANT = f"tenant_id = {MY_TENANT}"
# An account belongs to those who have its credential; the policies of these two tables hold within.
OF_ACCOUNT = """
    account IN (
        SELECT substring(p.base_url FROM '^[^:]+://([^/?#]*)') || '/' || c.username
        FROM m2m.service_provider p JOIN m2m.carrier_credential c ON c.service_provider_id = p.id
    )
"""
# What the front door may do with a table, and which rows it sees. Secrets, sealed or digested, are not for it.
WALL = {
    "tenant": ("SELECT", f"id = {MY_TENANT}"),
    "service_provider": ("SELECT", OF_TENANT),
    "carrier_credential": ("SELECT (service_provider_id, tenant_id, username)", OF_TENANT),
    "carrier_rate_plan": ("SELECT", OF_TENANT),
    "communication_plan": ("SELECT", OF_TENANT),
    "device": ("SELECT", OF_TENANT),
    "bulk_change": ("SELECT, INSERT, UPDATE", OF_TENANT),
    "device_change": ("SELECT, INSERT, UPDATE", OF_TENANT),
    "inbox_message": ("SELECT", OF_TENANT),
    "audit_entry": ("SELECT, INSERT", OF_TENANT),
    "carrier_gate": ("SELECT", OF_ACCOUNT),
    "carrier_call": ("SELECT", OF_ACCOUNT),
    "api_key": (
        "SELECT (id, tenant_id, name, role, created_by, created_at, last_used_at, revoked_at), INSERT, UPDATE (revoked_at)",
        OF_TENANT,
    ),
}
NEW_KINDS = ("SIGN_IN_FAILED", "PERMISSION_DENIED", "KEY_CREATED", "KEY_REVOKED")


def upgrade() -> None:
    op.create_table(
        "api_key",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column(
            "created_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.Column("last_used_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("revoked_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.CheckConstraint("role IN ('admin', 'auditor', 'operator', 'viewer')", name=op.f("ck_api_key_role")),
        sa.ForeignKeyConstraint(["tenant_id"], ["m2m.tenant.id"], name=op.f("fk_api_key_tenant_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_key")),
        sa.UniqueConstraint("digest", name=op.f("uq_api_key_digest")),
        schema="m2m",
    )
    op.add_column(
        "tenant",
        sa.Column("max_open_changes", sa.BigInteger(), server_default=sa.text("1000"), nullable=False),
        schema="m2m",
    )
    op.create_index("ix_bulk_change_tenant", "bulk_change", ["tenant_id", "id"], unique=False, schema="m2m")
    change_kinds(op.get_bind(), add=NEW_KINDS)
    ensure_role(op.get_bind())
    op.execute(f"GRANT USAGE ON SCHEMA m2m TO {ROLE}")
    for table, (rights, rows) in WALL.items():
        op.execute(f"GRANT {rights} ON m2m.{table} TO {ROLE}")
        op.execute(f"ALTER TABLE m2m.{table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"CREATE POLICY own_tenant ON m2m.{table} TO {ROLE} USING ({rows})")
        # The services serve all tenants; their user need neither own the tables nor go round their policies.
        op.execute(f"CREATE POLICY services ON m2m.{table} USING (current_user <> '{ROLE}')")


def downgrade() -> None:
    for table in WALL:
        op.execute(f"DROP POLICY services ON m2m.{table}")
        op.execute(f"DROP POLICY own_tenant ON m2m.{table}")
        op.execute(f"ALTER TABLE m2m.{table} DISABLE ROW LEVEL SECURITY")
        op.execute(f"REVOKE ALL ON m2m.{table} FROM {ROLE}")
    # The role is the server's, not this database's: another database may use it.
    op.execute(f"REVOKE USAGE ON SCHEMA m2m FROM {ROLE}")
    # The log is never changed, save here: the older form has no word for these entries.
    op.execute("ALTER TABLE m2m.audit_entry DISABLE TRIGGER append_only")
    op.execute(f"DELETE FROM m2m.audit_entry WHERE kind IN ({', '.join(map(repr, NEW_KINDS))})")
    op.execute("ALTER TABLE m2m.audit_entry ENABLE TRIGGER append_only")
    change_kinds(op.get_bind(), remove=NEW_KINDS)
    op.drop_index("ix_bulk_change_tenant", table_name="bulk_change", schema="m2m")
    op.drop_column("tenant", "max_open_changes", schema="m2m")
    op.drop_table("api_key", schema="m2m")


def change_kinds(bind: sa.Connection, add: tuple[str, ...] = (), remove: tuple[str, ...] = ()) -> None:
    """Allow other kinds of audit entries; those that other migrations allow stay as they are."""
    definition = bind.execute(
        sa.text(
            "SELECT pg_get_constraintdef(oid) FROM pg_constraint "
            "WHERE conname = 'ck_audit_entry_kind' AND connamespace = 'm2m'::regnamespace"
        )
    ).scalar_one()
    kinds = set(definition.split("'")[1::2])
    listed = ", ".join(repr(kind) for kind in sorted((kinds | set(add)) - set(remove)))
    bind.execute(sa.text("ALTER TABLE m2m.audit_entry DROP CONSTRAINT ck_audit_entry_kind"))
    bind.execute(sa.text(f"ALTER TABLE m2m.audit_entry ADD CONSTRAINT ck_audit_entry_kind CHECK (kind IN ({listed}))"))


def ensure_role(bind: sa.Connection) -> None:
    """Make the role, and let this user take it. Other databases of the server may do the same at the same moment."""
    exists = sa.text("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = :role)")
    # Since 16, who made a role is its member, and yet may not take it.
    membership = "SET" if bind.execute(sa.text("SHOW server_version_num")).scalar_one() >= "160000" else "MEMBER"
    can_take = sa.text(f"SELECT pg_has_role(current_user, :role, '{membership}')")
    try:
        if not bind.execute(exists, {"role": ROLE}).scalar_one():
            with bind.begin_nested():
                bind.execute(sa.text(f"CREATE ROLE {ROLE} NOLOGIN NOBYPASSRLS"))
        if not bind.execute(can_take, {"role": ROLE}).scalar_one():
            with bind.begin_nested():
                bind.execute(sa.text(f"GRANT {ROLE} TO CURRENT_USER"))
    except exc.ProgrammingError as error:
        raise FrontDoorRoleError(bind.execute(sa.text("SELECT current_user")).scalar_one()) from error
    except (exc.IntegrityError, exc.InternalError):
        # Another database of this server was quicker: advisory locks are each database's own.
        if not bind.execute(exists, {"role": ROLE}).scalar_one():
            raise
        ensure_role(bind)
