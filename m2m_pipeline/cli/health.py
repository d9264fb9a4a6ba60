"""The command that a prober outside asks: health."""

import json

import typer

from m2m_pipeline.cli.options import AsJson, application

UNHEALTHY = 1


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(health)


def health(as_json: AsJson = False) -> None:
    """Tell whether the platform is alive, and which alerts are open. For a prober that is not part of it.

    Exit status: 0 alive (alerts may be open), 1 no sign of life, 3 the database does not answer.
    """
    from m2m_pipeline.services.alerting import silence

    with application() as services:
        found = services.alerting.health()
    if as_json:
        listed = [{"name": a.name, "subject": a.subject, "since": a.since.isoformat()} for a in found.open_alerts]
        print(json.dumps({"alive": found.is_alive, "quiet_seconds": found.quiet_seconds, "alerts": listed}))
    else:
        print("alive" if found.is_alive else silence(found))
        for one in found.open_alerts:
            print(f"{one.since:%Y-%m-%d %H:%M:%S}Z  {one.name}  {one.subject}: {one.detail}")
    raise typer.Exit(0 if found.is_alive else UNHEALTHY)
