"""Options that several commands take."""

import os
import pwd
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from m2m_pipeline.bootstrap import Application

Tenant = Annotated[str, typer.Option(help="The company whose devices these are.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, errors too.")]
ProviderName = Annotated[str, typer.Option("--provider", help="The service provider's name.")]


@contextmanager
def application() -> "Generator[Application]":
    """The services, for one command."""
    from m2m_pipeline.bootstrap import build  # noqa: PLC0415 -- loads the database driver
    from m2m_pipeline.settings import load_settings  # noqa: PLC0415

    services = build(load_settings())
    try:
        yield services
    finally:
        services.close()


def actor() -> str:
    """Who types: the name of the operating system's user."""
    try:
        return f"cli:{pwd.getpwuid(os.getuid()).pw_name}"
    except KeyError:
        return f"cli:{os.getuid()}"
