"""The environment, typed. Read here and nowhere else; the table in the README is made from these fields."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import ConfigDict, Field, SecretStr, ValidationError, field_validator

from m2m_pipeline.audit_settings import CRON, AuditSettings

SERVICES_FILE = "services.json"
"""Where `m2m up` writes the environment of the running services, below the state directory."""


class MissingSettingError(Exception):
    """A setting is missing or wrong. The message gives its name, what it must be, and an example."""


class Settings(AuditSettings):
    """What the operator configures. Every field is the environment variable `M2M_` + its name in capitals."""

    model_config = ConfigDict(frozen=True)

    database_url: SecretStr = Field(
        description="PostgreSQL ≥ 15 that holds the business data",
        examples=["postgresql+psycopg://m2m:PASSWORD@127.0.0.1:5432/m2m"],
    )
    encryption_keys: tuple[SecretStr, ...] = Field(
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
    sweep_interval_seconds: int = Field(
        default=30,
        ge=5,
        le=3600,
        description="How often the sweeper looks for attempts that died, in seconds",
        examples=["30"],
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

    reconcile_cron: str = Field(
        default="*/15 * * * *",
        pattern=CRON,
        description="When unknown outcomes are settled and drift is looked for, as a cron expression (UTC)",
        examples=["*/15 * * * *"],
    )
    reconcile_share: float = Field(
        default=0.2,
        gt=0,
        le=1,
        description="How much of an account's rate reconciliation takes while a bulk change uses it too",
        examples=["0.2"],
    )
    full_pass_hours: float = Field(
        default=24.0,
        gt=0,
        le=720,
        description="How often the carrier's whole list is compared with AMOP; between, what was modified, in hours",
        examples=["24"],
    )
    check_cron: str = Field(
        default="5 * * * *",
        pattern=r"^\s*(\S+\s+){4}\S+\s*$",
        description="When the catalog's checks are held against the rows, as a cron expression (UTC)",
        examples=["5 * * * *"],
    )
    unknown_limit_hours: float = Field(
        default=6.0,
        gt=0,
        description="A check fails where an outcome has been unknown for longer, in hours",
        examples=["6"],
    )
    drift_limit_share: float = Field(
        default=0.01,
        ge=0,
        le=1,
        description="A check fails where more of a provider's devices have drifted",
        examples=["0.01"],
    )
    queue_limit_minutes: float = Field(
        default=30.0,
        gt=0,
        description="A check fails where a bulk change has waited longer for a run, in minutes",
        examples=["30"],
    )
    probe_seconds: float = Field(
        default=10.0,
        gt=0,
        le=600,
        description="While a carrier does not answer: how often one call tries whether it is back, in seconds",
        examples=["10"],
    )
    overlap: Literal["refuse", "wait"] = Field(
        default="refuse",
        description="What becomes of a device that an earlier bulk change under way has: `refuse` it, or let the later "
        "change `wait` for the earlier's end",
        examples=["wait"],
    )
    sqs_queue_url: str = Field(
        default="",
        pattern=r"^(https?://[^/\s]+/\S+)?$",
        description="SQS queue from which requests are taken; without it none is",
        examples=["https://sqs.eu-west-1.amazonaws.com/123456789012/m2m-requests"],
    )
    sqs_region: str = Field(
        default="",
        description="AWS region of the queue, where AWS's own configuration does not say it",
        examples=["eu-west-1"],
    )
    sqs_endpoint_url: str = Field(
        default="",
        pattern=r"^(https?://[^/\s]+\S*)?$",
        description="Where SQS answers, if not at AWS's public address of the region",
        examples=["https://vpce-0123456789abcdef0-abcdefgh.sqs.eu-west-1.vpce.amazonaws.com"],
    )
    sqs_tenant: str = Field(
        default="default",
        min_length=1,
        description="The company to whom all messages of the queue belong",
        examples=["default"],
    )

    oidc_issuer: str = Field(
        default="",
        pattern=r"^(https?://[^/\s]+\S*)?$",
        description="Whose tokens the API takes beside its own keys (OpenID Connect); without it nobody's",
        examples=["https://login.example.com/realms/m2m"],
    )
    oidc_audience: str = Field(
        default="",
        description="For whom a token must have been issued",
        examples=["m2m-pipeline"],
    )
    oidc_jwks_url: str = Field(
        default="",
        pattern=r"^(https?://[^/\s]+\S*)?$",
        description="Where the issuer's public keys are, if its discovery document is not to be asked",
        examples=["https://login.example.com/realms/m2m/protocol/openid-connect/certs"],
    )
    oidc_tenant_claim: str = Field(
        default="tenant",
        min_length=1,
        description="Which claim of a token names the tenant",
        examples=["tenant"],
    )
    oidc_role_claim: str = Field(
        default="role",
        min_length=1,
        description="Which claim of a token names the role: viewer, operator, admin or auditor",
        examples=["role"],
    )
    metrics_token: SecretStr = Field(
        default=SecretStr(""),
        description="Bearer token that `/metrics` asks for; without it everybody who reaches the port may read them",
        examples=["a long random text"],
    )
    max_body_bytes: int = Field(
        default=32 * 1024 * 1024,
        ge=1024,
        le=1024**3,
        description="How long the body of a request to the API may be, in bytes (100,000 devices are about 2,500,000)",
        examples=["33554432"],
    )
    requests_per_second: float = Field(
        default=50.0,
        gt=0,
        le=100_000,
        description="Requests that the API answers to one key or person, ten seconds' worth at once; for each process",
        examples=["50"],
    )
    webhook_hosts: tuple[str, ...] = Field(
        default=(),
        description="Hosts (`host` or `host:port`), comma separated, where webhooks may be private and need no TLS",
        examples=["hooks.internal.example,127.0.0.1:8080"],
    )
    notice_patience_hours: float = Field(
        default=24.0,
        gt=0,
        le=720,
        description="How long the delivery of a notice is tried again before it is given up, in hours",
        examples=["24"],
    )

    log_format: Literal["json", "text"] = Field(
        default="json", description="How our logs are written to standard error: json or text", examples=["json"]
    )
    smtp_host: str = Field(
        default="",
        description="SMTP server that takes notices to mailboxes; without it none is mailed",
        examples=["smtp.example.com"],
    )
    smtp_port: int = Field(default=587, ge=1, le=65535, description="Its port", examples=["587"])
    smtp_from: str = Field(
        default="m2m@localhost",
        pattern=r"^\S+@\S+$",
        description="Who the mails are from",
        examples=["m2m@example.com"],
    )
    smtp_starttls: bool = Field(
        default=True, description="Whether the connection is encrypted before anything is said", examples=["true"]
    )
    smtp_username: str = Field(default="", description="Who signs in at the SMTP server, if anybody", examples=["m2m"])
    smtp_password: SecretStr = Field(
        default=SecretStr(""), description="The SMTP user's password", examples=["from your secret store"]
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

    @field_validator("encryption_keys", "webhook_hosts", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(key.strip() for key in value.split(",") if key.strip()) if isinstance(value, str) else value


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
