"""The wall between tenants: whoever works behind it sees and writes the rows of one (row-level security)."""

from sqlalchemy import Connection, text

WEB_ROLE = "m2m_web"
"""As whom the front door works: it owns nothing, and row-level security holds for it."""
TENANT_SETTING = "m2m.tenant_id"
"""Where a transaction says whose rows it may see; the policies of the tables read it."""


def confine(connection: Connection, tenant_id: int) -> None:
    """Until its end, this transaction is the front door's, and that tenant's."""
    connection.execute(
        text("SELECT set_config('role', :role, true), set_config(:setting, :tenant, true)"),
        {"role": WEB_ROLE, "setting": TENANT_SETTING, "tenant": str(tenant_id)},
    )
