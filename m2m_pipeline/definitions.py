"""All that Dagster loads."""

import dagster as dg

from m2m_pipeline.orchestration.assets import bulk_changes
from m2m_pipeline.orchestration.jobs import bulk_carrier_rate_plan_change
from m2m_pipeline.orchestration.platform import Platform
from m2m_pipeline.orchestration.sensors import dispatch_sensor
from m2m_pipeline.settings import load_settings


def build_definitions(dispatch_interval_seconds: int) -> dg.Definitions:
    """The code location: one job, its sensor, and what it leaves in the catalog."""
    return dg.Definitions(
        assets=[bulk_changes],
        jobs=[bulk_carrier_rate_plan_change],
        sensors=[dispatch_sensor(dispatch_interval_seconds)],
        resources={"platform": Platform()},
    )


defs = build_definitions(load_settings().dispatch_interval_seconds)
