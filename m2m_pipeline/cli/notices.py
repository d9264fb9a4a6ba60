"""Commands about notices: webhook, notices."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from m2m_pipeline.cli.options import AsJson, Tenant, actor, application

if TYPE_CHECKING:
    from m2m_pipeline.domain.notices import DestinationKind

NOT_DELIVERED = 1

Operators = Annotated[bool, typer.Option("--operators", help="The platform's alerts, in place of a tenant's notices.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    webhook = typer.Typer(help="Where notices go: webhooks, SQS queues, mailboxes.", no_args_is_help=True)
    webhook.command("set")(set_destination)
    webhook.command("list")(list_destinations)
    webhook.command("remove")(remove_destination)
    webhook.command("test")(try_destination)
    webhook.command("retire-secret")(retire_secret)
    notices = typer.Typer(help="The notices, and how far each is.", invoke_without_command=True)
    notices.callback()(list_notices)
    notices.command("retry")(retry_notice)
    app.add_typer(webhook, name="webhook")
    app.add_typer(notices, name="notices")


def set_destination(
    url: Annotated[str | None, typer.Option(help="Of a webhook: https://…")] = None,
    sqs_queue: Annotated[str | None, typer.Option(help="The address of an SQS queue.")] = None,
    email: Annotated[str | None, typer.Option(help="A mailbox.")] = None,
    secret_file: Annotated[
        Path | None,
        typer.Option(help="File with the secret; `-` reads standard input. Otherwise one is made."),
    ] = None,
    operators: Operators = False,
    tenant: Tenant = "default",
) -> None:
    """Add a destination; for a webhook that is there already, add a new secret: the one before signs too."""
    kind, address = _address(url, sqs_queue, email)
    secret = _read_secret(secret_file) if secret_file else None
    with application() as services:
        stored = services.destinations.store(None if operators else tenant, kind, address, secret, actor())
    print(f"destination {stored.destination.id}: {kind.lower()} {address}")
    if stored.secret:
        print(f"secret, shown this once: {stored.secret}")


def list_destinations(as_json: AsJson = False, operators: Operators = False, tenant: Tenant = "default") -> None:
    """List the destinations; never a secret."""
    with application() as services:
        found = services.destinations.list_all(None if operators else tenant)
    if as_json:
        listed = [{"id": d.id, "kind": d.kind, "address": d.address, "secrets": len(d.sealed)} for d in found]
        print(json.dumps(listed))
        return
    for one in found:
        secrets = f"  {len(one.sealed)} secret(s)" if one.sealed else ""
        print(f"{one.id}  {one.kind.lower()}  {one.address}{secrets}")


def remove_destination(destination: int, operators: Operators = False, tenant: Tenant = "default") -> None:
    """Remove a destination by its number; what waits for it is given up."""
    with application() as services:
        services.destinations.remove(None if operators else tenant, destination, actor())


def retire_secret(destination: int, operators: Operators = False, tenant: Tenant = "default") -> None:
    """Sign with a webhook's newest secret only."""
    with application() as services:
        services.destinations.retire_previous_secret(None if operators else tenant, destination, actor())


def try_destination(destination: int, operators: Operators = False, tenant: Tenant = "default") -> None:
    """Send a test event to a destination now. Exit status: 1 where it was not confirmed."""
    with application() as services:
        failed = services.outbox.try_out(None if operators else tenant, destination)
    print(failed.why if failed else "Delivered.")
    raise typer.Exit(NOT_DELIVERED if failed else 0)


def list_notices(
    context: typer.Context,
    status: Annotated[str | None, typer.Option(help="PENDING, DELIVERED or DEAD.")] = None,
    as_json: AsJson = False,
    operators: Operators = False,
    tenant: Tenant = "default",
) -> None:
    """Show the last fifty notices, the latest first, and how far each is."""
    from m2m_pipeline.domain.notices import NoticeStatus

    if context.invoked_subcommand is not None:
        return
    if status is not None and status not in set(NoticeStatus):
        raise typer.BadParameter(f"must be one of {', '.join(NoticeStatus)}", param_hint="--status")
    with application() as services:
        found = services.outbox.latest(None if operators else tenant, NoticeStatus(status) if status else None)
    if as_json:
        shown = [
            {
                "id": one.id,
                "event_id": one.event.id,
                "type": one.event.type,
                "bulk_change_id": one.bulk_change_id,
                "destination": one.destination.id,
                "status": one.status,
                "attempts": one.attempts,
                "created_at": one.created_at.isoformat(),
                "next_attempt_at": one.next_attempt_at.isoformat() if one.ended_at is None else None,
                "last_failure": one.last_failure,
            }
            for one in found
        ]
        print(json.dumps(shown))
        return
    for one in found:
        about = f" of bulk change {one.bulk_change_id}" if one.bulk_change_id else ""
        print(
            f"{one.id}  {one.created_at:%Y-%m-%d %H:%M:%S}Z  {one.status}  {one.event.type}{about} to destination "
            f"{one.destination.id}, {one.attempts} attempts  {one.last_failure or ''}".rstrip()
        )


def retry_notice(notice: int, operators: Operators = False, tenant: Tenant = "default") -> None:
    """Drive a notice again that was given up."""
    with application() as services:
        services.outbox.retry(None if operators else tenant, notice)
    print(f"notice {notice} is due now")


def _address(url: str | None, sqs_queue: str | None, email: str | None) -> "tuple[DestinationKind, str]":
    from m2m_pipeline.domain.notices import DestinationKind

    given = [
        (kind, address)
        for kind, address in (
            (DestinationKind.WEBHOOK, url),
            (DestinationKind.SQS, sqs_queue),
            (DestinationKind.EMAIL, email),
        )
        if address
    ]
    if len(given) != 1:
        raise typer.BadParameter("give exactly one of --url, --sqs-queue and --email")
    return given[0]


def _read_secret(file: Path) -> str:
    return (sys.stdin.read() if str(file) == "-" else file.read_text()).strip()
