"""The end of a bulk change, as the catalog shows it: counts, reasons and timings, never a list of customers."""

import os
import time
from collections.abc import Mapping
from resource import RUSAGE_SELF, getrusage

import dagster as dg
import psutil

from m2m_pipeline.domain.status import DeviceStatus
from m2m_pipeline.logs import redacted
from m2m_pipeline.orchestration.catalog import audit_trail, bulk_change_partitions, bulk_changes
from m2m_pipeline.orchestration.plots import change_plot
from m2m_pipeline.orchestration.tables import table
from m2m_pipeline.services.links import Links
from m2m_pipeline.services.reporting import ReasonCount, ResultDocument
from m2m_pipeline.services.statistics import ChangeDetails

__all__ = ["audit_materialization", "bulk_change_partitions", "bulk_changes", "headline", "materialization"]

_ENDINGS = (
    DeviceStatus.PROCESSED,
    DeviceStatus.REFUSED,
    DeviceStatus.SKIPPED,
    DeviceStatus.UNCONFIRMED,
    DeviceStatus.AMOP_FAILED,
)


def materialization(
    document: ResultDocument, links: Links, details: ChangeDetails | None = None
) -> dg.AssetMaterialization:
    """The end of a bulk change; with its `details` where it ends in a run, whose worker is measured then."""
    return dg.AssetMaterialization(
        asset_key=bulk_changes.key,
        partition=str(document.id),
        description=headline(document),
        metadata={**metadata(document, links), **(_details(document, details) | _worker() if details else {})},
    )


def audit_materialization(document: ResultDocument, details: ChangeDetails) -> dg.AssetMaterialization:
    """The audit entries of a bulk change, counted."""
    return dg.AssetMaterialization(
        asset_key=audit_trail.key,
        partition=str(document.id),
        metadata={
            "entries": sum(entries for _, entries in details.audit_kinds),
            "entries by kind": table({"kind": "string", "entries": "int"}, details.audit_kinds),
        },
    )


def headline(document: ResultDocument) -> str:
    """`PARTIAL: 180 of 200 devices on "Plan B", 12 refused, 8 skipped`."""
    counts = document.counts
    done = f'{counts.get(DeviceStatus.PROCESSED, 0)} of {document.total} devices moved to "{document.rate_plan}"'
    rest = (DeviceStatus.REFUSED, DeviceStatus.SKIPPED, DeviceStatus.UNCONFIRMED, DeviceStatus.AMOP_FAILED)
    return ", ".join([f"{document.status}: {done}", *(f"{counts[s]} {s.lower()}" for s in rest if counts.get(s))])


def metadata(document: ResultDocument, links: Links) -> Mapping[str, dg.MetadataValue]:
    """Numbers are given one by one, so that Dagster plots them over the partitions; in its order: why, where, how."""
    timings = document.timings
    values: dict[str, dg.MetadataValue] = {
        "status": dg.MetadataValue.text(document.status.value),
        **({"reason": dg.MetadataValue.text(document.message)} if document.message else {}),
        "not changed, by reason": _reasons([*document.failures, *document.skipped]),
        **_whereabouts(document, links),
        "provider": dg.MetadataValue.text(document.provider),
        "rate plan": dg.MetadataValue.text(document.rate_plan),
        "requested by": dg.MetadataValue.text(document.requested_by),
        "devices": dg.MetadataValue.int(document.total),
        **{f"devices {one.lower()}": dg.MetadataValue.int(document.counts.get(one, 0)) for one in _ENDINGS},
        "carrier calls": dg.MetadataValue.int(document.carrier_calls),
    }
    if timings.queued_seconds is not None:
        values["seconds in the queue"] = dg.MetadataValue.float(timings.queued_seconds)
    if timings.processing_seconds:
        values["seconds of work"] = dg.MetadataValue.float(timings.processing_seconds)
        values["devices a second"] = dg.MetadataValue.float(round(document.total / timings.processing_seconds, 3))
        values["calls a second"] = dg.MetadataValue.float(round(document.carrier_calls / timings.processing_seconds, 3))
    return values


def _whereabouts(document: ResultDocument, links: Links) -> dict[str, dg.MetadataValue]:
    found = links.of_change(document.id)
    if links.public_url:
        return {name: dg.MetadataValue.url(address) for name, address in found.items()}
    return {"each device": dg.MetadataValue.md(f"`m2m result {document.id} --format csv` has a row for each.")}


def _details(document: ResultDocument, details: ChangeDetails) -> dict[str, dg.MetadataValue]:
    counts = {one.value: count for one in _ENDINGS if (count := document.counts.get(one))}
    columns = {"old plan": "string", "new plan": "string", "status": "string", "devices": "int"}
    at_the_limit = document.carrier_calls / details.calls_per_second
    work = document.timings.processing_seconds
    return {
        "seconds that the calls take at the account's rate": dg.MetadataValue.float(round(at_the_limit, 3)),
        "share of the account's rate used": dg.MetadataValue.float(round(at_the_limit / work, 3) if work else 0.0),
        "old plan to new plan": table(columns, details.plan_moves),
        "plot": change_plot(details.progress, counts),
    }


def _worker() -> dict[str, dg.MetadataValue]:
    """Peak memory and age of this process: the run's worker."""
    process = psutil.Process(os.getpid())
    with process.oneshot():
        used = process.cpu_times()
        return {
            "worker peak memory (MB)": dg.MetadataValue.float(round(getrusage(RUSAGE_SELF).ru_maxrss * 1024 / 1e6, 1)),
            "worker seconds": dg.MetadataValue.float(round(time.time() - process.create_time(), 1)),
            "worker CPU seconds": dg.MetadataValue.float(round(used.user + used.system, 1)),
        }


def _reasons(reasons: list[ReasonCount]) -> dg.TableMetadataValue:
    columns = {
        "devices": "int",
        "status": "string",
        "reason": "string",
        "carrier's answer": "string",
        "next step": "string",
    }
    rows = [(one.count, one.status.value, one.title, redacted(one.carrier_answer), one.next_step) for one in reasons]
    return table(columns, rows)
