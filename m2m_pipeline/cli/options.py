"""Options that several commands take."""

import os
import pwd
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from m2m_pipeline.bootstrap import Application
    from m2m_pipeline.settings import Settings

Tenant = Annotated[str, typer.Option(help="The company whose devices these are.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, errors too.")]
ProviderName = Annotated[str, typer.Option("--provider", help="The service provider's name.")]


@contextmanager
def application() -> "Generator[Application]":
    """The services, for one command."""
    from m2m_pipeline.bootstrap import build

    services = build(running_settings())
    try:
        yield services
    finally:
        services.close()


def running_settings() -> "Settings":
    """The environment's settings, else those of the local services that run in the state directory."""
    from m2m_pipeline.local.state import running_services
    from m2m_pipeline.settings import load_settings, state_dir

    running = running_services(state_dir())
    return load_settings(running.environment if running else None)


def actor() -> str:
    """Who types: the name of the operating system's user."""
    try:
        return f"cli:{pwd.getpwuid(os.getuid()).pw_name}"
    except KeyError:
        return f"cli:{os.getuid()}"
