"""The environment, typed. Read here and nowhere else; docs/settings.md tells the same."""

import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import ConfigDict, Field, SecretStr, ValidationError, field_validator

from m2m_pipeline.settings.audit import AuditSettings
from m2m_pipeline.settings.front_door import FrontDoorSettings
from m2m_pipeline.settings.inbound import InboundSettings
from m2m_pipeline.settings.notices import NoticeSettings
from m2m_pipeline.settings.upkeep import UpkeepSettings
from m2m_pipeline.settings.work import WorkSettings

SERVICES_FILE = "services.json"
"""Where `m2m up` writes the environment of the running services, below the state directory."""


class MissingSettingError(Exception):
    """A setting is missing or wrong. The message gives its name, what it must be, and an example."""


class Settings(AuditSettings, NoticeSettings, FrontDoorSettings, InboundSettings, UpkeepSettings, WorkSettings):
    """What the operator configures. Every field is the environment variable `M2M_` + its name in capitals."""

    model_config = ConfigDict(frozen=True)

    database_url: SecretStr = Field(
        description="PostgreSQL ≥ 15 that holds the business data",
        examples=["postgresql+psycopg://m2m:PASSWORD@127.0.0.1:5432/m2m"],
    )

    @field_validator("database_url")
    @classmethod
    def _psycopg_3(cls, url: SecretStr) -> SecretStr:
        if not url.get_secret_value().startswith("postgresql+psycopg://"):
            message = "must start with postgresql+psycopg:// (PostgreSQL through psycopg 3)"
            raise ValueError(message)
        if not _is_address(url.get_secret_value()):
            message = "must be an address: host and port, with what is special in a password percent-encoded"
            raise ValueError(message)
        return url


def _is_address(url: str) -> bool:
    try:
        return urlsplit(url).port != 0
    except ValueError:  # its words may repeat a part of the password
        return False


def state_dir() -> Path:
    """`M2M_STATE_DIR`: where `m2m up` keeps its data and its addresses; `.m2m` in the current folder by default."""
    return Path(os.environ.get("M2M_STATE_DIR", ".m2m")).absolute()


def load_settings(running: Mapping[str, str] | None = None) -> Settings:
    """The settings of this process: the environment, else those that running local services published.

    `running` holds `M2M_*` variables, which the environment overrides.

    Raises:
        MissingSettingError: naming each setting that is missing or wrong, what it must be, and an example.

    """
    given = {**(running or {}), **os.environ}
    fields = {name: given[f"M2M_{name.upper()}"] for name in Settings.model_fields if f"M2M_{name.upper()}" in given}
    try:
        return Settings.model_validate(fields)
    except ValidationError as error:
        raise MissingSettingError(_explained(error)) from None


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
