"""The front door ends a bulk change that is withdrawn, and writes the notices of that end: it sees no address, no secret."""

from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

ROLE = "m2m_web"
RIGHTS = {
    "notice": "INSERT (tenant_id, destination_id, event_id, event_type, bulk_change_id, body)",
    "notice_destination": "SELECT (id, tenant_id, removed_at)",
}


def upgrade() -> None:
    """Let it write one, and read for whom, behind the wall."""
    for table, rights in RIGHTS.items():
        op.execute(f"GRANT {rights} ON m2m.{table} TO {ROLE}")
        op.execute(f"ALTER TABLE m2m.{table} ENABLE ROW LEVEL SECURITY")
        op.execute(
            f"CREATE POLICY own_tenant ON m2m.{table} TO {ROLE} "
            "USING (tenant_id = (SELECT nullif(current_setting('m2m.tenant_id', true), '')::bigint))"
        )
        op.execute(f"CREATE POLICY services ON m2m.{table} USING ((SELECT current_user <> '{ROLE}'))")


def downgrade() -> None:
    """Close both tables to it again."""
    for table, rights in RIGHTS.items():
        op.execute(f"DROP POLICY services ON m2m.{table}")
        op.execute(f"DROP POLICY own_tenant ON m2m.{table}")
        op.execute(f"ALTER TABLE m2m.{table} DISABLE ROW LEVEL SECURITY")
        op.execute(f"REVOKE {rights} ON m2m.{table} FROM {ROLE}")
