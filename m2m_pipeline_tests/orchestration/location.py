"""The code location as Dagster loads it, and what a person or the daemon does with it."""

from base64 import b64decode
from collections.abc import Mapping
from xml.etree import ElementTree as ET

import dagster as dg

from m2m_pipeline.orchestration.catalog import inventory, provider_partitions
from m2m_pipeline.orchestration.jobs import bulk_carrier_rate_plan_change
from m2m_pipeline.orchestration.platform import Platform
from m2m_pipeline.settings import load_settings
from m2m_pipeline_tests.world import PROVIDER, TENANT

KEY = f"{TENANT}/{PROVIDER}"
"""The partition of the world's provider."""


def build() -> dg.Definitions:
    """What Dagster loads, in the environment of the world."""
    from m2m_pipeline.definitions import build_definitions  # noqa: PLC0415 - reads the environment

    return build_definitions(load_settings())


def metadata(instance: dg.DagsterInstance, spec: dg.AssetSpec) -> Mapping[str, object]:
    event = instance.get_latest_materialization_event(spec.key)
    assert event is not None
    assert event.asset_materialization is not None
    return {name: value.value for name, value in event.asset_materialization.metadata.items()}


def words_of(plot: str) -> set[str]:
    """What is written in a plot that is Markdown with an SVG as data."""
    drawn = ET.fromstring(b64decode(plot.partition("data:image/svg+xml;base64,")[2].rstrip(")")))  # noqa: S314 - our own
    return {text for element in drawn.iter() if (text := element.text)}


def run_change(bulk_change_id: int, platform: Platform, instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    return bulk_carrier_rate_plan_change.execute_in_process(
        run_config={"ops": {"validate_request": {"config": {"bulk_change_id": bulk_change_id}}}},
        resources={"platform": platform},
        instance=instance,
    )


def run_job(
    definitions: dg.Definitions,
    name: str,
    instance: dg.DagsterInstance,
    key: str | None = None,
    *,
    raise_on_error: bool = True,
) -> dg.ExecuteInProcessResult:
    if key and key == KEY:
        instance.add_dynamic_partitions(str(provider_partitions.name), [key])
    job = definitions.resolve_job_def(name)
    return job.execute_in_process(instance=instance, partition_key=key, raise_on_error=raise_on_error)


def load_inventory(definitions: dg.Definitions, instance: dg.DagsterInstance) -> None:
    """Materialize the inventory of the world's provider, as a person does it in the catalog."""
    assets = [one for one in definitions.assets or [] if isinstance(one, dg.AssetsDefinition)]
    (loading,) = [one for one in assets if inventory.key in one.keys]
    instance.add_dynamic_partitions(str(provider_partitions.name), [KEY])
    dg.materialize([loading], instance=instance, resources={"platform": Platform()}, partition_key=KEY)


def tick(sensor: dg.SensorDefinition, platform: Platform, instance: dg.DagsterInstance) -> str:
    """What one look of a sensor says, which never asks for a run."""
    with dg.build_sensor_context(instance=instance, resources={"platform": platform}) as context:
        data = sensor.evaluate_tick(context)
    assert not data.run_requests
    return str(data.skip_message)
