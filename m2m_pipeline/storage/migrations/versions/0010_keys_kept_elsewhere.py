"""API keys of carriers that are kept in another store: only the reference is ours."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.alter_column("carrier_credential", "ciphertext", nullable=True, schema="m2m")
    op.add_column("carrier_credential", sa.Column("reference", sa.Text(), nullable=True), schema="m2m")
    op.create_check_constraint(
        op.f("ck_carrier_credential_one_key"),
        "carrier_credential",
        "num_nonnulls(ciphertext, reference) = 1",
        schema="m2m",
    )


def downgrade() -> None:
    # The older form has no place for them: these providers are without a credential until one is stored.
    op.execute("DELETE FROM m2m.carrier_credential WHERE reference IS NOT NULL")
    op.drop_constraint(op.f("ck_carrier_credential_one_key"), "carrier_credential", schema="m2m")
    op.drop_column("carrier_credential", "reference", schema="m2m")
    op.alter_column("carrier_credential", "ciphertext", nullable=False, schema="m2m")
