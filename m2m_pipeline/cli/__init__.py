"""The command line: parse, call a service, print. Heavy imports wait until a command needs them."""

import sys

import typer

from m2m_pipeline.cli import accounts, audit, changes, health, inbox, notices, operations, reconciliation, serving

app = typer.Typer(
    name="m2m",
    help="Bulk carrier rate plan changes for M2M/IoT SIMs.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
changes.register(app)
inbox.register(app)
notices.register(app)
health.register(app)
accounts.register(app)
reconciliation.register(app)
audit.register(app)
operations.register(app)
serving.register(app)


def main() -> None:
    """Run a command; an error that has a name is one message on stderr, never a stack trace."""
    try:
        app()
    except Exception as error:  # noqa: BLE001 -- the outermost edge: known errors are told, others are raised again
        from m2m_pipeline.cli.errors import exit_status

        sys.exit(exit_status(error, as_json="--json" in sys.argv))
