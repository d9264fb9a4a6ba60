"""What the catalog must know of a bulk change that has ended, whoever ended it."""

import dagster as dg

from m2m_pipeline.orchestration.catalog import audit_trail, bulk_changes
from m2m_pipeline.orchestration.checks import ASSETS
from m2m_pipeline.services.checks import PROMISES


def assert_told_in_full(instance: dg.DagsterInstance, bulk_change_id: int) -> None:
    """The latest end that the catalog shows is this one's, with tables, plot, worker, audit and checks."""
    for asset, told in (
        (bulk_changes, {"old plan to new plan", "plot", "seconds of work", "worker peak memory (MB)"}),
        (audit_trail, {"entries", "entries by kind", "worker peak memory (MB)"}),
    ):
        event = instance.get_latest_materialization_event(asset.key)
        assert event is not None
        assert event.asset_materialization is not None
        assert event.asset_materialization.partition == str(bulk_change_id)
        assert told <= set(event.asset_materialization.metadata)
    for check in (check for check, promise in PROMISES.items() if promise.at_each_end):
        key = dg.AssetCheckKey(ASSETS[check], check.value)
        record = instance.event_log_storage.get_latest_asset_check_execution_by_key([key])[key]
        assert record.evaluation is not None
        assert record.evaluation.partition in {str(bulk_change_id), None}
