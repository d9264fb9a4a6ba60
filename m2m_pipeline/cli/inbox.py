"""The command about messages: inbox."""

import json
from typing import TYPE_CHECKING, Annotated

import typer

from m2m_pipeline.cli.options import AsJson, Tenant, application

if TYPE_CHECKING:
    from m2m_pipeline.domain.inbox import Received

REJECTED = 1
"""The message that was asked about did not become a bulk change."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(inbox)


def inbox(
    reference: Annotated[str | None, typer.Argument(help="A message's id or idempotency key.")] = None,
    as_json: AsJson = False,
    tenant: Tenant = "default",
) -> None:
    """Show what became of a message, with every reason where it was rejected; without a reference, the last twenty.

    Exit status: 1 where the message (of several with one key, the last) was rejected.
    """
    with application() as services:
        found = services.inbox.look_up(tenant, reference) if reference else services.inbox.latest(tenant)
    if as_json:
        print(json.dumps([_as_dict(one) for one in found]))
    else:
        for one in found:
            _print(one, with_reasons=reference is not None)
    raise typer.Exit(REJECTED if reference and found[0].problems else 0)


def _as_dict(one: "Received") -> dict[str, object]:
    return {
        "message_id": one.message_id,
        "idempotency_key": one.idempotency_key,
        "sender": one.sender,
        "received_at": one.received_at.isoformat(),
        "status": one.status,
        "bulk_change_id": one.bulk_change_id,
        "problems": [problem.as_dict() for problem in one.problems],
    }


def _print(one: "Received", *, with_reasons: bool) -> None:
    from m2m_pipeline.cli.errors import reasons

    outcome = reasons(one.problems) if one.problems else f"bulk change {one.bulk_change_id}"
    print(f"{one.received_at:%Y-%m-%d %H:%M:%S}Z  {one.message_id}  {one.status}  {outcome}")
    for problem in one.problems if with_reasons else ():
        print(f"  {problem}")
