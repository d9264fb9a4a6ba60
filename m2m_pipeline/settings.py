"""The environment, typed. Read here and nowhere else; `SETTINGS` in the README is made from these fields."""

import json
import os
from functools import cache
from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

SERVICES_FILE = "services.json"
"""Where `m2m up` writes the environment of the running services, below the state directory."""


class MissingSettingError(Exception):
    """A setting is missing or wrong. The message gives its name, what it must be, and an example."""


class Settings(BaseSettings):
    """What the operator configures. Every field is the environment variable `M2M_` + its name in capitals."""

    model_config = SettingsConfigDict(env_prefix="M2M_", extra="ignore", frozen=True)

    database_url: SecretStr = Field(
        description="PostgreSQL ≥ 15 that holds the business data",
        examples=["postgresql+psycopg://m2m:PASSWORD@127.0.0.1:5432/m2m"],
    )
    encryption_keys: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
        default=(),
        description="Fernet keys for carrier credentials, comma separated, the newest first",
        examples=["`m2m key generate` prints one"],
    )
    lease_seconds: float = Field(
        default=60.0,
        ge=2,
        le=3600,
        description="How long an attempt owns its bulk change without a sign of life, in seconds",
        examples=["60"],
    )
    dispatch_interval_seconds: int = Field(
        default=5,
        ge=5,
        le=3600,
        description="How often the dispatch sensor looks for queued bulk changes, in seconds (Dagster's floor is 5)",
        examples=["5"],
    )

    settle_seconds: float = Field(
        default=5.0,
        ge=0,
        le=600,
        description="How long the carrier may take to show a change that it accepted, in seconds",
        examples=["5"],
    )
    outage_patience_seconds: float = Field(
        default=300.0,
        ge=0,
        le=86_400,
        description="How long a run waits for a carrier that is out of reach before it ends, in seconds",
        examples=["300"],
    )

    @field_validator("database_url")
    @classmethod
    def _psycopg_3(cls, url: SecretStr) -> SecretStr:
        if not url.get_secret_value().startswith("postgresql+psycopg://"):
            message = "must start with postgresql+psycopg:// (PostgreSQL through psycopg 3)"
            raise ValueError(message)
        return url

    @field_validator("encryption_keys", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(key.strip() for key in value.split(",") if key.strip()) if isinstance(value, str) else value


def state_dir() -> Path:
    """`M2M_STATE_DIR`: where `m2m up` keeps its data and its addresses; `.m2m` in the current folder by default."""
    return Path(os.environ.get("M2M_STATE_DIR", ".m2m")).absolute()


@cache
def load_settings() -> Settings:
    """The settings of this process: the environment, else the services that `m2m up` runs in the state directory.

    Raises:
        MissingSettingError: naming each setting that is missing or wrong, what it must be, and an example.

    """
    values = {name.removeprefix("M2M_").lower(): text for name, text in running_environment().items()}
    fallback = {name: text for name, text in values.items() if f"M2M_{name.upper()}" not in os.environ}
    try:
        return Settings(**fallback)  # pyright: ignore[reportArgumentType] -- strings are what pydantic parses here
    except ValidationError as error:
        raise MissingSettingError(_explained(error)) from None


def running_environment() -> dict[str, str]:
    """The `M2M_*` variables that the running `m2m up` of the state directory published; empty if none runs."""
    try:
        published: object = json.loads((state_dir() / SERVICES_FILE).read_text())
    except (FileNotFoundError, PermissionError, json.JSONDecodeError):
        return {}
    environment = published.get("environment") if isinstance(published, dict) else None
    return {str(name): str(text) for name, text in environment.items()} if isinstance(environment, dict) else {}


def _explained(error: ValidationError) -> str:
    lines: list[str] = []
    for fault in error.errors(include_input=False, include_url=False):
        name = str(fault["loc"][0]) if fault["loc"] else "?"
        field = Settings.model_fields.get(name)
        meaning = field.description if field else ""
        example = field.examples[0] if field and field.examples else ""
        lines.append(
            f"M2M_{name.upper()}: {fault['msg']}. It is: {meaning}. Example: {example}. "
            "(Or start the local services with `m2m up` and use the same M2M_STATE_DIR.)"
        )
    return "\n".join(lines)
