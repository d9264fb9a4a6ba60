"""What the audit log does not tell of a bulk change is found without reading what it tells of others."""

from sqlalchemy import text

from m2m_pipeline.storage import bulk_changes, device_changes
from m2m_pipeline.storage.audit import UNTOLD
from m2m_pipeline_tests.storage.conftest import Stock
from m2m_pipeline_tests.world import iccids

DEVICES, ENTRIES = 500, 30_000


def test_one_change_is_looked_up_by_an_index_however_long_the_log_is(stock: Stock) -> None:
    bulk_change_id = stock.record(0)
    with stock.database.begin() as tx:
        change = bulk_changes.find(tx, bulk_change_id)
        assert change is not None
        device_changes.insert_rows(tx, change, iccids(DEVICES), [])
        tx.execute(
            text(
                "UPDATE m2m.device_change "
                "SET status = 'SKIPPED', reason = 'ALREADY_ON_PLAN', ended_at = clock_timestamp()"
            )
        )
        tx.execute(
            text(
                "INSERT INTO m2m.audit_entry (tenant_id, kind, actor, outcome, bulk_change_id, device_change_id) "
                "SELECT :tenant, 'DEVICE_ENDED', 'test', 'SKIPPED', 1000 + n / 100, 1000000 + n "
                "FROM generate_series(1, :entries) n"
            ),
            {"tenant": stock.ours.tenant_id, "entries": ENTRIES},
        )
        tx.execute(text("ANALYZE m2m.audit_entry, m2m.device_change"))
        plan = tx.execute(
            text(f"EXPLAIN SELECT c.id FROM m2m.device_change c WHERE c.bulk_change_id = :id AND {UNTOLD}"),
            {"id": bulk_change_id},
        )
        steps = "\n".join(plan.scalars())

    assert "audit_entry" in steps
    assert "Seq Scan on audit_entry" not in steps, steps
