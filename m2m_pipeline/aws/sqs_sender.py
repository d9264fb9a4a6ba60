"""Delivery to an Amazon SQS queue."""

import asyncio
from typing import Any

from m2m_pipeline.domain.notices import Destination, Event, Failed


class SqsSender:
    """Sends events as messages, with the credentials that AWS's own chain finds."""

    def __init__(self, region: str | None = None, endpoint_url: str | None = None) -> None:
        self._region = region
        self._endpoint_url = endpoint_url

    async def send(self, destination: Destination, event: Event) -> Failed | None:
        """Send the event; SQS's answer confirms it. A FIFO queue drops what it is sent again within five minutes."""
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - only who sends pays for boto3

        try:
            await asyncio.to_thread(self._send, destination, event)
        except ClientError as error:
            return Failed(f"SQS answered {error.response.get('Error', {}).get('Code', 'with an error')}.")
        except BotoCoreError as error:
            return Failed(f"SQS cannot be reached ({type(error).__name__}).")
        return None

    def _send(self, destination: Destination, event: Event) -> None:
        from boto3.session import Session  # noqa: PLC0415 - only who sends pays for boto3
        from botocore.config import Config  # noqa: PLC0415 - as above

        config = Config(connect_timeout=3, read_timeout=8, retries={"mode": "standard", "total_max_attempts": 1})
        # A session of its own: clients are not made safely in two threads at once.
        client: Any = Session().client("sqs", region_name=self._region, endpoint_url=self._endpoint_url, config=config)
        try:
            client.send_message(
                QueueUrl=destination.address,
                MessageBody=event.body,
                MessageAttributes={
                    name: {"DataType": "String", "StringValue": value}
                    for name, value in (("event_id", event.id), ("event_type", event.type.value))
                },
                **_fifo(destination, event),
            )
        finally:
            client.close()


def _fifo(destination: Destination, event: Event) -> dict[str, str]:
    if not destination.address.endswith(".fifo"):
        return {}
    return {"MessageGroupId": f"tenant-{destination.tenant_id or 0}", "MessageDeduplicationId": event.id}
