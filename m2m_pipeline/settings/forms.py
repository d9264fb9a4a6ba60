"""What several settings have in common: how their text is read."""

from typing import Annotated

from pydantic import BeforeValidator, SecretStr

CRON = r"^\s*(\S+\s+){4}\S+\s*$"
"""Five fields of a cron expression."""

ADDRESS = r"^(https?://[^/\s]+\S*)?$"
"""An address on the web, or nothing."""


def _split(value: object) -> object:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


Listed = Annotated[tuple[str, ...], BeforeValidator(_split)]
"""Separated by commas."""

Secrets = Annotated[tuple[SecretStr, ...], BeforeValidator(_split)]
"""As `Listed`, and never shown."""
