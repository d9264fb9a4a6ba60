"""The job, as the business flow reads."""

import dagster as dg

from m2m_pipeline.orchestration.ops import (
    authenticate_carrier,
    build_change_details,
    change_devices,
    finalize_bulk_change,
    plan_batches,
    update_amop,
    validate_request,
    write_audit,
)
from m2m_pipeline.orchestration.platform import BULK


@dg.job(
    # One process: a step costs 0.1 s in it and seconds in its own; calls overlap inside a step, runs scale out.
    executor_def=dg.in_process_executor,
    tags={
        # From a failure, Dagster would leave out mapped steps that never started, and succeed.
        "dagster/retry_strategy": "ALL_STEPS",
        # The next attempt is the queue's decision, never Dagster's.
        "dagster/max_retries": "0",
        # `dagster.yaml` leaves slots to scheduled work, however many of these wait.
        BULK: "true",
    },
)
def bulk_carrier_rate_plan_change() -> None:
    """Move the SIMs of one bulk change to a new carrier rate plan, each to one truthful, audited outcome."""
    bulk_change = authenticate_carrier(build_change_details(validate_request()))
    changed = plan_batches(bulk_change).map(change_devices)
    audited = changed.map(update_amop).map(write_audit)
    finalize_bulk_change(bulk_change, audited.collect())
