"""Commands that make AMOP and the carrier agree: reconcile, drift."""

import csv
import json
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from m2m_pipeline.cli.options import AsJson, ProviderName, Tenant, application

if TYPE_CHECKING:
    from m2m_pipeline.services.drift.drifting import Found
    from m2m_pipeline.services.reconciliation import Reconciled

NOT_ALL_KNOWN = 1
"""Outcomes are still unknown, or the comparison did not come to its end."""


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(reconcile)
    app.command()(drift)


def reconcile(
    provider: ProviderName,
    full: Annotated[
        bool, typer.Option("--full", help="Compare the carrier's whole list, not only what was modified.")
    ] = False,
    as_json: AsJson = False,
    tenant: Tenant = "default",
) -> None:
    """Settle devices whose outcome is unknown, then look for drift. Nothing is sent.

    Exit status: 1 where some are still unknown though their day has come, or the comparison did not come to its end.
    """
    with application() as services:
        account = services.accounts.provider(tenant, provider)
        settled = services.reconciliation.settle(account)
        found = services.drifting.find(account, full=full)
    if as_json:
        print(json.dumps({**_settled(settled), "drift": _found(found)}))
    else:
        print("\n".join(_lines(settled, found)))
        for trouble in filter(None, (settled.denied, found.stopped, *found.repaired.problems)):
            print(trouble, file=sys.stderr)
    raise typer.Exit(NOT_ALL_KNOWN if settled.unknown or found.stopped else 0)


def drift(
    provider: ProviderName,
    output: Annotated[str, typer.Option("--format", help="`text`, or `csv` with one row a device.")] = "text",
    tenant: Tenant = "default",
) -> None:
    """Show on which devices AMOP and the carrier differ, as the last reconciliation found them."""
    from m2m_pipeline.domain.drift import CAUSES
    from m2m_pipeline.services.tables import unarmed
    from m2m_pipeline.storage.drift import DRIFT_COLUMNS

    if output not in {"text", "csv"}:
        raise typer.BadParameter("must be text or csv", param_hint="--format")
    with application() as services:
        account = services.accounts.provider(tenant, provider)
        if output == "csv":
            writer = csv.writer(sys.stdout, lineterminator="\n")
            writer.writerow(DRIFT_COLUMNS)
            writer.writerows([unarmed(cell) for cell in row] for row in services.drifting.rows(account))
            return
        counts = services.drifting.counts(account)
    for cause, count in counts.items():
        print(f"{count:>7}  {CAUSES[cause].title} ({cause}). {CAUSES[cause].next_step}")
    if not counts:
        print("AMOP and the carrier agree, as far as the last reconciliation saw.")


def _settled(done: "Reconciled") -> dict[str, object]:
    return {
        "provider": done.provider,
        "settled": done.settled,
        "unknown": done.unknown,
        "to_come": done.to_come,
        "denied": done.denied,
        "bulk_changes": [{"id": one.id, "status": one.status} for one in done.bulk_changes],
    }


def _found(found: "Found") -> dict[str, object]:
    told: dict[str, object] = {
        "devices": found.drifted,
        "by_cause": found.counts,
        "resolved": found.resolved,
        "followed": found.repaired.followed,
        "proposed": found.repaired.waiting,
        "problems": found.repaired.problems,
        "stopped": found.stopped,
    }
    if summary := found.summary:
        told |= {
            "full": summary.full,
            "listed": summary.listed,
            "checked": summary.checked,
            "unchecked": summary.unchecked,
            "carrier_calls": summary.carrier_calls,
        }
    return told


def _lines(settled: "Reconciled", found: "Found") -> list[str]:
    from m2m_pipeline.domain.drift import CAUSES

    to_come = f", {settled.to_come} for a day to come" if settled.to_come else ""
    lines = [f"{settled.settled} devices settled, {settled.unknown} still unknown{to_come}"]
    if summary := found.summary:
        kind = "whole list" if summary.full else "what was modified"
        lines.append(
            f"{found.drifted} devices have drifted ({kind}: {summary.listed} listed, {summary.checked} read alone, "
            f"{summary.unchecked} left for the next pass; {summary.carrier_calls} calls), {found.resolved} are over"
        )
    if found.repaired.followed:
        lines.append(f"AMOP has followed the carrier in {found.repaired.followed} devices")
    lines += [
        f"Bulk change {id_} back to AMOP's plan waits: `m2m process {id_}` sends it, `m2m withdraw {id_}` declines it"
        for id_ in found.repaired.waiting
    ]
    return lines + [f"{count:>7}  {CAUSES[cause].title}" for cause, count in found.counts.items()]
