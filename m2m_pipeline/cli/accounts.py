"""Commands about carrier accounts: provider, plans, devices."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from m2m_pipeline.cli.options import AsJson, ProviderName, Tenant, actor, application


def register(app: typer.Typer) -> None:
    """Add the commands."""
    provider = typer.Typer(help="Carrier accounts.", no_args_is_help=True)
    provider.command("set")(set_provider)
    provider.command("list")(list_providers)
    plans = typer.Typer(help="Rate plans and communication plans of a provider.", no_args_is_help=True)
    plans.command("import")(import_plans)
    devices = typer.Typer(help="AMOP's inventory.", no_args_is_help=True)
    devices.command("import")(import_devices)
    devices.command("sync")(sync_devices)
    app.add_typer(provider, name="provider")
    app.add_typer(plans, name="plans")
    app.add_typer(devices, name="devices")


def set_provider(
    name: str,
    integration: Annotated[
        str | None, typer.Option(help="Integration type, e.g. POD19, Jasper, TMobileJasper, Rogers.")
    ] = None,
    base_url: Annotated[str | None, typer.Option(help="The carrier's host, e.g. https://restapi19.att.com.")] = None,
    username: Annotated[str | None, typer.Option(help="The API user.")] = None,
    api_key_file: Annotated[Path | None, typer.Option(help="File with the API key; `-` reads standard input.")] = None,
    api_key_ref: Annotated[
        str | None,
        typer.Option(help="Where the API key is in AWS Secrets Manager, instead: `aws-sm:NAME-OR-ARN[#JSON-KEY]`."),
    ] = None,
    calls_per_second: Annotated[
        float | None, typer.Option(min=0.01, max=10_000, help="What the account allows.")
    ] = None,
    in_flight: Annotated[
        int | None, typer.Option(min=1, max=1_000, help="Calls that the account allows at once.")
    ] = None,
    verify: Annotated[
        str | None, typer.Option(help="Confirm changes by list `pages`, `each` device, or `none`.")
    ] = None,
    drift: Annotated[
        str | None,
        typer.Option(help="When the carrier shows another plan: `report`, `follow` it, or `propose` a way back."),
    ] = None,
    writes: Annotated[bool | None, typer.Option("--writes/--no-writes", help="May changes be sent?")] = None,
    tenant: Tenant = "default",
) -> None:
    """Add a carrier account, or change what is named. The key is never given on the command line."""
    from m2m_pipeline.carriers.registry import canonical_integration, checked_base_url
    from m2m_pipeline.domain.accounts import DriftPolicy, VerifyMode
    from m2m_pipeline.domain.secrets import SecretReference
    from m2m_pipeline.services.accounts import ProviderSettings

    if verify is not None and verify not in set(VerifyMode):
        raise typer.BadParameter(f"must be one of {', '.join(VerifyMode)}", param_hint="--verify")
    if drift is not None and drift not in set(DriftPolicy):
        raise typer.BadParameter(f"must be one of {', '.join(DriftPolicy)}", param_hint="--drift")
    if api_key_file and api_key_ref:
        raise typer.BadParameter("not together with --api-key-file", param_hint="--api-key-ref")
    settings = ProviderSettings(
        integration_type=canonical_integration(integration) if integration else None,
        base_url=checked_base_url(base_url) if base_url else None,
        username=username,
        api_key=SecretReference.parse(api_key_ref) if api_key_ref else _read_key(api_key_file),
        calls_per_second=calls_per_second,
        in_flight=in_flight,
        verify=VerifyMode(verify) if verify else None,
        writes_enabled=writes,
        drift=DriftPolicy(drift) if drift else None,
    )
    with application() as services:
        provider = services.accounts.configure(tenant, name, settings, actor())
    print(f"{provider.name}: {provider.integration_type} at {provider.base_url}, {provider.calls_per_second:g} calls/s")


def list_providers(as_json: AsJson = False, tenant: Tenant = "default") -> None:
    """List the carrier accounts, and how each stands now; never a credential."""
    from dataclasses import asdict

    from m2m_pipeline.cli.standing import account_lines

    with application() as services:
        accounts = services.accounts
        listed = [
            (one, services.standings.of(one), accounts.credential_place(one)) for one in accounts.list_providers(tenant)
        ]
    if as_json:
        documents = [
            {**asdict(one), "credential": place, "standing": standing.model_dump(mode="json")}
            for one, standing, place in listed
        ]
        print(json.dumps(documents))
        return
    for one, standing, place in listed:
        print("\n".join(account_lines(one, standing, place)))


def import_plans(file: Path, provider: ProviderName, tenant: Tenant = "default") -> None:
    """Load plans from a CSV with the columns `name[,communication_plan]`."""
    from m2m_pipeline.services.tables import read_table

    rows = read_table(file, ["name"], ["communication_plan"])
    rate_plans = [row["name"] for row in rows if row["name"]]
    communication_plans = [row["communication_plan"] for row in rows if row["communication_plan"]]
    with application() as services:
        services.accounts.import_plans(services.accounts.provider(tenant, provider), rate_plans, communication_plans)
    print(f"{len(set(rate_plans))} rate plans, {len(set(communication_plans))} communication plans")


def import_devices(file: Path, provider: ProviderName, tenant: Tenant = "default") -> None:
    """Load the inventory from a CSV: `iccid[,msisdn,imsi,status,rate_plan,communication_plan]`."""
    from m2m_pipeline.services.tables import read_devices

    devices = read_devices(file)
    with application() as services:
        changed = services.accounts.import_devices(services.accounts.provider(tenant, provider), devices)
    print(f"{len(devices)} devices, {changed} new or changed")


def sync_devices(provider: ProviderName, tenant: Tenant = "default") -> None:
    """Load plans and inventory from the carrier."""

    def progress(seen: int) -> None:
        print(f"{seen} devices read", file=sys.stderr)

    with application() as services:
        account = services.accounts.provider(tenant, provider)
        seen, changed = asyncio.run(services.accounts.sync(account, progress))
    print(f"{seen} devices, {changed} new or changed")


def _read_key(file: Path | None) -> str | None:
    if file is None:
        return None
    text = sys.stdin.read() if str(file) == "-" else file.read_text()
    if not text.strip():
        raise typer.BadParameter("the API key is empty", param_hint="--api-key-file")
    return text.strip()
