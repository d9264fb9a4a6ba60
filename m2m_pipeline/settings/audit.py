"""The settings of the audit log and of what is removed. A part of `settings`, which reads them."""

from pydantic import BaseModel, Field, SecretStr

from m2m_pipeline.settings.forms import CRON, Listed


class AuditSettings(BaseModel):
    """How the audit log is kept, and everything else not."""

    audit_seal_seconds: int = Field(
        default=30,
        ge=5,
        le=3600,
        description="How often new audit entries are sealed into their chain, in seconds",
        examples=["30"],
    )
    audit_digest_target: str = Field(
        default="",
        pattern=r"^(s3://[^/\s]+(/\S*)?|/.*)?$",
        description="Where signed digests of the audit log are kept: a directory, or s3://BUCKET/PREFIX",
        examples=["s3://acme-audit/m2m"],
    )
    audit_digest_cron: str = Field(
        default="0 * * * *",
        pattern=CRON,
        description="When digests are written, as a cron expression (UTC); never without a target",
        examples=["0 * * * *"],
    )
    audit_verify_cron: str = Field(
        default="0 2 * * *",
        pattern=CRON,
        description="When the whole audit log is verified, as a cron expression (UTC)",
        examples=["0 2 * * *"],
    )
    audit_signing_key: SecretStr = Field(
        default=SecretStr(""),
        description="The secret Ed25519 key that signs digests, in hex",
        examples=["`m2m audit key` makes one"],
    )
    audit_public_keys: Listed = Field(
        default=(),
        description="Public keys whose digests are believed besides the signing key's, comma separated: older ones",
        examples=["`m2m audit key` prints it"],
    )
    retention_cron: str = Field(
        default="30 3 * * *",
        pattern=CRON,
        description="When old runs and expired records are removed, as a cron expression (UTC)",
        examples=["30 3 * * *"],
    )
    retention_run_days: int = Field(
        default=90,
        ge=1,
        le=36_500,
        description="How long Dagster's finished runs are kept, with their events and logs, in days",
        examples=["90"],
    )
    retention_record_days: int = Field(
        default=90,
        ge=15,
        le=36_500,
        description="Days that what is over is kept: messages (SQS repeats them for 14), notices, alerts, drift",
        examples=["90"],
    )
