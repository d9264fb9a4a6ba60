"""Commands about bulk changes: submit, process, withdraw, retry, status, result."""

import csv
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from m2m_pipeline.cli.options import AsJson, Tenant, actor, application

if TYPE_CHECKING:
    from collections.abc import Mapping

    from m2m_pipeline.bootstrap import Application
    from m2m_pipeline.domain.request import BulkChangeRequest
    from m2m_pipeline.services.reporting import ResultDocument

NOT_ALL_DONE = 1
"""The bulk change ended as FAILED, PARTIAL or REJECTED."""


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(submit)
    app.command()(process)
    app.command()(withdraw)
    app.command()(retry)
    app.command()(status)
    app.command()(result)


def submit(
    file: Annotated[Path, typer.Argument(help="CSV with a column `iccid`, or the request as JSON (.json).")],
    provider: Annotated[str | None, typer.Option(help="The service provider's name.")] = None,
    rate_plan: Annotated[str | None, typer.Option(help="The carrier rate plan to move to.")] = None,
    communication_plan: Annotated[str | None, typer.Option(help="The communication plan to move to.")] = None,
    effective_date: Annotated[
        str | None, typer.Option(help="From which day, e.g. 2026-12-01; now if left out.")
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(help="Devices a batch; chosen by the account's speed if left out.")
    ] = None,
    priority: Annotated[int, typer.Option(help="Higher goes first; above 0 it takes more of the account's turns.")] = 0,
    idempotency_key: Annotated[str | None, typer.Option(help="The same key never makes a second bulk change.")] = None,
    invalid_rows: Annotated[str, typer.Option(help="What faulty rows do: `reject` the request, or `skip`.")] = "reject",
    process_changes: Annotated[
        bool, typer.Option("--process/--no-process", help="Queue it, or only record it.")
    ] = True,
    wait: Annotated[bool, typer.Option(help="Follow it to its end.")] = False,
    as_json: AsJson = False,
    tenant: Tenant = "default",
) -> None:
    """Validate, record and queue a bulk change; prints its id.

    Exit status: 2 when rejected, 1 when it ends otherwise than PROCESSED.
    """
    given = {
        "provider": provider,
        "rate_plan": rate_plan,
        "communication_plan": communication_plan,
        "effective_date": effective_date,
        "batch_size": batch_size,
        "priority": priority or None,
        "idempotency_key": idempotency_key,
        "invalid_rows": None if invalid_rows == "reject" else invalid_rows,
        "process_changes": None if process_changes else False,
    }
    request = _request(file, {name: value for name, value in given.items() if value is not None})
    with application() as services:
        recorded = services.submission.submit(tenant, request, actor())
        if wait and request.process_changes:
            document = _follow(services, tenant, recorded.bulk_change_id, quiet=as_json)
            _print_document(document, as_json=as_json)
            raise typer.Exit(0 if document.status == "PROCESSED" else NOT_ALL_DONE)
    if as_json:
        print(json.dumps({"id": recorded.bulk_change_id, "status": recorded.status, "replayed": recorded.replayed}))
    else:
        print(recorded.bulk_change_id)


def process(bulk_change_id: int, as_json: AsJson = False, tenant: Tenant = "default") -> None:
    """Queue a bulk change that was only recorded (NEW)."""
    with application() as services:
        recorded = services.submission.process(tenant, bulk_change_id, actor())
    print(json.dumps({"id": recorded.bulk_change_id, "status": recorded.status}) if as_json else recorded.status)


def withdraw(bulk_change_id: int, as_json: AsJson = False, tenant: Tenant = "default") -> None:
    """End a bulk change that was only recorded (NEW): nothing is sent, and its devices are free."""
    with application() as services:
        document = services.withdrawing.withdraw(tenant, bulk_change_id, actor())
    print(json.dumps({"id": document.id, "status": document.status}) if as_json else document.status)


def retry(bulk_change_id: int, as_json: AsJson = False, tenant: Tenant = "default") -> None:
    """Queue the refused devices of a PARTIAL or FAILED bulk change again; how they ended stays in the audit log."""
    with application() as services:
        retried = services.retrying.retry(tenant, bulk_change_id, actor())
    if as_json:
        told = {"id": retried.bulk_change_id, "status": retried.status}
        print(json.dumps({**told, "pending": retried.pending, "held": retried.held}))
    else:
        held = f"; {retried.held} stay refused: another bulk change has them" if retried.held else ""
        print(f"{retried.status}: {retried.pending} devices are tried again{held}")


def status(bulk_change_id: int, as_json: AsJson = False, tenant: Tenant = "default") -> None:
    """Show how far a bulk change is, and what slows it down."""
    from m2m_pipeline.cli.standing import slowdown
    from m2m_pipeline.display import progress_line

    with application() as services:
        document = services.reporting.document(tenant, bulk_change_id)
        running = document.status == "PROCESSING"
        provider = services.accounts.provider(tenant, document.provider) if running else None
        standing = services.standings.of(provider) if provider else None
        rest = services.queue.rests_for(bulk_change_id)
        earlier = services.queue.waits_for(bulk_change_id) if document.status == "QUEUED" else None
    if as_json:
        chosen = {"id", "status", "total", "counts", "attempt", "carrier_calls", "timings"}
        told = document.model_dump(mode="json", include=chosen)
        account = standing.model_dump(mode="json") if standing else None
        print(json.dumps({**told, "account": account, "waits_for": earlier, "rests_for": rest}))
        return
    print(progress_line(document))
    if earlier:
        print(f"It waits for bulk change {earlier}: they share devices.")
    if rest:
        print(f"Its last attempts came to nothing: the next one begins in {rest:.0f} s.")
    if standing and (why := slowdown(standing)):
        print(why)


def result(
    bulk_change_id: int,
    output: Annotated[str, typer.Option("--format", help="`text`, `json`, or `csv` with one row a device.")] = "text",
    tenant: Tenant = "default",
) -> None:
    """Print the result document, or one row a device."""
    from m2m_pipeline.services.reporting import RESULT_COLUMNS
    from m2m_pipeline.services.tables import unarmed

    if output not in {"text", "json", "csv"}:
        raise typer.BadParameter("must be text, json or csv", param_hint="--format")
    with application() as services:
        if output == "csv":
            writer = csv.writer(sys.stdout, lineterminator="\n")
            writer.writerow(RESULT_COLUMNS)
            writer.writerows(map(unarmed, row) for row in services.reporting.rows(tenant, bulk_change_id))
        else:
            _print_document(services.reporting.document(tenant, bulk_change_id), as_json=output == "json")


def _request(file: Path, given: "Mapping[str, object]") -> "BulkChangeRequest":
    """The request in a JSON file, or for the devices in a CSV file; what is `given` beside it holds."""
    from m2m_pipeline.domain.request import parse_request
    from m2m_pipeline.services.tables import parse_devices, read_bytes, read_request

    if file.suffix.lower() == ".json":
        return parse_request({**read_request(file), **given})
    devices, faults = parse_devices(file.name, read_bytes(file))
    return parse_request({"devices": devices, **given}, faults)


def _follow(services: "Application", tenant: str, bulk_change_id: int, *, quiet: bool) -> "ResultDocument":
    from m2m_pipeline.display import follow

    return follow(lambda: services.reporting.document(tenant, bulk_change_id), quiet=quiet)


def _print_document(document: "ResultDocument", *, as_json: bool) -> None:
    from m2m_pipeline.display import print_document

    if as_json:
        print(document.model_dump_json())
    else:
        print_document(document)
