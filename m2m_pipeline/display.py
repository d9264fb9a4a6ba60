"""What a person sees of a bulk change on a terminal."""

import time
from collections.abc import Callable

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from m2m_pipeline.domain.status import ENDED_BULK_CHANGES, DeviceStatus
from m2m_pipeline.services.reporting import ResultDocument

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
                completed=document.settled,
                counts=", ".join(f"{count} {status.lower()}" for status, count in sorted(document.counts.items())),
            )
            if document.status in ENDED_BULK_CHANGES:
                return document
            time.sleep(POLL_SECONDS)


def print_document(document: ResultDocument) -> None:
    """The result, grouped by reason."""
    console = Console(highlight=False, soft_wrap=True)
    shade = _SHADES.get(document.status, "cyan")
    console.print(
        f"Bulk change {document.id}: [bold {shade}]{document.status}[/]  {escape(document.provider)} → "
        f'"{escape(document.rate_plan)}"  ({document.total} rows, {document.carrier_calls} carrier calls)'
    )
    if document.message:
        console.print(f"  {escape(document.message)}")
    done = document.counts.get(DeviceStatus.PROCESSED, 0)
    if done:
        console.print(f"{done:7}  [green]PROCESSED[/]    changed at the carrier and in AMOP")
    for one in (*document.failures, *document.skipped):
        said = f" ({escape(one.carrier_answer)})" if one.carrier_answer else ""
        console.print(f"{one.count:7}  {one.status:12} {one.title}{said}, e.g. {escape(one.examples[0])}")
        console.print(f"{'':22}[dim]{escape(one.next_step)}[/]")
