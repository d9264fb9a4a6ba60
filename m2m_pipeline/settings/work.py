"""The settings of the work at the carriers."""

from typing import Literal

from pydantic import BaseModel, Field

from m2m_pipeline.settings.forms import ADDRESS, Secrets


class WorkSettings(BaseModel):
    """How bulk changes are worked on."""

    encryption_keys: Secrets = Field(
        default=(),
        description="Fernet keys for carrier credentials, comma separated, the newest first",
        examples=["`m2m key generate` prints one"],
    )
    secrets_manager_region: str = Field(
        default="",
        description="AWS region of carrier credentials that are references, where AWS's own configuration does not "
        "say it",
        examples=["eu-west-1"],
    )
    secrets_manager_endpoint_url: str = Field(
        default="",
        pattern=ADDRESS,
        description="Where AWS Secrets Manager answers, if not at AWS's public address of the region",
        examples=["https://vpce-0123456789abcdef0-abcdefgh.secretsmanager.eu-west-1.vpce.amazonaws.com"],
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
    attempt_pause_seconds: float = Field(
        default=150.0,
        ge=0,
        le=600,
        description="How long a bulk change rests after two attempts in a row without progress, in seconds; twice as "
        "long after each further one",
        examples=["150"],
    )
    settle_seconds: float = Field(
        default=5.0,
        ge=0,
        le=600,
        description="How long the carrier may take to show a change that it accepted, in seconds",
        examples=["5"],
    )
    outage_patience_seconds: float = Field(
        default=1800.0,
        ge=0,
        le=86_400,
        description="How long a run waits for a carrier that is out of reach, or lets no change through, before it "
        "ends, in seconds",
        examples=["1800"],
    )
    probe_seconds: float = Field(
        default=10.0,
        gt=0,
        le=600,
        description="While a carrier does not answer: how often at most one call tries whether it is back, in "
        "seconds. Never two at once, and with the default not more than one in 10 s; less is for tests",
        examples=["10"],
    )
    overlap: Literal["refuse", "wait"] = Field(
        default="refuse",
        description="What becomes of a device that an earlier bulk change under way has: `refuse` it, or let the later "
        "change `wait` for the earlier's end",
        examples=["wait"],
    )
