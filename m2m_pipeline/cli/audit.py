"""Commands about the audit log as evidence: audit verify, digest, export, key."""

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from m2m_pipeline.cli.options import AsJson, Tenant, application

if TYPE_CHECKING:
    from m2m_pipeline.services.audit.digests import Digested
    from m2m_pipeline.services.audit.verifying import Verified

_DATES = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]
FAULT = 1
"""Something is wrong with the log or its digests."""


def register(app: typer.Typer) -> None:
    """Add the commands."""
    audit = typer.Typer(help="The audit log as evidence.", no_args_is_help=True)
    audit.command()(verify)
    audit.command()(digest)
    audit.command()(export)
    audit.command()(key)
    app.add_typer(audit, name="audit")


def verify(
    tenant: Annotated[str | None, typer.Option(help="The company; without it, all of them.")] = None,
    as_json: AsJson = False,
) -> None:
    """Check the whole log against its chain, and the chain against the signed digests. Exit status 1: a fault."""
    with application() as services:
        found = []
        for one in services.auditing.verify(tenant):
            found.append(one)
            if not as_json:
                _print_verified(one)
    if as_json:
        print(json.dumps([{**asdict(one), "holds": one.holds} for one in found]))
    raise typer.Exit(0 if all(one.holds for one in found) else FAULT)


def digest(as_json: AsJson = False) -> None:
    """Sign what the log holds, and keep that outside the database. Exit status 1: a fault, so that was not signed."""
    with application() as services:
        found = []
        for one in services.auditing.digest():
            found.append(one)
            if not as_json:
                _print_digested(one)
    if as_json:
        print(json.dumps([_digested(one) for one in found]))
    elif not found:
        print("Nothing has come since the last digests.")
    raise typer.Exit(FAULT if any(one.fault for one in found) else 0)


def export(
    begin: Annotated[datetime, typer.Option("--from", formats=_DATES, help="The first moment, UTC.")],
    end: Annotated[datetime, typer.Option("--to", formats=_DATES, help="The first moment that is left out, UTC.")],
    tenant: Tenant = "default",
    format_: Annotated[str, typer.Option("--format", help="csv or jsonl.")] = "jsonl",
    output: Annotated[Path | None, typer.Option(help="A new folder.")] = None,
    as_json: AsJson = False,
) -> None:
    """Write the entries of a period, the digests over them, and a program that checks both, into a new folder."""
    from m2m_pipeline.services.audit.export import ExportFormat, Period

    kind, period = ExportFormat(format_), Period(begin.replace(tzinfo=UTC), end.replace(tzinfo=UTC))
    folder = output or Path(f"audit-{tenant}-{begin:%Y%m%d}-{end:%Y%m%d}")
    if folder.exists():
        raise ValueError(f"{folder} exists. Nothing was written. Name another folder with --output.")
    with application() as services:
        done = services.auditing.export(tenant, period, kind, folder)
    if as_json:
        print(json.dumps(asdict(done)))
    else:
        proof = f"signed to {done.signed}, in {done.digests} digests" if done.digests else "nothing of it is signed"
        print(f"{done.folder}: {done.tenant}, numbers {done.first} to {done.last}; {proof}.")
        print(f"To check it: python {done.folder}/check_export.py {done.folder}")


def key() -> None:
    """Print a new pair of keys: one signs digests, the other is for whoever checks them."""
    from m2m_pipeline.services.audit.signing import generate

    secret, public = generate()
    print(f"M2M_AUDIT_SIGNING_KEY={secret}")
    print(f"# for auditors, and for M2M_AUDIT_PUBLIC_KEYS once another key signs: {public}")


def _print_verified(one: "Verified") -> None:
    print(f"{one.tenant}: {_proven(one)}; {_signed(one)}; {one.unsealed} not sealed yet.")
    if one.fault:
        print(f"  FAULT. {one.fault}")


def _proven(one: "Verified") -> str:
    return f"the chain proves 1 to {one.proven}" if one.proven else "the chain proves nothing"


def _signed(one: "Verified") -> str:
    return f"1 to {one.signed} were signed {one.signed_at}" if one.signed else "nothing is signed"


def _print_digested(one: "Digested") -> None:
    if one.digest:
        print(f"{one.tenant}: signed {one.digest.first} to {one.digest.last} ({one.digest.name}).")
    if one.fault:
        print(f"{one.tenant}: not signed. FAULT. {one.fault}")


def _digested(one: "Digested") -> dict[str, object]:
    digest = one.digest
    return {
        "tenant": one.tenant,
        "digest": digest.name if digest else None,
        "first": digest.first if digest else None,
        "last": digest.last if digest else None,
        "fault": asdict(one.fault) if one.fault else None,
    }
