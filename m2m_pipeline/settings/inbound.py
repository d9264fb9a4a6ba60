"""The settings of the inbound queue."""

from pydantic import BaseModel, Field

from m2m_pipeline.settings.forms import ADDRESS


class InboundSettings(BaseModel):
    """From where requests come as messages."""

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
        pattern=ADDRESS,
        description="Where SQS answers, if not at AWS's public address of the region",
        examples=["https://vpce-0123456789abcdef0-abcdefgh.sqs.eu-west-1.vpce.amazonaws.com"],
    )
    sqs_tenant: str = Field(
        default="default",
        min_length=1,
        description="The company to whom all messages of the queue belong",
        examples=["default"],
    )
