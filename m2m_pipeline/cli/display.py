"""What a person sees of a bulk change on a terminal."""

import time
from collections.abc import Callable

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from m2m_pipeline.domain.status import ENDED_BULK_CHANGES, OPEN_DEVICES, DeviceStatus
from m2m_pipeline.services.reporting import ReasonCount, ResultDocument

POLL_SECONDS = 0.5
_SHADES = {"PROCESSED": "green", "PARTIAL": "yellow", "FAILED": "red", "REJECTED": "red"}


def progress_line(document: ResultDocument) -> str:
    """`Bulk change 7: PROCESSING, 120 of 200 settled (PROCESSED 118, REFUSED 2, PENDING 80)`."""
    counts = ", ".join(f"{status} {document.counts[status]}" for status in DeviceStatus if document.counts.get(status))
    return f"Bulk change {document.id}: {document.status}, {document.settled} of {document.total} settled ({counts})"


def follow(read: Callable[[], ResultDocument], *, quiet: bool) -> ResultDocument:
    """Draw a progress bar until the bulk change has ended; its last document. `quiet` draws nothing."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=40),
        MofNCompleteColumn(),
        TextColumn("devices"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[counts]}"),
    )
    with Progress(*columns, console=Console(stderr=True), disable=quiet) as progress:
        bar = progress.add_task("QUEUED", total=None, counts="")
        while True:
            document = read()
            progress.update(
                bar,
                description=document.status,
                total=document.total,
                completed=document.total - sum(document.counts.get(status, 0) for status in OPEN_DEVICES),
                counts=", ".join(f"{count} {status.lower()}" for status, count in sorted(document.counts.items())),
            )
            if document.status in ENDED_BULK_CHANGES:
                return document
            time.sleep(POLL_SECONDS)


def print_document(document: ResultDocument) -> None:
    """The result, grouped by reason."""
    console = Console(highlight=False)
    shade = _SHADES.get(document.status, "cyan")
    console.print(
        f"Bulk change {document.id}: [bold {shade}]{document.status}[/]  "
        f'{document.provider} → "{document.rate_plan}"  ({document.total} rows, {document.carrier_calls} carrier calls)'
    )
    if document.message:
        console.print(f"  {document.message}", markup=False)
    table = Table(box=None, pad_edge=False)
    for heading in ("devices", "status", "reason", "e.g.", "next step"):
        table.add_column(heading, justify="right" if heading == "devices" else "left")
    done = document.counts.get(DeviceStatus.PROCESSED, 0)
    if done:
        table.add_row(str(done), DeviceStatus.PROCESSED, "changed at the carrier and in AMOP", "", "")
    for one in (*document.failures, *document.skipped):
        table.add_row(str(one.count), one.status, _reason(one), one.examples[0] if one.examples else "", one.next_step)
    console.print(table)


def _reason(one: ReasonCount) -> str:
    return f"{one.title} ({one.carrier_code})" if one.carrier_code else one.title
