"""The sensor that turns queued bulk changes into runs. It only reads: a lost or repeated tick changes nothing."""

import dagster as dg

from m2m_pipeline.domain.change import QueuedBulkChange
from m2m_pipeline.orchestration.assets import bulk_change_partitions
from m2m_pipeline.orchestration.jobs import bulk_carrier_rate_plan_change
from m2m_pipeline.orchestration.platform import BULK_CHANGE, Platform


def run_request(queued: QueuedBulkChange) -> dg.RunRequest:
    """One run for an attempt: the key carries the attempt, since Dagster never launches a key twice."""
    return dg.RunRequest(
        run_key=f"bulk-change-{queued.id}-attempt-{queued.attempt}",
        run_config={"ops": {"validate_request": {"config": {"bulk_change_id": queued.id}}}},
        tags={
            BULK_CHANGE: str(queued.id),
            "m2m/attempt": str(queued.attempt),
            "m2m/tenant": queued.tenant,
            "m2m/provider": queued.provider,
            "m2m/account": queued.account,
            "dagster/priority": str(queued.priority),
        },
    )


def dispatch_sensor(interval_seconds: int) -> dg.SensorDefinition:
    """The dispatch sensor, looking at the queue every `interval_seconds`."""

    @dg.sensor(
        job=bulk_carrier_rate_plan_change,
        # Dagster looks every 5 s, and counts from the start of a tick, which is a moment after its look: of exactly 5 s
        # every other look would come a hair too early, and the queue would wait for 10.
        minimum_interval_seconds=interval_seconds - 1,
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def dispatch_bulk_changes(platform: Platform) -> dg.SensorResult:
        """Start a run for each queued bulk change. No answer from the database fails the tick: it is no empty queue."""
        queued = platform.services.queue.head()
        if not queued:
            return dg.SensorResult(skip_reason="The queue is empty: no bulk change is QUEUED.")
        return dg.SensorResult(
            run_requests=[run_request(one) for one in queued],
            dynamic_partitions_requests=[bulk_change_partitions.build_add_request([str(one.id) for one in queued])],
        )

    return dispatch_bulk_changes
