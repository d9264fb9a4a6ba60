"""The second wall: what the front door's transactions may see and do, whatever its statements say."""

from typing import Any

import pytest

from m2m_pipeline.domain.permissions import Role
from m2m_pipeline.storage.database import DatabaseRefusedError
from m2m_pipeline_tests.world import PROVIDER, World

TABLES_OF_TENANTS = (
    "tenant",
    "service_provider",
    "carrier_rate_plan",
    "communication_plan",
    "device",
    "bulk_change",
    "device_change",
    "audit_entry",
    "api_key",
)


def seen(world: World, tenant_id: int, table: str) -> int:
    """Rows that a transaction of the front door sees, with no filter of ours."""
    with world.services.database.of_tenant(tenant_id).begin() as tx:
        return tx.exec_driver_sql(f"SELECT count(id) FROM m2m.{table}").scalar_one()


@pytest.fixture
def rival(world: World) -> int:
    """Another tenant, with the same kinds of rows."""
    world.submit()
    world.services.identity.create_key("acme", "k", Role.VIEWER, "test")
    world.services.accounts.configure("rival", PROVIDER, world.provider_settings(), actor="test")
    return int(str(world.sql("SELECT id FROM m2m.tenant WHERE name = 'rival'")[0][0]))


@pytest.mark.parametrize("table", TABLES_OF_TENANTS)
def test_without_any_filter_only_ones_own_rows_are_there(world: World, rival: int, table: str) -> None:
    column = "id" if table == "tenant" else "tenant_id"
    ours = world.provider.tenant_id
    assert seen(world, ours, table) == world.sql(f"SELECT count(*) FROM m2m.{table} WHERE {column} = %s", ours)[0][0]
    assert seen(world, ours, table) > 0
    assert seen(world, rival, table) == world.sql(f"SELECT count(*) FROM m2m.{table} WHERE {column} = %s", rival)[0][0]


def test_rows_of_another_tenant_can_be_neither_moved_nor_made(world: World, rival: int) -> None:
    walled = world.services.database.of_tenant(rival)
    with walled.begin() as tx:
        moved = tx.exec_driver_sql("UPDATE m2m.bulk_change SET priority = 9").rowcount
    assert moved == 0
    with pytest.raises(DatabaseRefusedError, match="InsufficientPrivilege"), walled.begin() as tx:
        tx.exec_driver_sql(
            f"INSERT INTO m2m.audit_entry (tenant_id, kind, actor, outcome) "
            f"VALUES ({world.provider.tenant_id}, 'KEY_CREATED', 'x', 'x')"
        )


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT ciphertext FROM m2m.carrier_credential",
        "SELECT digest FROM m2m.api_key",
        "SELECT address FROM m2m.notice_destination",
        "SELECT body FROM m2m.notice",
        "UPDATE m2m.api_key SET role = 'admin'",
        "DELETE FROM m2m.bulk_change",
        "UPDATE m2m.audit_entry SET actor = 'x'",
        "UPDATE m2m.service_provider SET writes_enabled = true",
        "CREATE TABLE m2m.mine ()",
        "ALTER TABLE m2m.bulk_change DISABLE ROW LEVEL SECURITY",
    ],
)
def test_secrets_and_others_work_are_not_for_the_front_door(world: World, statement: str) -> None:
    with (
        pytest.raises(DatabaseRefusedError, match="InsufficientPrivilege"),
        world.services.database.of_tenant(world.provider.tenant_id).begin() as tx,
    ):
        tx.exec_driver_sql(statement)


def test_what_carrier_accounts_have_spent_is_seen_by_those_who_have_the_account(world: World, rival: int) -> None:
    world.sql("UPDATE m2m.carrier_credential SET username = 'other' WHERE tenant_id = %s", rival)
    world.run(int(str(world.sql("SELECT max(id) FROM m2m.bulk_change")[0][0])))

    def accounts(tenant_id: int) -> list[Any]:
        with world.services.database.of_tenant(tenant_id).begin() as tx:
            return list(tx.exec_driver_sql("SELECT account FROM m2m.carrier_gate").scalars())

    assert len(accounts(world.provider.tenant_id)) == 1
    assert accounts(rival) == []


def test_every_table_is_behind_the_wall_or_closed(world: World) -> None:
    """A new table is closed to the front door until a migration opens it, and then it needs a policy."""
    open_to_all_tenants = world.sql(
        """
        SELECT c.relname FROM pg_class c WHERE c.relnamespace = 'm2m'::regnamespace
        AND c.relkind IN ('r', 'p', 'v', 'm')
        AND NOT c.relrowsecurity
        AND (has_table_privilege('m2m_web', c.oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE')
            OR has_any_column_privilege('m2m_web', c.oid, 'SELECT, INSERT, UPDATE'))
        """
    )
    assert open_to_all_tenants == []


def test_the_role_owns_nothing_and_passes_no_wall(world: World) -> None:
    assert world.sql(
        "SELECT rolcanlogin, rolsuper, rolbypassrls, rolcreaterole FROM pg_roles WHERE rolname = 'm2m_web'"
    ) == [(False, False, False, False)]
    assert world.sql("SELECT count(*) FROM pg_class WHERE relowner = 'm2m_web'::regrole") == [(0,)]
