"""The settings of what we tell."""

from typing import Literal

from pydantic import BaseModel, Field, SecretStr

from m2m_pipeline.settings.forms import Listed


class NoticeSettings(BaseModel):
    """How we tell others: notices, mails, logs."""

    webhook_hosts: Listed = Field(
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
