"""The end of a bulk change, as the catalog shows it: counts, reasons and timings, never a list of customers."""

from collections.abc import Mapping

import dagster as dg

from m2m_pipeline.domain.status import DeviceStatus
from m2m_pipeline.logs import redacted
from m2m_pipeline.orchestration.catalog import audit_trail, bulk_change_partitions, bulk_changes
from m2m_pipeline.orchestration.plots import change_plot
from m2m_pipeline.orchestration.tables import table
from m2m_pipeline.orchestration.worker import worker
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


def materialization(document: ResultDocument, links: Links, details: ChangeDetails) -> dg.AssetMaterialization:
    """The end of a bulk change."""
    return dg.AssetMaterialization(
        asset_key=bulk_changes.key,
        partition=str(document.id),
        description=headline(document),
        metadata={**_summary(document, links), **_times(document, details), **_details(document, details), **worker()},
    )


def audit_materialization(document: ResultDocument, details: ChangeDetails) -> dg.AssetMaterialization:
    """The audit entries of a bulk change, counted."""
    return dg.AssetMaterialization(
        asset_key=audit_trail.key,
        partition=str(document.id),
        metadata={
            "entries": sum(entries for _, entries in details.audit_kinds),
            "entries by kind": table({"kind": "string", "entries": "int"}, details.audit_kinds),
            **worker(),
        },
    )


def headline(document: ResultDocument) -> str:
    """`PARTIAL: 180 of 200 devices on "Plan B", 12 refused, 8 skipped`."""
    counts = document.counts
    done = f'{counts.get(DeviceStatus.PROCESSED, 0)} of {document.total} devices moved to "{document.rate_plan}"'
    rest = (DeviceStatus.REFUSED, DeviceStatus.SKIPPED, DeviceStatus.UNCONFIRMED, DeviceStatus.AMOP_FAILED)
    return ", ".join([f"{document.status}: {done}", *(f"{counts[s]} {s.lower()}" for s in rest if counts.get(s))])


def _summary(document: ResultDocument, links: Links) -> Mapping[str, dg.MetadataValue]:
    """Numbers are given one by one, so that Dagster plots them over the partitions; in its order: why, where, how."""
    return {
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


def _times(document: ResultDocument, details: ChangeDetails) -> Mapping[str, dg.MetadataValue]:
    """Queue and start-up of the last attempt; the work, and the calls in it, of all attempts and of settling."""
    timings, calls = document.timings, document.carrier_calls
    work, at_the_rate = timings.work_seconds, calls / details.calls_per_second
    seconds = {
        "seconds in the queue": timings.queued_seconds,
        "seconds before the first device was sent": details.start_up_seconds,
        "seconds of work": work,
        "seconds that the calls take at the account's rate": at_the_rate,
        "seconds of work beyond that": max(0.0, work - at_the_rate),
    }
    rates = (
        {
            "devices a second": document.total / work,
            "calls a second": calls / work,
            "share of the account's rate used": at_the_rate / work,
        }
        if work
        else {}
    )
    shown = (seconds | rates).items()
    return {name: dg.MetadataValue.float(round(value, 3)) for name, value in shown if value is not None}


def _whereabouts(document: ResultDocument, links: Links) -> dict[str, dg.MetadataValue]:
    found = links.of_change(document.id)
    if links.public_url:
        return {name: dg.MetadataValue.url(address) for name, address in found.items()}
    return {"each device": dg.MetadataValue.md(f"`m2m result {document.id} --format csv` has a row for each.")}


def _details(document: ResultDocument, details: ChangeDetails) -> dict[str, dg.MetadataValue]:
    counts = {one.value: count for one in _ENDINGS if (count := document.counts.get(one))}
    columns = {"old plan": "string", "new plan": "string", "status": "string", "devices": "int"}
    return {
        "old plan to new plan": table(columns, details.plan_moves),
        "plot": change_plot(details.progress, counts),
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
