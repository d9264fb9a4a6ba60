"""Commands that run the platform: up, demo, simulate, migrate."""

from pathlib import Path
from typing import Annotated

import typer

from m2m_pipeline.cli.options import AsJson

STOPPED = 130
"""As a shell reports a program that Ctrl-C ended."""


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(migrate)
    app.command()(up)
    app.command()(demo)
    app.command()(simulate)


def migrate() -> None:
    """Bring the database schema up to date."""
    from m2m_pipeline.cli.options import running_settings
    from m2m_pipeline.storage.migrate import upgrade

    upgrade(running_settings().database_url.get_secret_value())


def up(
    as_json: AsJson = False,
    simulator: Annotated[
        bool, typer.Option("--simulator/--no-simulator", help="Run the carrier simulator too.")
    ] = True,
    devices: Annotated[int, typer.Option(min=0, help="Devices that the simulated carrier has.")] = 300,
    seed: Annotated[int, typer.Option(help="Of the simulated devices.")] = 19,
) -> None:
    """Start PostgreSQL, the carrier simulator, Dagster, page and HTTP API, and keep them running until Ctrl-C."""
    from m2m_pipeline.local.services import LocalOptions
    from m2m_pipeline.local.services import up as run_services
    from m2m_pipeline.settings import state_dir

    arguments = ("--devices", str(devices), "--seed", str(seed), "--latency-ms", "20:60") if simulator else None
    run_services(LocalOptions(state_dir=state_dir(), simulator_arguments=arguments), json_output=as_json)


def demo() -> None:
    """Run a bulk change with every kind of outcome against a simulated carrier, and check each against its ledger."""
    from m2m_pipeline.demo.story import run
    from m2m_pipeline.local.signals import StopRequested

    try:
        done = run()
    except StopRequested:
        print("Stopped; no process is left.")
        raise typer.Exit(STOPPED) from None
    raise typer.Exit(0 if done else 1)


def simulate(
    host: str = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any free port.")] = 0,
    world: Annotated[Path | None, typer.Option(help="Accounts, plans and devices as JSON.")] = None,
    devices: Annotated[int, typer.Option(min=0, help="Devices to make, besides those of the world.")] = 0,
    seed: int = 0,
    latency_ms: Annotated[str, typer.Option(help="LOW or LOW:HIGH, in milliseconds.")] = "0",
    calls_per_second: Annotated[int | None, typer.Option(min=1, help="The built-in account's limit.")] = None,
    in_flight: Annotated[int | None, typer.Option(min=1, help="The built-in account's limit.")] = None,
) -> None:
    """Serve a simulated carrier on a socket; prints its address as one line of JSON when it is ready."""
    from m2m_pipeline.simulator import SimulatorSettings, serve

    low, _, high = latency_ms.partition(":")
    serve(
        SimulatorSettings(
            host=host,
            port=port,
            world=world,
            devices=devices,
            seed=seed,
            latency_ms=(float(low), float(high or low)),
            calls_per_second=calls_per_second,
            in_flight=in_flight,
        )
    )
