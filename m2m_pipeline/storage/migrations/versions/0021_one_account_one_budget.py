"""An account's rest is kept apart from its next call, and its limits are found by what the carrier counts calls by.

Addresses that named their scheme's own port were accounts, and budgets, of their own beside those that did not.
"""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

INDEX = "ix_carrier_credential_username"
OWN_PORTS = {"https": 443, "http": 80}


def upgrade() -> None:
    """Add the column and the index, and write each address in one way."""
    op.add_column(
        "carrier_gate", sa.Column("rests_until", sa.Double(), server_default=sa.text("0"), nullable=False), schema="m2m"
    )
    op.execute("UPDATE m2m.carrier_gate SET rests_until = paced_at")
    op.create_index(INDEX, "carrier_credential", ["username"], schema="m2m")
    for scheme, port in OWN_PORTS.items():
        op.execute(
            f"UPDATE m2m.service_provider SET base_url = regexp_replace(base_url, '[:]{port}$', '') "
            f"WHERE base_url ~ '^{scheme}://.*[:]{port}$'"
        )


def downgrade() -> None:
    """Remove column and index; the addresses mean what they meant before."""
    op.drop_index(INDEX, "carrier_credential", schema="m2m")
    op.drop_column("carrier_gate", "rests_until", schema="m2m")
