"""What the Dagster catalog shows: one partition for each bulk change, materialized when it ends."""

from collections.abc import Mapping

import dagster as dg

from m2m_pipeline.domain.status import DeviceStatus
from m2m_pipeline.services.reporting import ReasonCount, ResultDocument

MOST_TABLE_ROWS = 100
"""Dagster draws every row of a metadata table."""

bulk_change_partitions = dg.DynamicPartitionsDefinition(name="bulk_change")

bulk_changes = dg.AssetSpec(
    "bulk_changes",
    description=(
        "Bulk carrier rate plan changes: one partition for each, materialized when it ends. "
        "The rows in PostgreSQL are the truth; this is what they said at that moment."
    ),
    partitions_def=bulk_change_partitions,
    kinds={"postgres"},
    group_name="rate_plan_changes",
)


def materialization(document: ResultDocument) -> dg.AssetMaterialization:
    """The end of a bulk change, for the catalog: counts, reasons and timings, never a list of customers."""
    return dg.AssetMaterialization(
        asset_key=bulk_changes.key,
        partition=str(document.id),
        description=headline(document),
        metadata=metadata(document),
    )


def headline(document: ResultDocument) -> str:
    """`PARTIAL: 180 of 200 devices on "Plan B", 12 refused, 8 skipped`."""
    counts = document.counts
    done = f'{counts.get(DeviceStatus.PROCESSED, 0)} of {document.total} devices moved to "{document.rate_plan}"'
    rest = (DeviceStatus.REFUSED, DeviceStatus.SKIPPED, DeviceStatus.UNCONFIRMED, DeviceStatus.AMOP_FAILED)
    return ", ".join([f"{document.status}: {done}", *(f"{counts[s]} {s.lower()}" for s in rest if counts.get(s))])


def metadata(document: ResultDocument) -> Mapping[str, dg.MetadataValue]:
    """Numbers are given one by one, so that Dagster plots them over the partitions."""
    timings = document.timings
    values: dict[str, dg.MetadataValue] = {
        "status": dg.MetadataValue.text(document.status.value),
        "provider": dg.MetadataValue.text(document.provider),
        "rate plan": dg.MetadataValue.text(document.rate_plan),
        "requested by": dg.MetadataValue.text(document.requested_by),
        "devices": dg.MetadataValue.int(document.total),
        **{
            f"devices {status.lower()}": dg.MetadataValue.int(document.counts.get(status, 0))
            for status in (
                DeviceStatus.PROCESSED,
                DeviceStatus.REFUSED,
                DeviceStatus.SKIPPED,
                DeviceStatus.UNCONFIRMED,
                DeviceStatus.AMOP_FAILED,
            )
        },
        "carrier calls": dg.MetadataValue.int(document.carrier_calls),
        "not changed, by reason": _reasons_table([*document.failures, *document.skipped]),
    }
    if document.message:
        values["reason"] = dg.MetadataValue.text(document.message)
    if timings.queued_seconds is not None:
        values["seconds in the queue"] = dg.MetadataValue.float(timings.queued_seconds)
    if timings.processing_seconds is not None:
        values["seconds of work"] = dg.MetadataValue.float(timings.processing_seconds)
    return values


def _reasons_table(reasons: list[ReasonCount]) -> dg.TableMetadataValue:
    return dg.MetadataValue.table(
        records=[
            dg.TableRecord(
                {
                    "devices": one.count,
                    "status": one.status.value,
                    "reason": one.title,
                    "carrier code": one.carrier_code or "",
                    "next step": one.next_step,
                }
            )
            for one in reasons[:MOST_TABLE_ROWS]
        ],
        schema=dg.TableSchema(
            columns=[
                dg.TableColumn("devices", "int"),
                dg.TableColumn("status", "string"),
                dg.TableColumn("reason", "string"),
                dg.TableColumn("carrier code", "string"),
                dg.TableColumn("next step", "string"),
            ]
        ),
    )
