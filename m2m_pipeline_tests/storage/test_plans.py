"""How PostgreSQL finds what the front door asks for: what is quick with ten rows is to be quick with a million."""

import re
from collections.abc import Callable, Mapping, Sequence

from sqlalchemy import Connection, event

from m2m_pipeline.storage import gauges, inventory, listings, queue, tallies
from m2m_pipeline.storage.database import Database
from m2m_pipeline_tests.storage.conftest import ICCIDS, Stock


def test_devices_are_counted_from_an_index_alone_and_once_asked_whose_they_are(stock: Stock) -> None:
    bulk_change_id = stock.record()
    counts: Sequence[Callable[[Connection], object]] = [
        lambda tx: tallies.tally(tx, bulk_change_id),
        lambda tx: listings.count_by_status(tx, bulk_change_id),
    ]
    for count in counts:
        plan = plan_of(stock.database.of_tenant(stock.ours.tenant_id), count)
        assert "Index Only Scan using ix_device_change_outcome" in plan
        assert "InitPlan" in plan
        assert "current_setting" not in plan
    assert "Index Only Scan using uq_device_change_open" in plan_of(stock.database, gauges.open_devices)


def test_each_device_of_a_request_is_looked_up_among_the_open_ones_by_itself(stock: Stock) -> None:
    plan = plan_of(stock.database, lambda tx: inventory.find_hindered(tx, stock.ours.id, ICCIDS))
    assert re.search(
        r"Index Scan using uq_device_change_open.*\n *Index Cond: .*service_provider_id.* AND \(iccid = ", plan
    )


def test_the_head_of_the_queue_is_read_from_the_queue_alone_and_no_device_that_does_not_wait(stock: Stock) -> None:
    stock.record()
    plan = plan_of(stock.database, lambda tx: queue.read_head(tx, 5, 100, 150.0))
    assert "Index Scan using ix_bulk_change_queue" in plan
    assert "using ix_device_change_waiting" in plan


def plan_of(database: Database, ask: Callable[[Connection], object]) -> str:
    """The plan of the last statement of a reader."""
    said: list[tuple[str, Mapping[str, object]]] = []

    def note(_connection: object, _cursor: object, statement: str, values: Mapping[str, object], *_: object) -> None:
        said.append((statement, values))

    event.listen(database.engine, "before_cursor_execute", note)
    with database.begin() as tx:
        # Ten rows are sooner read than looked up.
        tx.exec_driver_sql("SET LOCAL enable_seqscan = off")
        tx.exec_driver_sql("SET LOCAL enable_bitmapscan = off")
        ask(tx)
        statement, values = said[-1]
        return "\n".join(tx.exec_driver_sql(f"EXPLAIN {statement}", dict(values)).scalars())
