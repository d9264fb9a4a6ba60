"""All that Dagster loads."""

import dagster as dg

from m2m_pipeline.orchestration.auditing import (
    audit_digest,
    audit_verification,
    seal_sensor,
)
from m2m_pipeline.orchestration.catalog import audit_trail, bulk_changes
from m2m_pipeline.orchestration.checks import check_job, promises
from m2m_pipeline.orchestration.daily import daily_job, daily_schedule, sum_up_the_day
from m2m_pipeline.orchestration.inbound import InboundQueue, intake_sensor
from m2m_pipeline.orchestration.jobs import bulk_carrier_rate_plan_change
from m2m_pipeline.orchestration.notices import notice_sensor, watch_sensor
from m2m_pipeline.orchestration.outputs import StepOutputs
from m2m_pipeline.orchestration.platform import Platform
from m2m_pipeline.orchestration.reconciliation import (
    inventory_from_the_carrier,
    reconcile,
    reconciliation,
    reconciliation_schedule,
)
from m2m_pipeline.orchestration.retention import retention
from m2m_pipeline.orchestration.sensors import dispatch_sensor
from m2m_pipeline.orchestration.sweeping import sweep_sensor
from m2m_pipeline.orchestration.upkeep import RECONCILIATION, regularly
from m2m_pipeline.settings import Settings, load_settings


def build_definitions(settings: Settings) -> dg.Definitions:
    """The code location: the change and its sensors, what is scheduled, what guards the audit log, and the catalog."""
    sensors = [
        dispatch_sensor(settings.dispatch_interval_seconds),
        sweep_sensor(settings.sweep_interval_seconds),
        notice_sensor(),
        seal_sensor(settings.audit_seal_seconds),
    ]
    schedules = [
        reconciliation_schedule(settings.reconcile_cron),
        regularly("check_regularly", check_job, settings.check_cron),
        daily_schedule(settings.daily_cron),
        regularly("verify_audit_log_regularly", audit_verification, settings.audit_verify_cron),
        regularly("purge_regularly", retention, settings.retention_cron),
    ]
    if settings.audit_digest_target:
        schedules.append(regularly("sign_audit_digests_regularly", audit_digest, settings.audit_digest_cron))
    # Of reconciliation a promise tells, for each provider.
    missed = {one.job_name: str(one.cron_schedule) for one in schedules if one.job_name != RECONCILIATION}
    sensors.append(watch_sensor(missed))
    if settings.sqs_queue_url:
        sensors.append(intake_sensor())
    return dg.Definitions(
        assets=[bulk_changes, audit_trail, inventory_from_the_carrier, reconcile, sum_up_the_day],
        asset_checks=[promises],
        jobs=[
            bulk_carrier_rate_plan_change,
            reconciliation,
            audit_digest,
            audit_verification,
            check_job,
            daily_job,
            retention,
        ],
        sensors=sensors,
        schedules=schedules,
        # A process for each step would cost seconds of loading for work of milliseconds.
        executor=dg.in_process_executor,
        resources={"platform": Platform(), "inbound": InboundQueue(), "io_manager": StepOutputs()},
    )


defs = build_definitions(load_settings())
